//! What the server is, and whether we can work with it.

use crate::error::Error;
use crate::session::Store;

/// The oldest and newest major versions that we know to work.
const SUPPORTED: std::ops::RangeInclusive<i32> = 14..=18;

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// `18.4`.
    pub version: String,
    /// Name of the database.
    pub database: String,
    /// The role that we act as.
    pub role: String,
    /// Whether a commit waits for the disk. Without it a power failure may lose committed rows.
    pub fsync: bool,
}

impl Store {
    /// Asks the server what it is.
    ///
    /// - **Errors:** [`Error::UnsupportedServer`] outside 14 to 18, [`Error::ReadOnly`] for a standby.
    pub async fn server_facts(&self) -> Result<ServerFacts, Error> {
        let row = sqlx::query!(
            r#"select current_setting('server_version_num')::int / 10000 as "major!",
                      split_part(current_setting('server_version'), ' ', 1) as "version!",
                      current_database()::text as "database!",
                      current_user::text as "role!",
                      current_setting('fsync')::bool as "fsync!",
                      (pg_is_in_recovery() or current_setting('transaction_read_only')::bool) as "read_only!""#
        )
        .fetch_one(self.pool())
        .await?;
        if !SUPPORTED.contains(&row.major) {
            return Err(Error::UnsupportedServer { found: row.version });
        }
        if row.read_only {
            return Err(Error::ReadOnly);
        }
        Ok(ServerFacts { version: row.version, database: row.database, role: row.role, fsync: row.fsync })
    }
}
