//! What is stored of a chunk's records, read under the table's lock.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use shadow::plan::{
    Current, Holder, Roles, StoredReject, StoredRow, StoredTombstone, claims_at_stake, parents_named,
};
use shadow::value::Moment;
use shadow::version::StoredVersion;
use shadow::{ObjectName, PreparedChunk, RecordId, ResolvedMapping};
use sqlx::PgTransaction;

use crate::dirty;
use crate::error::{Error, corrupt};
use crate::objects::Locked;
use crate::tables::shape::TableShape;

type StateRow =
    (String, i64, DateTime<Utc>, i64, Vec<u8>, DateTime<Utc>, Option<String>, DateTime<Utc>, bool);

/// Reads what the plan of a chunk depends on.
pub(crate) async fn load(
    tx: &mut PgTransaction<'_>,
    schema: &str,
    mapping: &ResolvedMapping,
    chunk: &PreparedChunk,
    locked: Locked,
) -> Result<Current, Error> {
    let shape = TableShape::of(&mapping.mapping, schema);
    let ids: Vec<&str> = chunk.records.iter().map(|record| record.id.as_str()).collect();
    let mut current = Current { confirmed: locked.confirmed, sided: locked.sided, ..Current::default() };
    let rows: Vec<StateRow> = sqlx::query_as(shape.state()).bind(&ids).fetch_all(&mut **tx).await?;
    current.rows.reserve(rows.len());
    for (id, as_of, stamp, read_no, hash, created, claim, read_end, is_active) in rows {
        let version = version(as_of, stamp, read_no, read_end, &hash)?;
        let row = StoredRow { version, created_date: created.into(), is_active, claim };
        current.rows.insert(parse(&id)?, row);
    }
    if locked.has_rejects {
        current.rejects = rejects(tx, mapping.object(), Some(&ids), None).await?;
    }
    if locked.has_tombstones {
        current.tombstones = tombstones(tx, mapping.object(), &ids).await?;
    }
    if locked.has_dirty {
        current.marks = dirty::marks(tx, mapping.object(), &ids).await?;
    }
    load_around(tx, schema, mapping, chunk, locked.has_rejects, &mut current).await?;
    Ok(current)
}

/// Reads what a plan depends on besides its records: who holds and who waits for the unique values at stake, and which
/// parents are there.
pub(crate) async fn load_around(
    tx: &mut PgTransaction<'_>,
    schema: &str,
    mapping: &ResolvedMapping,
    chunk: &PreparedChunk,
    has_rejects: bool,
    current: &mut Current,
) -> Result<(), Error> {
    let roles = Roles::of(&mapping.mapping);
    let shape = TableShape::of(&mapping.mapping, schema);
    let claims: Vec<String> = claims_at_stake(roles, chunk, current).into_iter().map(str::to_owned).collect();
    if let (Some(holders), false) = (shape.holders(), claims.is_empty()) {
        let found: Vec<(String, String, DateTime<Utc>)> =
            sqlx::query_as(holders).bind(&claims).fetch_all(&mut **tx).await?;
        for (claim, id, created) in found {
            current.holders.insert(claim, Holder { id: parse(&id)?, created_date: created.into() });
        }
        if has_rejects {
            let waiting = rejects(tx, mapping.object(), None, Some(&claims)).await?;
            current.rejects.extend(waiting);
        }
    }
    let parents = parents_named(roles, chunk);
    if let (Some(parent), false) = (&mapping.parent, parents.is_empty()) {
        let ids: Vec<&str> = parents.iter().map(RecordId::as_str).collect();
        let present = TableShape::of(parent, schema).present();
        let found: Vec<String> = sqlx::query_scalar(present).bind(&ids).fetch_all(&mut **tx).await?;
        current.parents = found.iter().map(|id| parse(id)).collect::<Result<_, _>>()?;
    }
    Ok(())
}

pub(crate) fn parse(id: &str) -> Result<RecordId, Error> {
    RecordId::parse(id).map_err(|_| corrupt("record id", id))
}

pub(crate) fn version(
    as_of: i64,
    stamp: DateTime<Utc>,
    read_no: i64,
    read_end: DateTime<Utc>,
    hash: &[u8],
) -> Result<StoredVersion, Error> {
    let hash = hash.try_into().map_err(|_| corrupt("row hash", hash.len()))?;
    Ok(StoredVersion {
        as_of,
        system_modstamp_ms: Moment::from(stamp).0,
        read_no,
        read_end: read_end.into(),
        hash,
    })
}

/// Rejected records with some ids, or waiting for some values.
async fn rejects(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    ids: Option<&[&str]>,
    claims: Option<&[String]>,
) -> Result<HashMap<RecordId, StoredReject>, Error> {
    let rows = sqlx::query_as!(
        RejectRow,
        r#"select record_id, as_of, system_modstamp, read_no, read_end, row_hash, created_date, detail, claim,
                  coalesce(raw_payload ->> 'IsActive', 'true') <> 'false' as "is_active!", null::text as payload
           from shadow_sync.rejects
          where object = $1 and (record_id = any($2::text[]) or claim = any($3::text[]))"#,
        object.as_str(),
        ids.unwrap_or_default() as &[&str],
        claims.unwrap_or_default(),
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(|row| row.read().map(|(id, reject, _)| (id, reject))).collect()
}

/// A rejected record as it is stored.
pub(crate) struct RejectRow {
    pub record_id: String,
    pub as_of: i64,
    pub system_modstamp: DateTime<Utc>,
    pub read_no: i64,
    pub read_end: DateTime<Utc>,
    pub row_hash: Vec<u8>,
    pub created_date: DateTime<Utc>,
    pub detail: serde_json::Value,
    pub claim: Option<String>,
    pub is_active: bool,
    /// Where it is asked for.
    pub payload: Option<String>,
}

impl RejectRow {
    /// As the plan takes it, with its payload.
    pub(crate) fn read(self) -> Result<(RecordId, StoredReject, Option<String>), Error> {
        let reject = StoredReject {
            version: version(self.as_of, self.system_modstamp, self.read_no, self.read_end, &self.row_hash)?,
            created_date: self.created_date.into(),
            is_active: self.is_active,
            reason: serde_json::from_value(self.detail).map_err(|error| corrupt("reason", error))?,
            claim: self.claim,
        };
        Ok((parse(&self.record_id)?, reject, self.payload))
    }
}

pub(crate) async fn tombstones(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    ids: &[&str],
) -> Result<HashMap<RecordId, StoredTombstone>, Error> {
    let rows = sqlx::query!(
        "select record_id, as_of, read_no, presumed from shadow_sync.tombstones
          where object = $1 and record_id = any($2::text[])",
        object.as_str(),
        ids as &[&str],
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            let tombstone =
                StoredTombstone { as_of: row.as_of, read_no: row.read_no, presumed: row.presumed };
            Ok((parse(&row.record_id)?, tombstone))
        })
        .collect()
}
