//! The window of a catch-up: what changed since then, deleted records too, found by stamp.
//!
//! A stamp is set when a row is written, minutes before its transaction commits, so every window begins 15 minutes
//! early. The watermark moves only with the last page, and no further than Salesforce says that nothing can appear
//! behind it.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use futures::StreamExt;
use salesforce::bulk::Operation;
use salesforce::soql;
use shadow::RowChunk;
use shadow::hole::OVERLAP_MS;
use store::jobs::{self, BulkJob, Job, JobStage, Requested};
use store::merge;
use store::objects;
use store::reads::{self, Read, ReadKind};

use super::fetch::unreadable;
use super::pages::{self, Pages, rows_view};
use super::run::{Ended, Run, go_on};
use crate::problem::{Answer, MendAct, Problem};

/// Above so many records a window is read by the Bulk API instead of page by page.
const MOST_BY_PAGES: u64 = 20_000;
/// A span for which Salesforce is asked how far its books are final; it wants more than a minute.
const BOOKS: TimeDelta = TimeDelta::minutes(3);

/// As exactly as Salesforce tells the time.
const SECOND: TimeDelta = TimeDelta::seconds(1);

/// What a window came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct WindowRead {
    /// From which stamp on it was read.
    pub from: DateTime<Utc>,
    /// Salesforce's time before the first request: everything committed by then was seen. It is told to the second, and
    /// cut, so it lies within the second that it names; no hole that was opened after the request is closed by it.
    pub up_to: DateTime<Utc>,
}

/// Reads and merges the window of a catch-up. One that was read before is not read again.
pub(super) async fn read(run: &Run, job: &Job) -> Answer<Result<WindowRead, Ended>> {
    let object = objects::get(&run.store, run.mapping.object()).await?;
    let Some(loaded_at) = object.loaded_at else { return Err(Box::new(not_loaded(run))) };
    let window = job.window;
    if let Some(window) = window
        && window.read_at.is_some()
        && let (Some(from), Some(to)) = (window.from, window.to)
    {
        return Ok(Ok(WindowRead { from, up_to: to + SECOND }));
    }
    if let stopped @ Ended::Stopped(_) = run.stage(JobStage::ReadingWindow).await? {
        return Ok(Err(stopped));
    }
    // A window that was begun keeps where it begins, and ends now.
    let begun = window.is_some_and(|window| window.to.is_some());
    let asked = window.and_then(|window| window.from);
    let from = match (begun, asked) {
        (true, Some(from)) => from,
        (_, asked) => {
            let since =
                asked.unwrap_or_else(|| object.watermark.map_or(loaded_at, |mark| mark.max(loaded_at)));
            since - TimeDelta::milliseconds(OVERLAP_MS)
        }
    };
    let (now, covered) = books(run).await?;
    jobs::set_window(&run.store, &run.lease, run.id, from, now).await?;
    let outcome = if run.counted(&condition(from, now)).await? > MOST_BY_PAGES {
        by_bulk(run, job, from, now).await?
    } else {
        by_pages(run, from, now).await?
    };
    if let stopped @ Ended::Stopped(_) = outcome {
        return Ok(Err(stopped));
    }
    jobs::window_read(&run.store, &run.lease, run.id, now.min(covered)).await?;
    Ok(Ok(WindowRead { from, up_to: now + SECOND }))
}

/// Salesforce's time now, and up to when nothing can appear behind it any more. One call; an object whose books are not
/// kept goes by the overlap alone.
async fn books(run: &Run) -> Answer<(DateTime<Utc>, DateTime<Utc>)> {
    let now = run.environment.calls.salesforce_now();
    match run.client.updated(run.mapping.object(), now - BOOKS, now).await {
        Ok(updated) => Ok((run.environment.calls.salesforce_now(), updated.latest_date_covered)),
        Err(error @ (salesforce::Error::Rejected { .. } | salesforce::Error::Status { .. })) => {
            tracing::info!(object.name = %run.mapping.object(), %error, "how far the changes are final is not known");
            Ok((now, now))
        }
        Err(error) => Err(error.into()),
    }
}

/// Stamps from then until now. What is stamped within this very second belongs to it.
fn condition(from: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let floor = |time: DateTime<Utc>| time.duration_trunc(SECOND).unwrap_or(time);
    let until = floor(now) + SECOND + SECOND;
    format!("SystemModstamp >= {} AND SystemModstamp < {}", soql::time(floor(from)), soql::time(until))
}

async fn by_pages(run: &Run, from: DateTime<Utc>, now: DateTime<Utc>) -> Answer<Ended> {
    let mark = reads::begin(&run.store).await?;
    let soql = run.mapping.soql(Some(&condition(from, now)));
    let mut pages = std::pin::pin!(run.client.query_all(&soql));
    while let Some(page) = pages.next().await {
        let page = page?;
        run.live.progress.total(page.total);
        let mut chunk = RowChunk::with_columns(run.mapping.field_names());
        for record in &page.records {
            chunk.push_json(record).map_err(|error| Box::new(unreadable(&error)))?;
        }
        let records = chunk.len() as u64;
        let read = Read { mark, end: page.at, kind: ReadKind::Window { job: Some(run.id) } };
        let outcome = merge::merge_chunk(&run.store, &run.lease, &run.mapping, &chunk, &read).await?;
        run.live.progress.merged(std::time::Instant::now(), None, records, rows_view(&outcome));
        go_on!(run.asked(outcome.requested.unwrap_or(Requested::Run)));
    }
    Ok(Ended::Done)
}

/// A window with many records: a Bulk job over all of them, deleted ones too.
async fn by_bulk(run: &Run, job: &Job, from: DateTime<Utc>, now: DateTime<Utc>) -> Answer<Ended> {
    let soql = run.mapping.soql(Some(&condition(from, now)));
    let mark = reads::begin(&run.store).await?;
    let created = run.client.create_query_job(Operation::QueryAll, &soql).await?;
    let bulk = BulkJob {
        id: created.id,
        api_version: run.client.api_version().to_string(),
        soql,
        shape: run.mapping.shape(),
        stamps_only: false,
        mark,
        began_at: None,
    };
    jobs::set_bulk(&run.store, &run.lease, run.id, &bulk).await?;
    let Some(end) = run.wait_for(&run.client, &bulk).await? else {
        return Ok(Ended::Stopped(run.live.wish()));
    };
    go_on!(pages::load(run, &run.client, &bulk, end, Pages::Whole).await?);
    if let Err(error) = run.client.delete_query_job(&bulk.id).await {
        tracing::info!(job.id = job.id.0, %error, "the Bulk job's results could not be deleted");
    }
    Ok(Ended::Done)
}

fn not_loaded(run: &Run) -> Problem {
    let object = run.mapping.object();
    Problem::new(
        "SS-4006",
        format!("{object} was never loaded"),
        "A catch-up finds what changed since a load, so there must be one first.",
    )
    .step(format!("Load it: shadow-sync backfill {object}"))
    .act(MendAct::ResumeJob)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_takes_in_the_second_in_which_it_is_read() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(
            condition(at("2026-05-04T09:00:00.700Z"), at("2026-05-04T09:15:01.300Z")),
            "SystemModstamp >= 2026-05-04T09:00:00.000Z AND SystemModstamp < 2026-05-04T09:15:03.000Z"
        );
    }
}
