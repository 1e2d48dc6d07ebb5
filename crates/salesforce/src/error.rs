//! What can go wrong between us and Salesforce, and what the engine does next.

use std::time::Duration;

use crate::pubsub::{Pace, StreamRefusal};

/// What the engine does after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Transient: try the same again after a pause.
    Retry,
    /// Ask for the same page again, at the same locator.
    RetryPage,
    /// Sign in again; nothing else helps.
    Reauthenticate,
    /// Wait until the org has calls to give again.
    Pause,
    /// The job or its results are gone: start a new one.
    StartAnew,
    /// The request itself is at fault; a person has to look.
    Stop,
    /// A person asked for it.
    Cancelled,
    /// The saved position of the event stream is gone: what came after it may be lost, so a hole is opened.
    PositionLost,
    /// The org's allowance of delivered events is spent: read changes by other means, try again by the hour.
    AllocationSpent,
    /// Somebody has to select the object, give a permission or buy a licence; it is asked again now and then.
    Park,
}

/// Which of the org's allowances was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaKind {
    /// The calls of the rolling day.
    Daily,
    /// Long calls at the same time.
    Concurrent,
    /// Query jobs, or the size of their results, of the rolling day.
    Bulk,
}

/// Why Salesforce refused a sign-in, from `error` and `error_description` of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The refresh or access token no longer counts: revoked, rotated away, idle, or displaced by a sixth approval.
    GrantEnded,
    /// The code from the browser is unknown, used or too old.
    CodeExpired,
    /// The proof (PKCE) does not belong to the code.
    VerifierRejected,
    /// Salesforce could not authenticate the user; the user may be deactivated.
    AuthenticationFailure,
    /// The assertion is for another login host.
    AudienceInvalid,
    /// The user has not approved this app and was not pre-authorised for it.
    UserNotApproved,
    /// The org refuses this machine's address.
    IpRestricted,
    /// The user may not log in at this hour.
    LoginHours,
    /// No app with this client id, or not known yet.
    UnknownClient,
    /// The client secret is wrong, or the app demands one.
    ClientSecret,
    /// The user is deactivated.
    UserInactive,
    /// The org is locked.
    OrgInactive,
    /// Too many sign-ins within the hour.
    LoginRate,
    /// The callback is not exactly one of the app's registered callbacks.
    RedirectMismatch,
    /// The app does not have a scope that was asked for.
    ScopeInvalid,
    /// The login host does not offer this way of signing in.
    GrantUnsupported,
    /// The app may not use this way of signing in.
    ClientUnauthorized,
    /// A person pressed Deny.
    AccessDenied,
    /// The user was not admitted to the app by an administrator.
    AppAccess,
    /// The org blocks the app, or an administrator has to install it first.
    AppBlocked,
    /// Any other reason; the description says which.
    Other,
}

impl Refusal {
    /// Reads Salesforce's two strings. Descriptions differ between releases, so they are matched by fragments.
    pub fn from_answer(code: &str, description: &str) -> Self {
        let text = description.to_ascii_lowercase();
        let says = |fragment: &str| text.contains(fragment);
        match code.to_ascii_lowercase().replace('-', "_").as_str() {
            "invalid_grant" if says("authorization code") => Self::CodeExpired,
            "invalid_grant" if says("verifier") => Self::VerifierRejected,
            "invalid_grant" if says("audience") => Self::AudienceInvalid,
            "invalid_grant" if says("approved this consumer") || says("not approved") => {
                Self::UserNotApproved
            }
            "invalid_grant" if says("ip restricted") => Self::IpRestricted,
            "invalid_grant" if says("login hours") => Self::LoginHours,
            "invalid_grant" if says("authentication failure") => Self::AuthenticationFailure,
            "invalid_grant" if says("inactive") => Self::UserInactive,
            "invalid_grant" => Self::GrantEnded,
            "invalid_client_id" => Self::UnknownClient,
            "invalid_client" | "invalid_client_credentials" => Self::ClientSecret,
            "inactive_user" => Self::UserInactive,
            "inactive_org" => Self::OrgInactive,
            "rate_limit_exceeded" => Self::LoginRate,
            "redirect_uri_mismatch" => Self::RedirectMismatch,
            "invalid_scope" => Self::ScopeInvalid,
            "unsupported_grant_type" | "unsupported_response_type" => Self::GrantUnsupported,
            "unauthorized_client" => Self::ClientUnauthorized,
            "access_denied" => Self::AccessDenied,
            "invalid_app_access" => Self::AppAccess,
            code if code.starts_with("oauth_app") || code.starts_with("oauth_approval") => Self::AppBlocked,
            _ => Self::Other,
        }
    }
}

/// Everything that can go wrong between us and Salesforce. Messages hold no token, no query and no record content.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token endpoint or the authorize page said no.
    #[error("Salesforce refused the sign-in: {code}{}", described(description))]
    Refused {
        /// What the refusal means.
        refusal: Refusal,
        /// Salesforce's `error`.
        code: String,
        /// Salesforce's `error_description`, possibly empty.
        description: String,
    },
    /// There is no token, or none that can be renewed.
    #[error("nobody is signed in to this org")]
    SignInNeeded,
    /// A fresh token was refused as well.
    #[error("Salesforce no longer accepts this sign-in")]
    Unauthorized,
    /// The token lacks the scope `api`.
    #[error("this sign-in may not use the API: the app lacks the scope `api`")]
    ApiScopeMissing,
    /// The port of the registered redirect is in use on this machine.
    #[error("port {port} on this machine is taken, so the browser's answer could not be received")]
    PortTaken {
        /// The port of the redirect URL.
        port: u16,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The redirect URL of the configuration cannot be listened on.
    #[error("the redirect URL `{redirect_url}` cannot be listened on: {reason}")]
    RedirectUnusable {
        /// The configured redirect URL.
        redirect_url: String,
        /// Why not.
        reason: &'static str,
    },
    /// Nobody approved in the browser in time.
    #[error("no answer came from the browser within {} minutes", waited.as_secs().div_ceil(60))]
    SignInTimedOut {
        /// How long we waited.
        waited: Duration,
    },
    /// A person gave up waiting.
    #[error("cancelled")]
    Cancelled,
    /// The host named as login address does not behave like Salesforce.
    #[error("`{host}` did not answer like a Salesforce login host ({found})")]
    NotSalesforce {
        /// The host asked.
        host: String,
        /// What came instead.
        found: String,
    },
    /// An address to which no token may be sent.
    #[error("refused to send the access token to `{origin}`: {reason}")]
    ForeignOrigin {
        /// Scheme, host and port.
        origin: String,
        /// Why it is foreign.
        reason: &'static str,
    },
    /// The shared login hosts do not offer client credentials.
    #[error("`{host}` does not offer client credentials; only the org's own My Domain does")]
    MyDomainNeeded {
        /// The host asked.
        host: String,
    },
    /// The private key of the JWT sign-in cannot be used.
    #[error("the private key for the JWT sign-in cannot be used: {reason}")]
    SigningKey {
        /// Why not.
        reason: String,
    },
    /// An allowance of the org is spent.
    #[error("{}", spent(*kind, operation))]
    QuotaSpent {
        /// Which allowance.
        kind: QuotaKind,
        /// What was being done.
        operation: &'static str,
    },
    /// Salesforce refused the request and said why.
    #[error("Salesforce refused {operation}: {code}: {message}")]
    Rejected {
        /// What was being done.
        operation: &'static str,
        /// The HTTP status.
        status: u16,
        /// Salesforce's `errorCode`.
        code: String,
        /// Salesforce's message, without the query it quotes.
        message: String,
    },
    /// A status without an error body that we could read: a gateway, a proxy, or maintenance.
    #[error("{operation} was answered with status {status} and no readable reason")]
    Status {
        /// What was being done.
        operation: &'static str,
        /// The HTTP status.
        status: u16,
        /// How long the answer asks us to wait.
        retry_after: Option<Duration>,
    },
    /// A redirect, which is never followed: it could carry the token elsewhere.
    #[error("{operation} was redirected to `{to}`, which is not followed")]
    Redirected {
        /// What was being done.
        operation: &'static str,
        /// The target's origin.
        to: String,
    },
    /// No answer, or none to its end.
    #[error("Salesforce could not be reached for {operation}")]
    Transport {
        /// What was being done.
        operation: &'static str,
        /// What the network said, without the address's query.
        #[source]
        source: reqwest::Error,
    },
    /// The program's HTTPS could not be set up.
    #[error("secure connections cannot be set up on this machine")]
    Setup {
        /// Why not; commonly no root certificates.
        #[source]
        source: reqwest::Error,
    },
    /// An answer in a shape that we do not know.
    #[error("the answer to {operation} could not be read: {reason}")]
    Unreadable {
        /// What was being done.
        operation: &'static str,
        /// What was wrong.
        reason: String,
    },
    /// A Bulk page's body ended early.
    #[error("a result page was cut after {rows} records")]
    PageCut {
        /// Records read before the cut.
        rows: u64,
        /// What the network said.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// A Bulk page holds another number of records than it announced.
    #[error("a result page announced {announced} records and held {rows}")]
    PageShort {
        /// `Sforce-NumberOfRecords`.
        announced: u64,
        /// Records in the body.
        rows: u64,
    },
    /// A Bulk page named itself as its next page.
    #[error("the job's pages go in a circle: the locator of a page came back as its next page")]
    LocatorRepeated,
    /// A Bulk job that ended badly.
    #[error("the query job failed in Salesforce{}", described(message))]
    JobFailed {
        /// The job's id.
        job: String,
        /// Salesforce's `errorMessage`, possibly empty.
        message: String,
    },
    /// A Bulk job that somebody aborted.
    #[error("the query job was aborted in Salesforce")]
    JobAborted {
        /// The job's id.
        job: String,
    },
    /// A Bulk job that made no progress for too long.
    #[error("the query job made no progress for {} minutes", waited.as_secs() / 60)]
    JobStuck {
        /// The job's id.
        job: String,
        /// How long nothing moved.
        waited: Duration,
    },
    /// The job, or its results, are no longer there.
    #[error("the query job and its results are gone from Salesforce")]
    JobGone {
        /// The job's id.
        job: String,
    },
    /// A call of the event service that Salesforce refused, or a stream that it ended.
    #[error("{refusal} ({operation}; {code}{})", said_under(rpc_id.as_deref()))]
    StreamRefused {
        /// What was being done.
        operation: &'static str,
        /// What it means.
        refusal: StreamRefusal,
        /// Salesforce's `error-code`, or the gRPC status where none came.
        code: String,
        /// Salesforce's id of the call, which its support asks for.
        rpc_id: Option<String>,
    },
    /// The connection to the event service could not be made, or broke.
    #[error("the connection to Salesforce's event service failed ({operation}): {reason}")]
    StreamLost {
        /// What was being done.
        operation: &'static str,
        /// What the network said.
        reason: String,
    },
    /// A stream without events and without keep-alives.
    #[error("nothing was heard from Salesforce's event stream for {} s", waited.as_secs())]
    StreamSilent {
        /// How long.
        waited: Duration,
    },
    /// TLS for the event service could not be set up.
    #[error("secure connections to the event service cannot be set up on this machine")]
    TlsSetup {
        /// Why not; commonly no root certificates.
        #[source]
        source: rustls::Error,
    },
    /// The token's keeper failed: a keychain, a lock, a disk.
    #[error("the access token could not be renewed")]
    TokenKeeper {
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// What the engine does next. No wildcard arm: a new variant must choose.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Refused { refusal: Refusal::LoginRate, .. }
            | Self::QuotaSpent { kind: QuotaKind::Concurrent, .. }
            | Self::Transport { .. }
            | Self::StreamLost { .. }
            | Self::StreamSilent { .. } => Disposition::Retry,
            Self::StreamRefused { refusal, .. } => refusal.disposition(),
            Self::Refused { .. } | Self::SignInNeeded | Self::Unauthorized => Disposition::Reauthenticate,
            Self::QuotaSpent { kind: QuotaKind::Daily | QuotaKind::Bulk, .. } => Disposition::Pause,
            Self::Status { status, .. } | Self::Rejected { status, .. } if is_transient(*status) => {
                Disposition::Retry
            }
            Self::PageCut { .. } | Self::PageShort { .. } => Disposition::RetryPage,
            Self::JobFailed { .. }
            | Self::JobAborted { .. }
            | Self::JobStuck { .. }
            | Self::JobGone { .. }
            | Self::LocatorRepeated => Disposition::StartAnew,
            Self::Cancelled => Disposition::Cancelled,
            Self::ApiScopeMissing
            | Self::PortTaken { .. }
            | Self::RedirectUnusable { .. }
            | Self::SignInTimedOut { .. }
            | Self::NotSalesforce { .. }
            | Self::ForeignOrigin { .. }
            | Self::SigningKey { .. }
            | Self::MyDomainNeeded { .. }
            | Self::Status { .. }
            | Self::Rejected { .. }
            | Self::Redirected { .. }
            | Self::Setup { .. }
            | Self::TlsSetup { .. }
            | Self::Unreadable { .. }
            | Self::TokenKeeper { .. } => Disposition::Stop,
        }
    }

    /// Salesforce's `errorCode`, where it gave one.
    pub fn salesforce_code(&self) -> Option<&str> {
        match self {
            Self::Rejected { code, .. } | Self::Refused { code, .. } | Self::StreamRefused { code, .. } => {
                Some(code)
            }
            _ => None,
        }
    }

    /// How patient to be before a stream that ended with this error is opened again.
    pub fn pace(&self) -> Pace {
        match self {
            Self::StreamRefused { refusal, .. } => refusal.pace(),
            _ => Pace::Usual,
        }
    }

    /// Whether it is the schema that stands in the way: another try brings the same answer, other events are fine.
    pub fn is_about_the_schema(&self) -> bool {
        match self {
            Self::StreamRefused { refusal, .. } => {
                matches!(refusal, StreamRefusal::SchemaUnknown | StreamRefusal::SchemaForbidden)
            }
            Self::Unreadable { operation, .. } => *operation == SCHEMA,
            _ => false,
        }
    }

    /// Whether a renewed token may mend it.
    pub(crate) fn ends_session(&self) -> bool {
        matches!(
            self,
            Self::StreamRefused {
                refusal: StreamRefusal::AuthenticationFailed | StreamRefusal::RenewalInvalid,
                ..
            }
        )
    }
}

/// Statuses that go away by themselves: gateways without a route yet, throttling, maintenance.
pub(crate) fn is_transient(status: u16) -> bool {
    matches!(status, 406 | 408 | 420 | 429 | 500..=599)
}

/// The operation of asking for an event's schema.
pub(crate) const SCHEMA: &str = "schema";

fn said_under(rpc_id: Option<&str>) -> String {
    rpc_id.map_or_else(String::new, |id| format!("; call {id}"))
}

fn described(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

fn spent(kind: QuotaKind, operation: &str) -> String {
    match kind {
        QuotaKind::Daily => format!("the org's API calls of the last 24 hours are spent ({operation})"),
        QuotaKind::Concurrent => format!("the org has too many long calls at the same time ({operation})"),
        QuotaKind::Bulk => format!("the org's query jobs of the last 24 hours are spent ({operation})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_of_the_token_endpoint_is_told_apart() {
        let cases = [
            ("invalid_grant", "expired access/refresh token", Refusal::GrantEnded),
            ("invalid_grant", "authentication failure", Refusal::AuthenticationFailure),
            ("invalid_grant", "expired authorization code", Refusal::CodeExpired),
            ("invalid_grant", "invalid code verifier", Refusal::VerifierRejected),
            ("invalid_grant", "Audience validation failed", Refusal::AudienceInvalid),
            ("invalid_grant", "audience is invalid", Refusal::AudienceInvalid),
            ("invalid_grant", "user hasn't approved this consumer", Refusal::UserNotApproved),
            ("invalid_grant", "ip restricted", Refusal::IpRestricted),
            ("invalid_grant", "invalid login hours", Refusal::LoginHours),
            ("invalid_client_id", "client identifier invalid", Refusal::UnknownClient),
            ("invalid_client", "invalid client credentials", Refusal::ClientSecret),
            ("inactive_user", "user is inactive", Refusal::UserInactive),
            ("inactive_org", "", Refusal::OrgInactive),
            ("rate_limit_exceeded", "login rate exceeded", Refusal::LoginRate),
            ("redirect_uri_mismatch", "redirect_uri must match configuration", Refusal::RedirectMismatch),
            ("access-denied", "end-user denied authorization", Refusal::AccessDenied),
            ("access_denied", "", Refusal::AccessDenied),
            ("invalid_app_access", "user is not admin approved to access this app", Refusal::AppAccess),
            ("OAUTH_APP_BLOCKED", "", Refusal::AppBlocked),
            ("unsupported_grant_type", "grant type not supported", Refusal::GrantUnsupported),
            ("something_new", "", Refusal::Other),
        ];
        for (code, description, expected) in cases {
            assert_eq!(Refusal::from_answer(code, description), expected, "{code}: {description}");
        }
    }

    #[test]
    fn a_spent_day_pauses_and_a_busy_moment_retries() {
        let spent = |kind| Error::QuotaSpent { kind, operation: "count" }.disposition();
        assert_eq!(spent(QuotaKind::Daily), Disposition::Pause);
        assert_eq!(spent(QuotaKind::Concurrent), Disposition::Retry);
    }
}
