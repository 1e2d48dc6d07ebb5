//! Backfills: plan, start, pause, resume, cancel, and how far each is.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for its turn.
    Pending,
    /// Runs in some process.
    Running,
    /// Stops after the rows in flight, then waits.
    Pausing,
    /// Waits for a person.
    Paused,
    /// Stops after the rows in flight, for good.
    Cancelling,
    /// Stopped by a person.
    Cancelled,
    /// Ended with every record accounted for.
    Done,
    /// Ended with a problem; can be resumed while Salesforce keeps the results.
    Failed,
    /// Its process is gone; can be resumed.
    Interrupted,
}

/// What a running job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub enum JobStage {
    /// Reads the object's fields.
    Describing,
    /// Salesforce prepares the results.
    Preparing,
    /// Reads ids and stamps, to fetch only what differs.
    ComparingStamps,
    /// Downloads and merges pages.
    Loading,
    /// Fetches records that claim one code, or that raced.
    Fetching,
    /// Looks for rows that Salesforce no longer has.
    ComparingIds,
    /// Counts both sides.
    Counting,
    /// Nothing.
    Ended,
}

/// One page of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "lowercase")]
pub enum PageState {
    /// Not asked for yet.
    Waiting,
    /// On its way.
    Downloading,
    /// Rows of it are being merged.
    Merging,
    /// All its rows are merged.
    Merged,
    /// Could not be read.
    Failed,
}

/// One page of results, as the row of cells shows it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct PageView {
    /// Its number, from 1.
    pub number: u32,
    /// How far it is.
    pub state: PageState,
    /// Records announced; 0 until known.
    pub records: u32,
    /// Records merged.
    pub merged: u32,
}

/// What happened to the rows of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct RowsView {
    /// Not in the shadow before.
    pub new: u32,
    /// Newer than the shadow's.
    pub newer: u32,
    /// The shadow had them already.
    pub equal: u32,
    /// The shadow had a newer state.
    pub older: u32,
    /// Cannot be stored, with a reason each.
    pub rejected: u32,
    /// Left the shadow, because Salesforce no longer has them.
    pub removed: u32,
}

/// One job, running or ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct JobView {
    /// Our id.
    pub id: String,
    /// The object.
    pub object: String,
    /// Where it stands.
    pub state: JobState,
    /// What it does.
    pub stage: JobStage,
    /// Salesforce's id of the Bulk job, once there is one.
    pub bulk_job_id: Option<String>,
    /// Who started it.
    pub started_by: String,
    /// Which process runs it.
    pub holder: Option<String>,
    /// When it was started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Records in Salesforce, as counted before or announced by the job.
    pub total: Option<u32>,
    /// Records done.
    pub done: u32,
    /// Records a second of late; none before the first three seconds.
    pub rate: Option<u32>,
    /// Time left at that rate, in milliseconds; none while it is being estimated.
    pub left_ms: Option<u32>,
    /// Time spent running, in milliseconds.
    pub took_ms: u32,
    /// Its pages; the last may stand for what is not known yet.
    pub pages: Vec<PageView>,
    /// What happened to the rows.
    pub rows: RowsView,
    /// API calls so far.
    pub api_calls: u32,
    /// Resident memory of this process in bytes, while it runs here.
    pub memory_bytes: Option<u32>,
    /// Rate samples (seconds since the start, records a second) for the chart, at most 240.
    pub samples: Vec<RateSample>,
    /// Why it failed.
    pub problem: Option<Problem>,
    /// Removals that wait for a person's consent, because there are more than the guard allows.
    pub removals_waiting: u32,
}

/// One point of the rate chart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct RateSample {
    /// Milliseconds since the job started running here.
    pub at_ms: u32,
    /// Records a second.
    pub rate: u32,
}

/// What a backfill would cost, before it is started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct BackfillPlan {
    /// Per object, in the order in which they would run.
    pub objects: Vec<ObjectPlan>,
    /// API calls in all.
    pub api_calls: u32,
    /// Seconds in all, by the rate of earlier loads; none without one.
    pub seconds: Option<u32>,
}

/// What one object's backfill would cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct ObjectPlan {
    /// The object.
    pub object: String,
    /// Records in Salesforce.
    pub records: u32,
    /// When they were counted.
    pub counted_at: DateTime<Utc>,
    /// API calls.
    pub api_calls: u32,
    /// An interrupted job that would be resumed.
    pub resumes: Option<String>,
}

/// How to treat work that an earlier job left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "lowercase")]
pub enum BackfillMode {
    /// Resume what can be resumed; otherwise load, reading only what differs where a load was complete before.
    #[default]
    Auto,
    /// Resume, and refuse where nothing can be resumed.
    Resume,
    /// Begin anew and read every record whole.
    Restart,
}
