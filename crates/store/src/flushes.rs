//! What people flushed: what, how far, with what result.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::error::Error;
use crate::session::Store;

/// A flush of cache keys by a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Flush {
    /// Its number.
    pub id: i64,
    /// What kind of scope: `all`, `catalog`, `eligibility`, `sku`, `account`, `pattern`.
    pub kind: String,
    /// The scope in words.
    pub scope: String,
    /// `running`, `done`, `stopped` or `failed`. One whose process is gone is still running here: see `is_lost`.
    pub state: String,
    /// Keys looked at.
    pub seen: i64,
    /// Keys deleted.
    pub deleted: i64,
    /// Who started it.
    pub started_by: String,
    /// When.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// What went wrong, in the engine's words.
    pub problem: Option<Value>,
    /// Whether it runs and its process was not heard for 30 s.
    pub is_lost: bool,
}

/// Notes that a flush begins. Returns its number.
pub async fn begin(store: &Store, kind: &str, scope: &str, who: &str, host: &str) -> Result<i64, Error> {
    let id = sqlx::query_scalar!(
        "insert into shadow_sync.flushes (kind, scope, started_by, host) values ($1, $2, $3, $4) returning id",
        kind,
        scope,
        who,
        host,
    )
    .fetch_one(store.pool())
    .await?;
    Ok(id)
}

/// Notes how far a flush is. Returns whether somebody asked it to stop.
pub async fn beat(store: &Store, id: i64, seen: i64, deleted: i64) -> Result<bool, Error> {
    let stop = sqlx::query_scalar!(
        "update shadow_sync.flushes set seen = $2, deleted = $3, beat_at = clock_timestamp() where id = $1
         returning stop_requested",
        id,
        seen,
        deleted,
    )
    .fetch_optional(store.pool())
    .await?;
    Ok(stop.unwrap_or(false))
}

/// Notes how a flush ended.
pub async fn end(
    store: &Store,
    id: i64,
    state: &str,
    seen: i64,
    deleted: i64,
    problem: Option<&Value>,
) -> Result<(), Error> {
    sqlx::query!(
        "update shadow_sync.flushes
            set state = $2, seen = $3, deleted = $4, problem = $5, ended_at = clock_timestamp(),
                beat_at = clock_timestamp()
          where id = $1",
        id,
        state,
        seen,
        deleted,
        problem,
    )
    .execute(store.pool())
    .await?;
    Ok(())
}

/// Asks a running flush to stop, whichever process runs it. Returns whether there is such a one.
pub async fn request_stop(store: &Store, id: i64) -> Result<bool, Error> {
    let asked = sqlx::query!(
        "update shadow_sync.flushes set stop_requested = true where id = $1 and state = 'running'",
        id
    )
    .execute(store.pool())
    .await?
    .rows_affected();
    Ok(asked == 1)
}

/// The latest flushes, newest first; only the one given, if one is.
pub async fn list(store: &Store, only: Option<i64>, limit: i64) -> Result<Vec<Flush>, Error> {
    let flushes = sqlx::query_as!(
        Flush,
        r#"select id, kind, scope, state, seen, deleted, started_by, started_at, ended_at, problem,
                  state = 'running' and beat_at < clock_timestamp() - interval '30 seconds' as "is_lost!"
             from shadow_sync.flushes where $1::bigint is null or id = $1 order by id desc limit $2"#,
        only,
        limit,
    )
    .fetch_all(store.pool())
    .await?;
    Ok(flushes)
}
