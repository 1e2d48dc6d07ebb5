//! Checkpoints: per channel, how far it is stored, applied and proven, and how its stream stands.

use chrono::{DateTime, Utc};
use serde_json::Value;
use shadow::ObjectName;
use shadow::event::{ChannelName, ReplayId};
use sqlx::PgTransaction;

use crate::change_log::parse_channel;
use crate::error::{Error, corrupt};
use crate::failpoint;
use crate::holes::{self, HoleWhy, NewHole};
use crate::leases::{self, LeaseKey};
use crate::session::Store;
use crate::words::words;

mod retiring;

pub use retiring::retire_others;

words! {
    /// How a channel's stream stands.
    StreamState {
        /// Signs in, asks for the topic, subscribes.
        Connecting = "connecting",
        /// Messages arrive.
        Live = "live",
        /// Another process streams.
        Standby = "standby",
        /// Waits before it connects again.
        Backoff = "backoff",
        /// A person stopped it, or the process that streamed ended.
        Stopped = "stopped",
        /// The org's allowance of delivered events is spent: changes are polled.
        Polling = "polling",
        /// A person paused it.
        Paused = "paused",
        /// A person must mend something first.
        Failed = "failed",
    }
}

/// How far a channel is.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The channel.
    pub channel: ChannelName,
    /// Behind this message the stream goes on; none before the first.
    pub replay_id: Option<ReplayId>,
    /// When that was saved.
    pub replay_at: Option<DateTime<Utc>>,
    /// The position of its last event in the log.
    pub stored_position: i64,
    /// Events that it brought, in all.
    pub stored_events: i64,
    /// Up to here its events are applied.
    pub applied_position: i64,
    /// Events applied, in all.
    pub applied_events: i64,
    /// When events were last applied.
    pub applied_at: Option<DateTime<Utc>>,
    /// Salesforce's time up to which all its events are stored.
    pub proven_until: Option<DateTime<Utc>>,
    /// Our time of the last message.
    pub heard_at: Option<DateTime<Utc>>,
    /// How its stream stands.
    pub state: StreamState,
    /// Since when.
    pub state_since: DateTime<Utc>,
    /// Who streams it, as its lease names itself.
    pub worker: Option<String>,
    /// What is wrong, in the engine's words.
    pub problem: Option<Value>,
}

impl Checkpoint {
    /// Events that wait to be applied.
    pub fn backlog(&self) -> i64 {
        (self.stored_events - self.applied_events).max(0)
    }
}

/// Every channel that was ever streamed, by name.
pub async fn list(store: &Store) -> Result<Vec<Checkpoint>, Error> {
    let rows = sqlx::query!(
        "select channel, replay_id, replay_at, stored_position, stored_events, applied_position, applied_events,
                applied_at, proven_until, heard_at, state, state_since, worker, problem
           from shadow_sync.checkpoints order by channel"
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Checkpoint {
                channel: parse_channel(&row.channel)?,
                replay_id: row.replay_id.map(ReplayId::new),
                replay_at: row.replay_at,
                stored_position: row.stored_position,
                stored_events: row.stored_events,
                applied_position: row.applied_position,
                applied_events: row.applied_events,
                applied_at: row.applied_at,
                proven_until: row.proven_until,
                heard_at: row.heard_at,
                state: StreamState::parse(&row.state).ok_or_else(|| corrupt("stream state", &row.state))?,
                state_since: row.state_since,
                worker: row.worker,
                problem: row.problem,
            })
        })
        .collect()
}

/// One channel's checkpoint; none if it was never streamed.
pub async fn get(store: &Store, channel: &ChannelName) -> Result<Option<Checkpoint>, Error> {
    Ok(list(store).await?.into_iter().find(|checkpoint| checkpoint.channel == *channel))
}

/// Saves the position that a message without events names, after everything before it was stored.
///
/// - `proven_until`: Salesforce's time up to which the message proves that nothing is missing.
/// - `holes`: opened in the same commit. If none are given and nothing says up to when the channel is accounted for,
///   one is opened for each of its objects.
pub async fn keep_alive(
    store: &Store,
    lease: &LeaseKey,
    channel: &ChannelName,
    latest: &ReplayId,
    proven_until: DateTime<Utc>,
    holes: &[NewHole],
) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    let moved = Moved {
        replay_id: latest,
        position: None,
        stored: 0,
        objects: &[],
        proven_until: Some(proven_until),
    };
    move_in(&mut tx, channel, &moved, &[], holes).await?;
    tx.commit().await?;
    failpoint::reach("keepalive.committed");
    Ok(())
}

/// Notes that Salesforce accepted a subscription: the channel is heard, though no message came yet.
///
/// - `covered`: where it began at the latest position: Salesforce's time from which on the subscription delivers, and the
///   holes before it, opened in the same commit. The position itself comes with the first message.
pub async fn accepted(
    store: &Store,
    lease: &LeaseKey,
    channel: &ChannelName,
    covered: Option<(DateTime<Utc>, &[NewHole])>,
) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    sqlx::query!(
        "insert into shadow_sync.checkpoints as old (channel, heard_at, proven_until)
         values ($1, clock_timestamp(), $2)
         on conflict (channel) do update
            set heard_at = excluded.heard_at, proven_until = greatest(old.proven_until, excluded.proven_until)",
        channel.as_str(),
        covered.map(|(from, _)| from),
    )
    .execute(&mut *tx)
    .await?;
    if let Some((_, holes)) = covered {
        holes::open_in(&mut tx, holes).await?;
    }
    Ok(tx.commit().await?)
}

/// The objects that a channel may carry: those that the caller named; if it named none, the channel's own, where it is
/// named after one, else every mapped one.
pub(crate) async fn carried(
    tx: &mut PgTransaction<'_>,
    channel: &ChannelName,
    named: &[ObjectName],
) -> Result<Vec<ObjectName>, Error> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let known = sqlx::query_scalar!("select object from shadow_sync.objects order by object")
        .fetch_all(&mut **tx)
        .await?;
    let parse = |name: &String| ObjectName::parse(name).map_err(|_| corrupt("object", name));
    let all: Vec<ObjectName> = known.iter().map(parse).collect::<Result<_, _>>()?;
    let own = all.iter().find(|object| ChannelName::of_object(object) == *channel);
    Ok(own.map_or_else(|| all.clone(), |object| vec![object.clone()]))
}

/// What a message moves.
pub(crate) struct Moved<'a> {
    pub replay_id: &'a ReplayId,
    /// The position of the message's last event; none if it has none.
    pub position: Option<i64>,
    /// How many events were added to the log.
    pub stored: i64,
    /// Their objects: the channel carries them.
    pub objects: &'a [&'a str],
    pub proven_until: Option<DateTime<Utc>>,
}

/// Moves a channel's checkpoint, and opens holes behind it.
pub(crate) async fn move_in(
    tx: &mut PgTransaction<'_>,
    channel: &ChannelName,
    moved: &Moved<'_>,
    objects: &[ObjectName],
    holes: &[NewHole],
) -> Result<(), Error> {
    let is_accounted_for = sqlx::query_scalar!(
        r#"with old as (
                    select replay_id is not null or proven_until is not null as had
                      from shadow_sync.checkpoints where channel = $1),
                members as (
                    update shadow_sync.channel_members set member_at = clock_timestamp(), problem = null
                     where channel = $1 and object = any($6::text[]) and member_at is null)
           insert into shadow_sync.checkpoints as old
                  (channel, replay_id, replay_at, stored_position, stored_events, proven_until, heard_at)
           values ($1, $2, clock_timestamp(), coalesce($3::bigint, 0), $4, $5, clock_timestamp())
           on conflict (channel) do update
              set replay_id = excluded.replay_id, replay_at = excluded.replay_at,
                  stored_position = greatest(old.stored_position, excluded.stored_position),
                  stored_events = old.stored_events + excluded.stored_events,
                  proven_until = greatest(old.proven_until, excluded.proven_until), heard_at = excluded.heard_at
           returning coalesce((select had from old), false) as "had!""#,
        channel.as_str(),
        moved.replay_id.as_bytes(),
        moved.position,
        moved.stored,
        moved.proven_until,
        moved.objects as &[&str],
    )
    .fetch_one(&mut **tx)
    .await?;
    if !holes.is_empty() || is_accounted_for {
        return holes::open_in(tx, holes).await;
    }
    let mut unknown = Vec::new();
    let until = match moved.proven_until {
        Some(proven) => proven,
        None => now(tx).await?,
    };
    for object in carried(tx, channel, objects).await? {
        let from = holes::last_load(tx, &object).await?;
        let hole = NewHole::new(&object, HoleWhy::FirstPosition).on(channel).from(from);
        unknown.push(hole.until(Some(until)));
    }
    holes::open_in(tx, &unknown).await
}

/// Our time. What was received by then was committed by then.
pub(crate) async fn now(tx: &mut PgTransaction<'_>) -> Result<DateTime<Utc>, Error> {
    Ok(sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(&mut **tx).await?)
}

/// Salesforce's time up to which all events of a channel are stored.
pub(crate) async fn proven(
    tx: &mut PgTransaction<'_>,
    channel: &ChannelName,
) -> Result<Option<DateTime<Utc>>, Error> {
    let proven = sqlx::query_scalar!(
        "select proven_until from shadow_sync.checkpoints where channel = $1",
        channel.as_str()
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(proven.flatten())
}

/// Moves a channel's apply position, in the commit that applied its events up to there.
///
/// - `events`: how many of the log's events that were.
pub async fn advance_in(
    tx: &mut PgTransaction<'_>,
    channel: &ChannelName,
    up_to: i64,
    events: i64,
) -> Result<(), Error> {
    let moved = sqlx::query!(
        "update shadow_sync.checkpoints
            set applied_position = greatest(applied_position, $2), applied_events = applied_events + $3,
                applied_at = clock_timestamp()
          where channel = $1",
        channel.as_str(),
        up_to,
        events,
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    if moved == 1 { Ok(()) } else { Err(corrupt("channel with a checkpoint", channel)) }
}

/// Notes how a channel's stream stands, and keeps the outage that begins or ends with it.
///
/// - `worker`: who streams it, as its lease names itself.
pub async fn set_state(
    store: &Store,
    lease: &LeaseKey,
    channel: &ChannelName,
    state: StreamState,
    worker: &str,
    problem: Option<&Value>,
) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    let old = sqlx::query!(
        "select state, worker, heard_at from shadow_sync.checkpoints where channel = $1 for update",
        channel.as_str()
    )
    .fetch_optional(&mut *tx)
    .await?;
    sqlx::query!(
        "insert into shadow_sync.checkpoints as old (channel, state, worker, problem) values ($1, $2, $3, $4)
         on conflict (channel) do update
            set state_since = case when old.state = excluded.state and old.worker is not distinct from excluded.worker
                    then old.state_since else clock_timestamp() end,
                state = excluded.state, worker = excluded.worker, problem = excluded.problem",
        channel.as_str(),
        state.as_str(),
        worker,
        problem,
    )
    .execute(&mut *tx)
    .await?;
    let was_live = old.as_ref().is_some_and(|old| old.state == StreamState::Live.as_str());
    if state == StreamState::Live {
        end_outage(&mut tx, channel).await?;
    } else if let Some(old) = old.filter(|_| was_live) {
        // Who took over does not know when the worker before it went silent: after what it heard last.
        let began = old.heard_at.filter(|_| old.worker.as_deref() != Some(worker));
        let why = problem.cloned().unwrap_or_else(|| serde_json::json!({ "state": state.as_str() }));
        sqlx::query!(
            "insert into shadow_sync.outages (channel, began_at, why)
             values ($1, coalesce($2, clock_timestamp()), $3) on conflict do nothing",
            channel.as_str(),
            began,
            why,
        )
        .execute(&mut *tx)
        .await?;
    } else if let Some(problem) = problem {
        // The cause is often known only after the first attempt to connect again.
        sqlx::query!(
            "update shadow_sync.outages set why = $2 where channel = $1 and ended_at is null",
            channel.as_str(),
            problem,
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(tx.commit().await?)
}

/// Ends a channel's outage. One of a few seconds is a reconnect, not an outage.
async fn end_outage(tx: &mut PgTransaction<'_>, channel: &ChannelName) -> Result<(), Error> {
    sqlx::query!(
        "delete from shadow_sync.outages
          where channel = $1 and ended_at is null and began_at > clock_timestamp() - interval '5 seconds'",
        channel.as_str()
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "update shadow_sync.outages set ended_at = clock_timestamp() where channel = $1 and ended_at is null",
        channel.as_str()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
