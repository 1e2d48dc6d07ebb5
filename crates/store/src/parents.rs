//! Parents whose children must be read again, because what these show of them changes without stamp or event.

use chrono::{DateTime, Utc};
use shadow::plan::{ApplyPlan, Current};
use shadow::{Mapping, ObjectName, PreparedChunk, RecordId, derived};
use sqlx::PgTransaction;

use crate::error::{Error, corrupt};
use crate::merge::apply::Writer;
use crate::session::Store;

/// A parent whose children must be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirtyParent {
    /// The children's field that names it.
    pub field: String,
    /// Its id.
    pub id: RecordId,
    /// Only a read that begins at or after this position settles it.
    pub as_of: i64,
    /// When the change that marked it was committed, in Salesforce's time; none if a read found it.
    pub committed_at: Option<DateTime<Utc>>,
}

/// Up to `limit` parents whose children may be read now, the oldest marks first.
///
/// - `object`: the children's.
pub async fn next(store: &Store, object: &ObjectName, limit: i64) -> Result<Vec<DirtyParent>, Error> {
    let rows = sqlx::query!(
        "select parent_field, parent_id, as_of, committed_at from shadow_sync.dirty_parents
          where object = $1 and not_before <= clock_timestamp()
          order by since, parent_id limit $2",
        object.as_str(),
        limit,
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(DirtyParent {
                field: row.parent_field,
                id: RecordId::parse(&row.parent_id).map_err(|_| corrupt("record id", &row.parent_id))?,
                as_of: row.as_of,
                committed_at: row.committed_at,
            })
        })
        .collect()
}

/// How many parents' children of an object must be read again.
pub async fn count(store: &Store, object: &ObjectName) -> Result<i64, Error> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from shadow_sync.dirty_parents where object = $1"#,
        object.as_str()
    )
    .fetch_one(store.pool())
    .await?;
    Ok(count)
}

/// Clears marks in the commit that merged the last of the children, but for those that were raised meanwhile: they
/// are read once more, a little later.
pub(crate) async fn settle(
    tx: &mut PgTransaction<'_>,
    object: &ObjectName,
    parents: &[DirtyParent],
    as_of: i64,
) -> Result<(), Error> {
    let fields: Vec<&str> = parents.iter().map(|parent| parent.field.as_str()).collect();
    let ids: Vec<&str> = parents.iter().map(|parent| parent.id.as_str()).collect();
    sqlx::query!(
        "with settled as (
             delete from shadow_sync.dirty_parents as mark
              using unnest($2::text[], $3::text[]) as parent (field, id)
              where mark.object = $1 and mark.parent_field = parent.field and mark.parent_id = parent.id
                and mark.as_of <= $4
             returning mark.parent_field, mark.parent_id)
         update shadow_sync.dirty_parents as mark
            set attempts = attempts + 1,
                not_before = now() + least(60, 5 * power(2, least(attempts, 4))) * interval '1 second'
           from unnest($2::text[], $3::text[]) as parent (field, id)
          where mark.object = $1 and mark.parent_field = parent.field and mark.parent_id = parent.id
            and not exists (select from settled s where s.parent_field = parent.field and s.parent_id = parent.id)",
        object.as_str(),
        &fields as &[&str],
        &ids as &[&str],
        as_of,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Marks parents, or raises their marks; says whether there are any.
async fn mark(
    tx: &mut PgTransaction<'_>,
    child: &Mapping,
    ids: &[RecordId],
    as_of: i64,
    committed_at: Option<DateTime<Utc>>,
) -> Result<bool, Error> {
    let (Some(field), false) = (child.parent_field(), ids.is_empty()) else { return Ok(false) };
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    sqlx::query!(
        "insert into shadow_sync.dirty_parents as mark (object, parent_field, parent_id, as_of, committed_at)
         select distinct $1, $2, id, $4::bigint, $5::timestamptz from unnest($3::text[]) as id
         on conflict (object, parent_field, parent_id) do update
            set as_of = greatest(mark.as_of, excluded.as_of),
                committed_at = coalesce(mark.committed_at, excluded.committed_at)",
        child.object.as_str(),
        field,
        &ids as &[&str],
        as_of,
        committed_at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(true)
}

/// What a commit changes of records that others show or follow.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// Records of which their children show something else now, or that went or came back.
    pub parents: Vec<RecordId>,
    /// Records whose value others of the same parent may follow.
    pub followed: Vec<RecordId>,
}

impl Shown {
    /// What a read changes, before it is written.
    pub(crate) async fn by_read(
        writer: &mut Writer<'_, '_>,
        mapping: &Mapping,
        chunk: &PreparedChunk,
        plan: &ApplyPlan,
        current: &Current,
    ) -> Result<Self, Error> {
        let mut shown = Self::default();
        let record = |place: &usize| &chunk.records[*place];
        let fields = writer.fields_that_children_show();
        if !fields.is_empty() {
            let rewritten = plan.updates.iter().chain(plan.rejects.iter().map(|(place, _)| place));
            let rows: Vec<usize> = rewritten
                .clone()
                .filter(|place| current.rows.contains_key(&record(place).id))
                .copied()
                .collect();
            shown.parents = writer.showing_other(chunk, &rows, &fields).await?;
            // What a rejected record showed before is not looked up: if it changed at all, its children are read.
            let changed = |place: &&usize| {
                let reject = current.rejects.get(&record(place).id);
                reject.is_some_and(|reject| reject.version.hash != record(place).hash)
            };
            let back = |place: &&usize| current.tombstones.contains_key(&record(place).id);
            let came = plan.inserts.iter().chain(plan.rejects.iter().map(|(place, _)| place));
            let came = came.filter(|place| changed(place) || back(place));
            shown.parents.extend(came.chain(&plan.deleted).map(|place| record(place).id));
        }
        if let Some(shared) = derived::shared_value(&mapping.object) {
            shown.followed = writer.showing_other(chunk, &plan.updates, &[shared.value]).await?;
        }
        Ok(shown)
    }

    /// Marks the parents whose children must be read again; says whether there are any.
    ///
    /// - `as_of`: a read of the children that begins at or after it is late enough.
    pub(crate) async fn mark(
        &self,
        writer: &mut Writer<'_, '_>,
        mapping: &Mapping,
        as_of: i64,
        committed_at: Option<DateTime<Utc>>,
    ) -> Result<bool, Error> {
        let mut any = false;
        for child in writer.children_that_show() {
            any |= mark(writer.tx(), child, &self.parents, as_of, committed_at).await?;
        }
        let parents = writer.parents_of_followed(&self.followed).await?;
        Ok(mark(writer.tx(), mapping, &parents, as_of, committed_at).await? || any)
    }
}
