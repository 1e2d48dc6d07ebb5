//! Dirty records: those that must be fetched before they are right again.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use shadow::plan::DirtyReason;
use shadow::{Mapping, ObjectName, RecordId};
use sqlx::PgTransaction;

use crate::error::{Error, corrupt};
use crate::session::Store;
use crate::tables::shape::TableShape;

/// A dirty record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirtyRecord {
    /// Its id.
    pub id: RecordId,
    /// `claim`, `doubt` or `person`.
    pub reason: String,
    /// The unique value that several records claim.
    pub claim: Option<String>,
    /// Since when.
    pub since: DateTime<Utc>,
    /// How often it was fetched in vain.
    pub attempts: i32,
}

/// Up to `limit` records to be fetched in one call: dirty ones that may be fetched now, and who has a part in the
/// contests that they wait for, so that one call settles them.
pub async fn next_batch(store: &Store, mapping: &Mapping, limit: i64) -> Result<Vec<RecordId>, Error> {
    let object = mapping.object.as_str();
    let seeds = sqlx::query!(
        "select record_id, claim from shadow_sync.dirty
          where object = $1 and not_before <= clock_timestamp()
          order by claim nulls last, record_id limit $2",
        object,
        (limit + 1) / 2,
    )
    .fetch_all(store.pool())
    .await?;
    let mut batch = Batch { room: usize::try_from(limit).unwrap_or_default(), ..Batch::default() };
    let mut claims: Vec<String> = Vec::new();
    for seed in seeds {
        batch.add(seed.record_id);
        claims.extend(seed.claim);
    }
    let shape = TableShape::of(mapping, store.tables_schema());
    // A holder may itself wait for what another record holds, and so on: the whole circle must be in the call.
    while let (Some(holders), false) = (shape.holders(), batch.is_full()) {
        claims.retain(|claim| batch.followed.insert(claim.clone()));
        if claims.is_empty() {
            break;
        }
        let found: Vec<(String, String, DateTime<Utc>)> =
            sqlx::query_as(holders).bind(&claims).fetch_all(store.pool()).await?;
        let mut new: Vec<String> = found.into_iter().map(|(_, id, _)| id).collect();
        let claimants = sqlx::query_scalar!(
            "select record_id from shadow_sync.dirty
              where object = $1 and claim = any($2) order by record_id limit $3",
            object,
            &claims,
            limit,
        )
        .fetch_all(store.pool())
        .await?;
        new.extend(claimants);
        new.retain(|id| batch.add(id.clone()));
        claims = sqlx::query_scalar!(
            r#"select claim as "claim!" from shadow_sync.dirty
                where object = $1 and record_id = any($2) and claim is not null"#,
            object,
            &new,
        )
        .fetch_all(store.pool())
        .await?;
    }
    batch.ids.iter().map(|id| RecordId::parse(id).map_err(|_| corrupt("record id", id))).collect()
}

/// Records of one call, each once.
#[derive(Default)]
struct Batch {
    ids: Vec<String>,
    known: HashSet<String>,
    /// Values whose claimants and holder are in the batch.
    followed: HashSet<String>,
    room: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.ids.len() >= self.room
    }

    /// Adds a record if it is new and there is room.
    fn add(&mut self, id: String) -> bool {
        let new = !self.is_full() && self.known.insert(id.clone());
        if new {
            self.ids.push(id);
        }
        new
    }
}

/// Dirty records of an object, by id.
pub async fn list(store: &Store, object: &ObjectName, limit: i64) -> Result<Vec<DirtyRecord>, Error> {
    let rows = sqlx::query!(
        "select record_id, reason, claim, since, attempts from shadow_sync.dirty
          where object = $1 order by record_id limit $2",
        object.as_str(),
        limit,
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(DirtyRecord {
                id: RecordId::parse(&row.record_id).map_err(|_| corrupt("record id", &row.record_id))?,
                reason: row.reason,
                claim: row.claim,
                since: row.since,
                attempts: row.attempts,
            })
        })
        .collect()
}

/// How many records of an object are dirty.
pub async fn count(store: &Store, object: &ObjectName) -> Result<i64, Error> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from shadow_sync.dirty where object = $1"#,
        object.as_str()
    )
    .fetch_one(store.pool())
    .await?;
    Ok(count)
}

/// Marks records in the transaction that found them dirty. A record in doubt again is fetched 5 s later, then
/// twice as late each time, up to 60 s (design 5.2).
pub(crate) async fn mark(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    as_of: i64,
    records: &[(RecordId, DirtyReason)],
) -> Result<(), Error> {
    let ids: Vec<&str> = records.iter().map(|(id, _)| id.as_str()).collect();
    let reasons: Vec<&str> = records
        .iter()
        .map(|(_, reason)| match reason {
            DirtyReason::Claim(_) => "claim",
            DirtyReason::Doubt => "doubt",
        })
        .collect();
    let claims: Vec<Option<&str>> = records
        .iter()
        .map(|(_, reason)| match reason {
            DirtyReason::Claim(claim) => Some(claim.as_str()),
            DirtyReason::Doubt => None,
        })
        .collect();
    sqlx::query!(
        "insert into shadow_sync.dirty as mark (object, record_id, reason, claim, as_of)
         select $1, new.id, new.reason, new.claim, $5
           from unnest($2::text[], $3::text[], $4::text[]) as new (id, reason, claim)
         on conflict (object, record_id) do update
            set reason = excluded.reason, claim = coalesce(excluded.claim, mark.claim),
                as_of = greatest(mark.as_of, excluded.as_of), attempts = mark.attempts + 1,
                not_before = case when excluded.reason = 'doubt'
                    then now() + least(60, 5 * power(2, least(mark.attempts, 4))) * interval '1 second'
                    else mark.not_before end",
        object.as_str(),
        &ids as &[&str],
        &reasons as &[&str],
        &claims as &[Option<&str>],
        as_of,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Clears the marks of records that a fetch settled.
pub(crate) async fn clear(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    ids: &[RecordId],
) -> Result<(), Error> {
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    sqlx::query!(
        "delete from shadow_sync.dirty where object = $1 and record_id = any($2::text[])",
        object.as_str(),
        &ids as &[&str],
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Those of some ids that are dirty.
pub(crate) async fn among(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    ids: &[RecordId],
) -> Result<Vec<RecordId>, Error> {
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    let dirty = sqlx::query_scalar!(
        "select record_id from shadow_sync.dirty where object = $1 and record_id = any($2::text[])",
        object.as_str(),
        &ids as &[&str],
    )
    .fetch_all(&mut **tx)
    .await?;
    dirty.iter().map(|id| RecordId::parse(id).map_err(|_| corrupt("record id", id))).collect()
}

/// Lets records be fetched again only after a while: 5 s, then twice as late each time, up to 60 s.
pub(crate) async fn postpone(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    ids: &[RecordId],
) -> Result<(), Error> {
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    sqlx::query!(
        "update shadow_sync.dirty
            set attempts = attempts + 1,
                not_before = now() + least(60, 5 * power(2, least(attempts, 4))) * interval '1 second'
          where object = $1 and record_id = any($2::text[])",
        object.as_str(),
        &ids as &[&str],
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
