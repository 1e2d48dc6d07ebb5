//! One flight per key: who asks Salesforce what somebody else is asking already waits for that answer.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};

use super::fallback::NotAsked;
use super::question::Question;

/// What a flight brings: the answer, and the time before it was asked for.
pub(crate) type Landed<T> = Result<(Option<T>, DateTime<Utc>), NotAsked>;

type Flight<T> = Shared<BoxFuture<'static, Landed<T>>>;
type Known<T> = WeakShared<BoxFuture<'static, Landed<T>>>;

/// Flights that are under way; one ends with the last who waits for it.
pub(crate) struct Flights<Q: Question>(Mutex<HashMap<String, Known<Q::Value>>>);

/// Ended flights are swept out when so many are known.
const SWEPT_AT: usize = 512;

impl<Q: Question> Default for Flights<Q> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Q: Question> std::fmt::Debug for Flights<Q> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

impl<Q: Question> Flights<Q> {
    /// The flight of a key: the one under way, else the one that `begin` makes.
    pub(crate) async fn join(
        &self,
        key: String,
        begin: impl FnOnce() -> BoxFuture<'static, Landed<Q::Value>>,
    ) -> Landed<Q::Value> {
        let flight = self.board(&key, begin);
        let landed = flight.await;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Later questions begin anew: they want to know how it is then.
        if known.get(&key).is_some_and(|flight| flight.upgrade().is_none_or(|flight| flight.peek().is_some()))
        {
            known.remove(&key);
        }
        landed
    }

    fn board(
        &self,
        key: &str,
        begin: impl FnOnce() -> BoxFuture<'static, Landed<Q::Value>>,
    ) -> Flight<Q::Value> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = known.get(key).and_then(WeakShared::upgrade).filter(|flight| flight.peek().is_none());
        if let Some(flight) = under_way {
            return flight;
        }
        let flight = begin().shared();
        if known.len() >= SWEPT_AT {
            known.retain(|_, flight| flight.upgrade().is_some());
        }
        if let Some(kept) = flight.downgrade() {
            known.insert(key.to_owned(), kept);
        }
        flight
    }
}
