//! Lag over time, with what else happened.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Everything that a chart of lag shows, on one time axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct LagSeries {
    /// The first moment.
    pub from: DateTime<Utc>,
    /// The last moment.
    pub until: DateTime<Utc>,
    /// Milliseconds that one point stands for.
    pub step_ms: u32,
    /// The beginning of each point, in milliseconds since 1970.
    #[specta(type = Vec<u32>)]
    pub times: Vec<i64>,
    /// Lag per object, one value per point.
    pub objects: Vec<ObjectLag>,
    /// Events stored; none where nothing was sampled.
    pub received: Vec<Option<u32>>,
    /// Events applied.
    pub applied: Vec<Option<u32>>,
    /// The most stored events that waited.
    pub backlog: Vec<Option<u32>>,
    /// Failures by stage.
    pub failures: Vec<FailureSeries>,
    /// Spans in which nothing was heard, or events may have been missed.
    pub outages: Vec<OutageView>,
    /// Loads, catch-ups and flushes.
    pub marks: Vec<LagMark>,
}

/// Lag of one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct ObjectLag {
    /// The object.
    pub object: String,
    /// The greatest lag of each point in milliseconds; none where nothing was sampled or the object was not loaded.
    pub lag_ms: Vec<Option<u32>>,
}

/// Failures of one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct FailureSeries {
    /// `receive`, `apply` or `fetch`.
    pub stage: String,
    /// How many, per point.
    pub counts: Vec<u32>,
}

/// A span in which nothing was heard, or events may have been missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct OutageView {
    /// From when.
    pub from: DateTime<Utc>,
    /// Until when; none while it lasts.
    pub until: Option<DateTime<Utc>>,
    /// In a few words.
    pub title: String,
    /// What was wrong, and how it was bridged.
    pub detail: String,
}

/// What is marked on the chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub enum LagMarkKind {
    /// A load.
    Backfill,
    /// A catch-up.
    CatchUp,
    /// Cache keys were flushed.
    Flush,
    /// Both sides were compared.
    Verification,
}

/// Something that happened, to be marked on the chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct LagMark {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub kind: LagMarkKind,
    /// In words.
    pub text: String,
    /// Whether what it found agrees; none where it compares nothing.
    pub agrees: Option<bool>,
}
