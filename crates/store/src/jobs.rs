//! Jobs: one backfill or catch-up each, with its pages, its numbers, and what a person asked of it.

use chrono::{DateTime, Utc};
use shadow::{JobId, ObjectName};
use sqlx::PgTransaction;
use sqlx::error::DatabaseError;

use crate::audit::{self, Act};
use crate::error::{Error, corrupt};
use crate::failpoint;
use crate::holes::{self, Closed, Closing};
use crate::leases::{self, LeaseKey};
use crate::objects;
use crate::session::Store;
use crate::words::words;

mod bulk;
mod catch_up;
mod progress;
mod row;

use row::select;

pub use bulk::{BulkJob, set_bulk, set_complete};
pub use catch_up::{NewCatchUp, Window, create_catch_up, reads_begin, reads_ended, set_window, window_read};
pub use progress::{JobPage, PageEnd, PageProgress, page_started, pages};
pub(crate) use progress::{Tally, mark_seen, merged, removed, tally};

words! {
    /// What a job loads.
    JobKind {
        /// Every record of the object; ends with the id comparison.
        Backfill = "backfill",
        /// The records that meet a condition; makes nothing ready and compares no ids.
        Partial = "partial",
        /// The records whose stamp lies in a window, deleted ones too; may end with an id comparison.
        CatchUp = "catch-up",
        /// The columns that no event carries, of every record.
        Formulas = "formulas",
        /// The fields that the mapping gained, or that can be seen again, of every record.
        Fields = "fields",
    }
}

words! {
    /// Where a job stands. A running job whose lease nobody holds was interrupted.
    JobState {
        /// Waits for its turn.
        Pending = "pending",
        /// Runs, or was interrupted.
        Running = "running",
        /// Waits for a person.
        Paused = "paused",
        /// Stopped by a person, for good.
        Cancelled = "cancelled",
        /// Ended with every record accounted for.
        Done = "done",
        /// Ended with a problem; can be resumed while Salesforce keeps the results.
        Failed = "failed",
    }
}

words! {
    /// What a person asked of a job. The runner sees it with the next chunk, or when it polls.
    Requested {
        /// To go on.
        Run = "run",
        /// To stop, and to be resumed later.
        Pause = "pause",
        /// To stop for good.
        Cancel = "cancel",
    }
}

words! {
    /// What a running job does.
    JobStage {
        /// Reads the object's fields.
        Describing = "describing",
        /// Salesforce prepares the results.
        Preparing = "preparing",
        /// Reads ids and stamps, to fetch only what differs.
        ComparingStamps = "comparing-stamps",
        /// Downloads and merges pages.
        Loading = "loading",
        /// Reads and merges what changed within a window.
        ReadingWindow = "reading-window",
        /// Fetches records by id.
        Fetching = "fetching",
        /// Looks for rows that Salesforce no longer has.
        ComparingIds = "comparing-ids",
        /// Counts both sides.
        Counting = "counting",
        /// Nothing.
        Ended = "ended",
    }
}

/// A job that is to be created.
#[derive(Debug, Clone)]
pub struct NewJob<'a> {
    /// The object.
    pub object: &'a ObjectName,
    /// A condition in SOQL: then the job is [`JobKind::Partial`].
    pub condition: Option<&'a str>,
    /// Who starts it.
    pub started_by: &'a str,
}

/// What happened to the records of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Records merged, over all pages.
    pub read: i64,
    /// New in the shadow.
    pub inserted: i64,
    /// Newer than the shadow's.
    pub updated: i64,
    /// Changed in their stamp alone.
    pub stamped: i64,
    /// Known already.
    pub equal: i64,
    /// The shadow had a newer state.
    pub older: i64,
    /// Cannot be stored.
    pub rejected: i64,
    /// Rejected records of this or another object that entered because their cause went away.
    pub entered: i64,
    /// Left the shadow because Salesforce no longer has them.
    pub removed: i64,
    /// NUL characters left out of texts.
    pub stripped_nuls: i64,
}

/// A job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// The object.
    pub object: ObjectName,
    /// What it loads.
    pub kind: JobKind,
    /// The condition of a partial one, in SOQL.
    pub condition: Option<String>,
    /// Where it stands.
    pub state: JobState,
    /// What a person asked of it.
    pub requested: Requested,
    /// What it does.
    pub stage: JobStage,
    /// Who started it.
    pub started_by: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it first ran.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Time spent running in milliseconds, over all its runs.
    pub took_ms: i64,
    /// The window of a catch-up.
    pub window: Option<Window>,
    /// The Bulk job, once there is one.
    pub bulk: Option<BulkJob>,
    /// Salesforce's time when the Bulk job was complete.
    pub read_end: Option<DateTime<Utc>>,
    /// Records in Salesforce: counted before the start, then as announced by the Bulk job.
    pub records_total: Option<i64>,
    /// What happened to the records so far.
    pub counts: JobCounts,
    /// API calls so far.
    pub api_calls: i64,
    /// Removals that wait for a person's consent.
    pub removals_waiting: i32,
    /// Whether that consent was given.
    pub removals_consent: bool,
    /// Why it failed, in the engine's words.
    pub problem: Option<serde_json::Value>,
}

/// Creates a job, which waits for its turn.
///
/// - **Errors:** [`Error::JobOpen`] if the object has one that is not ended.
pub async fn create(store: &Store, new: NewJob<'_>) -> Result<Job, Error> {
    let kind = if new.condition.is_some() { JobKind::Partial } else { JobKind::Backfill };
    create_as(store, kind, new).await
}

/// Creates a refresh of the columns that no event carries, which waits for its turn.
///
/// - **Errors:** [`Error::JobOpen`] if the object has a job that is not ended.
pub async fn create_formulas(store: &Store, object: &ObjectName, started_by: &str) -> Result<Job, Error> {
    create_as(store, JobKind::Formulas, NewJob { object, condition: None, started_by }).await
}

/// Creates a side read of the fields that the mapping gained, or that can be seen again; it waits for its turn.
///
/// - **Errors:** [`Error::JobOpen`] if the object has a job that is not ended.
pub async fn create_fields(store: &Store, object: &ObjectName, started_by: &str) -> Result<Job, Error> {
    create_as(store, JobKind::Fields, NewJob { object, condition: None, started_by }).await
}

async fn create_as(store: &Store, kind: JobKind, new: NewJob<'_>) -> Result<Job, Error> {
    let id = sqlx::query_scalar!(
        "insert into shadow_sync.jobs (object, kind, condition, started_by) values ($1, $2, $3, $4)
         on conflict (object) where state in ('pending', 'running', 'paused') do nothing
         returning id",
        new.object.as_str(),
        kind.as_str(),
        new.condition,
        new.started_by,
    )
    .fetch_optional(store.pool())
    .await?
    .ok_or_else(|| Error::JobOpen(new.object.clone()))?;
    get(store, JobId(id)).await
}

/// One job.
pub async fn get(store: &Store, id: JobId) -> Result<Job, Error> {
    let found = select(store, Some(id), None, false, 1).await?.pop();
    found.ok_or_else(|| Error::UnknownJob(id.to_string()))
}

/// Jobs, newest first, of one object if given.
pub async fn list(store: &Store, object: Option<&ObjectName>, limit: i64) -> Result<Vec<Job>, Error> {
    select(store, None, object, false, limit).await
}

/// Jobs that are not ended, newest first.
pub async fn open(store: &Store) -> Result<Vec<Job>, Error> {
    select(store, None, None, true, 1000).await
}

/// Asks something of a job; returns the job as it is then. A job that does not run obeys at once.
///
/// - **Errors:** [`Error::JobOpen`] if a failed job is to run again while another of its object is not ended.
pub async fn request(store: &Store, id: JobId, requested: Requested) -> Result<Job, Error> {
    let written = sqlx::query!(
        "update shadow_sync.jobs
            set requested = $2,
                state = case
                    when $2 = 'cancel' and state in ('pending', 'paused', 'failed') then 'cancelled'
                    when $2 = 'pause' and state = 'pending' then 'paused'
                    when $2 = 'run' and state in ('paused', 'failed') then 'pending'
                    else state end,
                ended_at = case
                    when $2 = 'cancel' and state in ('pending', 'paused', 'failed') then now()
                    when $2 = 'run' and state = 'failed' then null
                    else ended_at end,
                problem = case when $2 = 'run' then null else problem end
          where id = $1 and state not in ('done', 'cancelled')",
        id.0,
        requested.as_str(),
    )
    .execute(store.pool())
    .await;
    let job = get(store, id).await?;
    match written {
        Ok(_) => Ok(job),
        Err(error) if error.as_database_error().is_some_and(DatabaseError::is_unique_violation) => {
            Err(Error::JobOpen(job.object))
        }
        Err(error) => Err(error.into()),
    }
}

/// Begins a transaction that holds the lease and the job's row.
async fn held<'a>(
    store: &Store,
    lease: &LeaseKey,
    id: JobId,
) -> Result<(PgTransaction<'a>, Requested), Error> {
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    let requested = lock(&mut tx, id).await?;
    Ok((tx, requested))
}

/// Locks a job's row; returns what a person asked of it.
pub(crate) async fn lock(tx: &mut PgTransaction<'_>, id: JobId) -> Result<Requested, Error> {
    let requested =
        sqlx::query_scalar!("select requested from shadow_sync.jobs where id = $1 for update", id.0)
            .fetch_optional(&mut **tx)
            .await?
            .ok_or_else(|| Error::UnknownJob(id.to_string()))?;
    Requested::parse(&requested).ok_or_else(|| corrupt("request", requested))
}

/// What a person asked of a job, checked together with the lease.
pub async fn poll(store: &Store, lease: &LeaseKey, id: JobId) -> Result<Requested, Error> {
    let (tx, requested) = held(store, lease, id).await?;
    tx.commit().await?;
    Ok(requested)
}

/// Notes that this process runs the job now.
pub async fn started(store: &Store, lease: &LeaseKey, id: JobId) -> Result<(), Error> {
    let (mut tx, _) = held(store, lease, id).await?;
    // A run that was interrupted ended when its last lease ran out, or before: its time is not known and not added.
    sqlx::query!(
        "update shadow_sync.jobs
            set state = 'running', started_at = coalesce(started_at, now()), ended_at = null, problem = null,
                run_since = now()
          where id = $1",
        id.0,
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Notes what the job does now.
pub async fn set_stage(
    store: &Store,
    lease: &LeaseKey,
    id: JobId,
    stage: JobStage,
) -> Result<Requested, Error> {
    let (mut tx, requested) = held(store, lease, id).await?;
    sqlx::query!("update shadow_sync.jobs set stage = $2 where id = $1", id.0, stage.as_str())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(requested)
}

/// Notes how many records there are, and adds API calls.
pub async fn set_numbers(
    store: &Store,
    lease: &LeaseKey,
    id: JobId,
    records_total: Option<i64>,
    api_calls: i64,
) -> Result<(), Error> {
    let (mut tx, _) = held(store, lease, id).await?;
    sqlx::query!(
        "update shadow_sync.jobs
            set records_total = coalesce($2, records_total), api_calls = api_calls + $3
          where id = $1",
        id.0,
        records_total,
        api_calls,
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Ends a run of a job.
///
/// - `state`: [`JobState::Paused`], [`JobState::Cancelled`], [`JobState::Done`] or [`JobState::Failed`].
/// - `problem`: why it failed, in the engine's words.
pub async fn finish(
    store: &Store,
    lease: &LeaseKey,
    id: JobId,
    state: JobState,
    problem: Option<&serde_json::Value>,
) -> Result<(), Error> {
    let ending = Ending { state, problem, act: None, closing: None, brought: None };
    finish_with(store, lease, id, ending).await.map(drop)
}

/// How a run of a job ends.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// [`JobState::Paused`], [`JobState::Cancelled`], [`JobState::Done`] or [`JobState::Failed`].
    pub state: JobState,
    /// Why it failed, in the engine's words.
    pub problem: Option<&'a serde_json::Value>,
    /// The act that is recorded with it.
    pub act: Option<Act<'a>>,
    /// What it has read, if it is done: holes that lie in it are closed. The caller waits first until
    /// [`holes::waits_for`] says that no dirty mark of its reads is left, or they stay open.
    pub closing: Option<&'a Closing>,
    /// The fields that a side read brought, if it is done: holes that wait for nothing else are closed. The caller waits
    /// as for `closing`.
    pub brought: Option<&'a [String]>,
}

/// Ends a run of a job, records that act, and closes the holes that it mended, in one commit.
pub async fn finish_with(
    store: &Store,
    lease: &LeaseKey,
    id: JobId,
    ending: Ending<'_>,
) -> Result<Closed, Error> {
    let Ending { state, problem, act, closing, brought } = ending;
    let (mut tx, _) = held(store, lease, id).await?;
    let ended = matches!(state, JobState::Cancelled | JobState::Done | JobState::Failed);
    let object = sqlx::query_scalar!(
        "update shadow_sync.jobs
            set state = $2, problem = $3, run_since = null,
                took_ms = took_ms + coalesce((extract(epoch from clock_timestamp() - run_since) * 1000)::bigint, 0),
                ended_at = case when $4 then now() else null end,
                stage = case when $2 in ('done', 'cancelled') then 'ended' else stage end
          where id = $1
         returning object",
        id.0,
        state.as_str(),
        problem,
        ended,
    )
    .fetch_one(&mut *tx)
    .await?;
    if state == JobState::Done {
        // What helped to resume is of no use any more; the job itself stays for its numbers, and removals that wait
        // for a person's consent stay until it is given.
        sqlx::query!("delete from shadow_sync.job_seen where job_id = $1", id.0).execute(&mut *tx).await?;
        sqlx::query!("delete from shadow_sync.job_fetch where job_id = $1", id.0).execute(&mut *tx).await?;
    }
    if let Some(act) = act {
        audit::write(&mut *tx, act).await?;
    }
    let mut closed = Closed::default();
    if let Some(closing) = closing.filter(|_| state == JobState::Done) {
        if closing.compared_ids {
            objects::compared(&mut tx, &object, closing.up_to).await?;
        }
        closed = holes::close_in(&mut tx, id, closing, &format!("job {id}")).await?;
        failpoint::reach("hole.closing");
    }
    if let Some(fields) = brought.filter(|_| state == JobState::Done) {
        closed = holes::close_thawed_in(&mut tx, id, fields, &format!("job {id}")).await?;
        failpoint::reach("hole.closing");
    }
    failpoint::reach("job.finishing");
    tx.commit().await?;
    if closing.is_some() {
        failpoint::reach("hole.closed");
    }
    Ok(closed)
}
