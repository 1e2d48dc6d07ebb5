//! Which fields of an object were selected when it was described last, so that one that goes out of sight is noticed.

use shadow::{
    HoleWhy, Mapping, ObjectInfo, ObjectName, OrgFacts, ResolvedMapping, SelectedField, Unmappable,
};

use crate::error::Error;
use crate::holes::{self, NewHole};
use crate::session::Store;
use crate::{frozen_fields, settings};

/// A mapping held against what the sync user sees now, and what that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The mapping.
    pub mapping: ResolvedMapping,
    /// Fields that were frozen and can be seen again. A hole is open until they were read on the side.
    pub thawed: Vec<String>,
}

/// The fields of an object as they were selected last; none if it was never described.
pub async fn known(store: &Store, object: &ObjectName) -> Result<Vec<SelectedField>, Error> {
    Ok(settings::get(store, &setting(object)).await?.unwrap_or_default())
}

/// Resolves a mapping as the sync user's eyes see its object. Fields that these saw before and see no longer are frozen:
/// records keep their last values, and [`frozen_fields`] lists them. One that can be seen again opens a hole, which a
/// side read closes.
///
/// - **Errors:** those of the database; inside, what the mapping lacks in this org, and then nothing is noted.
pub async fn resolve(
    store: &Store,
    mapping: &Mapping,
    all: &[Mapping],
    info: &ObjectInfo,
    org: &OrgFacts,
) -> Result<Result<Resolved, Unmappable>, Error> {
    let setting = setting(&mapping.object);
    let former: Vec<SelectedField> = settings::get(store, &setting).await?.unwrap_or_default();
    let resolved = match shadow::resolve_keeping(mapping, all, info, org, &former) {
        Ok(resolved) => resolved,
        Err(unmappable) => return Ok(Err(unmappable)),
    };
    if resolved.fields == former {
        return Ok(Ok(Resolved { mapping: resolved, thawed: Vec::new() }));
    }
    let frozen: Vec<&str> = resolved.frozen_names().collect();
    let is_seen = |name: &str| resolved.field_names().any(|field| field == name);
    let thawed: Vec<String> = former
        .iter()
        .filter(|field| field.is_frozen && is_seen(&field.name))
        .map(|field| field.name.clone())
        .collect();
    if !thawed.is_empty() {
        open_hole(store, &mapping.object, &thawed).await?;
    }
    frozen_fields::set(store, &mapping.object, &frozen).await?;
    settings::set(store, &setting, &resolved.fields).await?;
    Ok(Ok(Resolved { mapping: resolved, thawed }))
}

/// What changed while a field was out of sight is not known, and no stamp tells: it must be read once of every record.
async fn open_hole(store: &Store, object: &ObjectName, thawed: &[String]) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    let span = sqlx::query!(
        r#"select min(since) as since, now() as "now!" from shadow_sync.frozen_fields
            where object = $1 and field = any($2)"#,
        object.as_str(),
        thawed,
    )
    .fetch_one(&mut *tx)
    .await?;
    // An open hole is widened: what it waits for is waited for still.
    let mut fields = holes::thawed_in(&mut tx, object).await?;
    fields.extend(thawed.iter().filter(|field| !fields.contains(field)).cloned().collect::<Vec<_>>());
    let hole = NewHole::new(object, HoleWhy::Permission)
        .from(span.since.or(Some(span.now)))
        .until(Some(span.now))
        .with(serde_json::json!({ "fields": fields }))
        .needing_backfill();
    holes::open_in(&mut tx, &[hole]).await?;
    Ok(tx.commit().await?)
}

fn setting(object: &ObjectName) -> String {
    format!("selected-fields.{object}")
}
