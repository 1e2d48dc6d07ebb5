//! Roll-out flags.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The flags there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "kebab-case")]
pub enum FlagName {
    /// Whether readers are served from the shadow.
    ShadowReads,
    /// Whether stored events are applied. Receiving and storing go on without, so that nothing expires.
    EventConsumer,
}

/// One flag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct FlagView {
    /// Which.
    pub name: FlagName,
    /// Whether it is on in this process.
    pub is_on: bool,
    /// What it does, and what its present value means.
    pub explanation: String,
    /// The variable that overrides the database in this process, if one does.
    pub overridden_by: Option<String>,
    /// Who set it last.
    pub set_by: Option<String>,
    /// When it was last set.
    pub set_at: Option<DateTime<Utc>>,
}
