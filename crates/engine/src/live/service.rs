//! The way to Salesforce's events.

use std::time::Duration;

use salesforce::pubsub::{PubSub, PubSubOptions};

use crate::config;
use crate::problem::Answer;
use crate::session::origin_policy;
use crate::sign_in::SignIn;

/// A way to Salesforce's events as who is signed in now; connects when it is used first.
///
/// - `silence`: after so long without a message a stream is dead.
/// - **Errors:** SS-7013 where a simulated org's token would go to Salesforce.
pub(crate) fn event_service(
    config: &config::Environment,
    sign_in: &SignIn,
    silence: Duration,
) -> Answer<PubSub> {
    let facts = sign_in.facts().ok_or(salesforce::Error::SignInNeeded)?;
    let host = config.pubsub_endpoint.host_str().unwrap_or_default();
    if facts.identity.org_id.is_simulated() && host.ends_with("salesforce.com") {
        return Err(Box::new(crate::problem::no_simulated_events()));
    }
    let tokens = sign_in.tokens()?;
    let options = PubSubOptions {
        silence,
        ..PubSubOptions::new(config.pubsub_endpoint.clone(), origin_policy(config))
    };
    Ok(PubSub::new(options, tokens, facts.identity.org_id)?)
}
