//! How far a job's pages are.

use chrono::{DateTime, Utc};
use shadow::{JobId, RecordId};
use sqlx::PgTransaction;

use super::Requested;
use crate::error::{Error, corrupt};
use crate::leases::LeaseKey;
use crate::merge::MergeOutcome;
use crate::session::Store;

/// Where in a page's rows a chunk stands; saved in the commit that merges the chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageProgress {
    /// The job.
    pub job: JobId,
    /// The page, counted from 1.
    pub page: i32,
    /// Records of the page that are merged once this chunk is.
    pub merged: i32,
    /// Set if this chunk is the page's last.
    pub end: Option<PageEnd>,
}

/// The end of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageEnd {
    /// What asks for the next page; none behind the last.
    pub next_locator: Option<String>,
}

/// A page of a job's results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPage {
    /// Its number, from 1.
    pub page: i32,
    /// What asks for it; the first needs nothing.
    pub locator: Option<String>,
    /// Records that Salesforce announced for it; none until known.
    pub records: Option<i32>,
    /// Records merged.
    pub merged: i32,
    /// When its last record was merged.
    pub merged_at: Option<DateTime<Utc>>,
    /// What asks for the next one.
    pub next_locator: Option<String>,
    /// Whether there is none behind it.
    pub is_last: bool,
}

/// The pages of a job, in order.
pub async fn pages(store: &Store, id: JobId) -> Result<Vec<JobPage>, Error> {
    let pages = sqlx::query_as!(
        JobPage,
        r#"select page, locator, records, records_merged as merged, merged_at, next_locator, is_last
             from shadow_sync.job_pages where job_id = $1 order by page"#,
        id.0,
    )
    .fetch_all(store.pool())
    .await?;
    Ok(pages)
}

/// Notes that a page arrives: how it was asked for, and how many records it announces. A page that is downloaded
/// again keeps what was merged of it; merging that again changes nothing.
pub async fn page_started(
    store: &Store,
    lease: &LeaseKey,
    id: JobId,
    page: i32,
    locator: Option<&str>,
    records: Option<i32>,
) -> Result<(), Error> {
    let (mut tx, _) = super::held(store, lease, id).await?;
    sqlx::query!(
        "insert into shadow_sync.job_pages (job_id, page, locator, records) values ($1, $2, $3, $4)
         on conflict (job_id, page) do update
            set locator = excluded.locator, records = coalesce(excluded.records, job_pages.records)",
        id.0,
        page,
        locator,
        records,
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// What one chunk adds to a job's numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub inserted: i64,
    pub updated: i64,
    pub stamped: i64,
    pub equal: i64,
    pub older: i64,
    pub rejected: i64,
    pub entered: i64,
    pub removed: i64,
    pub stripped_nuls: i64,
}

impl Tally {
    /// The numbers of a merge.
    pub(crate) fn of(outcome: &MergeOutcome) -> Self {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Self {
            inserted: number(outcome.inserted),
            updated: number(outcome.updated),
            stamped: number(outcome.stamped),
            equal: number(outcome.equal),
            older: number(outcome.older),
            rejected: number(outcome.rejected),
            entered: number(outcome.entered),
            removed: number(outcome.deleted),
            stripped_nuls: number(outcome.stripped_nuls),
        }
    }
}

/// Notes in the merging transaction how far the page is, what happened to its records, and which ids were seen
/// without being written. Returns what a person asked of the job.
pub(crate) async fn merged(
    tx: &mut PgTransaction<'_>,
    progress: &PageProgress,
    counts: Tally,
    seen: &[RecordId],
) -> Result<Requested, Error> {
    let page = sqlx::query!(
        "select records_merged, merged_at is not null as \"done!\"
           from shadow_sync.job_pages where job_id = $1 and page = $2 for update",
        progress.job.0,
        progress.page,
    )
    .fetch_optional(&mut **tx)
    .await?;
    // Rows of a page that is downloaded again were counted when they were merged first.
    let before = page.as_ref().map_or(0, |page| page.records_merged);
    let read = i64::from((progress.merged - before).max(0));
    let ends = progress.end.is_some();
    let next = progress.end.as_ref().and_then(|end| end.next_locator.as_deref());
    sqlx::query!(
        "insert into shadow_sync.job_pages as page (job_id, page, records_merged, merged_at, next_locator, is_last)
         values ($1, $2, $3, case when $4 then now() end, $5, $4 and $5::text is null)
         on conflict (job_id, page) do update
            set records_merged = greatest(page.records_merged, excluded.records_merged),
                merged_at = coalesce(page.merged_at, excluded.merged_at),
                next_locator = coalesce(excluded.next_locator, page.next_locator),
                is_last = page.is_last or excluded.is_last",
        progress.job.0,
        progress.page,
        progress.merged,
        ends,
        next,
    )
    .execute(&mut **tx)
    .await?;
    let counted = if read > 0 { counts } else { Tally { entered: counts.entered, ..Tally::default() } };
    let requested = tally(tx, progress.job, read, counted).await?;
    if !seen.is_empty() {
        mark_seen(tx, progress.job, seen).await?;
    }
    Ok(requested)
}

/// Adds to a job's numbers; returns what a person asked of it.
pub(crate) async fn tally(
    tx: &mut PgTransaction<'_>,
    job: JobId,
    read: i64,
    counts: Tally,
) -> Result<Requested, Error> {
    let requested = sqlx::query_scalar!(
        "update shadow_sync.jobs
            set records_read = records_read + $2, records_inserted = records_inserted + $3,
                records_updated = records_updated + $4, records_stamped = records_stamped + $5,
                records_equal = records_equal + $6, records_older = records_older + $7,
                records_rejected = records_rejected + $8, records_entered = records_entered + $9,
                records_removed = records_removed + $10, stripped_nuls = stripped_nuls + $11
          where id = $1
         returning requested",
        job.0,
        read,
        counts.inserted,
        counts.updated,
        counts.stamped,
        counts.equal,
        counts.older,
        counts.rejected,
        counts.entered,
        counts.removed,
        counts.stripped_nuls,
    )
    .fetch_optional(&mut **tx)
    .await?
    .ok_or_else(|| Error::UnknownJob(job.to_string()))?;
    Requested::parse(&requested).ok_or_else(|| corrupt("request", requested))
}

/// Notes how many records a job removed.
pub(crate) async fn removed(tx: &mut PgTransaction<'_>, job: JobId, records: usize) -> Result<(), Error> {
    let removed = i64::try_from(records).unwrap_or(i64::MAX);
    tally(tx, job, 0, Tally { removed, ..Tally::default() }).await.map(drop)
}

/// Notes ids that a job saw without writing their rows: the id comparison must not miss them.
pub(crate) async fn mark_seen(tx: &mut PgTransaction<'_>, job: JobId, ids: &[RecordId]) -> Result<(), Error> {
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    sqlx::query!(
        "insert into shadow_sync.job_seen (job_id, ids) values ($1, $2::text[])",
        job.0,
        &ids as &[&str],
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
