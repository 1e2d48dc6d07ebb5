//! What runs by itself at times: when it last ran, with what result, and when it runs next.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::error::Error;
use crate::leases::{self, LeaseKey};
use crate::session::Store;

/// A schedule's state.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Its name: `catch-up`, `formulas`, `retention`.
    pub name: String,
    /// When it last ran.
    pub last_run: Option<DateTime<Utc>>,
    /// How long that took, in milliseconds.
    pub last_took_ms: Option<i64>,
    /// `done`, `failed`, `skipped`.
    pub last_result: Option<String>,
    /// What it did, in the engine's words.
    pub last_detail: Option<Value>,
    /// When it runs next.
    pub next_run: Option<DateTime<Utc>>,
}

/// Every schedule, by name.
pub async fn list(store: &Store) -> Result<Vec<Schedule>, Error> {
    let schedules = sqlx::query_as!(
        Schedule,
        "select name, last_run, last_took_ms, last_result, last_detail, next_run
           from shadow_sync.schedules order by name"
    )
    .fetch_all(store.pool())
    .await?;
    Ok(schedules)
}

/// Sets when something runs next.
pub async fn set_next(store: &Store, name: &str, next_run: DateTime<Utc>) -> Result<(), Error> {
    sqlx::query!(
        "insert into shadow_sync.schedules (name, next_run) values ($1, $2)
         on conflict (name) do update set next_run = excluded.next_run",
        name,
        next_run,
    )
    .execute(store.pool())
    .await?;
    Ok(())
}

/// A run that ended.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// When it began.
    pub at: DateTime<Utc>,
    /// How long it took, in milliseconds.
    pub took_ms: i64,
    /// `done`, `failed`, `skipped`.
    pub result: &'a str,
    /// What it did, in the engine's words.
    pub detail: Option<&'a Value>,
    /// When it runs next.
    pub next_run: DateTime<Utc>,
}

/// Notes a run and when the next one is, while the lease is held.
pub async fn ran(store: &Store, lease: &LeaseKey, name: &str, run: Run<'_>) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    sqlx::query!(
        "insert into shadow_sync.schedules (name, last_run, last_took_ms, last_result, last_detail, next_run)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (name) do update
            set last_run = excluded.last_run, last_took_ms = excluded.last_took_ms,
                last_result = excluded.last_result, last_detail = excluded.last_detail,
                next_run = excluded.next_run",
        name,
        run.at,
        run.took_ms,
        run.result,
        run.detail,
        run.next_run,
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}
