//! Which fields of an object were selected when it was described last, so that one that goes out of sight is noticed.

use shadow::{Mapping, ObjectInfo, ObjectName, OrgFacts, ResolvedMapping, SelectedField, Unmappable};

use crate::error::Error;
use crate::session::Store;
use crate::{frozen_fields, settings};

/// A mapping held against what the sync user sees now, and what that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The mapping.
    pub mapping: ResolvedMapping,
    /// Fields that were frozen and can be seen again: their columns must be read.
    pub thawed: Vec<String>,
}

/// Resolves a mapping as the sync user's eyes see its object. Fields that these saw before and see no longer are frozen:
/// records keep their last values, and [`frozen_fields`] lists them.
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
    let thawed = frozen_fields::set(store, &mapping.object, &frozen).await?;
    settings::set(store, &setting, &resolved.fields).await?;
    Ok(Ok(Resolved { mapping: resolved, thawed }))
}

fn setting(object: &ObjectName) -> String {
    format!("selected-fields.{object}")
}
