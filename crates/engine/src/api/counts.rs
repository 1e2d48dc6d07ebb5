//! Counts side by side: Salesforce = shadow + rejected, or what is unexplained.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// Both sides of one object at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct CountView {
    /// The object.
    pub object: String,
    /// Its shadow table.
    pub table: String,
    /// `SELECT COUNT()` as the sync user; none where it was never asked.
    pub salesforce: Option<u32>,
    /// Salesforce's time of that count.
    pub salesforce_at: Option<DateTime<Utc>>,
    /// Rows of the shadow table.
    pub shadow: Option<u32>,
    /// When they were counted.
    pub shadow_at: Option<DateTime<Utc>>,
    /// Records that cannot be stored.
    pub rejected: u32,
    /// Salesforce − shadow − rejected; 0 means that every record is accounted for.
    pub unexplained: Option<i32>,
    /// How long the count took, in milliseconds.
    pub took_ms: u32,
    /// Why one side could not be counted.
    pub problem: Option<Problem>,
}

/// A whole comparison of counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct CountsView {
    /// One line per object.
    pub counts: Vec<CountView>,
    /// True when every object was counted and nothing is unexplained.
    pub agrees: bool,
    /// API calls it cost.
    pub api_calls: u32,
}
