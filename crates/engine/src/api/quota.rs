//! The org's API quota: how much is used, by whom, for what, and what stops when.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Background work, in the order in which it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "lowercase")]
pub enum BackgroundWork {
    /// Comparing both sides.
    Verification,
    /// Reads by the clock: catch-ups, formula columns, polls in place of the stream.
    Polling,
    /// Fetching dirty records, closing holes.
    Healing,
}

/// The quota and how it is spent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct QuotaView {
    /// Calls of everyone in the last 24 hours, as Salesforce's last answer told; 0 before the first.
    pub used: u32,
    /// Calls that the org may make in 24 hours; 0 before the first answer.
    pub max: u32,
    /// Our own calls of the last 24 hours, over all processes.
    pub ours: u32,
    /// The share of the allowance that background work leaves alone, 0 to 1.
    pub reserve: f64,
    /// The share of the allowance that is ours at most, 0 to 1.
    pub own_share: f64,
    /// Our calls of the last 24 hours by purpose, most first.
    pub purposes: Vec<PurposeUse>,
    /// Our calls by hour, oldest first.
    pub hours: Vec<HourUse>,
    /// When the allowance would be spent at the pace of the last hours; none: not within a day.
    pub exhausted_at: Option<DateTime<Utc>>,
    /// What waits for calls to come back.
    pub stopped: Vec<BackgroundWork>,
    /// Other limits of the org that matter, such as delivered events.
    pub limits: Vec<LimitUse>,
    /// When Salesforce told it.
    pub at: Option<DateTime<Utc>>,
}

/// Calls for one purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct PurposeUse {
    /// The purpose, e.g. `backfill`.
    pub purpose: String,
    /// Calls of the last 24 hours.
    pub calls: u32,
}

/// Calls of one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct HourUse {
    /// Its beginning.
    pub hour: DateTime<Utc>,
    /// Our calls.
    pub calls: u32,
}

/// One limit of the org.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct LimitUse {
    /// Salesforce's name, e.g. `DailyDeliveredPlatformEvents`.
    pub name: String,
    /// Used.
    pub used: u32,
    /// The allowance.
    pub max: u32,
    /// When that was told.
    pub at: DateTime<Utc>,
}
