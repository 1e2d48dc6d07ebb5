//! Deletes the cache keys of changed rows: after the commit, at least once, and once more after a delay.
//!
//! Orders stand in the database, written in the commits that changed the rows; one process at a time delivers them, under
//! a lease of its own. Keys that templates name go at once ([`keys`]), what patterns match takes as long as the cache is
//! large and goes apart ([`patterns`]). A cache that does not answer holds orders back; whoever writes rows never waits
//! for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cache::Cache;
use shadow::Mapping;
use store::invalidations;
use store::leases::{self, Lease, LeaseKey, LeaseTimes};
use store::{Disposition, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::environment::OpenEnvironment;
use crate::live;
use crate::notice::View;
use crate::problem::Answer;
use crate::supervisor::Supervisor;

mod desk;
mod keys;
mod patterns;
mod render;
mod rules;
mod servers;

pub(crate) use desk::{Desk, Held, held, release_by_hand, set_held, trouble};
pub(crate) use rules::{Rules, rules};
pub(crate) use servers::are_known;

/// The lease of who deletes.
pub(crate) const INVALIDATE: &str = "invalidate";
/// How often a process that does not delete looks whether it should.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often orders of other processes are looked for.
const SWEEP: Duration = Duration::from_millis(500);
/// How long the lease is left to the process that runs the stream. If that has no cache, it is taken again.
const LEFT_FOR: Duration = Duration::from_secs(5);
/// How often it is offered.
const OFFER_EVERY: Duration = Duration::from_mins(10);
/// How long the tasks of a term may take to end.
const PATIENCE: Duration = Duration::from_secs(3);
/// Done orders are kept so long, for a cache that comes back as another server.
const KEPT_FOR: Duration = Duration::from_hours(1);
/// How often old orders are removed.
const TIDY_EVERY: Duration = Duration::from_mins(5);
/// Orders that have waited so long become one, where there are more of them than this.
const COMPACT: (Duration, i64) = (Duration::from_hours(1), 10_000);

/// What the tasks of one term share.
pub(crate) struct Term {
    pub environment: Arc<OpenEnvironment>,
    pub store: Store,
    pub cache: Cache,
    pub lease: LeaseKey,
    pub mappings: Vec<Mapping>,
    /// Wakes who deletes by patterns: keys of an order were deleted.
    pub patterns: Notify,
}

/// Deletes whenever this process may, until it is told to stop. Without a cache it only keeps the orders from piling up.
pub(crate) async fn invalidate(environment: Arc<OpenEnvironment>, stop: CancellationToken) -> Answer<()> {
    let mut tidied = None;
    let mut left: Option<Instant> = None;
    loop {
        if let Some(store) = environment.database.try_store() {
            match &environment.cache {
                Some(_) if left.is_some_and(|at| at.elapsed() < LEFT_FOR) => {}
                Some(cache) => {
                    if let Some(lease) = take(&environment, &store).await?
                        && run_term(&environment, &store, cache, lease, &stop, left).await
                    {
                        left = Some(Instant::now());
                    }
                }
                None => tidy(&store, &mut tidied).await?,
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn take(environment: &OpenEnvironment, store: &Store) -> Answer<Option<Lease>> {
    if leases::holder(store, INVALIDATE).await?.is_some() {
        return Ok(None);
    }
    let holder = environment.host.holder();
    Ok(leases::acquire_for(store, INVALIDATE, &holder, LeaseTimes::STREAM).await?)
}

async fn run_term(
    environment: &Arc<OpenEnvironment>,
    store: &Store,
    cache: &Cache,
    lease: Lease,
    stop: &CancellationToken,
    left: Option<Instant>,
) -> bool {
    let ending = stop.child_token();
    let term = Arc::new(Term {
        environment: environment.clone(),
        store: store.clone(),
        cache: cache.clone(),
        lease: lease.key().clone(),
        mappings: Mapping::built_in(),
        patterns: Notify::new(),
    });
    tracing::info!(cache.address = cache.address(), "this process deletes cache keys");
    let supervisor = Supervisor::new(ending.clone());
    let (by_name, by_pattern) = (term.clone(), term.clone());
    supervisor.run("delete keys", move |stop| keys::delete(by_name.clone(), stop));
    supervisor.run("delete patterns", move |stop| patterns::delete(by_pattern.clone(), stop));
    let (lease, leaves) = hold(&term, lease, &ending, left).await;
    ending.cancel();
    supervisor.stop(PATIENCE).await;
    if let Some(lease) = lease {
        let released = tokio::time::timeout(Duration::from_secs(1), leases::release(store, lease)).await;
        if !matches!(released, Ok(Ok(()))) {
            tracing::info!("the lease of deleting cache keys runs out by itself");
        }
    }
    environment.notices.publish(&[View::Cache]);
    leaves
}

/// Whether another process runs the stream: it is woken by its own commits, so it deletes sooner.
async fn is_better_elsewhere(term: &Term) -> bool {
    match leases::holder(&term.store, live::STREAM).await {
        Ok(Some(holder)) => holder != term.environment.host.holder(),
        Ok(None) | Err(_) => false,
    }
}

/// Renews the lease until it is lost or the process is told to stop, and tidies up now and then. Answers what is left
/// of the lease, and whether it is left to the process that runs the stream.
async fn hold(
    term: &Term,
    mut lease: Lease,
    ending: &CancellationToken,
    left: Option<Instant>,
) -> (Option<Lease>, bool) {
    let mut renewed = Instant::now();
    let mut tidied = None;
    loop {
        tokio::select! {
            () = ending.cancelled() => return (Some(lease), false),
            () = tokio::time::sleep(LeaseTimes::STREAM.renew_every) => {}
        }
        let renewing = leases::renew(&term.store, &mut lease);
        match tokio::time::timeout(LeaseTimes::STREAM.renew_every, renewing).await {
            Ok(Ok(())) => renewed = Instant::now(),
            Ok(Err(error)) if error.disposition() == Disposition::Stop => {
                tracing::warn!(%error, "another process deletes cache keys now");
                return (None, false);
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the lease of deleting cache keys could not be renewed");
                return (Some(lease), false);
            }
            Err(_) => {}
        }
        if renewed.elapsed() > LeaseTimes::STREAM.give_up_after {
            return (Some(lease), false);
        }
        if left.is_none_or(|at| at.elapsed() > OFFER_EVERY) && is_better_elsewhere(term).await {
            return (Some(lease), true);
        }
        if let Err(problem) = tidy(&term.store, &mut tidied).await {
            tracing::info!(
                problem.code = problem.code,
                "old orders to delete cache keys could not be removed"
            );
        }
    }
}

/// Removes what was done long ago, and lets what nobody delivers become one order.
async fn tidy(store: &Store, tidied: &mut Option<Instant>) -> Answer<()> {
    if tidied.is_some_and(|at| at.elapsed() < TIDY_EVERY) {
        return Ok(());
    }
    *tidied = Some(Instant::now());
    while invalidations::prune(store, KEPT_FOR).await? > 0 {}
    let gone = invalidations::compact(store, COMPACT.0, COMPACT.1).await?;
    if gone > 0 {
        tracing::warn!(
            orders = gone,
            "orders to delete cache keys waited for so long that they became one per object"
        );
    }
    Ok(())
}
