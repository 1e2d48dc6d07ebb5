//! Change events: what came, what was done with it, and why.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shadow::event::ChangeKind;

/// Which events to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase", default)]
pub struct EventFilter {
    /// Of this object only.
    pub object: Option<String>,
    /// Of this kind only.
    pub kind: Option<ChangeKind>,
    /// Only those of which something ended so.
    pub outcome: Option<EventOutcome>,
    /// Only those about this record.
    pub record: Option<String>,
    /// Only events below this position: [`EventsView::next`] of the list before.
    #[specta(type = Option<u32>)]
    pub after: Option<i64>,
    /// At most so many; 0 takes 100.
    pub limit: u32,
}

/// What became of an event, or of one of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "kebab-case")]
pub enum EventOutcome {
    /// The row is as complete or newer: nothing was done.
    Skipped,
    /// The object is not mapped, or was never loaded.
    Unmapped,
    /// Written.
    Applied,
    /// The record left the shadow.
    Deleted,
    /// The record cannot be stored, and is kept with its reason.
    Rejected,
    /// The record is fetched whole instead.
    Dirty,
    /// Nobody knows which records changed: a hole was opened.
    Hole,
    /// It could not be processed.
    DeadLetter,
}

impl EventOutcome {
    /// Every outcome, the least remarkable first.
    pub const ALL: [Self; 8] = [
        Self::Skipped,
        Self::Unmapped,
        Self::Applied,
        Self::Deleted,
        Self::Rejected,
        Self::Dirty,
        Self::Hole,
        Self::DeadLetter,
    ];

    /// The word in the database and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Unmapped => "unmapped",
            Self::Applied => "applied",
            Self::Deleted => "deleted",
            Self::Rejected => "rejected",
            Self::Dirty => "dirty",
            Self::Hole => "hole",
            Self::DeadLetter => "dead-letter",
        }
    }

    /// Reads [`Self::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// Events, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct EventsView {
    /// The events.
    pub events: Vec<EventRow>,
    /// Give it as [`EventFilter::after`] to read on; none at the end.
    #[specta(type = Option<u32>)]
    pub next: Option<i64>,
}

/// One event as a list shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct EventRow {
    /// Its position in the change log.
    #[specta(type = u32)]
    pub position: i64,
    /// When it was stored, by the database's clock.
    pub received_at: DateTime<Utc>,
    /// When its transaction was committed in Salesforce.
    pub committed_at: DateTime<Utc>,
    /// From which channel.
    pub channel: String,
    /// Its object.
    pub object: String,
    /// How its records changed.
    pub kind: ChangeKind,
    /// The first of its records; none where the event names none (a wildcard, an overflow).
    pub record_id: Option<String>,
    /// How many records the event names.
    pub records: u32,
    /// What became of it, the most remarkable of its records; none while it waits.
    pub outcome: Option<EventOutcome>,
    /// The reason behind the outcome, in a few words.
    pub why: Option<String>,
    /// From stored to committed rows, in milliseconds; none while it waits.
    pub took_ms: Option<u32>,
}

/// One event with everything that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct EventDetail {
    /// What the list shows.
    pub row: EventRow,
    /// Salesforce's position of it, in hexadecimal digits.
    pub replay_id: String,
    /// The writer schema.
    pub schema_id: String,
    /// Size of the payload in bytes.
    pub payload_bytes: u32,
    /// Groups the events of one transaction.
    pub transaction_key: String,
    /// Order within the transaction.
    pub sequence_number: i32,
    /// Who changed it: a user's id.
    pub changed_by: Option<String>,
    /// What changed it.
    pub change_origin: Option<String>,
    /// Its records, at most 200.
    pub record_ids: Vec<String>,
    /// The fields that it carries.
    pub fields: Vec<EventField>,
    /// From the org to the shadow, step by step.
    pub steps: Vec<EventStep>,
    /// What became of each of its records, at most 200.
    pub outcomes: Vec<RecordOutcome>,
    /// The decoded payload as JSON text, indented; empty where it cannot be decoded, and `steps` says why.
    pub payload: String,
    /// Opens the first record in Salesforce.
    pub url: Option<String>,
}

/// One field that an event carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct EventField {
    /// The field's API name.
    pub field: String,
    /// What the shadow has now, if the event's record is there; the row may have changed since.
    pub stored: Option<String>,
    /// Its new value as the event has it; none if it was emptied.
    pub after: Option<String>,
    /// Whether the mapping reads it; others are ignored.
    pub is_mapped: bool,
}

/// How a step of an event's way went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// It is done.
    Done,
    /// It was left out, for the reason given.
    Skipped,
    /// It is still to come.
    Waits,
    /// It failed.
    Failed,
}

/// One step of an event's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct EventStep {
    /// When.
    pub at: Option<DateTime<Utc>>,
    /// Milliseconds since it was stored.
    pub ms: Option<u32>,
    /// What, e.g. `Stored in the change log`.
    pub title: String,
    /// Why it went as it did.
    pub why: String,
    /// How it went.
    pub state: StepState,
}

/// What became of one record of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct RecordOutcome {
    /// The record; none where the event names none.
    pub record: Option<String>,
    /// What became of it.
    pub outcome: EventOutcome,
    /// Why.
    pub why: String,
    /// When.
    pub at: DateTime<Utc>,
}
