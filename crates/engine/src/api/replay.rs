//! Replay: what stored events, or Salesforce's own, would have changed. Records that disagree are fetched; an old value
//! is never written.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What to replay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplayRequest {
    /// Events stored since then; none: the earliest there are.
    pub from: Option<DateTime<Utc>>,
    /// Of this object only.
    pub object: Option<String>,
    /// Whether Salesforce is asked for its events again, instead of our change log. Every event that it delivers
    /// counts against the org's allocation.
    pub from_salesforce: bool,
}

/// What a replay found, or did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct ReplayView {
    /// Events looked at.
    pub events: u32,
    /// Records that they are about.
    pub records: u32,
    /// Records of which the shadow disagrees with what their events said last.
    pub differing: u32,
    /// Events that Salesforce has and our change log does not; only if Salesforce was asked.
    pub unknown_events: u32,
    /// Records that were marked to be fetched; 0 for a plan.
    pub marked: u32,
    /// API calls that fetching the differing records takes.
    pub api_calls: u32,
    /// From when events are still there.
    pub earliest: Option<DateTime<Utc>>,
    /// What this means, in a sentence.
    pub explanation: String,
    /// The first differing records, at most 200.
    pub differences: Vec<ReplayDifference>,
}

/// One record that disagrees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct ReplayDifference {
    /// The object.
    pub object: String,
    /// The record.
    pub record: String,
    /// Position of the last event about it; none if it is not in our change log.
    #[specta(type = Option<u32>)]
    pub position: Option<i64>,
    /// What the events say and the shadow does not, in words.
    pub what: String,
}
