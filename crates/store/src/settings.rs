//! Named settings of a database, as JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, corrupt};
use crate::session::Store;

/// A setting's value; `None` if it was never set.
pub async fn get<T: DeserializeOwned>(store: &Store, name: &str) -> Result<Option<T>, Error> {
    let value = sqlx::query_scalar!("select value from shadow_sync.settings where name = $1", name)
        .fetch_optional(store.pool())
        .await?;
    value
        .map(|value| {
            serde_json::from_value(value).map_err(|error| corrupt("setting", format!("{name}: {error}")))
        })
        .transpose()
}

/// Sets a setting.
pub async fn set<T: Serialize>(store: &Store, name: &str, value: &T) -> Result<(), Error> {
    let value = serde_json::to_value(value).map_err(|error| corrupt("setting", error))?;
    sqlx::query!(
        "insert into shadow_sync.settings (name, value) values ($1, $2)
         on conflict (name) do update set value = excluded.value, updated_at = now()",
        name,
        value,
    )
    .execute(store.pool())
    .await?;
    Ok(())
}
