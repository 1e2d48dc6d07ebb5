//! Rejected records: what cannot be stored, and why.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// One record that cannot be stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct RejectView {
    /// The object.
    pub object: String,
    /// The record's 18-character id.
    pub record_id: String,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// A stable word: `no-sku`, `sku-taken`, `missing-product`, `price-not-exact`, `broken-value`.
    pub reason: String,
    /// The reason in a sentence, e.g. `SKU GC1040 is held by 01t… (older)`.
    pub explanation: String,
    /// What mends it, in a sentence.
    pub cure: String,
    /// The record that stands in its way, where there is one.
    pub other_record_id: Option<String>,
    /// Since when.
    pub since: DateTime<Utc>,
    /// When it was last looked at.
    pub last_tried_at: DateTime<Utc>,
    /// Opens the record in Salesforce.
    pub url: Option<String>,
}

/// A page of rejected records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct RejectsView {
    /// The records, by object and id.
    pub rejects: Vec<RejectView>,
    /// How many there are in all for this filter.
    pub total: u32,
    /// How many per reason, for the filter.
    pub reasons: Vec<ReasonCount>,
}

/// How many records share a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct ReasonCount {
    /// The object.
    pub object: String,
    /// The stable word.
    pub reason: String,
    /// How many.
    pub records: u32,
}
