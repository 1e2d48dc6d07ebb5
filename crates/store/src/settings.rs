//! Named settings of a database, as JSON.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, corrupt};
use crate::session::Store;

/// A setting's value; `None` if it was never set.
pub async fn get<T: DeserializeOwned>(store: &Store, name: &str) -> Result<Option<T>, Error> {
    Ok(get_with_time(store, name).await?.map(|(value, _)| value))
}

/// A setting's value, and when it was set; `None` if it was never set.
pub async fn get_with_time<T: DeserializeOwned>(
    store: &Store,
    name: &str,
) -> Result<Option<(T, DateTime<Utc>)>, Error> {
    let row = sqlx::query!("select value, updated_at from shadow_sync.settings where name = $1", name)
        .fetch_optional(store.pool())
        .await?;
    row.map(|row| match serde_json::from_value(row.value) {
        Ok(value) => Ok((value, row.updated_at)),
        Err(error) => Err(corrupt("setting", format!("{name}: {error}"))),
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
