//! Deletes everything that patterns match, for objects whose templates nobody declared complete. One walk over the
//! cache answers every order that was there when it began, those of the first pass and those of the second.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shadow::keys::Pattern;
use store::failpoint;
use store::invalidations::{self, Pass, PatternOrder};
use tokio_util::sync::CancellationToken;

use super::desk::{Patience, held};
use super::rules::{Rules, rules};
use super::{SWEEP, Term};
use crate::notice::View;
use crate::problem::Answer;

/// The longest pause between two walks.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// What a walk came to.
enum Walk {
    Done,
    Stopped,
    Failed(cache::Error),
}

/// Deletes until the term ends.
pub(super) async fn delete(term: Arc<Term>, stop: CancellationToken) -> Answer<()> {
    let mut patience = Patience::default();
    while !stop.is_cancelled() {
        let began = Instant::now();
        // As long as a walk took, so that a large cache under steady changes is walked half of the time at most.
        let rest = match look(&term, &stop).await? {
            None => None,
            Some(Walk::Done | Walk::Stopped) => {
                patience.worked();
                Some(began.elapsed().min(LONGEST_REST))
            }
            Some(Walk::Failed(error)) => {
                term.cache_failed(&error).await;
                Some(patience.failed())
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = term.patterns.notified(), if rest.is_none() => {}
            () = tokio::time::sleep(rest.unwrap_or(SWEEP)) => {}
        }
    }
    Ok(())
}

/// Answers the orders that are due; none where there are none.
async fn look(term: &Term, stop: &CancellationToken) -> Result<Option<Walk>, store::Error> {
    let delay = term.environment.config.flush_delay;
    let first = invalidations::due_for_patterns(&term.store, Pass::First, delay).await?;
    let second = invalidations::due_for_patterns(&term.store, Pass::Second, delay).await?;
    if first.is_empty() && second.is_empty() || held(&term.store).await?.is_some() {
        return Ok(None);
    }
    let rules = rules(&term.store, &term.mappings).await?;
    let patterns = patterns(&rules, first.iter().chain(&second));
    failpoint::reach("patterns.due");
    for pattern in &patterns {
        match term.cache.flush(pattern.as_str(), &|_| {}, stop).await {
            Ok(flushed) if flushed.stopped => return Ok(Some(Walk::Stopped)),
            Ok(flushed) => {
                tracing::debug!(
                    %pattern,
                    cache.seen = flushed.seen,
                    cache.deleted = flushed.deleted,
                    "deleted what a pattern matches"
                );
            }
            Err(error) => return Ok(Some(Walk::Failed(error))),
        }
    }
    failpoint::reach("patterns.deleted");
    for (pass, orders) in [(Pass::First, &first), (Pass::Second, &second)] {
        if !orders.is_empty() {
            invalidations::patterns_deleted(&term.store, &term.lease, pass, orders).await?;
        }
    }
    failpoint::reach("patterns.marked");
    if !patterns.is_empty() {
        term.cache_worked().await;
    }
    term.environment.notices.publish(&[View::Cache]);
    Ok(Some(Walk::Done))
}

/// What is to be deleted for some orders, each pattern once.
fn patterns<'o>(rules: &Rules, orders: impl Iterator<Item = &'o PatternOrder>) -> BTreeSet<Pattern> {
    let needed = orders.filter(|order| rules.needs_patterns(&order.object, order.whole));
    needed
        .filter_map(|order| rules.of(&order.object))
        .flat_map(|rules| rules.patterns.iter().cloned())
        .collect()
}
