//! The one org and the one sync user of a database.

use chrono::{DateTime, Utc};
use shadow::{OrgId, UserId};

use crate::error::{Error, corrupt};
use crate::session::Store;

mod rebind;

pub use rebind::{Emptied, plan, rebind, rebind_user, stored_fields};

/// Whose copy a database holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The org.
    pub org_id: OrgId,
    /// Its name, for people.
    pub org_name: String,
    /// The user whose eyes the copy has.
    pub user_id: UserId,
    /// That user's name, for people.
    pub user_name: String,
    /// Whether the org is a simulated one: then the database is marked as a demo, for good.
    pub is_simulated: bool,
}

/// The binding, once there is one, and since when.
pub async fn get(store: &Store) -> Result<Option<(Binding, DateTime<Utc>)>, Error> {
    let row = sqlx::query!(
        "select org_id, org_name, user_id, user_name, is_simulated, bound_at from shadow_sync.binding"
    )
    .fetch_optional(store.pool())
    .await?;
    row.map(|row| {
        let binding = Binding {
            org_id: OrgId::parse(&row.org_id).map_err(|_| corrupt("org id", &row.org_id))?,
            org_name: row.org_name,
            user_id: UserId::parse(&row.user_id).map_err(|_| corrupt("user id", &row.user_id))?,
            user_name: row.user_name,
            is_simulated: row.is_simulated,
        };
        Ok((binding, row.bound_at))
    })
    .transpose()
}

/// Binds the database at its first load; later only checks.
///
/// - **Errors:** [`Error::OtherOrg`] before anything else, [`Error::OtherUser`]; then nothing was written. Names
///   of the same org and user are brought up to date.
pub async fn bind(store: &Store, binding: &Binding) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    sqlx::query!(
        "insert into shadow_sync.binding (org_id, org_name, user_id, user_name, is_simulated)
         values ($1, $2, $3, $4, $5)
         on conflict (only_row) do nothing",
        binding.org_id.as_str(),
        binding.org_name,
        binding.user_id.as_str(),
        binding.user_name,
        binding.is_simulated,
    )
    .execute(&mut *tx)
    .await?;
    let bound = sqlx::query!("select org_id, user_id, user_name from shadow_sync.binding for update")
        .fetch_one(&mut *tx)
        .await?;
    if bound.org_id != binding.org_id.as_str() {
        let bound = OrgId::parse(&bound.org_id).map_err(|_| corrupt("org id", &bound.org_id))?;
        return Err(Error::OtherOrg { bound, found: binding.org_id });
    }
    if bound.user_id != binding.user_id.as_str() {
        return Err(Error::OtherUser { bound: bound.user_name, found: binding.user_name.clone() });
    }
    sqlx::query!(
        "update shadow_sync.binding set org_name = $1, user_name = $2
          where (org_name, user_name) is distinct from ($1, $2)",
        binding.org_name,
        binding.user_name,
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}
