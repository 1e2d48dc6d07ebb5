//! What a command that ends leaves to be deleted: it waits a while for its own orders, and says what is left.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use store::{invalidations, leases};

use crate::engine::Engine;
use crate::invalidate::{self, INVALIDATE};
use crate::problem::{Answer, Problem};

/// How long to wait for the first deletion, and for each further one that comes about.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long to wait in all.
const LONGEST: Duration = Duration::from_mins(2);
/// How long to wait for another process.
const OTHERS: Duration = Duration::from_secs(5);
/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What became of the orders of this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drained {
    /// Changes whose keys wait to be deleted, the first time or the second.
    pub waiting: u32,
    /// Which other process deletes them, if one does.
    pub deleted_by: Option<String>,
    /// Who holds deletion back by hand.
    pub held_by: Option<String>,
    /// What is in the way.
    pub problem: Option<Problem>,
}

/// Waits until the keys of what this process changed are deleted; only where it changed something and there is a cache.
///
/// Where a person holds it back, the cache fails or another process takes its time, it does not wait: that is said
/// instead.
pub async fn drain(engine: &Engine) -> Answer<Option<Drained>> {
    let Some(open) = engine.try_environment() else { return Ok(None) };
    let Some(store) = open.database.try_store() else { return Ok(None) };
    if open.cache.is_none() || !store.has_ordered() {
        return Ok(None);
    }
    let last = invalidations::last(&store).await?;
    let us = open.host.holder();
    let (began, mut moved, mut before) = (Instant::now(), Instant::now(), None);
    loop {
        let standing = invalidations::standing(&store, Some(last)).await?;
        let waiting = standing.waiting + standing.second;
        if waiting == 0 {
            return Ok(None);
        }
        if before != Some(standing) {
            (before, moved) = (Some(standing), Instant::now());
        }
        let held_by = invalidate::held(&store).await?.map(|held| held.by);
        let deleted_by = leases::holder(&store, INVALIDATE).await?.filter(|holder| *holder != us);
        let problem = open.invalidation.trouble().map(|trouble| trouble.problem);
        let patience = PATIENCE.max(open.config.flush_delay * 2);
        // Another process needs no help: its first deletion is looked for, its second is its own.
        if deleted_by.is_some() && standing.waiting == 0 {
            return Ok(None);
        }
        let is_theirs = deleted_by.is_some() && began.elapsed() > OTHERS;
        let is_over = moved.elapsed() > patience || began.elapsed() > LONGEST + open.config.flush_delay;
        if held_by.is_some() || is_theirs || problem.is_some() || is_over {
            let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
            return Ok(Some(Drained { waiting, deleted_by, held_by, problem }));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
