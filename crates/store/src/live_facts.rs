//! What an object's freshness is judged by, all of it of one moment.
//!
//! One statement, because an event moves from the log to the dirty records in one commit: who asked for one after
//! the other could miss it in both.

use chrono::{DateTime, Utc};
use shadow::event::ChannelName;
use shadow::{ObjectName, ObjectState};

use crate::change_log::parse_channel;
use crate::error::{Error, corrupt};
use crate::session::Store;

/// So many waiting events of a channel are looked at one by one; behind them only their number is known.
const LOOKED_AT: i64 = 20_000;

/// What an object's freshness is judged by. Times are Salesforce's, unless said otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveFacts {
    /// The object.
    pub object: ObjectName,
    /// Where it stands.
    pub state: ObjectState,
    /// When its first load was complete and counted, in our time.
    pub ready_at: Option<DateTime<Utc>>,
    /// The end of its last whole load.
    pub loaded_at: Option<DateTime<Utc>>,
    /// Up to when catch-up has read every change.
    pub watermark: Option<DateTime<Utc>>,
    /// When its ids were last compared.
    pub compared_at: Option<DateTime<Utc>>,
    /// When the columns that no event carries were last read.
    pub formula_refreshed_at: Option<DateTime<Utc>>,
    /// The channel that carries it, heard last of those that do.
    pub stream: Option<StreamFacts>,
    /// Stored events that wait to be applied. At least that many if there are very many.
    pub backlog_events: i64,
    /// The oldest commit among them.
    pub oldest_unapplied: Option<DateTime<Utc>>,
    /// When the oldest of them was received, in our time.
    pub oldest_received_at: Option<DateTime<Utc>>,
    /// Records to be fetched.
    pub dirty: i64,
    /// The oldest commit behind their marks; for marks without an event, when they were made, in our time.
    pub oldest_dirty: Option<DateTime<Utc>>,
    /// Open dead letters.
    pub dead_letters: i64,
    /// The oldest commit among them; when it was received, in our time, if its commit is not known.
    pub oldest_dead_letter: Option<DateTime<Utc>>,
    /// Open holes.
    pub holes: i64,
    /// The start of the oldest; none if there is none, or one is since ever.
    pub oldest_hole: Option<DateTime<Utc>>,
    /// Whether an open hole is since ever.
    pub hole_since_ever: bool,
}

/// What is known of an object's stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamFacts {
    /// The channel.
    pub channel: ChannelName,
    /// Up to when its events are stored.
    pub proven_until: Option<DateTime<Utc>>,
    /// The last message, in our time.
    pub heard_at: Option<DateTime<Utc>>,
    /// When Salesforce last said that the sync user may subscribe to the object, in our time.
    pub permitted_at: Option<DateTime<Utc>>,
    /// When the channel was last known to carry the object, in our time.
    pub member_at: Option<DateTime<Utc>>,
}

/// The facts of every object, by name.
pub async fn of_objects(store: &Store) -> Result<Vec<LiveFacts>, Error> {
    let rows = sqlx::query!(
        r#"with waiting as materialized (
               select l.channel, l.object, l.committed_at, l.received_at
                 from shadow_sync.checkpoints c
                cross join lateral (
                       select l.channel, l.object, l.committed_at, l.received_at
                         from shadow_sync.change_log l
                        where l.channel = c.channel and l.position > c.applied_position
                        order by l.position limit $1) as l),
           -- Of a channel with more of them, the rest may be of any object.
           crowded as (
               select min(committed_at) as committed_at, min(received_at) as received_at
                 from waiting where channel in (select channel from waiting group by channel having count(*) >= $1)),
           unapplied as (
               select object, count(*) as events, min(committed_at) as committed_at, min(received_at) as received_at
                 from waiting group by object),
           marked as (
               select object, count(*) as records, min(coalesce(first_committed_at, since)) as oldest
                 from shadow_sync.dirty group by object),
           parents as (
               select object, count(*) as records, min(coalesce(committed_at, since)) as oldest
                 from shadow_sync.dirty_parents group by object),
           parked as (
               select object, count(*) as letters, min(coalesce(committed_at, received_at)) as oldest
                 from shadow_sync.dead_letters where closed_at is null and object is not null group by object),
           missing as (
               select object, count(*) as holes, min(from_at) as oldest, bool_or(from_at is null) as since_ever
                 from shadow_sync.holes where closed_at is null group by object)
           select o.object, o.state, o.ready_at, o.loaded_at, o.watermark, o.compared_at, o.formula_refreshed_at,
                  s.channel as "channel?", s.proven_until as "proven_until?", s.heard_at as "heard_at?",
                  s.permitted_at as "permitted_at?", s.member_at as "member_at?",
                  coalesce(u.events, 0) as "backlog!", least(u.committed_at, c.committed_at) as oldest_unapplied,
                  least(u.received_at, c.received_at) as oldest_received_at,
                  coalesce(m.records, 0) as "dirty!", least(m.oldest, p.oldest) as oldest_dirty,
                  coalesce(d.letters, 0) as "dead_letters!", d.oldest as "oldest_dead_letter?",
                  coalesce(h.holes, 0) as "holes!", h.oldest as "oldest_hole?",
                  coalesce(h.since_ever, false) as "since_ever!"
             from shadow_sync.objects o
            cross join crowded c
             left join unapplied u on u.object = o.object
             left join marked m on m.object = o.object
             left join parents p on p.object = o.object
             left join parked d on d.object = o.object
             left join missing h on h.object = o.object
             left join lateral (
                    select b.channel, k.proven_until, k.heard_at, b.permitted_at, b.member_at
                      from shadow_sync.channel_members b join shadow_sync.checkpoints k on k.channel = b.channel
                     where b.object = o.object
                     order by k.heard_at desc nulls last limit 1) as s on true
            order by o.object"#,
        LOOKED_AT,
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter()
        .map(|row| {
            let stream = match row.channel {
                Some(channel) => Some(StreamFacts {
                    channel: parse_channel(&channel)?,
                    proven_until: row.proven_until,
                    heard_at: row.heard_at,
                    permitted_at: row.permitted_at,
                    member_at: row.member_at,
                }),
                None => None,
            };
            Ok(LiveFacts {
                object: ObjectName::parse(&row.object).map_err(|_| corrupt("object", &row.object))?,
                state: ObjectState::parse(&row.state).ok_or_else(|| corrupt("object state", &row.state))?,
                ready_at: row.ready_at,
                loaded_at: row.loaded_at,
                watermark: row.watermark,
                compared_at: row.compared_at,
                formula_refreshed_at: row.formula_refreshed_at,
                stream,
                backlog_events: row.backlog,
                oldest_unapplied: row.oldest_unapplied,
                oldest_received_at: row.oldest_received_at,
                dirty: row.dirty,
                oldest_dirty: row.oldest_dirty,
                dead_letters: row.dead_letters,
                oldest_dead_letter: row.oldest_dead_letter,
                holes: row.holes,
                oldest_hole: row.oldest_hole.filter(|_| !row.since_ever),
                hole_since_ever: row.since_ever,
            })
        })
        .collect()
}
