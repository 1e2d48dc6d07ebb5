//! Tombstones: the marks left where records were deleted, so that nothing older brings them back.

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

/// Leaves tombstones. A proven one stays proven.
pub(crate) async fn put(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    ids: &[RecordId],
    mark: ReadMark,
    presumed: bool,
) -> Result<(), Error> {
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    sqlx::query!(
        "insert into shadow_sync.tombstones as old (object, record_id, as_of, read_no, presumed)
         select $1, id, $3, $4, $5 from unnest($2::text[]) as id
         on conflict (object, record_id) do update
            set as_of = excluded.as_of, read_no = excluded.read_no, presumed = old.presumed and excluded.presumed
          where (old.as_of, old.read_no) < (excluded.as_of, excluded.read_no)",
        object.as_str(),
        &ids as &[&str],
        mark.as_of,
        mark.read_no,
        presumed,
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
