//! The id comparison that ends a whole load: what is stored and its results lack.
//!
//! Nothing is removed because it is lacking. Candidates are looked up by id again, and when there are many of them
//! a person must agree first: a lost permission looks like a mass delete.

use shadow::{JobId, ReadMark, RecordId, ResolvedMapping};
use sqlx::PgTransaction;

use crate::error::{Error, corrupt};
use crate::jobs;
use crate::leases::{self, LeaseKey};
use crate::merge::apply::Writer;
use crate::session::Store;
use crate::tables::shape::TableShape;
use crate::{dirty, objects, rejects, tombstones};

/// What an id comparison found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// Rows and rejected records that the job's results lack.
    pub candidates: i64,
    /// Rows and rejected records in all.
    pub records: i64,
    /// Whether there are more candidates than may be removed without proof or a person's consent.
    pub needs_consent: bool,
}

/// The most removals without proof or consent: 50, or 5 % of what is stored.
pub fn allowed_removals(records: i64) -> i64 {
    (records / 20).max(50)
}

/// Finds what a job's results lack, and notes it. Only for a job that read every page of the whole object.
pub async fn compare_ids(
    store: &Store,
    lease: &LeaseKey,
    mapping: &ResolvedMapping,
    job: JobId,
) -> Result<Comparison, Error> {
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    let read_no = sqlx::query_scalar!("select read_no from shadow_sync.jobs where id = $1 for update", job.0)
        .fetch_optional(&mut *tx)
        .await?
        .flatten()
        .ok_or_else(|| Error::UnknownJob(job.to_string()))?;
    let shape = TableShape::of(&mapping.mapping, store.tables_schema());
    let object = mapping.object().as_str();
    sqlx::query(shape.find_unseen()).bind(job.0).bind(read_no).bind(object).execute(&mut *tx).await?;
    let (shadow, rejected, _, _): (i64, i64, i64, chrono::DateTime<chrono::Utc>) =
        sqlx::query_as(shape.count()).bind(object).fetch_one(&mut *tx).await?;
    let candidates = sqlx::query_scalar!(
        r#"select count(*) as "count!" from shadow_sync.job_removals where job_id = $1"#,
        job.0
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    let records = shadow + rejected;
    Ok(Comparison { candidates, records, needs_consent: candidates > allowed_removals(records) })
}

/// Up to `limit` candidates behind `after`, by id: to be looked up in Salesforce by id.
pub async fn candidates(
    store: &Store,
    job: JobId,
    after: Option<RecordId>,
    limit: i64,
) -> Result<Vec<RecordId>, Error> {
    let ids = sqlx::query_scalar!(
        r#"select record_id from shadow_sync.job_removals
            where job_id = $1 and ($2::text is null or record_id > $2 collate "C")
            order by record_id limit $3"#,
        job.0,
        after.map(|id| id.to_string()),
        limit,
    )
    .fetch_all(store.pool())
    .await?;
    ids.iter().map(|id| RecordId::parse(id).map_err(|_| corrupt("record id", id))).collect()
}

/// Notes that candidates were found alive: they stay.
pub async fn still_there(store: &Store, lease: &LeaseKey, job: JobId, ids: &[RecordId]) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    forget(&mut tx, job, ids).await?;
    Ok(tx.commit().await?)
}

async fn forget(tx: &mut PgTransaction<'_>, job: JobId, ids: &[RecordId]) -> Result<(), Error> {
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    sqlx::query!(
        "delete from shadow_sync.job_removals where job_id = $1 and record_id = any($2::text[])",
        job.0,
        &ids as &[&str],
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that this many removals wait for a person's consent.
pub async fn wait_for_consent(
    store: &Store,
    lease: &LeaseKey,
    job: JobId,
    removals: i32,
) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    sqlx::query!("update shadow_sync.jobs set removals_waiting = $2 where id = $1", job.0, removals)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

/// Gives a person's consent to the removals of a job.
pub async fn consent(store: &Store, job: JobId) -> Result<(), Error> {
    sqlx::query!("update shadow_sync.jobs set removals_consent = true where id = $1", job.0)
        .execute(store.pool())
        .await?;
    Ok(())
}

/// How it is known that records are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Salesforce says so: `queryAll`, `getDeleted`, a delete event.
    Deleted,
    /// A lookup by id did not return them. The tombstone is presumed, and any later read that sees the record
    /// alive lifts it.
    Absent,
}

/// Removes records: rows and rejects go, entries of removed products move to the rejected records, SKUs that became
/// free go to who waits for them, and tombstones stay. At most 5,000 at a time.
///
/// - `mark`: of the lookup by id, taken before it was sent. A record that a later read brought stays.
/// - Returns how many rows and rejects went.
pub async fn remove(
    store: &Store,
    lease: &LeaseKey,
    mapping: &ResolvedMapping,
    job: Option<JobId>,
    ids: &[RecordId],
    proof: Proof,
    mark: ReadMark,
) -> Result<u64, Error> {
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    if let Some(parent) = &mapping.mapping.parent {
        objects::lock_for_reading(&mut tx, &parent.object).await?;
    }
    objects::lock(&mut tx, mapping.object()).await?;
    let schema = store.tables_schema();
    let gone = removable(&mut tx, schema, mapping, ids, mark).await?;
    take_out(&mut tx, schema, mapping, &gone, proof, mark).await?;
    if let Some(job) = job {
        forget(&mut tx, job, ids).await?;
        jobs::removed(&mut tx, job, gone.count()).await?;
    }
    tx.commit().await?;
    store.ordered();
    Ok(gone.count() as u64)
}

/// Records that a read found gone.
pub(crate) struct Gone {
    rows: Vec<RecordId>,
    rejected: Vec<RecordId>,
}

impl Gone {
    pub(crate) fn count(&self) -> usize {
        self.rows.len() + self.rejected.len()
    }
}

/// Notes in the merging transaction that a job did not get these stored records when it asked for them: its id
/// comparison looks at them again, although it had seen their stamps.
pub(crate) async fn suspect(tx: &mut PgTransaction<'_>, job: JobId, gone: &Gone) -> Result<(), Error> {
    let ids: Vec<&str> = gone.rows.iter().chain(&gone.rejected).map(RecordId::as_str).collect();
    sqlx::query!(
        "insert into shadow_sync.job_removals (job_id, record_id) select $1, unnest($2::text[])
         on conflict do nothing",
        job.0,
        &ids as &[&str],
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Those of some ids that are stored or rejected, and that no later read brought.
pub(crate) async fn removable(
    tx: &mut PgTransaction<'_>,
    schema: &str,
    mapping: &ResolvedMapping,
    ids: &[RecordId],
    mark: ReadMark,
) -> Result<Gone, Error> {
    let texts: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    let shape = TableShape::of(&mapping.mapping, schema);
    let rows: Vec<String> = sqlx::query_scalar(shape.removable())
        .bind(&texts)
        .bind(mark.as_of)
        .bind(mark.read_no)
        .fetch_all(&mut **tx)
        .await?;
    let rejected = sqlx::query_scalar!(
        "select record_id from shadow_sync.rejects
          where object = $1 and record_id = any($2::text[]) and as_of <= $3 and read_no < $4",
        mapping.object().as_str(),
        &texts as &[&str],
        mark.as_of,
        mark.read_no,
    )
    .fetch_all(&mut **tx)
    .await?;
    let parse = |id: &String| RecordId::parse(id).map_err(|_| corrupt("record id", id));
    Ok(Gone {
        rows: rows.iter().map(parse).collect::<Result<_, _>>()?,
        rejected: rejected.iter().map(parse).collect::<Result<_, _>>()?,
    })
}

/// Takes records out of table and rejects, with all that follows, and leaves tombstones.
pub(crate) async fn take_out(
    tx: &mut PgTransaction<'_>,
    schema: &str,
    mapping: &ResolvedMapping,
    gone: &Gone,
    proof: Proof,
    mark: ReadMark,
) -> Result<(), Error> {
    rejects::forget(tx, mapping.object(), &gone.rejected).await?;
    let (parent, children) = (mapping.parent.as_deref(), Writer::children_of(&mapping.children));
    let mut writer = Writer::new(tx, schema, &mapping.mapping, parent, children);
    let left = writer.leave(&gone.rows).await?;
    writer.enter_freed(&left.freed).await?;
    writer.note_changes().await?;
    let all: Vec<RecordId> = gone.rows.iter().chain(&gone.rejected).copied().collect();
    tombstones::put(tx, mapping.object(), &all, mark, None, proof == Proof::Absent).await?;
    dirty::clear(tx, mapping.object(), &all).await
}
