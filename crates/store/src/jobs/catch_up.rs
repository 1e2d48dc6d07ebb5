//! Catch-ups: reads of what changed within a window, which find what events missed.

use chrono::{DateTime, Utc};
use shadow::{JobId, ObjectName};

use super::{Job, get, held};
use crate::error::Error;
use crate::failpoint;
use crate::leases::LeaseKey;
use crate::session::Store;

/// A catch-up that is to be created.
#[derive(Debug, Clone)]
pub struct NewCatchUp<'a> {
    /// The object.
    pub object: &'a ObjectName,
    /// From which stamp on to read; none: from the object's watermark on, decided when it runs.
    pub from: Option<DateTime<Utc>>,
    /// Whether to compare ids afterwards.
    pub with_ids: bool,
    /// Who starts it.
    pub started_by: &'a str,
}

/// What a catch-up reads, in Salesforce's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// From this stamp on; none: not decided yet.
    pub from: Option<DateTime<Utc>>,
    /// Before this stamp; none: not decided yet.
    pub to: Option<DateTime<Utc>>,
    /// Whether ids are compared afterwards.
    pub with_ids: bool,
    /// When its last page was merged.
    pub read_at: Option<DateTime<Utc>>,
    /// Our time before the job's first request.
    pub reads_began_at: Option<DateTime<Utc>>,
    /// Our time after its last.
    pub reads_ended_at: Option<DateTime<Utc>>,
}

/// Creates a catch-up, which waits for its turn.
///
/// - **Errors:** [`Error::JobOpen`] if the object has a job that is not ended.
pub async fn create_catch_up(store: &Store, new: NewCatchUp<'_>) -> Result<Job, Error> {
    let id = sqlx::query_scalar!(
        "insert into shadow_sync.jobs (object, kind, from_at, with_ids, started_by)
         values ($1, 'catch-up', $2, $3, $4)
         on conflict (object) where state in ('pending', 'running', 'paused') do nothing
         returning id",
        new.object.as_str(),
        new.from,
        new.with_ids,
        new.started_by,
    )
    .fetch_optional(store.pool())
    .await?
    .ok_or_else(|| Error::JobOpen(new.object.clone()))?;
    get(store, JobId(id)).await
}

/// Notes, before the first request of a job of any kind, that its reads begin: holes opened later are not its to
/// close. A job that begins anew with other requests says so again.
pub async fn reads_begin(store: &Store, lease: &LeaseKey, id: JobId) -> Result<(), Error> {
    let (mut tx, _) = held(store, lease, id).await?;
    sqlx::query!(
        "update shadow_sync.jobs set reads_began_at = clock_timestamp(), reads_ended_at = null where id = $1",
        id.0
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Decides on the window of a catch-up, before its first request. A window that was begun is read again from its
/// start.
pub async fn set_window(
    store: &Store,
    lease: &LeaseKey,
    id: JobId,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<(), Error> {
    let (mut tx, _) = held(store, lease, id).await?;
    sqlx::query!("delete from shadow_sync.job_pages where job_id = $1", id.0).execute(&mut *tx).await?;
    sqlx::query!(
        "update shadow_sync.jobs
            set from_at = $2, to_at = $3, window_read_at = null, reads_began_at = clock_timestamp(),
                reads_ended_at = null
          where id = $1",
        id.0,
        from,
        to,
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Notes that a window's last page is merged, and moves the object's watermark: only then, and never back.
///
/// - `watermark`: Salesforce's time up to which nothing is missing: the window's end, or less if Salesforce's own
///   indexes are behind (`latestDateCovered`).
pub async fn window_read(
    store: &Store,
    lease: &LeaseKey,
    id: JobId,
    watermark: DateTime<Utc>,
) -> Result<(), Error> {
    let (mut tx, _) = held(store, lease, id).await?;
    sqlx::query!(
        "with job as (
             update shadow_sync.jobs set window_read_at = clock_timestamp() where id = $1 returning object)
         update shadow_sync.objects o set watermark = greatest(o.watermark, $2) from job where o.object = job.object",
        id.0,
        watermark,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    failpoint::reach("window.committed");
    Ok(())
}

/// Notes that a job's last read was merged: the holes that it mends wait only for dirty marks that stand by now.
pub async fn reads_ended(store: &Store, lease: &LeaseKey, id: JobId) -> Result<(), Error> {
    let (mut tx, _) = held(store, lease, id).await?;
    sqlx::query!("update shadow_sync.jobs set reads_ended_at = clock_timestamp() where id = $1", id.0)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}
