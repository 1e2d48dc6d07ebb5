//! Fields that the sync user may no longer see: they keep their last values, and are marked as frozen.

use chrono::{DateTime, Utc};
use serde_json::Value;
use shadow::ObjectName;

use crate::error::{Error, corrupt};
use crate::session::Store;

/// A field that keeps its last value.
#[derive(Debug, Clone, PartialEq)]
pub struct FrozenField {
    /// The object.
    pub object: ObjectName,
    /// The field's API name.
    pub field: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// More about why, in the engine's words.
    pub detail: Option<Value>,
}

/// Every frozen field, by object and name.
pub async fn list(store: &Store) -> Result<Vec<FrozenField>, Error> {
    let rows = sqlx::query!(
        "select object, field, since, detail from shadow_sync.frozen_fields order by object, field"
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(FrozenField {
                object: ObjectName::parse(&row.object).map_err(|_| corrupt("object", &row.object))?,
                field: row.field,
                since: row.since,
                detail: row.detail,
            })
        })
        .collect()
}

/// Sets which fields of an object are frozen: new ones are since now, others thaw. Returns the names of those that
/// thawed: they are to be read on the side.
pub async fn set(store: &Store, object: &ObjectName, fields: &[&str]) -> Result<Vec<String>, Error> {
    let thawed = sqlx::query_scalar!(
        "with frozen as (
             insert into shadow_sync.frozen_fields (object, field) select $1, unnest($2::text[])
             on conflict do nothing)
         delete from shadow_sync.frozen_fields
          where object = $1 and field <> all($2::text[])
         returning field",
        object.as_str(),
        fields as &[&str],
    )
    .fetch_all(store.pool())
    .await?;
    Ok(thawed)
}
