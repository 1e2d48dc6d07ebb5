//! Rejected records: what cannot be stored, whole and with its reason.

use chrono::{DateTime, Utc};
use shadow::mapping::ColumnMapping;
use shadow::plan::{DirtyReason, Roles};
use shadow::prepare::OwnMark;
use shadow::{Mapping, ObjectName, PreparedChunk, Reason, RecordId};
use sqlx::PgTransaction;

use crate::dirty;
use crate::error::{Error, corrupt};
use crate::merge::apply::Writer;
use crate::objects;
use crate::session::Store;
use crate::tables::copy::RowMark;

/// A rejected record.
#[derive(Debug, Clone, PartialEq)]
pub struct Reject {
    /// The object.
    pub object: ObjectName,
    /// Its id.
    pub id: RecordId,
    /// Why it cannot be stored.
    pub reason: Reason,
    /// The unique value that it waits for, if that is the reason.
    pub claim: Option<String>,
    /// What its `Name` field says, where it has one.
    pub name: Option<String>,
    /// Since when, by the database's clock.
    pub since: DateTime<Utc>,
    /// When it was last looked at.
    pub tried_at: DateTime<Utc>,
}

/// Rejected records by object and id: up to `limit` behind the record `after`.
pub async fn list(
    store: &Store,
    object: Option<&ObjectName>,
    after: Option<RecordId>,
    limit: i64,
) -> Result<Vec<Reject>, Error> {
    let rows = sqlx::query!(
        r#"select object, record_id, detail, claim, raw_payload ->> 'Name' as name, since, tried_at
             from shadow_sync.rejects
            where ($1::text is null or object = $1)
              and ($2::text is null
                   or (object, record_id) > (
                        coalesce((select object from shadow_sync.rejects where record_id = $2 limit 1), $1, ''),
                        $2 collate "C"))
            order by object, record_id
            limit $3"#,
        object.map(ObjectName::as_str),
        after.map(|id| id.to_string()),
        limit,
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Reject {
                object: ObjectName::parse(&row.object).map_err(|_| corrupt("object", &row.object))?,
                id: RecordId::parse(&row.record_id).map_err(|_| corrupt("record id", &row.record_id))?,
                reason: serde_json::from_value(row.detail).map_err(|error| corrupt("reason", error))?,
                claim: row.claim,
                name: row.name,
                since: row.since,
                tried_at: row.tried_at,
            })
        })
        .collect()
}

/// How many records of an object share a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReasonCount {
    /// The object.
    pub object: ObjectName,
    /// The reason's stable word ([`Reason::code`]).
    pub code: String,
    /// How many.
    pub records: i64,
}

/// How many records are rejected for what, of one object if given.
pub async fn count_by_reason(store: &Store, object: Option<&ObjectName>) -> Result<Vec<ReasonCount>, Error> {
    let rows = sqlx::query!(
        r#"select object, reason, count(*) as "records!" from shadow_sync.rejects
            where $1::text is null or object = $1
            group by object, reason order by object, reason"#,
        object.map(ObjectName::as_str),
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ReasonCount {
                object: ObjectName::parse(&row.object).map_err(|_| corrupt("object", &row.object))?,
                code: row.reason,
                records: row.records,
            })
        })
        .collect()
}

/// Lets in, of all rejected records, those whose cause is gone: their product is there, or their SKU is free.
/// Returns how many entered. Asks the database only; merges do the same for what they touch, so that this finds
/// something only after a change of the mapping or a fault.
///
/// - `mappings`: all of them; parents are seen to before their children.
/// - `by_a_person`: then the records count as looked at now.
pub async fn sweep(store: &Store, mappings: &[Mapping], by_a_person: bool) -> Result<u64, Error> {
    let mut entered = 0;
    let roots = mappings.iter().filter(|mapping| mapping.parent.is_none());
    let children = mappings.iter().filter(|mapping| mapping.parent.is_some());
    for mapping in roots.chain(children) {
        while let more @ 1.. = sweep_some(store, mappings, mapping).await? {
            entered += more;
        }
    }
    if by_a_person {
        sqlx::query!("update shadow_sync.rejects set tried_at = now()").execute(store.pool()).await?;
    }
    Ok(entered)
}

/// How many records one commit of a sweep lets in.
const SWEEP_AT_ONCE: i64 = 5_000;

async fn sweep_some(store: &Store, mappings: &[Mapping], mapping: &Mapping) -> Result<u64, Error> {
    let mut tx = store.begin().await?;
    let parent = mapping.parent.as_ref().map(|parent| &parent.object);
    if let Some(parent) = parent {
        objects::lock_for_reading(&mut tx, parent).await?;
    }
    if !objects::lock(&mut tx, &mapping.object).await?.has_rejects {
        return Ok(0);
    }
    let children: Vec<&Mapping> = mappings
        .iter()
        .filter(|other| other.parent.as_ref().is_some_and(|parent| parent.object == mapping.object))
        .collect();
    let parent = parent.and_then(|parent| mappings.iter().find(|other| other.object == *parent));
    let mut writer = Writer::new(&mut tx, store.tables_schema(), mapping, parent, children);
    let mut cured = writer.find_cured(parent, SWEEP_AT_ONCE).await?;
    cured.sort_unstable();
    cured.dedup();
    let entered = writer.enter(&cured).await?;
    let doubtful = writer.find_senior(parent, SWEEP_AT_ONCE).await?;
    writer.note_changes().await?;
    if !doubtful.is_empty() {
        dirty::mark(&mut tx, &mapping.object, 0, dirty::Source::Sweep, &doubtful).await?;
    }
    tx.commit().await?;
    store.ordered();
    Ok(entered)
}

/// Who of a claim's rejects and its holder must be fetched together.
pub(crate) fn both_dirty(rows: Vec<(String, String, String)>) -> Result<Vec<(RecordId, DirtyReason)>, Error> {
    let mut records = Vec::new();
    for (reject, claim, holder) in rows {
        for id in [reject, holder] {
            let id = RecordId::parse(&id).map_err(|_| corrupt("record id", id))?;
            records.push((id, DirtyReason::Claim(claim.clone())));
        }
    }
    records.sort_by_key(|(id, _)| *id);
    records.dedup_by_key(|(id, _)| *id);
    Ok(records)
}

/// Keeps records of a chunk with the reason why they cannot be stored.
pub(crate) async fn keep(
    tx: &mut PgTransaction<'_>,
    mapping: &Mapping,
    chunk: &PreparedChunk,
    mark: &RowMark,
    rejects: &[(usize, Reason)],
) -> Result<(), Error> {
    let unique = Roles::of(mapping).unique;
    let record = |place: usize| &chunk.records[place];
    let marks: Vec<OwnMark> = rejects.iter().map(|(place, _)| mark.of(record(*place))).collect();
    let as_of: Vec<i64> = marks.iter().map(|own| own.as_of).collect();
    let read_no: Vec<i64> = marks.iter().map(|own| own.read_no).collect();
    let read_end: Vec<Option<DateTime<Utc>>> = marks.iter().map(|own| own.read_end.to_utc()).collect();
    let ids: Vec<&str> = rejects.iter().map(|(place, _)| record(*place).id.as_str()).collect();
    let reasons: Vec<&str> = rejects.iter().map(|(_, reason)| reason.code()).collect();
    let details: Vec<serde_json::Value> =
        rejects.iter().map(|(_, reason)| serde_json::json!(reason)).collect();
    let claims: Vec<Option<&str>> = rejects
        .iter()
        .map(|(place, reason)| match reason {
            Reason::SkuTaken { .. } => unique.and_then(|column| chunk.column(record(*place), column)),
            _ => None,
        })
        .collect();
    let parents: Vec<Option<&str>> = rejects
        .iter()
        .map(|(_, reason)| match reason {
            Reason::MissingProduct { product } => product.as_ref().map(RecordId::as_str),
            _ => None,
        })
        .collect();
    let columns: Vec<serde_json::Value> =
        rejects.iter().map(|(place, _)| columns_as_json(mapping, chunk, *place)).collect();
    let payloads: Vec<&str> = rejects
        .iter()
        .map(|(place, _)| std::str::from_utf8(chunk.payload(record(*place))).unwrap_or("null"))
        .collect();
    let stamps: Vec<Option<DateTime<Utc>>> =
        rejects.iter().map(|(place, _)| record(*place).system_modstamp.to_utc()).collect();
    let created: Vec<Option<DateTime<Utc>>> =
        rejects.iter().map(|(place, _)| record(*place).created_date.to_utc()).collect();
    let hashes: Vec<&[u8]> = rejects.iter().map(|(place, _)| &record(*place).hash[..]).collect();
    sqlx::query!(
        "insert into shadow_sync.rejects as old
             (object, record_id, reason, detail, claim, parent_id, columns, raw_payload, as_of, system_modstamp,
              created_date, read_no, read_end, row_hash)
         select $1, new.id, new.reason, new.detail, new.claim, new.parent, new.columns, new.payload::jsonb, new.as_of,
                new.stamp, new.created, new.read_no, new.read_end, new.hash
           from unnest($2::bigint[], $3::bigint[], $4::timestamptz[], $5::text[], $6::text[], $7::jsonb[], $8::text[],
                       $9::text[], $10::jsonb[], $11::text[], $12::timestamptz[], $13::timestamptz[], $14::bytea[])
                as new (as_of, read_no, read_end, id, reason, detail, claim, parent, columns, payload, stamp, created,
                        hash)
         on conflict (object, record_id) do update
            set reason = excluded.reason, detail = excluded.detail, claim = excluded.claim,
                parent_id = excluded.parent_id, columns = excluded.columns, raw_payload = excluded.raw_payload,
                as_of = excluded.as_of, system_modstamp = excluded.system_modstamp,
                created_date = excluded.created_date, read_no = excluded.read_no, read_end = excluded.read_end,
                row_hash = excluded.row_hash, tried_at = now(),
                since = case when old.reason = excluded.reason then old.since else now() end",
        mapping.object.as_str(),
        &as_of,
        &read_no,
        &read_end as &[Option<DateTime<Utc>>],
        &ids as &[&str],
        &reasons as &[&str],
        &details,
        &claims as &[Option<&str>],
        &parents as &[Option<&str>],
        &columns,
        &payloads as &[&str],
        &stamps as &[Option<DateTime<Utc>>],
        &created as &[Option<DateTime<Utc>>],
        &hashes as &[&[u8]],
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The columns of a record as a JSON object of texts, from which the record can enter.
fn columns_as_json(mapping: &Mapping, chunk: &PreparedChunk, place: usize) -> serde_json::Value {
    let record = &chunk.records[place];
    let member = |(index, column): (usize, &ColumnMapping)| {
        (column.name.clone(), serde_json::json!(chunk.column(record, index)))
    };
    serde_json::Value::Object(mapping.columns.iter().enumerate().map(member).collect())
}

/// Notes that what some rejected records wait for has another holder now.
pub(crate) async fn retell(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    retold: &[(RecordId, Reason)],
) -> Result<(), Error> {
    let ids: Vec<&str> = retold.iter().map(|(id, _)| id.as_str()).collect();
    let details: Vec<serde_json::Value> =
        retold.iter().map(|(_, reason)| serde_json::json!(reason)).collect();
    sqlx::query!(
        "update shadow_sync.rejects as old set detail = new.detail
           from unnest($2::text[], $3::jsonb[]) as new (id, detail)
          where old.object = $1 and old.record_id = new.id",
        object.as_str(),
        &ids as &[&str],
        &details,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets rejected records that entered or are gone.
pub(crate) async fn forget(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    ids: &[RecordId],
) -> Result<u64, Error> {
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    let gone = sqlx::query!(
        "delete from shadow_sync.rejects where object = $1 and record_id = any($2::text[])",
        object.as_str(),
        &ids as &[&str],
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    Ok(gone)
}
