//! How a job's run ends: written down, recorded, and with it the holes that it mended.

use shadow::ObjectState;
use store::audit::Act;
use store::jobs::{self, Ending, Job, JobKind, JobState};
use store::leases::LeaseKey;
use store::{Store, failpoint};

use super::keeper::Keeper;
use super::run::{Came, Ended};
use super::{Live, Wish};
use crate::environment::OpenEnvironment;
use crate::notice::View;
use crate::problem::Answer;

/// Writes down how the run ended.
pub(super) async fn end(
    environment: &OpenEnvironment,
    store: &Store,
    lease: &LeaseKey,
    job: &Job,
    live: &Live,
    outcome: Answer<Ended>,
    came: Came,
) -> Answer<()> {
    let took_ms = i64::try_from(live.since.elapsed().as_millis()).unwrap_or(i64::MAX);
    let (state, problem) = match &outcome {
        Ok(Ended::Done) => (JobState::Done, None),
        Ok(Ended::Stopped(Wish::Cancel)) => (JobState::Cancelled, None),
        Ok(Ended::Stopped(Wish::Pause)) => (JobState::Paused, None),
        // The row stays as it is: without a lease it counts as interrupted, and whoever comes next resumes it.
        Ok(Ended::Stopped(Wish::Leave | Wish::Run)) => return Ok(()),
        Err(problem) => (JobState::Failed, Some(problem)),
    };
    let as_json = problem.and_then(|problem| serde_json::to_value(problem).ok());
    let (result, words) = words_of(job.kind, state);
    let (who, sentence) = (environment.actor(), format!("{words} {}", job.object));
    let act = Act {
        who: &who,
        host: environment.host.name.as_str(),
        act: "backfill.end",
        sentence: &sentence,
        result,
        took_ms: Some(took_ms),
    };
    let (closing, brought) = (came.closing.as_ref(), came.brought.as_deref());
    let ending = Ending { state, problem: as_json.as_ref(), act: Some(act), closing, brought };
    let closed = jobs::finish_with(store, lease, job.id, ending).await?;
    failpoint::reach("hole.closed");
    if closed.holes > 0 {
        tracing::info!(object.name = %job.object, holes = closed.holes, left = closed.left, "holes are closed");
    }
    mark_object(store, job, state, as_json.as_ref()).await?;
    failpoint::reach("job.ended");
    environment.notices.publish(&[View::Audit, View::Holes, View::Lag]);
    outcome.map(|_| ())
}

/// How a job's end reads in the audit log: its result and the beginning of the sentence.
fn words_of(kind: JobKind, state: JobState) -> (&'static str, &'static str) {
    let words = match kind {
        JobKind::Backfill | JobKind::Partial => {
            ["Loaded", "Failed to load", "Cancelled the load of", "Paused the load of"]
        }
        JobKind::CatchUp => {
            ["Caught up", "Failed to catch up", "Cancelled the catch-up of", "Paused the catch-up of"]
        }
        JobKind::Formulas => [
            "Refreshed the formulas of",
            "Failed to refresh the formulas of",
            "Cancelled the formula refresh of",
            "Paused the formula refresh of",
        ],
        JobKind::Fields => [
            "Filled in new fields of",
            "Failed to fill in new fields of",
            "Cancelled filling in new fields of",
            "Paused filling in new fields of",
        ],
    };
    match state {
        JobState::Done => ("done", words[0]),
        JobState::Failed => ("failed", words[1]),
        JobState::Cancelled => ("cancelled", words[2]),
        JobState::Paused | JobState::Pending | JobState::Running => ("done", words[3]),
    }
}

/// Writes down where a job's object stands, unless the object has been ready for long: then only a failure counts.
pub(super) async fn mark_object(
    store: &Store,
    job: &Job,
    state: JobState,
    problem: Option<&serde_json::Value>,
) -> Answer<()> {
    // A load of a part says nothing of the whole: its condition may have been mistyped.
    if job.kind == JobKind::Partial {
        return Ok(());
    }
    let is_ready = store::objects::get(store, &job.object).await?.ready_at.is_some();
    let next = match state {
        JobState::Failed => ObjectState::Failed,
        _ if is_ready => ObjectState::Live,
        JobState::Running | JobState::Pending | JobState::Paused => ObjectState::Backfilling,
        JobState::Cancelled | JobState::Done => ObjectState::Pending,
    };
    Ok(store::objects::set_state(store, &job.object, next, problem).await?)
}

/// Ends a job whose process is gone, under its lease.
pub(crate) async fn end_orphan(environment: &OpenEnvironment, store: &Store, job: &Job) -> Answer<()> {
    let keeper = Keeper::take(store, &job.object, &environment.host.holder()).await?;
    let ended = jobs::finish(store, keeper.key(), job.id, JobState::Cancelled, None).await;
    keeper.give_back(store).await;
    ended?;
    mark_object(store, job, JobState::Cancelled, None).await
}
