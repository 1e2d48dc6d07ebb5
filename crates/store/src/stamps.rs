//! The quick second load: ids and stamps are read, and only what differs is fetched whole.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use shadow::value::parse_moment;
use shadow::version::SETTLED_AFTER_MS;
use shadow::{JobId, RecordId, ResolvedMapping, RowChunk, UnreadableChunk};
use sqlx::PgTransaction;

use crate::error::{Error, corrupt};
use crate::jobs::{self, PageProgress, Requested, Tally};
use crate::leases::{self, LeaseKey};
use crate::session::Store;
use crate::tables::shape::TableShape;

/// What a chunk of ids and stamps came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StampsOutcome {
    /// Records that are stored or rejected with this stamp: nothing was written.
    pub equal: u64,
    /// Records noted to be fetched whole ([`next_to_fetch`]).
    pub differing: u64,
    /// What a person asked of the job.
    pub requested: Requested,
}

/// Compares a chunk of `Id` and `SystemModstamp` with what is stored, notes which records must be fetched whole,
/// and saves the page's progress, all in one commit.
pub async fn compare_chunk(
    store: &Store,
    lease: &LeaseKey,
    mapping: &ResolvedMapping,
    chunk: &RowChunk,
    progress: &PageProgress,
) -> Result<StampsOutcome, Error> {
    let (ids, stamps) = read(chunk)?;
    let texts: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    let shape = TableShape::of(&mapping.mapping, store.tables_schema());
    let stored: Vec<(String, DateTime<Utc>, DateTime<Utc>)> = sqlx::query_as(shape.stamps())
        .bind(&texts)
        .bind(mapping.object().as_str())
        .fetch_all(&mut *tx)
        .await?;
    let settled: HashSet<(&str, DateTime<Utc>)> = stored
        .iter()
        .filter(|(_, stamp, read_end)| *read_end - *stamp >= TimeDelta::milliseconds(SETTLED_AFTER_MS))
        .map(|(id, stamp, _)| (id.as_str(), *stamp))
        .collect();
    let differs = |(id, stamp): &(&&str, &Option<DateTime<Utc>>)| {
        stamp.is_none_or(|stamp| !settled.contains(&(**id, stamp)))
    };
    let differing: Vec<&str> = texts.iter().zip(&stamps).filter(differs).map(|(id, _)| *id).collect();
    if !differing.is_empty() {
        sqlx::query!(
            "insert into shadow_sync.job_fetch (job_id, record_id) select $1, unnest($2::text[])
             on conflict do nothing",
            progress.job.0,
            &differing as &[&str],
        )
        .execute(&mut *tx)
        .await?;
    }
    let equal = (ids.len() - differing.len()) as u64;
    if equal > 0 {
        // An earlier request with other content for the same stamp is not later than these rows any more.
        sqlx::query!(
            "update shadow_sync.objects as o set confirmed_read_no = j.read_no
               from shadow_sync.jobs j
              where o.object = $1 and j.id = $2 and o.confirmed_read_no < j.read_no",
            mapping.object().as_str(),
            progress.job.0,
        )
        .execute(&mut *tx)
        .await?;
    }
    let tally = Tally { equal: i64::try_from(equal).unwrap_or(i64::MAX), ..Tally::default() };
    let requested = jobs::merged(&mut tx, progress, tally, &ids).await?;
    tx.commit().await?;
    Ok(StampsOutcome { equal, differing: differing.len() as u64, requested })
}

/// Ids, and the stamp of each.
type Stamps = (Vec<RecordId>, Vec<Option<DateTime<Utc>>>);

fn read(chunk: &RowChunk) -> Result<Stamps, Error> {
    if chunk.is_empty() {
        return Ok(Stamps::default());
    }
    let column = |name: &str| {
        chunk.column(name).ok_or_else(|| Error::from(UnreadableChunk::MissingColumn(name.to_owned())))
    };
    let (id, stamp) = (column("Id")?, column("SystemModstamp")?);
    let unreadable = |row, field| UnreadableChunk::UnreadableRow { row, field };
    let mut read: Stamps = (Vec::with_capacity(chunk.len()), Vec::with_capacity(chunk.len()));
    for (place, row) in chunk.rows().enumerate() {
        let found = row.field(id).and_then(|text| RecordId::parse(text).ok());
        read.0.push(found.ok_or_else(|| unreadable(place + 1, "Id"))?);
        let found = row.field(stamp).and_then(parse_moment);
        read.1.push(found.ok_or_else(|| unreadable(place + 1, "SystemModstamp"))?.to_utc());
    }
    Ok(read)
}

/// Up to `limit` records that a job must still fetch whole, by id.
pub async fn next_to_fetch(store: &Store, job: JobId, limit: i64) -> Result<Vec<RecordId>, Error> {
    let ids = sqlx::query_scalar!(
        "select record_id from shadow_sync.job_fetch where job_id = $1 order by record_id limit $2",
        job.0,
        limit,
    )
    .fetch_all(store.pool())
    .await?;
    ids.iter().map(|id| RecordId::parse(id).map_err(|_| corrupt("record id", id))).collect()
}

/// How many records a job must still fetch whole.
pub async fn left_to_fetch(store: &Store, job: JobId) -> Result<i64, Error> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from shadow_sync.job_fetch where job_id = $1"#,
        job.0
    )
    .fetch_one(store.pool())
    .await?;
    Ok(count)
}

/// Forgets in the merging transaction that these records were to be fetched.
pub(crate) async fn fetched(tx: &mut PgTransaction<'_>, job: JobId, ids: &[RecordId]) -> Result<(), Error> {
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    sqlx::query!(
        "delete from shadow_sync.job_fetch where job_id = $1 and record_id = any($2::text[])",
        job.0,
        &ids as &[&str],
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
