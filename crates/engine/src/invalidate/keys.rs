//! Deletes the keys that templates name: as soon as the rows are committed, and again after the delay.

use std::sync::Arc;
use std::time::{Duration, Instant};

use store::failpoint;
use store::invalidations::{self, Order, Pass};
use tokio_util::sync::CancellationToken;

use super::desk::{Patience, held};
use super::rules::{Rules, rules};
use super::{SWEEP, Term, render, servers};
use crate::clock;
use crate::notice::View;
use crate::problem::Answer;

/// The most orders that one pass answers.
const ORDERS: i64 = 500;
/// How often hosts are told at most.
const NOTICE_EVERY: Duration = Duration::from_millis(250);

/// What a look came to.
enum Look {
    /// Something was deleted: there may be more.
    Worked,
    /// Nothing is due.
    Idle,
    /// The cache did not do it.
    Failed(cache::Error),
}

/// Deletes until the term ends. Woken by commits of this process, and looks by itself for those of others.
pub(super) async fn delete(term: Arc<Term>, stop: CancellationToken) -> Answer<()> {
    let mut patience = Patience::default();
    let mut noticed: Option<Instant> = None;
    term.begin_afresh().await?;
    while !stop.is_cancelled() {
        let pause = match look(&term).await? {
            Look::Worked => {
                patience.worked();
                if noticed.is_none_or(|at| at.elapsed() >= NOTICE_EVERY) {
                    noticed = Some(Instant::now());
                    term.environment.notices.publish(&[View::Cache]);
                }
                continue;
            }
            Look::Idle => SWEEP.min(term.environment.config.flush_delay.max(Duration::from_millis(20))),
            Look::Failed(error) => {
                term.cache_failed(&error).await;
                let pause = patience.failed();
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(pause) => {}
                }
                continue;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = term.store.until_ordered() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    Ok(())
}

async fn look(term: &Term) -> Result<Look, store::Error> {
    if held(&term.store).await?.is_some() {
        return Ok(Look::Idle);
    }
    if let Err(error) = servers::look(term).await? {
        return Ok(Look::Failed(error));
    }
    let delay = term.environment.config.flush_delay;
    let mut worked = false;
    // Both in each look: under steady changes the first pass never runs out of orders, and the second must not starve.
    for pass in [Pass::First, Pass::Second] {
        let orders = invalidations::due(&term.store, &term.mappings, pass, delay, ORDERS).await?;
        if orders.is_empty() {
            continue;
        }
        let rules = rules(&term.store, &term.mappings).await?;
        if let Err(error) = deliver(term, &rules, &orders, pass).await? {
            return Ok(Look::Failed(error));
        }
        term.cache_worked().await;
        worked = true;
    }
    Ok(if worked { Look::Worked } else { Look::Idle })
}

/// Deletes the keys of orders, then marks them: a process that dies in between deletes them once more.
async fn deliver(
    term: &Term,
    rules: &Rules,
    orders: &[Order],
    pass: Pass,
) -> Result<Result<(), cache::Error>, store::Error> {
    failpoint::reach(if pass == Pass::First { "keys.due" } else { "keys.again" });
    let keys = render::keys(term, rules, orders).await?;
    if let Err(error) = term.cache.delete(&keys).await {
        return Ok(Err(error));
    }
    failpoint::reach("keys.deleted");
    let ids: Vec<i64> = orders.iter().map(|order| order.id).collect();
    let without = orders.iter().filter(|order| !rules.needs_patterns(&order.object, order.whole));
    let without: Vec<i64> = without.map(|order| order.id).collect();
    invalidations::keys_deleted(&term.store, &term.lease, pass, &ids, &without).await?;
    failpoint::reach("keys.marked");
    if pass == Pass::First {
        let now = clock::now();
        for order in orders.iter().filter(|order| !order.whole) {
            let since = order.received_at.unwrap_or(order.created_at);
            term.environment.live.metrics.cache.took((now - since).to_std().unwrap_or_default());
        }
        if without.len() < ids.len() {
            term.patterns.notify_one();
        }
    }
    Ok(Ok(()))
}
