//! Where an object stands on its way to a verified copy.

use serde::{Deserialize, Serialize};

/// Where an object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum ObjectState {
    /// Never loaded.
    Pending,
    /// Its first backfill runs, or waits to be resumed.
    Backfilling,
    /// Its pages are merged; what happened meanwhile is being read.
    CatchingUp,
    /// Its table is complete and kept up.
    Live,
    /// A person stopped it.
    Paused,
    /// It stopped with a problem that a person must mend.
    Failed,
}

impl ObjectState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Backfilling, Self::CatchingUp, Self::Live, Self::Paused, Self::Failed];

    /// The stable word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Backfilling => "backfilling",
            Self::CatchingUp => "catching-up",
            Self::Live => "live",
            Self::Paused => "paused",
            Self::Failed => "failed",
        }
    }

    /// Reads the stable word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}
