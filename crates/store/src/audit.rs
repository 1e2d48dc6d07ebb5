//! The audit log: who did what, when, with what result.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use crate::error::Error;
use crate::session::Store;

/// An act to be recorded.
#[derive(Debug, Clone, Copy)]
pub struct Act<'a> {
    /// Who: the signed-in user, or the operating system's.
    pub who: &'a str,
    /// From where: `console`, `command line`, `daemon`.
    pub host: &'a str,
    /// What, as a stable word: `backfill.start`.
    pub act: &'a str,
    /// What, in a sentence.
    pub sentence: &'a str,
    /// `done`, `failed`, `cancelled`.
    pub result: &'a str,
    /// How long it took, in milliseconds, where it took time.
    pub took_ms: Option<i64>,
}

/// A recorded act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number.
    pub id: i64,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
    /// Who.
    pub who: String,
    /// From where.
    pub host: String,
    /// What, as a stable word.
    pub act: String,
    /// What, in a sentence.
    pub sentence: String,
    /// With what result.
    pub result: String,
    /// How long it took, in milliseconds.
    pub took_ms: Option<i64>,
}

/// Records an act.
pub async fn record(store: &Store, act: Act<'_>) -> Result<(), Error> {
    write(store.pool(), act).await
}

/// Records an act in the caller's transaction.
pub(crate) async fn write(executor: impl PgExecutor<'_>, act: Act<'_>) -> Result<(), Error> {
    sqlx::query!(
        "insert into shadow_sync.audit (who, host, act, sentence, result, took_ms)
         values ($1, $2, $3, $4, $5, $6)",
        act.who,
        act.host,
        act.act,
        act.sentence,
        act.result,
        act.took_ms,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// The latest acts, newest first, since a time if given.
pub async fn list(store: &Store, since: Option<DateTime<Utc>>, limit: i64) -> Result<Vec<AuditEntry>, Error> {
    let entries = sqlx::query_as!(
        AuditEntry,
        "select id, at, who, host, act, sentence, result, took_ms
           from shadow_sync.audit
          where $1::timestamptz is null or at >= $1
          order by id desc
          limit $2",
        since,
        limit,
    )
    .fetch_all(store.pool())
    .await?;
    Ok(entries)
}
