//! The stream of change events: where it stands, who runs it, and how far each channel is.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shadow::lag::is_heard;
use store::channel_members::{self, Member};
use store::checkpoints::{self, Checkpoint, StreamState as Stored};
use store::live_facts::LiveFacts;
use store::workers::{self, Role, SeenWorker};
use store::{Store, leases};

use crate::clock;
use crate::environment::OpenEnvironment;
use crate::live::{self, STREAM};
use crate::problem::{Answer, Problem};

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

/// How long ago a process must have been seen to be shown.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// How the stream stands, whichever process runs it.
pub(crate) async fn view(open: &OpenEnvironment, store: &Store, facts: &[LiveFacts]) -> Answer<StreamView> {
    let worker = leases::holder(store, STREAM).await?;
    let is_here = worker.as_deref() == Some(open.host.holder().as_str());
    let board = open.live.board.now();
    let mut channels = Vec::new();
    let (mut live_since, mut retry_at, mut replay_id) = (None, None, None);
    let planned = live::planned_channels(open);
    for checkpoint in checkpoints::list(store).await? {
        // A channel that was left is of no interest once it is applied.
        if !planned.contains(&checkpoint.channel) && checkpoint.backlog() == 0 {
            continue;
        }
        let members = channel_members::list(store, &checkpoint.channel).await?;
        let shown = channel(&checkpoint, &members, facts, worker.is_some());
        if is_here && let Some(standing) = board.channels.get(checkpoint.channel.as_str()) {
            retry_at = retry_at.max(standing.retry_at);
        }
        if shown.state == StreamState::Live {
            live_since = live_since.max(Some(checkpoint.state_since));
        }
        replay_id = replay_id.or_else(|| shown.replay_id.clone());
        channels.push(shown);
    }
    // The channel of a paused object says nothing of the others; it speaks only where all are paused.
    let running: Vec<&ChannelView> =
        channels.iter().filter(|channel| channel.state != StreamState::Paused).collect();
    let speaking = if running.is_empty() { channels.iter().collect() } else { running };
    let worst = speaking.iter().max_by_key(|channel| live::severity(channel.state));
    let waiting = match (&worker, board.problem) {
        (None, problem) => problem,
        (Some(_), _) => None,
    };
    let state = match (&worker, worst) {
        (None, _) => StreamState::Stopped,
        (Some(_), None) => StreamState::Connecting,
        (Some(_), Some(worst)) => worst.state,
    };
    Ok(StreamView {
        channel: channels.iter().map(|channel| channel.channel.as_str()).collect::<Vec<_>>().join(", "),
        state,
        problem: waiting.or_else(|| worst.and_then(|worst| worst.problem.clone())),
        live_since: live_since.filter(|_| state == StreamState::Live),
        retry_at: retry_at.filter(|_| state != StreamState::Live),
        heard_at: speaking.iter().map(|channel| channel.heard_at).min().flatten(),
        replay_id,
        worker,
        is_here,
        backlog_events: channels.iter().map(|channel| channel.backlog_events).sum(),
        backlog_age_ms: channels.iter().filter_map(|channel| channel.backlog_age_ms).max(),
        channels,
    })
}

fn channel(checkpoint: &Checkpoint, members: &[Member], facts: &[LiveFacts], is_run: bool) -> ChannelView {
    let now = clock::now();
    let state = match checkpoint.state {
        _ if !is_run => StreamState::Stopped,
        // Whoever runs it may be cut off from Salesforce without knowing.
        Stored::Live if !is_heard(checkpoint.heard_at.or(Some(checkpoint.state_since)), now) => {
            StreamState::Backoff
        }
        Stored::Live => StreamState::Live,
        Stored::Connecting | Stored::Standby => StreamState::Connecting,
        Stored::Backoff => StreamState::Backoff,
        Stored::Stopped => StreamState::Stopped,
        Stored::Polling => StreamState::Polling,
        Stored::Paused => StreamState::Paused,
        Stored::Failed => StreamState::Failed,
    };
    let problem = |kept: &Option<serde_json::Value>| {
        kept.clone().and_then(|problem| serde_json::from_value::<Problem>(problem).ok())
    };
    let on_channel =
        |facts: &&LiveFacts| facts.stream.as_ref().is_some_and(|stream| stream.channel == checkpoint.channel);
    let oldest = facts.iter().filter(on_channel).filter_map(|facts| facts.oldest_received_at).min();
    ChannelView {
        channel: checkpoint.channel.to_string(),
        state,
        problem: problem(&checkpoint.problem).filter(|_| is_run),
        heard_at: checkpoint.heard_at,
        proven_until: checkpoint.proven_until,
        replay_id: checkpoint.replay_id.as_ref().map(shadow::ReplayId::to_hex),
        stored_position: checkpoint.stored_position,
        applied_position: checkpoint.applied_position,
        backlog_events: u32::try_from(checkpoint.backlog()).unwrap_or(u32::MAX),
        backlog_age_ms: oldest
            .filter(|_| checkpoint.backlog() > 0)
            .map(|oldest| live::millis(shadow::lag::backlog_age(Some(oldest), now))),
        members: members
            .iter()
            .map(|member| MemberView {
                object: member.object.to_string(),
                confirmed_at: member.permitted_at.filter(|_| member.member_at.is_some()),
                problem: problem(&member.problem),
            })
            .collect(),
    }
}

/// The processes that were seen of late, daemons first.
pub(crate) async fn workers(open: &OpenEnvironment, store: &Store) -> Answer<Vec<WorkerView>> {
    let holder = leases::holder(store, STREAM).await?;
    let seen = workers::list(store, SEEN_WITHIN).await?;
    Ok(seen
        .into_iter()
        .filter(|seen| seen.worker.role != Role::Observer)
        .map(|seen| worker(open, seen, holder.as_deref()))
        .collect())
}

fn worker(open: &OpenEnvironment, seen: SeenWorker, holder: Option<&str>) -> WorkerView {
    let leads = holder == Some(seen.worker.holder.as_str());
    WorkerView {
        is_this: seen.worker.id == open.worker_id,
        id: seen.worker.id.to_string(),
        host_kind: seen.worker.host_kind.as_str().to_owned(),
        role: if leads { WorkerRole::Leader } else { WorkerRole::Standby },
        streaming: leads && !seen.worker.streaming.is_empty(),
        holder: seen.worker.holder,
        started_at: seen.started_at,
        seen_at: seen.seen_at,
    }
}
