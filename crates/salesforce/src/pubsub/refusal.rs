//! What Salesforce means when it refuses a call of the event stream.
//!
//! It says so in the trailer `error-code`. Its texts are for people and change; the gRPC status alone is ambiguous and
//! decides only where there is no code.

use std::fmt;

use tonic::{Code, Status};

use super::Pace;
use crate::{Disposition, Error};

/// What every code begins with.
const CODE_PREFIX: &str = "sfdc.platform.eventbus.grpc.";

/// What a refusal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamRefusal {
    /// The service is not there for the moment.
    ServiceUnavailable,
    /// The description of topics or schemas is not there for the moment.
    DescriptionUnavailable,
    /// Something went wrong within Salesforce.
    InternalError,
    /// The service protects itself: too many calls or streams.
    Protection,
    /// Too many subscribers in the org.
    TooManySubscribers,
    /// More events were asked for than the server can count.
    TooManyRequested,
    /// The access token is not accepted.
    AuthenticationFailed,
    /// The sign-in was renewed in a way that the stream does not accept.
    RenewalInvalid,
    /// The org's edition does not include the service.
    NotLicensed,
    /// There is no such topic: the object was not selected, or the channel was deleted.
    TopicNotFound,
    /// The user may not read the topic.
    TopicForbidden,
    /// Nobody can subscribe to the topic.
    NotSubscribable,
    /// The user may not read the schema.
    SchemaForbidden,
    /// There is no such schema.
    SchemaUnknown,
    /// The replay id is damaged, unknown or too old: what came after it may be lost.
    PositionLost,
    /// The org's allowance of delivered events is spent.
    AllocationSpent,
    /// We asked for something that makes no sense.
    RequestInvalid,
    /// A refusal of something that we never ask for: publishing, managed subscriptions.
    NotOurs,
    /// A refusal that this version does not know.
    Unknown,
}

/// Every code that Salesforce names, without its prefix.
const CODES: [(&str, StreamRefusal); 41] = [
    ("service.unavailable", StreamRefusal::ServiceUnavailable),
    ("service.auth.error", StreamRefusal::AuthenticationFailed),
    ("service.auth.headers.invalid", StreamRefusal::RequestInvalid),
    ("service.auth.refresh.invalid", StreamRefusal::RenewalInvalid),
    ("publish.auth.refresh.invalid", StreamRefusal::RenewalInvalid),
    ("service.protection.triggered", StreamRefusal::Protection),
    ("service.protection.stream.limit.triggered", StreamRefusal::Protection),
    ("service.tenant.license", StreamRefusal::NotLicensed),
    ("concurrent.client.limit.exceeded", StreamRefusal::TooManySubscribers),
    ("topic.not.found", StreamRefusal::TopicNotFound),
    ("topic.meta.permission", StreamRefusal::TopicForbidden),
    ("topic.api.unavailable", StreamRefusal::DescriptionUnavailable),
    ("schema.api.unavailable", StreamRefusal::DescriptionUnavailable),
    ("topic.validation.empty", StreamRefusal::RequestInvalid),
    ("publish.topic.validation.empty", StreamRefusal::NotOurs),
    ("schema.meta.permission", StreamRefusal::SchemaForbidden),
    ("schema.validation.failed", StreamRefusal::SchemaUnknown),
    ("subscription.fetch.replayid.corrupted", StreamRefusal::PositionLost),
    ("subscription.fetch.replayid.validation.failed", StreamRefusal::PositionLost),
    ("subscription.fetch.replay.repeated", StreamRefusal::RequestInvalid),
    ("subscription.limit.exceeded", StreamRefusal::AllocationSpent),
    ("subscription.fetch.overflow", StreamRefusal::TooManyRequested),
    ("subscription.fetch.requested.events.invalid", StreamRefusal::RequestInvalid),
    ("subscription.fetch.topic.mismatch", StreamRefusal::RequestInvalid),
    ("publish.topic.mismatch", StreamRefusal::NotOurs),
    ("subscription.fetch.request.invalid", StreamRefusal::RequestInvalid),
    ("subscription.topic.cannot.subscribe", StreamRefusal::NotSubscribable),
    ("subscription.internal.error", StreamRefusal::InternalError),
    ("publish.stream.sweeper.timeout", StreamRefusal::NotOurs),
    ("publish.event.count.invalid", StreamRefusal::NotOurs),
    ("managed.subscription.already.active", StreamRefusal::NotOurs),
    ("managed.subscription.config.stopped", StreamRefusal::NotOurs),
    ("managed.subscription.config.deleted", StreamRefusal::NotOurs),
    ("managed.subscription.developer.name.not.found", StreamRefusal::NotOurs),
    ("managed.subscription.subscription.id.not.found", StreamRefusal::NotOurs),
    ("managed.subscription.subscription.id.invalid", StreamRefusal::NotOurs),
    ("managed.subscription.id.or.developer.name.empty", StreamRefusal::NotOurs),
    ("managed.subscription.fetch.request.events.invalid", StreamRefusal::NotOurs),
    ("managed.subscription.fetch.request.invalid", StreamRefusal::NotOurs),
    ("managed.subscription.fetch.request.commit.request.restricted", StreamRefusal::NotOurs),
    ("managed.subscription.fetch.request.auth.request.restricted", StreamRefusal::NotOurs),
];

impl StreamRefusal {
    /// Reads a code, with or without its prefix. `position_sent`: whether the call named a replay id.
    pub fn from_code(code: &str, position_sent: bool) -> Option<Self> {
        let suffix = code.strip_prefix(CODE_PREFIX).unwrap_or(code);
        let (_, refusal) = CODES.iter().find(|(known, _)| *known == suffix)?;
        Some(match refusal {
            // Without an id there is no position to lose: we forgot to send it.
            Self::PositionLost if !position_sent => Self::RequestInvalid,
            refusal => *refusal,
        })
    }

    /// What the engine does next.
    pub const fn disposition(self) -> Disposition {
        match self {
            Self::ServiceUnavailable
            | Self::DescriptionUnavailable
            | Self::InternalError
            | Self::Protection
            | Self::TooManySubscribers
            | Self::TooManyRequested
            | Self::Unknown => Disposition::Retry,
            Self::AuthenticationFailed | Self::RenewalInvalid => Disposition::Reauthenticate,
            Self::NotLicensed
            | Self::TopicNotFound
            | Self::TopicForbidden
            | Self::NotSubscribable
            | Self::SchemaForbidden => Disposition::Park,
            Self::PositionLost => Disposition::PositionLost,
            Self::AllocationSpent => Disposition::AllocationSpent,
            Self::SchemaUnknown | Self::RequestInvalid | Self::NotOurs => Disposition::Stop,
        }
    }

    /// How patient to be before the same is tried again.
    pub const fn pace(self) -> Pace {
        match self {
            Self::ServiceUnavailable => Pace::Busy,
            Self::Protection | Self::TooManySubscribers => Pace::Slow,
            _ => Pace::Usual,
        }
    }
}

impl fmt::Display for StreamRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServiceUnavailable => "Salesforce's event service is unavailable for the moment",
            Self::DescriptionUnavailable => "Salesforce cannot describe topics or schemas for the moment",
            Self::InternalError => "something went wrong within Salesforce's event service",
            Self::Protection => "Salesforce's event service protects itself from too many calls or streams",
            Self::TooManySubscribers => "the org has too many subscribers to events",
            Self::TooManyRequested => "more events were asked for than Salesforce can count",
            Self::AuthenticationFailed => "Salesforce's event service does not accept this sign-in",
            Self::RenewalInvalid => "Salesforce's event service does not accept the renewed sign-in",
            Self::NotLicensed => "the org's edition does not include change events over Pub/Sub",
            Self::TopicNotFound => "Salesforce has no such topic",
            Self::TopicForbidden => "the user may not read this topic",
            Self::NotSubscribable => "nobody can subscribe to this topic",
            Self::SchemaForbidden => "the user may not read the schema of this event",
            Self::SchemaUnknown => "Salesforce does not know the schema of this event",
            Self::PositionLost => "Salesforce no longer knows the saved position of the event stream",
            Self::AllocationSpent => "the org's daily allowance of delivered events is spent",
            Self::RequestInvalid => "Salesforce finds our request for events invalid",
            Self::NotOurs => "Salesforce refused something that was not asked for",
            Self::Unknown => "Salesforce refused for a reason that this version does not know",
        })
    }
}

/// What was asked for, as far as it decides what a refusal means.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub operation: &'static str,
    /// Whether a replay id was sent and nothing has come since: then an invalid argument can only be that id.
    pub position_at_stake: bool,
}

/// Reads a failed call's status.
pub(super) fn read(asked: Asked, status: &Status) -> Error {
    let operation = asked.operation;
    let trailer = |name: &str| {
        let text = status.metadata().get(name)?.to_str().ok()?;
        is_plain(text).then(|| text.to_owned())
    };
    let rpc_id = trailer("rpc-id");
    if let Some(code) = trailer("error-code") {
        let refusal = StreamRefusal::from_code(&code, asked.position_at_stake)
            .or_else(|| by_status(status.code(), asked))
            .unwrap_or(StreamRefusal::Unknown);
        return Error::StreamRefused { operation, refusal, code, rpc_id };
    }
    match by_status(status.code(), asked) {
        Some(refusal) => {
            Error::StreamRefused { operation, refusal, code: format!("{:?}", status.code()), rpc_id }
        }
        None => Error::StreamLost { operation, reason: reason(status) },
    }
}

/// What a status means that came without a code; `None` where it says no more than that the connection broke.
fn by_status(code: Code, asked: Asked) -> Option<StreamRefusal> {
    Some(match code {
        Code::Unauthenticated => StreamRefusal::AuthenticationFailed,
        Code::PermissionDenied => StreamRefusal::TopicForbidden,
        Code::NotFound => StreamRefusal::TopicNotFound,
        Code::ResourceExhausted => StreamRefusal::Protection,
        // Were it not the id, the same without an id would fail as well, and be known as invalid then.
        Code::InvalidArgument if asked.position_at_stake => StreamRefusal::PositionLost,
        Code::OutOfRange => StreamRefusal::TooManyRequested,
        Code::InvalidArgument | Code::FailedPrecondition | Code::AlreadyExists | Code::Unimplemented => {
            StreamRefusal::RequestInvalid
        }
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => return None,
    })
}

/// Why a connection broke, from the innermost cause; the server's own text is left out.
fn reason(status: &Status) -> String {
    let mut source = std::error::Error::source(status);
    let mut reason = format!("{:?}", status.code());
    while let Some(error) = source {
        reason = error.to_string();
        source = error.source();
    }
    reason
}

/// Codes and ids are short and plain; anything else is not shown.
fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !text.is_empty() && text.len() <= 120 && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataMap;

    use super::*;

    const SUBSCRIBE: Asked = Asked { operation: "events", position_at_stake: true };

    fn status(code: Code, error_code: Option<&str>) -> Status {
        let mut trailers = MetadataMap::new();
        if let Some(error_code) = error_code {
            trailers.insert("error-code", format!("{CODE_PREFIX}{error_code}").parse().unwrap());
            trailers.insert("rpc-id", "0b7c-4f".parse().unwrap());
        }
        Status::with_metadata(code, "token 00D!secret. rpcId: 0b7c-4f", trailers)
    }

    fn refusal(asked: Asked, status: &Status) -> Option<StreamRefusal> {
        match read(asked, status) {
            Error::StreamRefused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }

    #[test]
    fn the_code_decides_and_not_the_status() {
        for (error_code, expected) in CODES {
            for code in [Code::Internal, Code::Unavailable, Code::InvalidArgument] {
                assert_eq!(
                    refusal(SUBSCRIBE, &status(code, Some(error_code))),
                    Some(expected),
                    "{error_code}"
                );
            }
        }
    }

    #[test]
    fn each_code_has_its_reaction() {
        for (code, disposition, pace) in [
            ("service.unavailable", Disposition::Retry, Pace::Busy),
            ("service.auth.error", Disposition::Reauthenticate, Pace::Usual),
            ("service.auth.headers.invalid", Disposition::Stop, Pace::Usual),
            ("service.protection.stream.limit.triggered", Disposition::Retry, Pace::Slow),
            ("concurrent.client.limit.exceeded", Disposition::Retry, Pace::Slow),
            ("service.tenant.license", Disposition::Park, Pace::Usual),
            ("topic.not.found", Disposition::Park, Pace::Usual),
            ("topic.meta.permission", Disposition::Park, Pace::Usual),
            ("schema.validation.failed", Disposition::Stop, Pace::Usual),
            ("subscription.fetch.replayid.corrupted", Disposition::PositionLost, Pace::Usual),
            ("subscription.fetch.replayid.validation.failed", Disposition::PositionLost, Pace::Usual),
            ("subscription.limit.exceeded", Disposition::AllocationSpent, Pace::Usual),
            ("subscription.fetch.overflow", Disposition::Retry, Pace::Usual),
            ("subscription.internal.error", Disposition::Retry, Pace::Usual),
            ("managed.subscription.already.active", Disposition::Stop, Pace::Usual),
        ] {
            let error = read(SUBSCRIBE, &status(Code::Internal, Some(code)));
            assert_eq!((error.disposition(), error.pace()), (disposition, pace), "{code}");
        }
    }

    #[test]
    fn a_position_can_only_be_lost_if_one_was_sent() {
        let latest = Asked { position_at_stake: false, ..SUBSCRIBE };
        let failed = status(Code::InvalidArgument, Some("subscription.fetch.replayid.validation.failed"));
        assert_eq!(refusal(latest, &failed), Some(StreamRefusal::RequestInvalid));
        assert_eq!(refusal(SUBSCRIBE, &failed), Some(StreamRefusal::PositionLost));
        let bare = status(Code::InvalidArgument, None);
        assert_eq!(refusal(latest, &bare), Some(StreamRefusal::RequestInvalid));
        assert_eq!(refusal(SUBSCRIBE, &bare), Some(StreamRefusal::PositionLost));
    }

    #[test]
    fn without_a_code_the_status_decides() {
        for (code, expected) in [
            (Code::Unauthenticated, Some(StreamRefusal::AuthenticationFailed)),
            (Code::PermissionDenied, Some(StreamRefusal::TopicForbidden)),
            (Code::NotFound, Some(StreamRefusal::TopicNotFound)),
            (Code::ResourceExhausted, Some(StreamRefusal::Protection)),
            (Code::Unavailable, None),
            (Code::Internal, None),
        ] {
            assert_eq!(refusal(SUBSCRIBE, &status(code, None)), expected, "{code:?}");
        }
        let lost = read(SUBSCRIBE, &status(Code::Unavailable, None));
        assert_eq!(lost.disposition(), Disposition::Retry);
    }

    #[test]
    fn an_unknown_code_is_shown_and_judged_by_its_status() {
        let error = read(SUBSCRIBE, &status(Code::Internal, Some("brand.new")));
        assert!(error.to_string().contains("grpc.brand.new"), "{error}");
        assert_eq!(error.disposition(), Disposition::Retry);
        let forbidden = status(Code::PermissionDenied, Some("brand.new"));
        assert_eq!(refusal(SUBSCRIBE, &forbidden), Some(StreamRefusal::TopicForbidden));
    }

    #[test]
    fn messages_do_not_repeat_the_servers_text() {
        for error_code in [None, Some("service.auth.error"), Some("brand.new")] {
            for code in [Code::Unauthenticated, Code::Unavailable, Code::Internal] {
                let error = read(SUBSCRIBE, &status(code, error_code));
                assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
            }
        }
    }
}
