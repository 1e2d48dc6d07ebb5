//! The stream of change events: where it stands, who runs it, and how far each channel is.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// Where the stream stands, over all its channels: the worst of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub enum StreamState {
    /// Nobody runs it: no daemon, and no open console.
    Stopped,
    /// Signs in, subscribes, or waits for the first position.
    Connecting,
    /// Subscribed and heard within 330 s.
    Live,
    /// Broke off; it is tried again at `retry_at`.
    Backoff,
    /// The org's event allocation is spent: deltas are polled instead, and the stream is tried again every hour.
    Polling,
    /// A person paused it.
    Paused,
    /// Cannot go on without a person; `problem` says what to do. It is tried again now and then all the same.
    Failed,
}

/// The stream as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct StreamView {
    /// Its channel, or its channels with commas between.
    pub channel: String,
    /// Where it stands.
    pub state: StreamState,
    /// Why it does not run.
    pub problem: Option<Problem>,
    /// Since when it is live without a break; none while it is not.
    pub live_since: Option<DateTime<Utc>>,
    /// When it is tried again.
    pub retry_at: Option<DateTime<Utc>>,
    /// When the quietest of its channels was last heard.
    pub heard_at: Option<DateTime<Utc>>,
    /// The checkpoint of its channel in hexadecimal digits; of the first where there are several.
    pub replay_id: Option<String>,
    /// Which process runs it, e.g. `daemon on shop-db-1 (4711)`.
    pub worker: Option<String>,
    /// Whether this process runs it. Another one's stream is just as good; this process is its standby.
    pub is_here: bool,
    /// Stored events that wait to be applied, over all channels.
    pub backlog_events: u32,
    /// Age of the oldest of them, in milliseconds.
    pub backlog_age_ms: Option<u32>,
    /// Its channels.
    pub channels: Vec<ChannelView>,
}

/// One channel of the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct ChannelView {
    /// Its name, e.g. `/data/Product2ChangeEvent`.
    pub channel: String,
    /// Where it stands.
    pub state: StreamState,
    /// Why it does not run.
    pub problem: Option<Problem>,
    /// When it was last heard, by this side's clock.
    pub heard_at: Option<DateTime<Utc>>,
    /// The Salesforce time up to which nothing can be missing from it.
    pub proven_until: Option<DateTime<Utc>>,
    /// The checkpoint: the saved replay id in hexadecimal digits.
    pub replay_id: Option<String>,
    /// Position in the change log up to which it is stored.
    #[specta(type = u32)]
    pub stored_position: i64,
    /// Position in the change log up to which it is applied.
    #[specta(type = u32)]
    pub applied_position: i64,
    /// Stored events that wait to be applied.
    pub backlog_events: u32,
    /// Age of the oldest of them, in milliseconds.
    pub backlog_age_ms: Option<u32>,
    /// The objects that it should carry.
    pub members: Vec<MemberView>,
}

/// One object on a channel. What is not confirmed moves by its catch-up only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct MemberView {
    /// The object.
    pub object: String,
    /// When it was last confirmed that the sync user may receive its events and that the channel carries them.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// Why it is not confirmed.
    pub problem: Option<Problem>,
}

/// What a process is for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "lowercase")]
pub enum WorkerRole {
    /// It runs the stream.
    Leader,
    /// It takes over when the leader is gone.
    Standby,
}

/// A process that works on this environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct WorkerView {
    /// Its id.
    pub id: String,
    /// Which program: `daemon` or `console`.
    pub host_kind: String,
    /// How it names itself: program, machine and process id.
    pub holder: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it was last seen.
    pub seen_at: DateTime<Utc>,
    /// Whether it leads, or stands by.
    pub role: WorkerRole,
    /// Whether it runs the stream now.
    pub streaming: bool,
    /// Whether it is this process.
    pub is_this: bool,
}
