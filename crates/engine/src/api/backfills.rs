//! Backfills: plan, start, pause, resume, cancel, and how far each is.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::backfill::{Turn, Wish, held, job_view, lease_name};
use crate::engine::Engine;
use crate::environment::OpenEnvironment;
use crate::mapped::mapped;
use crate::notice::View;
use crate::problem::Answer;
use crate::problem::Problem;
use salesforce::Purpose;
use shadow::{JobId, Mapping, ObjectName, ObjectState};
use std::sync::Arc;
use store::jobs::{self, NewJob, Requested};
use store::{Store, leases};

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
    /// Reads and merges what changed since a time.
    ReadingWindow,
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

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub enum JobKind {
    /// Loads records by the Bulk API.
    Backfill,
    /// Finds what changed since a time.
    CatchUp,
    /// Reads the columns that no event carries.
    Formulas,
    /// The fields that the mapping gained, or that can be seen again.
    Fields,
}

/// One job, running or ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct JobView {
    /// Our id.
    pub id: String,
    /// The object.
    pub object: String,
    /// What it does.
    pub kind: JobKind,
    /// Whether it reads only a part, which a person's condition names: it says nothing of the whole object.
    #[serde(skip)]
    #[specta(skip)]
    pub is_partial: bool,
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

/// What a backfill of the named objects, or of all, would cost. One call per object.
pub async fn plan(engine: &Engine, objects: Vec<String>) -> Answer<BackfillPlan> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let client = open.sign_in.client()?;
    let jobs = jobs::list(&store, None, RECENT_JOBS).await?;
    let mut plans = Vec::new();
    for mapping in mapped(&objects)? {
        let counted = client.with_purpose(Purpose::Count).count(&mapping.object, None).await?;
        let resumes = jobs
            .iter()
            .find(|job| job.object == mapping.object && is_open(job.state))
            .map(|job| job.id.to_string());
        plans.push(ObjectPlan {
            object: mapping.object.to_string(),
            records: u32::try_from(counted.count).unwrap_or(u32::MAX),
            counted_at: counted.at,
            api_calls: planned_calls(counted.count),
            resumes,
        });
    }
    let records: u64 = plans.iter().map(|plan| u64::from(plan.records)).sum();
    let seconds =
        usual_rate(&jobs).map(|rate| u32::try_from(records / rate.max(1)).unwrap_or(u32::MAX).max(1));
    Ok(BackfillPlan { api_calls: plans.iter().map(|plan| plan.api_calls).sum(), objects: plans, seconds })
}

/// Starts or resumes the loads of the named objects, or of all; answers their ids. They run one after the other, in
/// this process, parents before their children.
pub async fn start(engine: &Engine, objects: Vec<String>, mode: BackfillMode) -> Answer<Vec<String>> {
    start_where(engine, objects, mode, None).await
}

/// The same for the records that a SOQL condition names. Such a load never makes an object ready.
pub async fn start_where(
    engine: &Engine,
    objects: Vec<String>,
    mode: BackfillMode,
    condition: Option<String>,
) -> Answer<Vec<String>> {
    let open = engine.environment()?;
    let store = open.store().await?;
    open.sign_in.client()?;
    crate::binding::refuse_others(&open, &store).await?;
    let mut turns = Vec::new();
    for mapping in mapped(&objects)? {
        refuse_paused(&store, &mapping.object).await?;
        let turn = turn_of(&open, &store, &mapping.object, mode, condition.as_deref()).await?;
        let Some(turn) = turn else {
            // Who names no object means those that have something to resume.
            if objects.is_empty() {
                continue;
            }
            return Err(Box::new(nothing_to_resume(mapping.object.as_str())));
        };
        open.record("backfill.start", &format!("Began to load {}", mapping.object), "done", None).await;
        turns.push(turn);
    }
    if turns.is_empty() {
        return Err(Box::new(nothing_to_resume("any object")));
    }
    let ids = turns.iter().map(|turn| turn.id.to_string()).collect();
    begin(&open, turns);
    engine.publish(&[View::Jobs, View::Status]);
    Ok(ids)
}

/// Stops a load after the rows in flight; it can be resumed.
pub async fn pause(engine: &Engine, id: &str) -> Answer<()> {
    ask(engine, id, Requested::Pause, Wish::Pause, "backfill.pause", "Paused the load of").await
}

/// Stops a load after the rows in flight, for good.
pub async fn cancel(engine: &Engine, id: &str) -> Answer<()> {
    ask(engine, id, Requested::Cancel, Wish::Cancel, "backfill.cancel", "Cancelled the load of").await
}

/// Lets a paused, failed or interrupted load go on in this process.
pub async fn resume(engine: &Engine, id: &str) -> Answer<()> {
    let open = engine.environment()?;
    let store = open.store().await?;
    open.sign_in.client()?;
    let job = jobs::request(&store, job_id(id)?, Requested::Run).await?;
    refuse_paused(&store, &job.object).await?;
    if open.loads.enqueue_first(Turn { id: job.id, whole: false }) {
        open.tasks.spawn(crate::backfill::drive(open.clone()));
    }
    open.record("backfill.resume", &format!("Resumed the load of {}", job.object), "done", None).await;
    engine.publish(&[View::Jobs, View::Status]);
    Ok(())
}

/// Lets the removals happen that a load held back, because there were more than the guard allows.
pub async fn consent_removals(engine: &Engine, id: &str) -> Answer<()> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let job = jobs::get(&store, job_id(id)?).await?;
    let removed = crate::backfill::consent(&open, &store, &job).await?;
    let sentence = format!("Allowed {removed} removals from {}", job.object);
    open.record("backfill.consent", &sentence, "done", None).await;
    engine.publish(&[View::Jobs, View::Counts, View::Status]);
    Ok(())
}

/// Loads of late, newest first, with their progress.
pub async fn jobs(engine: &Engine) -> Answer<Vec<JobView>> {
    let open = engine.environment()?;
    let store = open.store().await?;
    job_views(&open, &store).await
}

/// How many jobs are shown.
const RECENT_JOBS: i64 = 50;
/// Records of one page, as asked for.
const PAGE_RECORDS: u64 = crate::backfill::PAGE_RECORDS as u64;

pub(crate) async fn job_views(open: &OpenEnvironment, store: &Store) -> Answer<Vec<JobView>> {
    let mut views = Vec::new();
    let listed = jobs::list(store, None, RECENT_JOBS).await?;
    // Who has queued jobs runs one of them: where nobody loads anything, nobody will come to them.
    let mut somebody_loads = false;
    if listed.iter().any(|job| job.state == jobs::JobState::Pending && !open.loads.is_ours(job.id)) {
        for mapping in Mapping::built_in() {
            somebody_loads |= leases::holder(store, &lease_name(&mapping.object)).await?.is_some();
        }
    }
    for job in listed {
        let live = open.loads.live(job.id);
        let holder = match job.state {
            jobs::JobState::Running => leases::holder(store, &lease_name(&job.object)).await?,
            _ => None,
        };
        let pages = if is_open(job.state) || job.state == jobs::JobState::Failed {
            jobs::pages(store, job.id).await?
        } else {
            Vec::new()
        };
        let is_awaited = open.loads.is_ours(job.id) || job.state == jobs::JobState::Pending && somebody_loads;
        views.push(job_view(&job, &pages, live.as_deref(), holder, is_awaited));
    }
    Ok(views)
}

/// Describe, count, creation, some polls, the pages, the last count, the deletion.
fn planned_calls(records: u64) -> u32 {
    u32::try_from(records.div_ceil(PAGE_RECORDS).max(1) + 8).unwrap_or(u32::MAX)
}

/// Records a second of the latest loads that were long enough to tell.
fn usual_rate(jobs: &[jobs::Job]) -> Option<u64> {
    jobs.iter()
        .filter(|job| job.state == jobs::JobState::Done && job.took_ms > 500 && job.counts.read > 1_000)
        .map(|job| u64::try_from(job.counts.read * 1_000 / job.took_ms).unwrap_or(1))
        .next()
}

fn is_open(state: jobs::JobState) -> bool {
    matches!(state, jobs::JobState::Pending | jobs::JobState::Running | jobs::JobState::Paused)
}

fn job_id(id: &str) -> Answer<JobId> {
    id.parse().map_err(|_| {
        let shown: String = id.chars().take(40).collect();
        Box::new(
            Problem::new("SS-5203", format!("`{shown}` is not a job"), "The id of a job is a number.")
                .step("List the jobs: shadow-sync jobs list"),
        )
    })
}

pub(crate) async fn refuse_paused(store: &Store, object: &ObjectName) -> Answer<()> {
    let row = store::objects::get(store, object).await?;
    if row.state != ObjectState::Paused {
        return Ok(());
    }
    Err(Box::new(
        Problem::new(
            "SS-4003",
            format!("{object} is paused"),
            "A person paused it, so nothing of it is loaded until it is resumed.",
        )
        .step(format!("Resume it: shadow-sync resume {object}")),
    ))
}

fn nothing_to_resume(object: &str) -> Problem {
    Problem::new(
        "SS-4001",
        format!("There is no load of {object} to resume"),
        "The last one ended, or none was ever started.",
    )
    .step("Start one: shadow-sync backfill")
}

/// The job that a start of this object means: the open one, a failed one that can be resumed, or a new one; none if
/// only resuming is asked for and there is nothing to resume.
async fn turn_of(
    open: &OpenEnvironment,
    store: &Store,
    object: &ObjectName,
    mode: BackfillMode,
    condition: Option<&str>,
) -> Answer<Option<Turn>> {
    let latest = jobs::list(store, Some(object), 1).await?.pop();
    let unfinished = latest.filter(|job| is_open(job.state) || job.state == jobs::JobState::Failed);
    if let Some(job) = &unfinished
        && open.loads.live(job.id).is_none()
        && let Some(holder) = leases::holder(store, &lease_name(object)).await?
    {
        return Err(Box::new(held(object, &holder)));
    }
    let resumable = unfinished.as_ref().filter(|job| job.condition.as_deref() == condition);
    match (mode, resumable) {
        (BackfillMode::Auto | BackfillMode::Resume, Some(job)) => {
            let job = jobs::request(store, job.id, Requested::Run).await?;
            return Ok(Some(Turn { id: job.id, whole: false }));
        }
        (BackfillMode::Resume, None) => return Ok(None),
        (BackfillMode::Auto | BackfillMode::Restart, _) => {}
    }
    if let Some(job) = unfinished.filter(|job| is_open(job.state)) {
        if let Some(live) = open.loads.live(job.id) {
            live.ask(Wish::Cancel);
            return Err(Box::new(held(object, "this process")));
        }
        crate::backfill::end_orphan(open, store, &job).await?;
    }
    let started_by = open.actor();
    let job = jobs::create(store, NewJob { object, condition, started_by: &started_by }).await?;
    Ok(Some(Turn { id: job.id, whole: mode == BackfillMode::Restart }))
}

/// Queues turns, and starts the driver if none runs.
pub(crate) fn begin(open: &Arc<OpenEnvironment>, turns: Vec<Turn>) {
    if open.loads.enqueue(turns) {
        open.tasks.spawn(crate::backfill::drive(open.clone()));
    }
}

async fn ask(
    engine: &Engine,
    id: &str,
    requested: Requested,
    wish: Wish,
    act: &str,
    words: &str,
) -> Answer<()> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let id = job_id(id)?;
    // The process that runs it obeys at once; any other hears of it by way of the store.
    if let Some(live) = open.loads.live(id) {
        live.ask(wish);
    }
    open.loads.forget(id);
    let job = jobs::request(&store, id, requested).await?;
    let is_orphan = job.state == jobs::JobState::Running
        && open.loads.live(id).is_none()
        && leases::holder(&store, &lease_name(&job.object)).await?.is_none();
    if is_orphan && requested == Requested::Cancel {
        crate::backfill::end_orphan(&open, &store, &job).await?;
    }
    open.record(act, &format!("{words} {}", job.object), "done", None).await;
    engine.publish(&[View::Jobs, View::Status]);
    Ok(())
}
