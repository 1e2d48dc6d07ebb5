//! Our schema: how far it is migrated, and migrating it.

use std::sync::LazyLock;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AssertSqlSafe, Connection};

use crate::error::Error;
use crate::session::{Store, search_path};
use crate::tables::quote::ident;

/// Every migration, to be recorded in our own schema and not among other services' tables.
pub static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!("../../migrations");
    migrator.create_schema("shadow_sync");
    migrator.dangerous_set_table_name("shadow_sync.migrations");
    migrator
});

/// How the database's schema compares to this program's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaState {
    /// As this program knows it.
    Current,
    /// These migrations are to be run; all of them if the database is new.
    Behind {
        /// Their names, oldest first.
        pending: Vec<String>,
    },
    /// A newer program has migrated it: this one must not touch it.
    Ahead {
        /// The database's newest migration.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
}

impl Store {
    /// How far the schema is migrated. Changes nothing.
    pub async fn schema_state(&self) -> Result<SchemaState, Error> {
        let applied = self.applied_migrations().await?;
        let known = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
        if let Some(found) = applied.iter().copied().max().filter(|found| *found > known) {
            return Ok(SchemaState::Ahead { found, known });
        }
        let pending: Vec<String> = MIGRATOR
            .iter()
            .filter(|migration| !applied.contains(&migration.version))
            .map(|migration| format!("{} {}", migration.version, migration.description))
            .collect();
        Ok(if pending.is_empty() { SchemaState::Current } else { SchemaState::Behind { pending } })
    }

    /// Refuses a schema that is behind or ahead.
    pub async fn require_current_schema(&self) -> Result<(), Error> {
        match self.schema_state().await? {
            SchemaState::Current => Ok(()),
            SchemaState::Behind { pending } => Err(Error::SchemaBehind { pending }),
            SchemaState::Ahead { found, known } => Err(Error::SchemaAhead { found, known }),
        }
    }

    /// Runs what is pending; returns the names of what was run.
    ///
    /// - **Errors:** [`Error::SchemaAhead`], [`Error::Migration`] (then the failed migration left nothing behind),
    ///   [`Error::PermissionDenied`], [`Error::ReadOnly`].
    pub async fn migrate(&self) -> Result<Vec<String>, Error> {
        let pending = match self.schema_state().await? {
            SchemaState::Current => return Ok(Vec::new()),
            SchemaState::Ahead { found, known } => return Err(Error::SchemaAhead { found, known }),
            SchemaState::Behind { pending } => pending,
        };
        let mut connection = self.own_connection().await?;
        // Migrations wait for other sessions' locks as long as it takes: they run once.
        sqlx::raw_sql("set lock_timeout = 0").execute(&mut connection).await?;
        if self.options().tables_schema.is_some() {
            let create = format!("create schema if not exists {}", ident(self.tables_schema()));
            sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await?;
        }
        sqlx::raw_sql(AssertSqlSafe(search_path(self.tables_schema()))).execute(&mut connection).await?;
        // By hand, because `Migrator::run` over a connection of ours makes a future that cannot be sent between threads.
        MIGRATOR.run_direct(None, &mut connection, false).await.map_err(migration_error)?;
        connection.close().await?;
        Ok(pending)
    }

    async fn applied_migrations(&self) -> Result<Vec<i64>, Error> {
        let exists =
            sqlx::query_scalar!(r#"select to_regclass('shadow_sync.migrations') is not null as "exists!""#)
                .fetch_one(self.pool())
                .await?;
        if !exists {
            return Ok(Vec::new());
        }
        // The migrator makes this table, so that no migration of ours describes it to the build.
        let versions =
            sqlx::query_scalar::<_, i64>("select version from shadow_sync.migrations where success");
        Ok(versions.fetch_all(self.pool()).await?)
    }
}

fn migration_error(error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
            match Error::from(source) {
                Error::Unexpected { source, .. } | Error::Data { source, .. } => {
                    Error::Migration(source.to_string())
                }
                other => other,
            }
        }
        other => Error::Migration(other.to_string()),
    }
}
