//! What runs by the clock: the nightly catch-up, formula columns, retention, the org's limits; and polls where the
//! stream may not deliver.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use salesforce::Purpose;
use shadow::quota::Work;
use shadow::{Mapping, ObjectState};
use store::api_usage::{self, QuotaSample};
use store::jobs::{self, NewCatchUp};
use store::retention;
use store::{objects, schedules};
use tokio_util::sync::CancellationToken;

use super::holes::{SYSTEM, has_open_job};
use super::term::Term;
use crate::api::backfills::begin;
use crate::api::stream::StreamState;
use crate::backfill::Turn;
use crate::clock;
use crate::clockwork::Clockwork;
use crate::notice::View;
use crate::problem::Answer;

/// The catch-up with its id comparison.
pub(crate) const CATCH_UP: &str = "catch-up";
/// The refresh of formula columns.
pub(crate) const FORMULAS: &str = "formulas";
/// Removing what is older than its retention.
pub(crate) const RETENTION: &str = "retention";
/// When retention runs.
pub(crate) const RETENTION_CRON: &str = "15 4 * * *";

/// How often the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often changes are read while the stream may not deliver.
const POLL_EVERY: Duration = Duration::from_mins(5);
/// How often the org is asked for its limits, which costs a call.
const LIMITS_EVERY: Duration = Duration::from_hours(1);
/// The limits that are kept: calls, delivered events, query jobs.
const LIMITS: [&str; 4] = [
    "DailyApiRequests",
    "DailyDeliveredPlatformEvents",
    "DailyBulkV2QueryJobs",
    "DailyBulkV2QueryFileStorageMB",
];

/// Runs what is due until the term ends.
pub(crate) async fn run(term: Arc<Term>, stop: CancellationToken) -> Answer<()> {
    let config = &term.environment.config;
    let mut polled: Option<Instant> = None;
    let mut asked: Option<Instant> = None;
    while !stop.is_cancelled() {
        for (name, cron) in [
            (CATCH_UP, config.catch_up_schedule.as_str()),
            (FORMULAS, config.formula_schedule.as_str()),
            (RETENTION, RETENTION_CRON),
        ] {
            // Both were checked when the configuration was read.
            if let Ok(clockwork) = Clockwork::parse(cron, &config.time_zone) {
                when_due(&term, name, &clockwork).await?;
            }
        }
        if asked.is_none_or(|at| at.elapsed() >= LIMITS_EVERY) {
            asked = Some(Instant::now());
            limits(&term).await;
        }
        if polled.is_none_or(|at| at.elapsed() >= POLL_EVERY) && poll(&term).await? {
            polled = Some(Instant::now());
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    Ok(())
}

/// Runs one schedule if its time has come, and notes when the next is.
async fn when_due(term: &Term, name: &str, clockwork: &Clockwork) -> Answer<()> {
    let now = clock::now();
    let known = schedules::list(&term.store).await?.into_iter().find(|schedule| schedule.name == name);
    let planned = known.as_ref().and_then(|schedule| schedule.next_run);
    let since = known.as_ref().and_then(|schedule| schedule.last_run).unwrap_or(now);
    // The configuration may have changed since it was planned: an earlier time counts at once.
    let next = clockwork.next_after(since.max(now - chrono::TimeDelta::days(1)));
    let due = match (planned, next) {
        (Some(planned), Some(next)) => Some(planned.min(next)),
        (planned, next) => planned.or(next),
    };
    let Some(due) = due else { return Ok(()) };
    if due > now {
        if planned != Some(due) {
            schedules::set_next(&term.store, name, due).await?;
            term.environment.notices.publish(&[View::Schedules]);
        }
        return Ok(());
    }
    let began = Instant::now();
    let outcome = match name {
        CATCH_UP => catch_up(term, true).await,
        FORMULAS => formulas(term).await,
        _ => retain(term, now).await,
    };
    let (result, detail) = match &outcome {
        Ok(Outcome::Done(what)) => ("done", what.clone()),
        Ok(Outcome::Skipped(why)) => ("skipped", why.clone()),
        Err(problem) => ("failed", problem.title.clone()),
    };
    let detail = serde_json::Value::String(detail);
    let run = schedules::Run {
        at: now,
        took_ms: i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX),
        result,
        detail: Some(&detail),
        next_run: clockwork.next_after(now).unwrap_or(now + chrono::TimeDelta::days(1)),
    };
    schedules::ran(&term.store, &term.lease, name, run).await?;
    term.environment.notices.publish(&[View::Schedules, View::Jobs, View::Status]);
    Ok(())
}

/// What became of a scheduled run, in words.
enum Outcome {
    Done(String),
    Skipped(String),
}

/// Begins a catch-up of every loaded object that has no job open.
async fn catch_up(term: &Term, with_ids: bool) -> Answer<Outcome> {
    if !term.environment.quota.may(Work::Polling) {
        return Ok(Outcome::Skipped("The API quota did not allow it".to_owned()));
    }
    let mut turns = Vec::new();
    for mapping in Mapping::built_in() {
        let row = objects::get(&term.store, &mapping.object).await?;
        if row.loaded_at.is_none()
            || row.state == ObjectState::Paused
            || has_open_job(term, &mapping.object).await?
        {
            continue;
        }
        let new = NewCatchUp { object: &mapping.object, from: None, with_ids, started_by: SYSTEM };
        match jobs::create_catch_up(&term.store, new).await {
            Ok(job) => turns.push(Turn { id: job.id, whole: false }),
            Err(store::Error::JobOpen(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let begun = turns.len();
    begin(&term.environment, turns);
    Ok(match begun {
        0 => Outcome::Skipped("Nothing is loaded, or other jobs ran".to_owned()),
        1 => Outcome::Done("Began a catch-up of one object".to_owned()),
        more => Outcome::Done(format!("Began a catch-up of {more} objects")),
    })
}

/// Begins to refresh the columns that no event carries.
async fn formulas(term: &Term) -> Answer<Outcome> {
    if !term.environment.quota.may(Work::Polling) {
        return Ok(Outcome::Skipped("The API quota did not allow it".to_owned()));
    }
    let begun = crate::api::catch_up::begin_formulas(&term.environment, &term.store, &[], SYSTEM).await?;
    Ok(match begun.len() {
        0 => Outcome::Skipped("No loaded object has columns that events leave out".to_owned()),
        _ => Outcome::Done(format!("Began to refresh the formulas of {} objects", begun.len())),
    })
}

/// Removes what is old enough.
async fn retain(term: &Term, now: DateTime<Utc>) -> Answer<Outcome> {
    let removed = retention::run(&term.store, &term.lease, &term.environment.config.retention, now).await?;
    Ok(Outcome::Done(format!(
        "Removed {} days of the change log, {} samples, {} audit entries, {} tombstones, {} jobs, {} counts",
        removed.days.len(),
        removed.samples,
        removed.audit,
        removed.tombstones,
        removed.jobs,
        removed.counts
    )))
}

/// Reads changes by stamp for channels that may not deliver; says whether there was one.
async fn poll(term: &Term) -> Answer<bool> {
    let board = term.environment.live.board.now();
    let polls = board.channels.values().any(|channel| channel.state == StreamState::Polling);
    if polls {
        catch_up(term, false).await?;
    }
    Ok(polls)
}

/// Asks the org for its limits. Who may not look at them goes by what other answers tell.
async fn limits(term: &Term) {
    let limits = match term.client.with_purpose(Purpose::Limits).limits().await {
        Ok(limits) => limits,
        Err(error) => {
            tracing::info!(%error, "the org's limits could not be read");
            return;
        }
    };
    let at = clock::now();
    for name in LIMITS {
        let Some(limit) = limits.get(name) else { continue };
        let sample = QuotaSample { at, used: limit.max - limit.remaining, maximum: limit.max };
        if let Err(error) = api_usage::record_quota(&term.store, name, &sample).await {
            tracing::info!(%error, limit.name = name, "a limit could not be kept");
        }
    }
    term.environment.notices.publish(&[View::Quota]);
}
