//! Why a call was made. Every call is counted per purpose, so that nobody has to guess who spends the org's quota.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ApiUsage;

/// Why a call was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Signing in and learning who signed in.
    SignIn,
    /// Object and field metadata.
    Describe,
    /// `SELECT COUNT()` for the counts side by side.
    Count,
    /// Query jobs, their polls and their pages.
    Backfill,
    /// Finding drift.
    Verify,
    /// Changes of a span of time, beside the events.
    CatchUp,
    /// Ids and stamps of a whole object: records that were deleted without anybody noticing.
    IdComparison,
    /// Columns that no event carries.
    Formula,
    /// What the event stream needs to know: channels, members, permissions. The stream itself costs no call.
    Stream,
    /// Reading changes again and again while the stream may not deliver.
    Poll,
    /// Records that stored events are to be compared with.
    Replay,
    /// Records by id: dirty records, holders of a SKU.
    Fetch,
    /// Answers for readers that the shadow could not give.
    Read,
    /// The preflight's checks.
    Doctor,
    /// What the org says of its limits.
    Limits,
}

impl Purpose {
    /// Every purpose, in the order in which they are shown.
    pub const ALL: [Self; 15] = [
        Self::SignIn,
        Self::Describe,
        Self::Count,
        Self::Backfill,
        Self::Verify,
        Self::CatchUp,
        Self::IdComparison,
        Self::Formula,
        Self::Stream,
        Self::Poll,
        Self::Replay,
        Self::Fetch,
        Self::Read,
        Self::Doctor,
        Self::Limits,
    ];

    /// The purpose's name in metrics, logs and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::Describe => "describe",
            Self::Count => "count",
            Self::Backfill => "backfill",
            Self::Verify => "verify",
            Self::CatchUp => "catch-up",
            Self::IdComparison => "compare",
            Self::Formula => "formula",
            Self::Stream => "stream",
            Self::Poll => "poll",
            Self::Replay => "replay",
            Self::Fetch => "fetch",
            Self::Read => "read",
            Self::Doctor => "doctor",
            Self::Limits => "limits",
        }
    }
}

/// One call that left this program, whatever came of it.
#[derive(Debug, Clone)]
pub struct CallMade {
    /// Why it was made.
    pub purpose: Purpose,
    /// What was being done, e.g. `count`.
    pub operation: &'static str,
    /// The HTTP status; absent where no answer came.
    pub status: Option<u16>,
    /// Salesforce's time of the answer, from its `Date` header.
    pub at: Option<DateTime<Utc>>,
    /// The org's usage as the answer told it.
    pub usage: Option<ApiUsage>,
    /// Whether it costs a call of the org's daily limit.
    pub costs: bool,
}

/// Hears of every call. It is called inline: it must be quick and must not block.
pub type CallObserver = Arc<dyn Fn(&CallMade) + Send + Sync>;
