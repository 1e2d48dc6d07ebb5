//! The audit log: who did what, when, with what result.

use crate::engine::Engine;
use crate::problem::Answer;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// One act.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct AuditView {
    /// When.
    pub at: DateTime<Utc>,
    /// Who: the signed-in user, or the operating system's user where nobody is signed in.
    pub who: String,
    /// From where: `console`, `command line`, `daemon`.
    pub host: String,
    /// What, as a stable word: `backfill.start`, `sign-in`, `environment.add`, …
    pub act: String,
    /// What, in a sentence.
    pub sentence: String,
    /// `done`, `failed`, `cancelled`.
    pub result: String,
    /// How long it took, in milliseconds, where it took time.
    pub took_ms: Option<u32>,
}

/// The latest acts in the open environment, newest first.
pub async fn list(engine: &Engine, limit: u32) -> Answer<Vec<AuditView>> {
    let store = engine.environment()?.store().await?;
    let entries = store::audit::list(&store, None, i64::from(limit)).await?;
    Ok(entries
        .into_iter()
        .map(|entry| AuditView {
            at: entry.at,
            who: entry.who,
            host: entry.host,
            act: entry.act,
            sentence: entry.sentence,
            result: entry.result,
            took_ms: entry.took_ms.and_then(|took| u32::try_from(took).ok()),
        })
        .collect())
}
