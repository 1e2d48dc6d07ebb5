//! The audit log: who did what, when, with what result.

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
