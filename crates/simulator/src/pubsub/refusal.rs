//! Refusals of the Pub/Sub API: a gRPC status, and the trailers that say which refusal it is.

use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};

use crate::events;

/// One call, as refusals name it.
#[derive(Clone, Debug)]
pub struct Rpc {
    /// The id that support would ask for.
    pub id: String,
    /// The method's name.
    pub method: &'static str,
}

impl Rpc {
    /// A call with an id of its own.
    pub fn new(method: &'static str) -> Self {
        Self { id: events::uuid(), method }
    }

    /// The refusal of this name: the part of the error code after `sfdc.platform.eventbus.grpc.`
    pub fn refuse(&self, code: &str) -> Status {
        let (status, text) = meaning(code);
        let mut trailers = MetadataMap::new();
        let mut add = |name: &'static str, value: &str| {
            if let Ok(value) = MetadataValue::try_from(value) {
                trailers.insert(name, value);
            }
        };
        add("error-code", &format!("sfdc.platform.eventbus.grpc.{code}"));
        add("rpc-id", &self.id);
        add("type", self.method);
        Status::with_metadata(status, format!("{text} rpcId: {}", self.id), trailers)
    }
}

/// The status and text of a refusal. Those that only documents name have the likeliest status.
fn meaning(code: &str) -> (Code, &'static str) {
    match code {
        "service.unavailable" => (Code::Internal, "The service is unavailable. Try again later."),
        "service.auth.error" => (
            Code::Unauthenticated,
            "An authentication exception occurred. Provide valid authentication via metadata headers.",
        ),
        "service.auth.headers.invalid" => (
            Code::Unauthenticated,
            "The authentication headers are missing or invalid. Provide accesstoken, instanceurl and tenantid.",
        ),
        "service.auth.refresh.invalid" | "publish.auth.refresh.invalid" => {
            (Code::Unauthenticated, "The authentication refresh is invalid.")
        }
        "service.protection.triggered" | "service.protection.stream.limit.triggered" => {
            (Code::ResourceExhausted, "The service is protecting itself. Try again later.")
        }
        "concurrent.client.limit.exceeded" => {
            (Code::ResourceExhausted, "You have exceeded the limit of concurrent clients for your org.")
        }
        "subscription.limit.exceeded" => {
            (Code::ResourceExhausted, "You have exceeded the event delivery limit for your org.")
        }
        "subscription.fetch.overflow" => {
            (Code::ResourceExhausted, "The number of requested events is too large.")
        }
        "service.tenant.license" => {
            (Code::PermissionDenied, "Your org does not have the license for this service.")
        }
        "topic.meta.permission" | "schema.meta.permission" => {
            (Code::PermissionDenied, "You don't have permission to access this topic or schema.")
        }
        "subscription.topic.cannot.subscribe" => {
            (Code::PermissionDenied, "You cannot subscribe to this topic.")
        }
        "topic.not.found" => (Code::NotFound, "Failed to fetch topic information. The topic does not exist."),
        "managed.subscription.developer.name.not.found"
        | "managed.subscription.subscription.id.not.found"
        | "managed.subscription.config.deleted" => {
            (Code::NotFound, "The managed subscription does not exist.")
        }
        "managed.subscription.already.active" => {
            (Code::AlreadyExists, "The managed subscription is already active.")
        }
        "managed.subscription.config.stopped" => {
            (Code::FailedPrecondition, "The managed subscription is stopped.")
        }
        "topic.api.unavailable" | "schema.api.unavailable" => {
            (Code::Unavailable, "The service cannot look this up now. Try again later.")
        }
        "topic.validation.empty" | "publish.topic.validation.empty" => {
            (Code::InvalidArgument, "The topic name can't be blank.")
        }
        "schema.validation.failed" => {
            (Code::InvalidArgument, "Schema validation failed. The schema ID can't be blank.")
        }
        "subscription.fetch.replayid.corrupted" => (
            Code::InvalidArgument,
            "The Replay ID is corrupted, unknown, or out of the retention window. Ensure that the Replay ID is valid.",
        ),
        "subscription.fetch.replayid.validation.failed" => {
            (Code::InvalidArgument, "The Replay ID validation failed. Ensure that the Replay ID is valid.")
        }
        "subscription.fetch.replay.repeated" => {
            (Code::InvalidArgument, "The replay options can only be given in the first request.")
        }
        "subscription.fetch.requested.events.invalid" => {
            (Code::InvalidArgument, "The number of requested events must be greater than 0.")
        }
        "subscription.fetch.topic.mismatch" | "publish.topic.mismatch" => {
            (Code::InvalidArgument, "The topic name does not match that of the first request.")
        }
        "subscription.fetch.request.invalid" => (Code::InvalidArgument, "The fetch request is invalid."),
        "publish.event.count.invalid" => (Code::InvalidArgument, "The number of events is invalid."),
        _ if code.starts_with("managed.subscription.") => {
            (Code::InvalidArgument, "The managed fetch request is invalid.")
        }
        _ => (Code::Internal, "An internal error occurred."),
    }
}
