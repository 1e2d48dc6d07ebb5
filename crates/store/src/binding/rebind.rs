//! Taking over a refreshed sandbox, and changing the sync user: what a database is bound to changes only here.

use shadow::{Mapping, ObjectName, OrgId, UserId};
use sqlx::{AssertSqlSafe, PgTransaction};

use super::Binding;
use crate::audit::{self, Act};
use crate::error::{Error, corrupt};
use crate::holes::{self, HoleNeeds, HoleWhy, NewHole};
use crate::session::Store;
use crate::tables::shape::TableShape;

/// A table that a rebind empties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emptied {
    /// Its name, as it stands in the database.
    pub table: String,
    /// Its rows.
    pub rows: i64,
}

/// Our own tables that hold what is of the org. What stays: settings, the audit log, our API calls by the hour, and
/// the end of the change log, so that no position is used twice.
const STATE: [&str; 22] = [
    "change_log",
    "event_outcomes",
    "checkpoints",
    "channel_members",
    "outages",
    "holes",
    "dead_letters",
    "dirty",
    "dirty_parents",
    "tombstones",
    "rejects",
    "frozen_fields",
    "jobs",
    "job_pages",
    "job_seen",
    "job_fetch",
    "job_removals",
    "counts",
    "lag_samples",
    "flow_samples",
    "quota_samples",
    "schedules",
];

/// What [`rebind`] would empty: shadow tables first, with their rows.
pub async fn plan(store: &Store, mappings: &[Mapping]) -> Result<Vec<Emptied>, Error> {
    let mut plan = Vec::new();
    for table in shadow_tables(store, mappings).into_iter().chain(state_tables()) {
        let count = AssertSqlSafe(format!("select count(*) from {table}"));
        let rows = sqlx::query_scalar(count).fetch_one(store.pool()).await?;
        plan.push(Emptied { table, rows });
    }
    Ok(plan)
}

fn shadow_tables(store: &Store, mappings: &[Mapping]) -> Vec<String> {
    mappings.iter().map(|mapping| TableShape::of(mapping, store.tables_schema()).table().to_owned()).collect()
}

fn state_tables() -> impl Iterator<Item = String> {
    STATE.into_iter().map(|table| format!("shadow_sync.{table}"))
}

/// Empties the shadow tables and all that we know of the org before, and binds the database to another org, in one
/// commit. Whoever works on the database loses its lease first.
///
/// - `mappings`: all of them.
/// - Every object's caches are ordered to be flushed whole.
/// - **Errors:** [`Error::OtherOrg`] if the org before is a simulated one and the new one is not, or the reverse: a
///   database keeps its demo mark for good. [`Error::Contention`] if a writer does not end in time.
pub async fn rebind(
    store: &Store,
    mappings: &[Mapping],
    binding: &Binding,
    act: Act<'_>,
) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    let bound = lock(&mut tx).await?;
    if let Some((bound, is_simulated)) = bound
        && is_simulated != binding.is_simulated
    {
        return Err(Error::OtherOrg { bound, found: binding.org_id });
    }
    let tables: Vec<String> = shadow_tables(store, mappings).into_iter().chain(state_tables()).collect();
    let truncate = format!("truncate {}", tables.join(", "));
    sqlx::raw_sql(AssertSqlSafe(truncate)).execute(&mut *tx).await?;
    sqlx::query!(
        "update shadow_sync.objects
            set state = case when state = 'paused' then state else 'pending' end,
                resume_state = case when state = 'paused' then 'pending' end,
                state_since = now(), problem = null, ready_at = null, loaded_at = null, loaded_shape = null,
                watermark = null, compared_at = null, formula_refreshed_at = null,
                loaded_fields = null, side_end = null"
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "insert into shadow_sync.invalidations (object, ids, whole)
         select object, '{}', true from shadow_sync.objects"
    )
    .execute(&mut *tx)
    .await?;
    write(&mut tx, binding).await?;
    audit::write(&mut *tx, act).await?;
    Ok(tx.commit().await?)
}

/// Binds the database to another sync user of the same org. Nothing is emptied; a hole of every object that was
/// loaded says that only a backfill shows what this user sees.
///
/// - **Errors:** [`Error::OtherOrg`] if the org is another one.
pub async fn rebind_user(store: &Store, binding: &Binding, act: Act<'_>) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    if let Some((bound, _)) = lock(&mut tx).await?
        && bound != binding.org_id
    {
        return Err(Error::OtherOrg { bound, found: binding.org_id });
    }
    let loaded = sqlx::query!(
        r#"select object, clock_timestamp() as "now!" from shadow_sync.objects where loaded_at is not null"#
    )
    .fetch_all(&mut *tx)
    .await?;
    let detail = serde_json::json!({ "user": binding.user_name });
    for row in loaded {
        let object = ObjectName::parse(&row.object).map_err(|_| corrupt("object", &row.object))?;
        let hole = NewHole::new(&object, HoleWhy::Permission).until(Some(row.now)).with(detail.clone());
        holes::open_in(&mut tx, &[NewHole { needs: HoleNeeds::Backfill, ..hole }]).await?;
    }
    sqlx::query!("update shadow_sync.channel_members set permitted_at = null").execute(&mut *tx).await?;
    write(&mut tx, binding).await?;
    audit::write(&mut *tx, act).await?;
    Ok(tx.commit().await?)
}

/// Takes every lease away, which waits for writers at work, and holds the binding still. Returns the org that is
/// bound, and whether it is a simulated one.
async fn lock(tx: &mut PgTransaction<'_>) -> Result<Option<(OrgId, bool)>, Error> {
    sqlx::query!("delete from shadow_sync.leases").execute(&mut **tx).await?;
    let bound = sqlx::query!("select org_id, is_simulated from shadow_sync.binding for update")
        .fetch_optional(&mut **tx)
        .await?;
    bound
        .map(|bound| {
            let org = OrgId::parse(&bound.org_id).map_err(|_| corrupt("org id", &bound.org_id))?;
            Ok((org, bound.is_simulated))
        })
        .transpose()
}

async fn write(tx: &mut PgTransaction<'_>, binding: &Binding) -> Result<(), Error> {
    let (org, user): (&OrgId, &UserId) = (&binding.org_id, &binding.user_id);
    sqlx::query!(
        "insert into shadow_sync.binding (org_id, org_name, user_id, user_name, is_simulated)
         values ($1, $2, $3, $4, $5)
         on conflict (only_row) do update
            set org_id = excluded.org_id, org_name = excluded.org_name, user_id = excluded.user_id,
                user_name = excluded.user_name, is_simulated = excluded.is_simulated, bound_at = now()",
        org.as_str(),
        binding.org_name,
        user.as_str(),
        binding.user_name,
        binding.is_simulated,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The fields that a table's rows show, by one of them, in order; none where it is empty. They are what the sync user
/// saw.
pub async fn stored_fields(store: &Store, mapping: &Mapping) -> Result<Vec<String>, Error> {
    let shape = TableShape::of(mapping, store.tables_schema());
    let query = format!(
        "select field from (select raw_payload from {} limit 1) as one, jsonb_object_keys(raw_payload) as field
          order by field",
        shape.table()
    );
    Ok(sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(store.pool()).await?)
}
