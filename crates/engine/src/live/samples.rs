//! Samples lag, backlog and flow every few seconds, for the charts.

use std::sync::Arc;

use store::lag_samples::{self, Flow, LagSample};
use store::{checkpoints, live_facts};
use tokio_util::sync::CancellationToken;

use super::freshness::freshness;
use super::term::Term;
use crate::clock;
use crate::notice::View;
use crate::problem::Answer;
use crate::reads::reader_standing;

/// Samples until the term ends.
pub(crate) async fn sample(term: Arc<Term>, stop: CancellationToken) -> Answer<()> {
    let mut before = totals(&term).await?;
    let mut failures = term.environment.live.metrics.failure_totals();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(term.environment.timing.sample_every) => {}
        }
        let (now, salesforce_now) = (clock::now(), term.environment.calls.salesforce_now());
        let samples: Vec<LagSample> = live_facts::of_objects(&term.store)
            .await?
            .iter()
            .map(|facts| {
                let fresh = freshness(facts, now, salesforce_now);
                LagSample {
                    object: facts.object.clone(),
                    lag_ms: fresh.lag.map(|lag| lag.num_milliseconds()),
                    backlog_events: facts.backlog_events,
                    backlog_age_ms: fresh.backlog_age.map(|age| age.num_milliseconds()),
                    dirty: facts.dirty,
                }
            })
            .collect();
        let after = totals(&term).await?;
        let failures_now = term.environment.live.metrics.failure_totals();
        let flow = Flow {
            received: after.0 - before.0,
            applied: after.1 - before.1,
            failed: failures_now
                .iter()
                .map(|(stage, count)| {
                    (stage.clone(), count - failures.get(stage).copied().unwrap_or_default())
                })
                .filter(|(_, count)| *count > 0)
                .collect(),
        };
        lag_samples::record(&term.store, now, &samples, &flow).await?;
        // Readers by SQL are told the same.
        store::readers::stand(&term.store, &reader_standing(&term.environment, &term.store).await?).await?;
        (before, failures) = (after, failures_now);
        term.environment.notices.publish(&[View::Lag, View::Status]);
    }
}

/// Events stored and applied so far, over all channels.
async fn totals(term: &Term) -> Result<(i64, i64), store::Error> {
    let all = checkpoints::list(&term.store).await?;
    let stored = all.iter().map(|checkpoint| checkpoint.stored_events).sum();
    let applied = all.iter().map(|checkpoint| checkpoint.applied_events).sum();
    Ok((stored, applied))
}
