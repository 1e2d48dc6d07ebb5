//! A job as hosts show it: what the store keeps, and what this process knows beyond it.

use std::time::{Duration, Instant};

use store::jobs::{self, Job, JobCounts, JobPage};

use super::Live;
use crate::api::backfills::{JobKind, JobStage, JobState, JobView, PageState, PageView, RowsView};
use crate::memory;
use crate::problem::Problem;

/// Puts a job together for the screen.
///
/// - `holder`: who holds the lease of its object; a running job without one was interrupted.
/// - `is_awaited`: whether some process will run it, so that it waits only for its turn.
pub(crate) fn job_view(
    job: &Job,
    pages: &[JobPage],
    live: Option<&Live>,
    holder: Option<String>,
    is_awaited: bool,
) -> JobView {
    let snapshot = live.map(|live| live.progress.snapshot(Instant::now()));
    let state = state(job, holder.is_some() || live.is_some(), is_awaited);
    let problem = job.problem.clone().and_then(|problem| serde_json::from_value::<Problem>(problem).ok());
    JobView {
        id: job.id.to_string(),
        object: job.object.to_string(),
        state,
        stage: snapshot.as_ref().map_or_else(|| stage(job.stage), |snapshot| snapshot.stage),
        bulk_job_id: job.bulk.as_ref().map(|bulk| bulk.id.clone()),
        kind: match job.kind {
            jobs::JobKind::Backfill | jobs::JobKind::Partial => JobKind::Backfill,
            jobs::JobKind::CatchUp => JobKind::CatchUp,
            jobs::JobKind::Formulas => JobKind::Formulas,
            jobs::JobKind::Fields => JobKind::Fields,
        },
        is_partial: job.kind == jobs::JobKind::Partial,
        started_by: job.started_by.clone(),
        holder,
        started_at: job.started_at.unwrap_or(job.created_at),
        ended_at: job.ended_at,
        total: snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.total)
            .or_else(|| job.records_total.and_then(|total| u64::try_from(total).ok()))
            .map(whole),
        done: snapshot.as_ref().map_or_else(|| signed(job.counts.read), |snapshot| whole(snapshot.done)),
        rate: snapshot.as_ref().and_then(|snapshot| snapshot.rate),
        left_ms: snapshot.as_ref().and_then(|snapshot| snapshot.left).map(millis),
        took_ms: signed(job.took_ms),
        pages: match &snapshot {
            Some(snapshot) => snapshot.pages.clone(),
            None => pages.iter().map(page).collect(),
        },
        rows: snapshot.as_ref().map_or_else(|| rows(&job.counts), |snapshot| snapshot.rows),
        api_calls: live.map_or_else(|| signed(job.api_calls), |live| whole(live.calls())),
        memory_bytes: live.and_then(|_| memory::resident_bytes()).map(whole),
        samples: snapshot.map(|snapshot| snapshot.samples).unwrap_or_default(),
        problem,
        removals_waiting: u32::try_from(job.removals_waiting).unwrap_or_default(),
    }
}

fn state(job: &Job, is_held: bool, is_awaited: bool) -> JobState {
    match (job.state, job.requested) {
        (jobs::JobState::Pending, _) if !is_held && !is_awaited => JobState::Interrupted,
        (jobs::JobState::Pending, _) => JobState::Pending,
        (jobs::JobState::Running, _) if !is_held && is_awaited => JobState::Pending,
        (jobs::JobState::Running, _) if !is_held => JobState::Interrupted,
        (jobs::JobState::Running, jobs::Requested::Pause) => JobState::Pausing,
        (jobs::JobState::Running, jobs::Requested::Cancel) => JobState::Cancelling,
        (jobs::JobState::Running, jobs::Requested::Run) => JobState::Running,
        (jobs::JobState::Paused, _) => JobState::Paused,
        (jobs::JobState::Cancelled, _) => JobState::Cancelled,
        (jobs::JobState::Done, _) => JobState::Done,
        (jobs::JobState::Failed, _) => JobState::Failed,
    }
}

/// The stage as hosts name it.
pub(super) fn stage(stage: jobs::JobStage) -> JobStage {
    match stage {
        jobs::JobStage::Describing => JobStage::Describing,
        jobs::JobStage::Preparing => JobStage::Preparing,
        jobs::JobStage::ComparingStamps => JobStage::ComparingStamps,
        jobs::JobStage::Loading => JobStage::Loading,
        jobs::JobStage::ReadingWindow => JobStage::ReadingWindow,
        jobs::JobStage::Fetching => JobStage::Fetching,
        jobs::JobStage::ComparingIds => JobStage::ComparingIds,
        jobs::JobStage::Counting => JobStage::Counting,
        jobs::JobStage::Ended => JobStage::Ended,
    }
}

/// A page as the row of cells shows it.
pub(super) fn page(page: &JobPage) -> PageView {
    let records = page.records.unwrap_or(page.merged);
    PageView {
        number: u32::try_from(page.page).unwrap_or_default(),
        state: if page.merged_at.is_some() { PageState::Merged } else { PageState::Waiting },
        records: u32::try_from(records).unwrap_or_default(),
        merged: u32::try_from(page.merged).unwrap_or_default(),
    }
}

/// What happened to the rows, in words of the screen: a changed stamp alone counts as equal, an entered reject as new.
pub(super) fn rows(counts: &JobCounts) -> RowsView {
    RowsView {
        new: signed(counts.inserted + counts.entered),
        newer: signed(counts.updated),
        equal: signed(counts.equal + counts.stamped),
        older: signed(counts.older),
        rejected: signed(counts.rejected),
        removed: signed(counts.removed),
    }
}

fn signed(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

fn whole(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
