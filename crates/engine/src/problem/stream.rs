//! What the stream of change events can be the matter with. Numbers 7001 to 7099.

use salesforce::pubsub::StreamRefusal;

use super::{MendAct, Mender, Problem};

/// What a refusal of the event service means for a person.
pub(crate) fn refused(refusal: StreamRefusal) -> Problem {
    match refusal {
        StreamRefusal::ServiceUnavailable
        | StreamRefusal::DescriptionUnavailable
        | StreamRefusal::InternalError
        | StreamRefusal::Unknown => Problem::new(
            "SS-7001",
            "Salesforce's event service is not available",
            "It answers that it cannot serve us for the moment. The stream is tried again and goes on from the saved position, so nothing is lost.",
        )
        .mended_by(Mender::Itself),
        StreamRefusal::Protection | StreamRefusal::TooManySubscribers | StreamRefusal::TooManyRequested => {
            Problem::new(
                "SS-7002",
                "The org has too many event subscribers",
                "Salesforce protects itself from too many streams or calls. The stream is tried again after a minute or more.",
            )
            .mended_by(Mender::Itself)
            .step("If it lasts: look which other programs subscribe to this org's events.")
        }
        StreamRefusal::AuthenticationFailed | StreamRefusal::RenewalInvalid => Problem::new(
            "SS-7003",
            "Salesforce's event service does not accept the sign-in",
            "A renewed access token was refused as well. The org may lock sessions to the address from which they began, which the event service cannot meet.",
        )
        .mended_by(Mender::SalesforceAdmin)
        .step("Setup, Session Settings: switch off \"Lock sessions to the IP address from which they originated\".")
        .step("Sign in again.")
        .act(MendAct::SignIn),
        StreamRefusal::NotLicensed => Problem::new(
            "SS-7004",
            "The org's edition has no change events over Pub/Sub",
            "Changes are found by the scheduled catch-up only.",
        )
        .mended_by(Mender::SalesforceAdmin)
        .step("Ask Salesforce for an edition or add-on with Change Data Capture."),
        StreamRefusal::TopicNotFound => Problem::new(
            "SS-7005",
            "There is no such topic of change events",
            "The object is not selected for Change Data Capture, or the channel was deleted. What is missed meanwhile is caught up.",
        )
        .mended_by(Mender::SalesforceAdmin)
        .step("Setup, Change Data Capture: select the object; or check `channel` in the configuration.")
        .step("It takes up to ten minutes, and goes on by itself.")
        .act(MendAct::CheckAgain),
        StreamRefusal::TopicForbidden | StreamRefusal::NotSubscribable | StreamRefusal::SchemaForbidden => {
            Problem::new(
                "SS-7006",
                "The sync user may not receive these events",
                "Change events ask for View All Records on the object. What is missed meanwhile is caught up.",
            )
            .mended_by(Mender::SalesforceAdmin)
            .step("Give the sync user View All Records on the object, in the permission set Shadow Sync.")
            .step("It takes up to ten minutes, and goes on by itself.")
            .act(MendAct::CheckAgain)
        }
        StreamRefusal::AllocationSpent => Problem::new(
            "SS-7007",
            "The org's allowance of delivered events is spent",
            "Changes are read by polling instead. The stream is tried again every hour; the allowance counts the last 24 hours.",
        )
        .mended_by(Mender::Itself)
        .step("Look which programs subscribe to this org's events: each one counts.")
        .step("A custom channel with just the mapped objects delivers less than /data/ChangeEvents."),
        StreamRefusal::PositionLost => Problem::new(
            "SS-7008",
            "Salesforce no longer knows the saved position",
            "Events are kept for three days, and positions end when an org moves. The stream goes on from now; what lies between is a hole, which is closed by a catch-up.",
        )
        .mended_by(Mender::Itself),
        StreamRefusal::SchemaUnknown | StreamRefusal::RequestInvalid | StreamRefusal::NotOurs => Problem::new(
            "SS-7009",
            "Salesforce does not understand our request for events",
            "This is a fault of Shadow Sync or of something between it and Salesforce.",
        )
        .step("Copy the details and report them."),
    }
}

/// The connection to the event service.
pub(super) fn lost(reason: &str) -> Problem {
    Problem::new(
        "SS-7010",
        "The connection to Salesforce's event service failed",
        "The stream is tried again and goes on from the saved position, so nothing is lost.",
    )
    .mended_by(Mender::Itself)
    .step("If it lasts: the network must let api.pubsub.salesforce.com through, on port 7443 or 443, with HTTP/2.")
    .step("If this network needs a proxy, set HTTPS_PROXY.")
    .details(reason.to_owned())
}

/// A stream without even keep-alives.
pub(super) fn silent(seconds: u64) -> Problem {
    Problem::new(
        "SS-7011",
        "Nothing was heard from Salesforce for too long",
        format!("Not even a keep-alive came for {seconds} s, so the stream is taken for dead. It begins again from the saved position."),
    )
    .mended_by(Mender::Itself)
}

/// A simulated org's environment that names Salesforce's own event service.
pub(crate) fn no_simulated_events() -> Problem {
    Problem::new(
        "SS-7013",
        "This environment does not say where its simulated org sends events",
        "Its event service is Salesforce's own, which does not know a simulated org; its token is not sent there, and nothing is received.",
    )
    .step("Set `pubsub_endpoint` to the address that `shadow-sync demo-org` prints as Pub/Sub API.")
    .act(MendAct::OpenSettings)
}
