//! The Bulk job whose results a job reads.

use chrono::{DateTime, Utc};
use shadow::{JobId, ReadMark};

use super::held;
use crate::error::Error;
use crate::leases::LeaseKey;
use crate::session::Store;

/// The Bulk job whose results a job reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkJob {
    /// Salesforce's id.
    pub id: String,
    /// The API version that created it, which must read it too.
    pub api_version: String,
    /// Its query.
    pub soql: String,
    /// The shape of the mapping that the query was made of; another shape cannot resume it.
    pub shape: String,
    /// Whether it reads only ids and stamps.
    pub stamps_only: bool,
    /// Taken before it was created.
    pub mark: ReadMark,
    /// Of a side read: Salesforce's time before it looked at the first record.
    pub began_at: Option<DateTime<Utc>>,
}

/// Notes the Bulk job whose results are read from now on, and forgets pages of an earlier one.
pub async fn set_bulk(store: &Store, lease: &LeaseKey, id: JobId, bulk: &BulkJob) -> Result<(), Error> {
    let (mut tx, _) = held(store, lease, id).await?;
    for forget in [
        sqlx::query!("delete from shadow_sync.job_pages where job_id = $1", id.0),
        sqlx::query!("delete from shadow_sync.job_seen where job_id = $1", id.0),
        sqlx::query!("delete from shadow_sync.job_fetch where job_id = $1", id.0),
        sqlx::query!("delete from shadow_sync.job_removals where job_id = $1", id.0),
    ] {
        forget.execute(&mut *tx).await?;
    }
    sqlx::query!(
        "update shadow_sync.jobs
            set bulk_job_id = $2, api_version = $3, soql = $4, shape = $5, stamps_only = $6, as_of = $7, read_no = $8,
                side_began_at = $9, read_end = null, removals_waiting = 0, removals_consent = false
          where id = $1",
        id.0,
        bulk.id,
        bulk.api_version,
        bulk.soql,
        bulk.shape,
        bulk.stamps_only,
        bulk.mark.as_of,
        bulk.mark.read_no,
        bulk.began_at,
    )
    .execute(&mut *tx)
    .await?;
    // What a catch-up's window brought stays counted: its Bulk job only compares.
    sqlx::query!(
        "update shadow_sync.jobs
            set records_read = 0, records_inserted = 0, records_updated = 0, records_stamped = 0, records_equal = 0,
                records_older = 0, records_rejected = 0, records_entered = 0, records_removed = 0, stripped_nuls = 0
          where id = $1 and kind <> 'catch-up'",
        id.0,
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Notes that the Bulk job is complete: when, in Salesforce's time, and how many records it announces.
pub async fn set_complete(
    store: &Store,
    lease: &LeaseKey,
    id: JobId,
    read_end: DateTime<Utc>,
    records: Option<i64>,
) -> Result<(), Error> {
    let (mut tx, _) = held(store, lease, id).await?;
    sqlx::query!(
        "update shadow_sync.jobs set read_end = $2, records_total = coalesce($3, records_total) where id = $1",
        id.0,
        read_end,
        records,
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}
