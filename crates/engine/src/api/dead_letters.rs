//! Dead letters: events that could not be processed. They are kept until their records are fetched.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Open dead letters by cause, most first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct DeadLettersView {
    /// How many are open in all.
    pub total: u32,
    /// By cause.
    pub groups: Vec<DeadLetterGroup>,
}

/// Dead letters of one cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterGroup {
    /// A stable word, e.g. `unknown-schema`.
    pub cause: String,
    /// The cause as a heading.
    pub title: String,
    /// What mends it.
    pub cure: String,
    /// The newest of them.
    pub letters: Vec<DeadLetterView>,
    /// How many there are; `letters` may hold fewer.
    pub total: u32,
}

/// One dead letter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterView {
    /// Its id.
    pub id: String,
    /// Position of its event in the change log; none if its header could not be read, so that it has none.
    #[specta(type = Option<u32>)]
    pub position: Option<i64>,
    /// When it was received.
    pub received_at: DateTime<Utc>,
    /// From which channel.
    pub channel: String,
    /// Its object; none where the header cannot be read.
    pub object: Option<String>,
    /// Its first record.
    pub record_id: Option<String>,
    /// How many records it is about.
    pub records: u32,
    /// A stable word for the cause.
    pub cause: String,
    /// The cause in a sentence.
    pub explanation: String,
    /// How often its records were fetched in vain.
    pub attempts: u32,
}
