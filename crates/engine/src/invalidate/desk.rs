//! What this process knows of the deletion of cache keys, and what every process can look up: whether a person holds
//! it, what is in its way.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use store::{Store, settings};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Term;
use crate::notice::View;
use crate::problem::Problem;
use crate::supervisor::jittered;

/// The setting that says who holds deletion back.
const HELD: &str = "cache-held";
/// The setting that says what is in the way of deletion.
const TROUBLE: &str = "cache-trouble";
/// The pause after the first failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Short, because readers do without the cache until it was told what it missed.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Who holds deletion back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub by: String,
    pub at: DateTime<Utc>,
}

/// What is in the way of deletion, as its process met it last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trouble {
    pub problem: Problem,
    pub since: DateTime<Utc>,
}

/// Who holds deletion back, if somebody does.
pub(crate) async fn held(store: &Store) -> Result<Option<Held>, store::Error> {
    Ok(settings::get::<Option<Held>>(store, HELD).await?.flatten())
}

/// Holds deletion back, for every process.
pub(crate) async fn set_held(store: &Store, held: &Held) -> Result<(), store::Error> {
    settings::set(store, HELD, &Some(held)).await
}

/// Lets it go on.
pub(crate) async fn release_by_hand(store: &Store) -> Result<(), store::Error> {
    settings::set(store, HELD, &None::<Held>).await
}

/// What is in the way, as the process says that deletes.
pub(crate) async fn trouble(store: &Store) -> Result<Option<Trouble>, store::Error> {
    Ok(settings::get::<Option<Trouble>>(store, TROUBLE).await?.flatten())
}

/// What this process's tasks and use cases share about the cache.
#[derive(Debug)]
pub(crate) struct Desk {
    /// What this process met; none: the last attempt went well, or there was none.
    trouble: watch::Sender<Option<Trouble>>,
    /// When the servers were last found to be the same.
    looked: Mutex<Option<Instant>>,
    /// Flushes that run here, by their numbers.
    flushes: Mutex<HashMap<i64, CancellationToken>>,
}

impl Default for Desk {
    fn default() -> Self {
        Self { trouble: watch::Sender::new(None), looked: Mutex::default(), flushes: Mutex::default() }
    }
}

impl Desk {
    /// What this process met last.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.trouble.borrow().clone()
    }

    /// Whether the servers were looked at within so long.
    pub(super) fn looked_within(&self, span: Duration) -> bool {
        self.looked().is_some_and(|at| at.elapsed() < span)
    }

    /// Notes that the servers were looked at, or must be.
    pub(crate) fn set_looked(&self, at: Option<Instant>) {
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    fn looked(&self) -> Option<Instant> {
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the way to stop a flush that runs here.
    pub(crate) fn flush_begins(&self, id: i64, stop: &CancellationToken) {
        self.flushes().insert(id, stop.clone());
    }

    /// Forgets it.
    pub(crate) fn flush_ends(&self, id: i64) {
        self.flushes().remove(&id);
    }

    /// Stops a flush that runs here; one that runs elsewhere hears of it by the database.
    pub(crate) fn stop_flush(&self, id: i64) {
        if let Some(stop) = self.flushes().get(&id) {
            stop.cancel();
        }
    }

    fn flushes(&self) -> std::sync::MutexGuard<'_, HashMap<i64, CancellationToken>> {
        self.flushes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to wait after failures in a row.
#[derive(Debug, Default)]
pub(super) struct Patience {
    failures: u32,
}

impl Patience {
    /// The pause after one more failure.
    pub(super) fn failed(&mut self) -> Duration {
        self.failures = (self.failures + 1).min(16);
        jittered((FIRST_PAUSE * (1 << (self.failures - 1).min(10))).min(LONGEST_PAUSE))
    }

    /// It went well.
    pub(super) fn worked(&mut self) {
        self.failures = 0;
    }
}

impl Term {
    /// The cache did not do what it was asked: orders wait, and everybody can see why.
    pub(super) async fn cache_failed(&self, error: &cache::Error) {
        let problem = Problem::from(error);
        let desk = &self.environment.invalidation;
        self.environment.live.metrics.failed("invalidate", &problem.code);
        // It may come back as another server.
        desk.set_looked(None);
        let before = desk.trouble();
        if before.as_ref().is_some_and(|before| before.problem.code == problem.code) {
            return;
        }
        let since = before.map_or_else(crate::clock::now, |before| before.since);
        tracing::warn!(
            problem.code = problem.code,
            problem.details = problem.details,
            "cache keys wait to be deleted: {}",
            problem.title
        );
        self.tell(Some(Trouble { problem, since })).await;
    }

    /// It did: what was in the way is gone.
    pub(super) async fn cache_worked(&self) {
        if self.environment.invalidation.trouble().is_some() {
            tracing::info!("the cache does what it is asked again");
            self.tell(None).await;
        }
    }

    async fn tell(&self, trouble: Option<Trouble>) {
        if let Err(error) = settings::set(&self.store, TROUBLE, &trouble).await {
            tracing::info!(%error, "what is in the way of deleting cache keys could not be written down");
        }
        self.environment.invalidation.trouble.send_replace(trouble);
        self.environment.notices.publish(&[View::Cache, View::Status]);
    }

    /// What the process before left behind is no longer known to hold.
    pub(super) async fn begin_afresh(&self) -> Result<(), store::Error> {
        if self.environment.invalidation.trouble().is_none() && trouble(&self.store).await?.is_some() {
            settings::set(&self.store, TROUBLE, &None::<Trouble>).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_stays_away_is_asked_less_and_less_often() {
        let mut patience = Patience::default();
        let first = patience.failed();
        assert!(first >= FIRST_PAUSE / 2 && first <= FIRST_PAUSE, "{first:?}");
        let last = (0..20).map(|_| patience.failed()).last().unwrap();
        assert!(last >= LONGEST_PAUSE / 2 && last <= LONGEST_PAUSE, "{last:?}");
        patience.worked();
        assert!(patience.failed() <= FIRST_PAUSE);
    }
}
