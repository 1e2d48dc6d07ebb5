//! One term of leadership: what its tasks share, and how it ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use salesforce::Client;
use salesforce::pubsub::PubSub;
use shadow::event::ChannelName;
use store::Store;
use store::leases::LeaseKey;
use tokio::sync::Notify;

use super::channels::Channel;
use crate::environment::OpenEnvironment;

/// What the tasks of a term share.
pub(crate) struct Term {
    pub environment: Arc<OpenEnvironment>,
    pub store: Store,
    pub client: Client,
    pub pubsub: PubSub,
    /// Checked by every commit of the term.
    pub lease: LeaseKey,
    pub channels: Vec<Channel>,
    arrivals: Mutex<HashMap<ChannelName, Instant>>,
    stored: HashMap<ChannelName, Notify>,
    /// Wakes who fetches dirty records.
    pub dirty: Notify,
}

impl Term {
    pub(crate) fn new(
        environment: Arc<OpenEnvironment>,
        store: Store,
        client: Client,
        pubsub: PubSub,
        lease: LeaseKey,
        channels: Vec<Channel>,
    ) -> Self {
        let stored = channels.iter().map(|channel| (channel.name.clone(), Notify::new())).collect();
        Self {
            environment,
            store,
            client,
            pubsub,
            lease,
            channels,
            arrivals: Mutex::default(),
            stored,
            dirty: Notify::new(),
        }
    }

    /// Events of a channel were stored just now: its applier looks again.
    pub(crate) fn arrived(&self, channel: &ChannelName) {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.insert(channel.clone(), Instant::now());
        drop(arrivals);
        if let Some(stored) = self.stored.get(channel) {
            stored.notify_one();
        }
    }

    /// Something about holes changed: who closes them looks again.
    pub(crate) fn look_at_holes(&self) {
        self.environment.live.holes.notify_one();
    }

    /// When events of a channel were last stored in this term.
    pub(crate) fn last_arrival(&self, channel: &ChannelName) -> Option<Instant> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).get(channel).copied()
    }

    /// Waits until events of a channel are stored.
    pub(crate) async fn more(&self, channel: &ChannelName) {
        match self.stored.get(channel) {
            Some(stored) => stored.notified().await,
            None => std::future::pending().await,
        }
    }
}
