//! What hosts hear: which views are stale. A notice never carries the data; the host asks again.

use serde::{Deserialize, Serialize};

/// Something a host may be showing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub enum View {
    /// The frame and the overview.
    Status,
    /// Configured environments.
    Environments,
    /// Where the sign-in stands.
    SignIn,
    /// Jobs and their progress.
    Jobs,
    /// Counts side by side.
    Counts,
    /// Rejected records.
    Rejects,
    /// The audit log.
    Audit,
    /// Where the stream stands, and which processes there are.
    Stream,
    /// Change events and what was done with them.
    Events,
    /// Events that could not be processed.
    DeadLetters,
    /// Lag over time.
    Lag,
    /// Spans in which events may be missing.
    Holes,
    /// What runs by the clock.
    Schedules,
    /// Roll-out flags.
    Flags,
    /// The org's API quota.
    Quota,
    /// The cache: what waits to be deleted, flushes, rules.
    Cache,
}

/// Tells that views are stale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// What to ask for again.
    pub stale: Vec<View>,
}

/// Publishes notices; cheap to clone. A slow listener misses old notices and is none the worse for it.
#[derive(Debug, Clone)]
pub struct Notices(tokio::sync::broadcast::Sender<Notice>);

impl Default for Notices {
    fn default() -> Self {
        Self::new()
    }
}

impl Notices {
    pub(crate) fn new() -> Self {
        Self(tokio::sync::broadcast::channel(256).0)
    }

    /// Says that `views` are stale; nobody listening is fine.
    pub fn publish(&self, views: &[View]) {
        let _ = self.0.send(Notice { stale: views.to_vec() });
    }

    /// Listens from now on.
    pub fn listen(&self) -> tokio::sync::broadcast::Receiver<Notice> {
        self.0.subscribe()
    }
}
