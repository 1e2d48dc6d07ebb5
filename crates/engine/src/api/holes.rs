//! Holes: spans in which events may be missing, kept until they are closed.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Why events may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "kebab-case")]
pub enum HoleWhy {
    /// What came before the stream was first opened.
    FirstPosition,
    /// Salesforce no longer knew the saved position.
    PositionLost,
    /// An event's header could not be read.
    HeaderUnreadable,
    /// One transaction changed more than Salesforce sends events for.
    Overflow,
    /// An event says that every record of the object may have changed.
    Wildcard,
    /// Another channel is configured.
    ChannelChanged,
    /// The object was not selected for change events.
    Selection,
    /// The sync user was not allowed to receive the object's events.
    Permission,
    /// The org's event allocation was spent.
    Allocation,
    /// The stream lagged too far behind.
    StreamLag,
}

/// What closes a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "kebab-case")]
pub enum HoleNeeds {
    /// A catch-up and its id comparison; it starts by itself.
    CatchUp,
    /// A backfill that reads every record whole.
    Backfill,
}

/// One hole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct HoleView {
    /// Its id.
    pub id: String,
    /// The object.
    pub object: String,
    /// The channel.
    pub channel: String,
    /// The first moment that may be missing; none: since ever.
    pub from: Option<DateTime<Utc>>,
    /// The last moment that may be missing; none: it is still open at that end.
    pub until: Option<DateTime<Utc>>,
    /// Why.
    pub why: HoleWhy,
    /// The same in a sentence.
    pub explanation: String,
    /// What closes it.
    pub needs: HoleNeeds,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    /// The job that closes or closed it.
    pub job_id: Option<String>,
    /// When it was closed.
    pub closed_at: Option<DateTime<Utc>>,
    /// How it was closed.
    pub closed_how: Option<String>,
}
