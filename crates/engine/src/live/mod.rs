//! The live side of an open environment: receive, apply, fetch, and what keeps it right.
//!
//! `lead` decides who does it; a `term` is one process's turn at it. `receive` stores events, `apply` writes what they
//! say, `fetch` reads what they do not say. Everything durable is in the store; a term can end anywhere.

mod apply;
mod channels;
mod closing;
mod eligible;
mod fetch;
mod freshness;
mod gaps;
mod holes;
mod lead;
mod mappings;
mod members;
mod presence;
mod reaction;
mod receive;
mod samples;
mod schedule;
mod service;
mod standing;
mod term;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use salesforce::pubsub::PubSub;

use shadow::ObjectName;
use shadow::event::ChannelName;
use store::{Store, checkpoints, leases};

pub(crate) use freshness::{Freshness, freshness, is_confirmed, millis};
pub(crate) use holes::SYSTEM;
pub(crate) use lead::{STREAM, lead};
pub(crate) use mappings::Mappings;
pub(crate) use members::not_selected;
pub(crate) use presence::{announce, say_goodbye};
pub(crate) use schedule::{CATCH_UP, FORMULAS, RETENTION, RETENTION_CRON};
pub(crate) use service::event_service;
pub(crate) use standing::{Board, severity};

use crate::environment::OpenEnvironment;
use crate::metrics::Metrics;

/// What the tasks of the live side share with the rest of the process.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Where this process's stream stands.
    pub board: Board,
    /// Mappings as the org was last described.
    pub mappings: Mappings,
    /// What is counted and measured.
    pub metrics: Metrics,
    /// Wakes who closes holes: one was opened, or a job ended.
    pub holes: tokio::sync::Notify,
    /// The way to Salesforce's events, made once.
    pubsub: Mutex<Option<PubSub>>,
}

impl Desk {
    /// The way to Salesforce's events, if it was made.
    pub(crate) fn pubsub(&self) -> Option<PubSub> {
        self.pubsub.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps a way to Salesforce's events for others.
    pub(crate) fn keep_pubsub(&self, pubsub: &PubSub) {
        *self.pubsub.lock().unwrap_or_else(PoisonError::into_inner) = Some(pubsub.clone());
    }
}

/// Times that tests shorten.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// After so long without a message a stream is dead.
    pub silence: Duration,
    /// The longest pause before a stream that ended is tried again, whatever the reason asks for.
    pub longest_retry: Duration,
    /// How often permissions and memberships are confirmed.
    pub confirm_every: Duration,
    /// How often lag is sampled.
    pub sample_every: Duration,
    /// How long after Salesforce accepted a subscription it surely delivers what is committed.
    pub takes_effect: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(330),
            longest_retry: Duration::from_hours(1),
            confirm_every: Duration::from_mins(5),
            sample_every: Duration::from_secs(5),
            takes_effect: Duration::from_secs(10),
        }
    }
}

/// The channels that this environment subscribes to.
pub(crate) fn planned_channels(environment: &OpenEnvironment) -> Vec<ChannelName> {
    let planned = channels::channels(environment.config.channel.as_deref(), &shadow::Mapping::built_in());
    planned.unwrap_or_default().into_iter().map(|channel| channel.name).collect()
}

/// Whether some process is about to stream an object and was not accepted yet: what changes before that is not in its
/// stream.
pub(crate) async fn is_connecting(store: &Store, object: &ObjectName) -> Result<bool, store::Error> {
    if leases::holder(store, STREAM).await?.is_none() {
        return Ok(false);
    }
    let own = ChannelName::of_object(object);
    let carries = |channel: &ChannelName| *channel == own || channel.hides_absent_objects();
    let of_object = checkpoints::list(store).await?.into_iter().filter(|known| carries(&known.channel));
    let mut waits = true;
    for known in of_object {
        let is_failing = matches!(
            known.state,
            checkpoints::StreamState::Failed
                | checkpoints::StreamState::Backoff
                | checkpoints::StreamState::Polling
                | checkpoints::StreamState::Paused
        );
        waits &= known.proven_until.is_none() && !is_failing;
    }
    Ok(waits)
}
