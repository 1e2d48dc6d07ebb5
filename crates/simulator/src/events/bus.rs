//! The retained events in the order of their commits, and the positions in them that clients hold.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{channels::Channels, schema::EventSchema};

/// How long events are kept: 72 hours.
pub const RETENTION_MS: i64 = 72 * 3_600_000;
/// Positions handed out in keep-alives that are remembered at most.
const MARKS: usize = 100_000;

/// One event as it is kept.
#[derive(Clone)]
pub struct Event {
    /// Its place; replay ids are made of it.
    pub position: u64,
    /// When it was sent, in the org's time.
    pub at_ms: i64,
    /// The object.
    pub entity: Arc<str>,
    /// What it says of its change, in the words of `changeType`.
    pub change_type: &'static str,
    /// The transaction.
    pub transaction_key: Arc<str>,
    /// Order within the transaction.
    pub sequence_number: i32,
    /// The channels at the time of the commit, with their members.
    pub channels: Arc<Channels>,
    /// The schema it was written by.
    pub schema: Arc<EventSchema>,
    /// The schema id it claims, where that is a lie.
    pub claimed_schema: Option<Arc<str>>,
    /// The Avro datum, with nothing hidden.
    pub payload: bytes::Bytes,
}

/// A replay id that does not lead to a place among the retained events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PositionLost;

/// The retained events. Positions grow and have gaps that mean nothing.
pub struct Bus {
    events: VecDeque<Arc<Event>>,
    /// Positions without an event that were handed out, with the time.
    marks: BTreeMap<u64, i64>,
    last: u64,
    /// Everything up to here was forgotten.
    floor: u64,
    /// The newest event that was forgotten.
    dropped: u64,
    bytes: usize,
    most_bytes: usize,
}

impl Bus {
    /// An empty bus. Positions begin at `first`: an org that is started again must begin beyond all that it ever handed
    /// out, because it has forgotten its events, and a client that comes back with an old position has lost it.
    pub fn new(first: u64, most_bytes: usize) -> Self {
        Self {
            events: VecDeque::new(),
            marks: BTreeMap::new(),
            last: first,
            floor: first,
            dropped: 0,
            bytes: 0,
            most_bytes,
        }
    }

    /// The newest position.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Everything up to here was forgotten.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// The newest event that was forgotten: who has not looked at it has missed it.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The retained events, oldest first.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = &Arc<Event>> {
        self.events.iter()
    }

    /// Adds an event at the end; its position is set here.
    pub fn push(&mut self, mut event: Event) -> Arc<Event> {
        event.position = self.step();
        self.bytes += cost(&event);
        let event = Arc::new(event);
        self.events.push_back(Arc::clone(&event));
        while self.bytes > self.most_bytes && self.events.len() > 1 {
            self.drop_oldest();
        }
        event
    }

    /// A position at the end that a client may keep, though no event has it.
    pub fn mark(&mut self, now_ms: i64) -> u64 {
        let position = self.step();
        self.marks.insert(position, now_ms);
        if self.marks.len() > MARKS {
            self.marks.pop_first();
        }
        position
    }

    /// The first events behind a position.
    pub fn after(&self, position: u64) -> impl Iterator<Item = &Arc<Event>> {
        let from = self.events.partition_point(|event| event.position <= position);
        self.events.range(from..)
    }

    /// The position that a replay id of 8 or 10 bytes stands for, if it was handed out and is not too old.
    pub fn resolve(&mut self, replay_id: &[u8], now_ms: i64) -> Result<u64, PositionLost> {
        self.forget_older(now_ms - RETENTION_MS);
        let (head, tail) = replay_id.split_at_checked(8).ok_or(PositionLost)?;
        if !matches!(tail, [] | [0, 0]) {
            return Err(PositionLost);
        }
        let position = u64::from_be_bytes(head.try_into().map_err(|_| PositionLost)?);
        let is_event = self.events.binary_search_by_key(&position, |event| event.position).is_ok();
        if is_event || self.marks.contains_key(&position) { Ok(position) } else { Err(PositionLost) }
    }

    /// Forgets what is older than a moment.
    pub fn forget_older(&mut self, moment_ms: i64) {
        while self.events.front().is_some_and(|event| event.at_ms < moment_ms) {
            self.drop_oldest();
        }
        self.marks.retain(|_, at_ms| *at_ms >= moment_ms);
    }

    /// Forgets everything: no position that was handed out is good any more.
    pub fn forget_all(&mut self) {
        while !self.events.is_empty() {
            self.drop_oldest();
        }
        self.marks.clear();
        self.floor = self.step();
    }

    /// Gives every retained event a new position, as an org's move to another instance does.
    pub fn renumber(&mut self) {
        self.marks.clear();
        self.last = self.last.wrapping_add(1_000_000_007);
        self.floor = self.last;
        for event in std::mem::take(&mut self.events) {
            let position = self.step();
            self.events.push_back(Arc::new(Event { position, ..(*event).clone() }));
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(event) = self.events.pop_front() {
            self.bytes -= cost(&event);
            (self.floor, self.dropped) = (event.position, event.position);
        }
    }

    /// The next position: one to nine beyond the last.
    fn step(&mut self) -> u64 {
        self.last += 1 + (self.last.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) % 9;
        self.last
    }
}

/// What an event takes in memory, about.
fn cost(event: &Event) -> usize {
    event.payload.len() + 256
}

/// The replay id of a position: ten bytes, of which clients may send back the first eight.
pub fn replay_id(position: u64) -> Vec<u8> {
    let mut id = position.to_be_bytes().to_vec();
    id.extend_from_slice(&[0, 0]);
    id
}
