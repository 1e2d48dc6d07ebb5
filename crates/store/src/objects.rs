//! The mapped objects: where each stands, whether it is ready, and the lock of who writes its table.

use chrono::{DateTime, Utc};
use shadow::mapping::HeldFields;
use shadow::version::Sided;
use shadow::{Mapping, ObjectName, ObjectState, ResolvedMapping};
use sqlx::PgTransaction;

use crate::error::{Error, corrupt};
use crate::leases::{self, LeaseKey};
use crate::session::Store;

/// Where an object stands.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectRow {
    /// The object.
    pub object: ObjectName,
    /// Its shadow table.
    pub table: String,
    /// Where it stands.
    pub state: ObjectState,
    /// Since when.
    pub state_since: DateTime<Utc>,
    /// What is wrong with it, in the engine's words.
    pub problem: Option<serde_json::Value>,
    /// When its first backfill was complete and counted; not ready before.
    pub ready_at: Option<DateTime<Utc>>,
    /// Salesforce's time at the end of its last whole load.
    pub loaded_at: Option<DateTime<Utc>>,
    /// The shape of its rows at that load ([`shadow::ResolvedMapping::shape`]).
    pub loaded_shape: Option<String>,
    /// Salesforce's time up to which catch-up has read every change.
    pub watermark: Option<DateTime<Utc>>,
    /// Salesforce's time at which its ids were last compared.
    pub compared_at: Option<DateTime<Utc>>,
    /// Salesforce's time at which the columns that no event carries were last read.
    pub formula_refreshed_at: Option<DateTime<Utc>>,
}

/// Makes sure that every mapping has its row.
pub async fn register(store: &Store, mappings: &[Mapping]) -> Result<(), Error> {
    for mapping in mappings {
        sqlx::query!(
            "insert into shadow_sync.objects (object, table_name) values ($1, $2)
             on conflict (object) do update set table_name = excluded.table_name
              where objects.table_name <> excluded.table_name",
            mapping.object.as_str(),
            mapping.table,
        )
        .execute(store.pool())
        .await?;
    }
    Ok(())
}

/// All objects, by name.
pub async fn list(store: &Store) -> Result<Vec<ObjectRow>, Error> {
    let rows = sqlx::query!(
        "select object, table_name, state, state_since, problem, ready_at, loaded_at, loaded_shape, watermark,
                compared_at, formula_refreshed_at
           from shadow_sync.objects order by object"
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ObjectRow {
                object: ObjectName::parse(&row.object).map_err(|_| corrupt("object", &row.object))?,
                table: row.table_name,
                state: ObjectState::parse(&row.state).ok_or_else(|| corrupt("object state", &row.state))?,
                state_since: row.state_since,
                problem: row.problem,
                ready_at: row.ready_at,
                loaded_at: row.loaded_at,
                loaded_shape: row.loaded_shape,
                watermark: row.watermark,
                compared_at: row.compared_at,
                formula_refreshed_at: row.formula_refreshed_at,
            })
        })
        .collect()
}

/// One object.
pub async fn get(store: &Store, object: &ObjectName) -> Result<ObjectRow, Error> {
    let found = list(store).await?.into_iter().find(|row| row.object == *object);
    found.ok_or_else(|| Error::UnknownObject(object.clone()))
}

/// Moves an object to a state, with what is wrong with it if anything is. A paused object stays paused and
/// remembers the state for later.
pub async fn set_state(
    store: &Store,
    object: &ObjectName,
    state: ObjectState,
    problem: Option<&serde_json::Value>,
) -> Result<(), Error> {
    sqlx::query!(
        "update shadow_sync.objects
            set state = case when state = 'paused' then state else $2 end,
                resume_state = case when state = 'paused' then $2 else null end,
                state_since = case when state in ('paused', $2) then state_since else now() end,
                problem = $3
          where object = $1",
        object.as_str(),
        state.as_str(),
        problem,
    )
    .execute(store.pool())
    .await?;
    Ok(())
}

/// Pauses an object; it keeps in mind what to go back to. Returns whether that changed anything.
pub async fn pause(store: &Store, object: &ObjectName) -> Result<bool, Error> {
    let changed = sqlx::query!(
        "update shadow_sync.objects set resume_state = state, state = 'paused', state_since = now()
          where object = $1 and state <> 'paused'",
        object.as_str(),
    )
    .execute(store.pool())
    .await?
    .rows_affected();
    Ok(changed == 1)
}

/// Lifts a pause. Returns whether that changed anything.
pub async fn resume(store: &Store, object: &ObjectName) -> Result<bool, Error> {
    let changed = sqlx::query!(
        "update shadow_sync.objects
            set state = coalesce(resume_state, 'pending'), resume_state = null, state_since = now()
          where object = $1 and state = 'paused'",
        object.as_str(),
    )
    .execute(store.pool())
    .await?
    .rows_affected();
    Ok(changed == 1)
}

/// Records the end of a whole load: the object is live, and loaded with this mapping up to this time.
pub async fn loaded(store: &Store, mapping: &ResolvedMapping, read_end: DateTime<Utc>) -> Result<(), Error> {
    let held = as_json(&mapping.held())?;
    sqlx::query!(
        "update shadow_sync.objects
            set loaded_at = $2, loaded_shape = $3, loaded_fields = $4, problem = null,
                state = case when state = 'paused' then state else 'live' end,
                resume_state = case when state = 'paused' then 'live' else null end,
                state_since = case when state in ('paused', 'live') then state_since else now() end
          where object = $1",
        mapping.object().as_str(),
        read_end,
        mapping.shape(),
        held,
    )
    .execute(store.pool())
    .await?;
    Ok(())
}

/// What the rows of an object hold since they were last read; none if it was never loaded, or before that was kept.
pub async fn held_fields(store: &Store, object: &ObjectName) -> Result<Option<HeldFields>, Error> {
    let kept = sqlx::query_scalar!(
        "select loaded_fields from shadow_sync.objects where object = $1",
        object.as_str()
    )
    .fetch_optional(store.pool())
    .await?
    .ok_or_else(|| Error::UnknownObject(object.clone()))?;
    kept.map(serde_json::from_value).transpose().map_err(|error| corrupt("fields of rows", error))
}

/// Records that a side read brought what a mapping gained since the rows were written.
pub async fn filled(store: &Store, lease: &LeaseKey, mapping: &ResolvedMapping) -> Result<(), Error> {
    let held = as_json(&mapping.held())?;
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    sqlx::query!(
        "update shadow_sync.objects set loaded_shape = $2, loaded_fields = $3 where object = $1",
        mapping.object().as_str(),
        mapping.shape(),
        held,
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Keeps what the rows of an object hold that was loaded before this was kept, if they are of this mapping's shape.
pub async fn keep_held(store: &Store, mapping: &ResolvedMapping) -> Result<(), Error> {
    sqlx::query!(
        "update shadow_sync.objects set loaded_fields = $3
          where object = $1 and loaded_shape = $2 and loaded_fields is null",
        mapping.object().as_str(),
        mapping.shape(),
        as_json(&mapping.held())?,
    )
    .execute(store.pool())
    .await?;
    Ok(())
}

fn as_json(held: &HeldFields) -> Result<serde_json::Value, Error> {
    serde_json::to_value(held).map_err(|error| corrupt("fields of rows", error))
}

/// Marks an object ready, once: its first load is complete and was counted.
pub async fn ready(store: &Store, object: &ObjectName) -> Result<(), Error> {
    sqlx::query!(
        "update shadow_sync.objects set ready_at = now() where object = $1 and ready_at is null",
        object.as_str()
    )
    .execute(store.pool())
    .await?;
    Ok(())
}

/// Notes that the columns that no event carries were read, in Salesforce's time.
pub async fn formulas_refreshed(
    store: &Store,
    lease: &LeaseKey,
    object: &ObjectName,
    at: DateTime<Utc>,
) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    sqlx::query!(
        "update shadow_sync.objects set formula_refreshed_at = greatest(formula_refreshed_at, $2) where object = $1",
        object.as_str(),
        at,
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Notes in the commit that ends a job that an object's ids were compared, in Salesforce's time.
pub(crate) async fn compared(
    tx: &mut PgTransaction<'_>,
    object: &str,
    at: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "update shadow_sync.objects set compared_at = greatest(compared_at, $2) where object = $1",
        object,
        at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What a writer learns with the lock on an object's table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Locked {
    /// The latest request that found a record equal to its row.
    pub confirmed: i64,
    /// The last side read.
    pub sided: Sided,
    /// Whether any rejected record exists: what does not exist need not be asked for.
    pub has_rejects: bool,
    /// Whether any tombstone exists.
    pub has_tombstones: bool,
    /// Whether any dirty mark exists.
    pub has_dirty: bool,
    /// The transaction's time.
    pub now: DateTime<Utc>,
}

/// Locks an object's table for writing until the transaction ends: writers of one table queue here.
///
/// Who writes a child's table locks the parent for reading first, then the child. So nobody writes a child while
/// its parent's writer is at work, no two writers wait for each other, and no cascade meets a row that another
/// transaction is writing.
pub(crate) async fn lock(tx: &mut PgTransaction<'_>, object: &ObjectName) -> Result<Locked, Error> {
    let row = sqlx::query!(
        "select confirmed_read_no, side_read_no, side_end from shadow_sync.objects where object = $1 for update",
        object.as_str()
    )
    .fetch_optional(&mut **tx)
    .await?
    .ok_or_else(|| Error::UnknownObject(object.clone()))?;
    // Asked in a statement of its own: one that waited for the lock would see what was there before the wait.
    let facts = sqlx::query!(
        r#"select exists (select from shadow_sync.rejects where object = $1) as "has_rejects!",
                  exists (select from shadow_sync.tombstones where object = $1) as "has_tombstones!",
                  exists (select from shadow_sync.dirty where object = $1) as "has_dirty!",
                  now() as "now!""#,
        object.as_str(),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(Locked {
        confirmed: row.confirmed_read_no,
        sided: Sided { read_no: row.side_read_no, end: row.side_end.map(Into::into) },
        has_rejects: facts.has_rejects,
        has_tombstones: facts.has_tombstones,
        has_dirty: facts.has_dirty,
        now: facts.now,
    })
}

/// Keeps an object's table as it is until the transaction ends; others may do the same meanwhile.
pub(crate) async fn lock_for_reading(tx: &mut PgTransaction<'_>, object: &ObjectName) -> Result<(), Error> {
    sqlx::query!(
        r#"select 1 as "one!" from shadow_sync.objects where object = $1 for share"#,
        object.as_str()
    )
    .fetch_optional(&mut **tx)
    .await?
    .map(drop)
    .ok_or_else(|| Error::UnknownObject(object.clone()))
}

/// Notes the latest request that found a record equal to its row.
pub(crate) async fn confirm(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    read_no: i64,
) -> Result<(), Error> {
    sqlx::query!(
        "update shadow_sync.objects set confirmed_read_no = $2 where object = $1 and confirmed_read_no < $2",
        object.as_str(),
        read_no,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes the last side read of an object's table: its request, and its end in Salesforce's time.
pub(crate) async fn sided(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    read_no: i64,
    end: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "update shadow_sync.objects set side_read_no = $2, side_end = $3 where object = $1 and side_read_no < $2",
        object.as_str(),
        read_no,
        end,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
