//! The change log: every received change event, in the order of its commits, until retention takes its day away.
//!
//! Rows are only ever added. How far a channel is applied stands in its checkpoint; what was done with an event
//! stands in [`crate::event_outcomes`].

use std::collections::HashSet;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use shadow::event::{ChangeKind, ChannelName, EventHeader, Records, ReplayId};
use shadow::{ObjectName, RecordId};
use sqlx::PgTransaction;

use crate::dead_letters::{self, NewDeadLetter, Stage};
use crate::error::{Error, corrupt};
use crate::holes::{HoleWhy, NewHole};
use crate::leases::{self, LeaseKey};
use crate::session::Store;
use crate::{checkpoints, failpoint, log_head};

mod reading;

pub use crate::checkpoints::keep_alive;
pub use reading::{LogFilter, LoggedEvent, Replayable, earliest, get, list, position_of, replayable, scan};

/// A received event.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Salesforce's position of it.
    pub replay_id: ReplayId,
    /// The schema that it was written with.
    pub schema_id: String,
    /// Its bytes.
    pub payload: Bytes,
    /// What its header says, or why that cannot be read.
    pub header: Result<EventHeader, String>,
}

/// What became of received events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Appended {
    /// New in the log.
    pub stored: usize,
    /// In the log already.
    pub duplicates: usize,
    /// Kept as dead letters, because their header cannot be read.
    pub unreadable: usize,
    /// The log's newest position.
    pub last_position: i64,
}

/// An event of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// Its position.
    pub position: i64,
    /// When it was received, by the database's clock.
    pub received_at: DateTime<Utc>,
    /// The channel that it came on.
    pub channel: ChannelName,
    /// Salesforce's position of it.
    pub replay_id: ReplayId,
    /// The schema that it was written with.
    pub schema_id: String,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// The object.
    pub object: ObjectName,
    /// How its records changed.
    pub kind: ChangeKind,
    /// Groups the events of one transaction.
    pub transaction_key: String,
    /// Order within the transaction.
    pub sequence_number: i32,
    /// When the transaction was committed, in Salesforce's time.
    pub committed_at: DateTime<Utc>,
    /// Its records; none: all of the object, or nobody knows which.
    pub record_ids: Option<Vec<RecordId>>,
}

/// Stores the events of one message and moves the channel's checkpoint behind the last of them, in one commit.
///
/// - `objects_of_channel`: what may be missing when an event's header cannot be read: a hole is opened for each. If
///   none is named, whatever the channel may carry.
/// - `holes`: opened in the same commit. If the channel has no position yet and none are given, one is opened for
///   each object of the channel, because nobody knows what came before.
/// - A redelivery (object, transaction and sequence number are in the log already, on whatever channel) is not
///   stored again.
/// - **Errors:** [`Error::LeaseLost`]; after any error nothing was stored, and the events can be appended again.
pub async fn append(
    store: &Store,
    lease: &LeaseKey,
    channel: &ChannelName,
    events: &[NewEvent],
    objects_of_channel: &[ObjectName],
    holes: &[NewHole],
) -> Result<Appended, Error> {
    let Some(last) = events.last() else {
        return Ok(Appended { last_position: log_head::position(store).await?, ..Appended::default() });
    };
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    let head = log_head::lock(&mut tx).await?;
    let known = delivered(&mut tx, events).await?;
    let batch = Batch::of(events, &known, head);
    let received_at = insert(&mut tx, channel, &batch).await?;
    if !batch.unreadable.is_empty() {
        let proven = batch.proven_before.or(checkpoints::proven(&mut tx, channel).await?);
        let objects = checkpoints::carried(&mut tx, channel, objects_of_channel).await?;
        park(&mut tx, channel, &batch, received_at, &objects, proven).await?;
    }
    let mut objects: Vec<&str> = batch.readable.iter().map(|(.., header)| header.object.as_str()).collect();
    objects.sort_unstable();
    objects.dedup();
    let moved = checkpoints::Moved {
        replay_id: &last.replay_id,
        position: Some(batch.last_position),
        stored: i64::try_from(batch.readable.len()).unwrap_or(i64::MAX),
        objects: &objects,
        proven_until: batch.proven_until,
    };
    checkpoints::move_in(&mut tx, channel, &moved, objects_of_channel, holes).await?;
    failpoint::reach("events.appended");
    tx.commit().await?;
    failpoint::reach("events.committed");
    Ok(Appended {
        stored: batch.readable.len(),
        duplicates: events.len() - batch.readable.len() - batch.unreadable.len(),
        unreadable: batch.unreadable.len(),
        last_position: batch.last_position,
    })
}

/// The events of one message, each with its position.
struct Batch<'a> {
    readable: Vec<(i64, &'a NewEvent, &'a EventHeader)>,
    unreadable: Vec<(i64, &'a NewEvent, &'a str)>,
    last_position: i64,
    /// The commit time of the last event whose header can be read, known or new.
    proven_until: Option<DateTime<Utc>>,
    /// The same of the last one before the first unreadable event.
    proven_before: Option<DateTime<Utc>>,
}

impl<'a> Batch<'a> {
    /// - `known`: places of events that are in the log already.
    fn of(events: &'a [NewEvent], known: &HashSet<usize>, head: i64) -> Self {
        let mut batch = Self {
            readable: Vec::with_capacity(events.len()),
            unreadable: Vec::new(),
            last_position: head,
            proven_until: None,
            proven_before: None,
        };
        let mut seen = HashSet::with_capacity(events.len());
        for (place, event) in events.iter().enumerate() {
            match &event.header {
                Ok(header) => {
                    batch.proven_until = header.committed_at.to_utc().or(batch.proven_until);
                    let key =
                        (header.object.as_str(), header.transaction_key.as_str(), header.sequence_number);
                    if seen.insert(key) && !known.contains(&place) {
                        batch.last_position += 1;
                        batch.readable.push((batch.last_position, event, header));
                    }
                }
                Err(why) => {
                    if batch.unreadable.is_empty() {
                        batch.proven_before = batch.proven_until;
                    }
                    batch.last_position += 1;
                    batch.unreadable.push((batch.last_position, event, why));
                }
            }
        }
        batch
    }
}

/// The places of those events that are in the log already, in whatever partition and of whatever channel.
async fn delivered(tx: &mut PgTransaction<'_>, events: &[NewEvent]) -> Result<HashSet<usize>, Error> {
    let mut places = Vec::with_capacity(events.len());
    let (mut keys, mut numbers, mut objects) = (Vec::new(), Vec::new(), Vec::new());
    for (place, event) in events.iter().enumerate() {
        if let Ok(header) = &event.header {
            places.push(place);
            keys.push(header.transaction_key.as_str());
            numbers.push(header.sequence_number);
            objects.push(header.object.as_str());
        }
    }
    // The limit keeps the planner to one look-up per event.
    let found = sqlx::query_scalar!(
        r#"select new.place as "place!"
             from unnest($1::text[], $2::int[], $3::text[]) with ordinality as new (key, number, object, place)
            cross join lateral (
                   select from shadow_sync.change_log old
                    where old.transaction_key = new.key and old.sequence_number = new.number
                      and old.object = new.object
                    limit 1) as known"#,
        &keys as &[&str],
        &numbers,
        &objects as &[&str],
    )
    .fetch_all(&mut **tx)
    .await?;
    let place =
        |ordinal: i64| usize::try_from(ordinal - 1).ok().and_then(|ordinal| places.get(ordinal).copied());
    Ok(found.into_iter().filter_map(place).collect())
}

/// Adds the new events to the log and moves its end. Returns the time at which they count as received.
async fn insert(
    tx: &mut PgTransaction<'_>,
    channel: &ChannelName,
    batch: &Batch<'_>,
) -> Result<DateTime<Utc>, Error> {
    let events = || batch.readable.iter();
    let positions: Vec<i64> = events().map(|(position, ..)| *position).collect();
    let replay_ids: Vec<&[u8]> = events().map(|(_, event, _)| event.replay_id.as_bytes()).collect();
    let schema_ids: Vec<&str> = events().map(|(_, event, _)| event.schema_id.as_str()).collect();
    let payloads: Vec<&[u8]> = events().map(|(_, event, _)| &event.payload[..]).collect();
    let objects: Vec<&str> = events().map(|(.., header)| header.object.as_str()).collect();
    let kinds: Vec<&str> = events().map(|(.., header)| header.kind.as_str()).collect();
    let keys: Vec<&str> = events().map(|(.., header)| header.transaction_key.as_str()).collect();
    let numbers: Vec<i32> = events().map(|(.., header)| header.sequence_number).collect();
    let commits: Vec<Option<DateTime<Utc>>> =
        events().map(|(.., header)| header.committed_at.to_utc()).collect();
    let records: Vec<Option<String>> = events().map(|(.., header)| joined(&header.records)).collect();
    // An array of arrays must be rectangular, so the ids of each event travel as one text.
    let received_at = sqlx::query_scalar!(
        r#"with log as (
               insert into shadow_sync.change_log
                      (position, received_at, channel, replay_id, schema_id, payload, object, kind, transaction_key,
                       sequence_number, committed_at, record_ids)
               select new.position, statement_timestamp(), $1, new.replay_id, new.schema_id, new.payload, new.object,
                      new.kind, new.key, new.number, coalesce(new.committed_at, statement_timestamp()),
                      string_to_array(new.records, ',')
                 from unnest($3::bigint[], $4::bytea[], $5::text[], $6::bytea[], $7::text[], $8::text[], $9::text[],
                             $10::int[], $11::timestamptz[], $12::text[])
                      as new (position, replay_id, schema_id, payload, object, kind, key, number, committed_at,
                              records))
           update shadow_sync.log_head set position = $2 returning statement_timestamp() as "received_at!""#,
        channel.as_str(),
        batch.last_position,
        &positions,
        &replay_ids as &[&[u8]],
        &schema_ids as &[&str],
        &payloads as &[&[u8]],
        &objects as &[&str],
        &kinds as &[&str],
        &keys as &[&str],
        &numbers,
        &commits as &[Option<DateTime<Utc>>],
        &records as &[Option<String>],
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(received_at)
}

fn joined(records: &Records) -> Option<String> {
    match records {
        Records::Ids(ids) => Some(ids.iter().map(RecordId::as_str).collect::<Vec<_>>().join(",")),
        Records::All => None,
    }
}

/// Keeps events whose header cannot be read, and opens holes: nobody knows what they said of whom.
async fn park(
    tx: &mut PgTransaction<'_>,
    channel: &ChannelName,
    batch: &Batch<'_>,
    received_at: DateTime<Utc>,
    objects: &[ObjectName],
    proven: Option<DateTime<Utc>>,
) -> Result<(), Error> {
    let letters: Vec<NewDeadLetter> = batch
        .unreadable
        .iter()
        .map(|(position, event, why)| NewDeadLetter {
            position: *position,
            received_at,
            channel: channel.clone(),
            replay_id: event.replay_id.clone(),
            schema_id: event.schema_id.clone(),
            payload: Some(event.payload.clone()),
            object: None,
            records: None,
            kind: None,
            committed_at: None,
            stage: Stage::Header,
            cause: "header-unreadable".to_owned(),
            message: (*why).to_owned(),
        })
        .collect();
    dead_letters::park_in(tx, &letters).await?;
    let detail = serde_json::json!({ "position": batch.unreadable.first().map(|(position, ..)| position) });
    let holes: Vec<NewHole> = objects
        .iter()
        .map(|object| {
            NewHole::new(object, HoleWhy::HeaderUnreadable)
                .on(channel)
                .from(proven)
                .until(Some(received_at))
                .with(detail.clone())
        })
        .collect();
    crate::holes::open_in(tx, &holes).await
}

/// Up to `limit` events of a channel behind a position, in the log's order.
pub async fn next_batch(
    store: &Store,
    channel: &ChannelName,
    after: i64,
    limit: i64,
) -> Result<Vec<StoredEvent>, Error> {
    let mut tx = store.begin().await?;
    log_head::plan_anew(&mut tx).await?;
    let rows = sqlx::query_as!(
        EventRow,
        r#"select position, received_at, channel, replay_id, schema_id, payload, object, kind, transaction_key,
                  sequence_number, committed_at, record_ids
             from shadow_sync.change_log
            where channel = $1 and position > $2
            order by position
            limit $3"#,
        channel.as_str(),
        after,
        limit,
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    rows.into_iter().map(EventRow::read).collect()
}

/// An event as its row has it.
struct EventRow {
    position: i64,
    received_at: DateTime<Utc>,
    channel: String,
    replay_id: Vec<u8>,
    schema_id: String,
    payload: Vec<u8>,
    object: String,
    kind: String,
    transaction_key: String,
    sequence_number: i32,
    committed_at: DateTime<Utc>,
    record_ids: Option<Vec<String>>,
}

impl EventRow {
    fn read(self) -> Result<StoredEvent, Error> {
        let id = |id: &String| RecordId::parse(id).map_err(|_| corrupt("record id", id));
        let record_ids =
            self.record_ids.map(|ids| ids.iter().map(id).collect::<Result<_, _>>()).transpose()?;
        Ok(StoredEvent {
            position: self.position,
            received_at: self.received_at,
            channel: parse_channel(&self.channel)?,
            replay_id: ReplayId::new(self.replay_id),
            schema_id: self.schema_id,
            payload: self.payload,
            object: ObjectName::parse(&self.object).map_err(|_| corrupt("object", &self.object))?,
            kind: parse_kind(&self.kind)?,
            transaction_key: self.transaction_key,
            sequence_number: self.sequence_number,
            committed_at: self.committed_at,
            record_ids,
        })
    }
}

pub(crate) fn parse_channel(name: &str) -> Result<ChannelName, Error> {
    ChannelName::parse(name).map_err(|_| corrupt("channel", name))
}

pub(crate) fn parse_kind(word: &str) -> Result<ChangeKind, Error> {
    ChangeKind::parse(word).ok_or_else(|| corrupt("kind of change", word))
}
