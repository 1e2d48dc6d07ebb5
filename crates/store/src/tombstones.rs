//! Tombstones: the marks left where records were deleted, so that nothing older brings them back.

use chrono::{DateTime, Utc};
use shadow::value::Moment;
use shadow::{ObjectName, ReadMark, RecordId};
use sqlx::PgTransaction;

use crate::error::Error;
use crate::session::Store;

/// How many tombstones an object has.
pub async fn count(store: &Store, object: &ObjectName) -> Result<i64, Error> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from shadow_sync.tombstones where object = $1"#,
        object.as_str()
    )
    .fetch_one(store.pool())
    .await?;
    Ok(count)
}

/// Leaves tombstones of records that a read found gone. A proven one stays proven.
pub(crate) async fn put(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    ids: &[RecordId],
    mark: ReadMark,
    read_end: Option<DateTime<Utc>>,
    presumed: bool,
) -> Result<(), Error> {
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    sqlx::query!(
        "insert into shadow_sync.tombstones as old (object, record_id, as_of, read_no, read_end, presumed)
         select $1, id, $3, $4, $5, $6 from unnest($2::text[]) as id
         on conflict (object, record_id) do update
            set as_of = excluded.as_of, read_no = excluded.read_no, read_end = excluded.read_end,
                presumed = old.presumed and excluded.presumed
          where (old.as_of, old.read_no) < (excluded.as_of, excluded.read_no)",
        object.as_str(),
        &ids as &[&str],
        mark.as_of,
        mark.read_no,
        read_end,
        presumed,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A record that an event said was deleted: its id, the event's position, and when it was committed.
pub(crate) type DeletedByEvent = (RecordId, i64, Moment);

/// Leaves tombstones of records that events said were deleted.
pub(crate) async fn put_by_events(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    deleted: &[DeletedByEvent],
) -> Result<(), Error> {
    let ids: Vec<&str> = deleted.iter().map(|(id, ..)| id.as_str()).collect();
    let as_of: Vec<i64> = deleted.iter().map(|(_, as_of, _)| *as_of).collect();
    let committed: Vec<Option<DateTime<Utc>>> = deleted.iter().map(|(.., at)| at.to_utc()).collect();
    sqlx::query!(
        "insert into shadow_sync.tombstones as old (object, record_id, as_of, read_no, committed_at, presumed)
         select $1, new.id, new.as_of, 0, new.committed_at, false
           from unnest($2::text[], $3::bigint[], $4::timestamptz[]) as new (id, as_of, committed_at)
         on conflict (object, record_id) do update
            set as_of = excluded.as_of, read_no = excluded.read_no, read_end = null,
                committed_at = excluded.committed_at, presumed = false
          where old.as_of < excluded.as_of",
        object.as_str(),
        &ids as &[&str],
        &as_of,
        &committed as &[Option<DateTime<Utc>>],
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Lifts tombstones of records that a later read saw alive.
pub(crate) async fn lift(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    ids: &[RecordId],
) -> Result<(), Error> {
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    sqlx::query!(
        "delete from shadow_sync.tombstones where object = $1 and record_id = any($2::text[])",
        object.as_str(),
        &ids as &[&str],
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
