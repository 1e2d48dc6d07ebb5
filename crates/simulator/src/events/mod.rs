//! Change events: from a committed transaction to the bus that subscribers read.
//!
//! The bus lives in memory only. An org that is started again from its state file has its records, but no event of
//! before, and refuses every replay id that it handed out before: its clients see a lost position.

mod allocation;
mod bitmap;
mod bus;
mod capture;
mod channels;
mod diff;
mod faults;
mod payload;
mod schema;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use rand::Rng;
use tokio::time::Instant;

pub use self::{
    allocation::Allocation,
    bus::{Bus, Event, RETENTION_MS, replay_id},
    capture::Capture,
    channels::{Channels, DEFAULT_CHANNEL, Topic, has_events},
    faults::{EventFault, PlannedEvent, PlannedEvents},
    payload::{Change, Draft, Kind, Origin, Style, mask},
    schema::{EventSchema, Source, event_name},
};
use crate::{Options, ids::RecordId, snapshot::Snapshot};

/// Bytes of an event above which only a gap is sent.
const LARGEST: usize = 1_000_000;

/// Everything that is known of change events.
pub struct Events {
    /// The retained events.
    pub bus: Bus,
    /// Which objects are selected, and where.
    pub channels: Arc<Channels>,
    /// How many may still be delivered.
    pub allocation: Allocation,
    /// Every schema that an event was ever written by: a schema id is good for ever.
    pub schemas: HashMap<String, Arc<EventSchema>>,
    /// What is planned for events to come.
    pub planned: PlannedEvents,
    /// Reports whether nothing at all is sent to anybody.
    pub silent: bool,
    /// Topics to which nothing is sent for now.
    pub held: BTreeSet<String>,
    /// The events of the last response that carried any.
    pub last_batch: Vec<Arc<Event>>,
    /// How long after its commit an event comes to the bus.
    pub delay: Duration,
    /// Events that are not on the bus yet, with the moment at which they will be.
    underway: VecDeque<(Instant, Event)>,
    /// Who listens.
    pub subscribers: BTreeMap<u64, Subscriber>,
    style: Style,
    overflow_after: usize,
    exact_commit_times: bool,
    commit_number: i64,
}

/// One subscription as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscriber {
    /// The topic.
    pub topic: String,
    /// The user.
    pub user: RecordId,
    /// Events that it asked for and has not got.
    pub outstanding: i32,
    /// Events that it got.
    pub delivered: u64,
}

/// What the events of one transaction have in common.
pub struct Commit {
    key: Arc<str>,
    at_ms: i64,
    number: i64,
    sequence: i32,
}

impl Events {
    /// No events yet, and positions that begin at `first`.
    pub fn new(options: &Options, first: u64) -> Self {
        Self {
            bus: Bus::new(first, options.retained_bytes),
            channels: Arc::new(Channels::new(&options.selected, &options.channels)),
            allocation: Allocation::new(options.daily_events),
            schemas: HashMap::new(),
            planned: PlannedEvents::default(),
            silent: false,
            held: BTreeSet::new(),
            last_batch: Vec::new(),
            delay: options.event_delay,
            underway: VecDeque::new(),
            subscribers: BTreeMap::new(),
            style: Style { nulled_in_changed: options.nulled_in_changed, text_diffs: options.text_diffs },
            overflow_after: options.overflow_after,
            exact_commit_times: options.exact_commit_times,
            commit_number: options.first_commit_number,
        }
    }

    /// Takes note of schemas, so that clients may ask for them before any event came.
    pub fn know<'a>(&mut self, schemas: impl Iterator<Item = &'a Arc<EventSchema>>) {
        for schema in schemas {
            self.schemas.entry(schema.id.clone()).or_insert_with(|| Arc::clone(schema));
        }
    }

    /// Begins a transaction's events. Real orgs tell commit times in whole seconds.
    pub fn commit(&mut self, now_ms: i64) -> Commit {
        self.commit_number += 1 + i64::from(rand::rng().random_range(0..40_u8));
        let at_ms = if self.exact_commit_times { now_ms } else { now_ms.div_euclid(1_000) * 1_000 };
        Commit { key: uuid().into(), at_ms, number: self.commit_number, sequence: 0 }
    }

    /// Sends the events of a transaction.
    pub fn publish(&mut self, data: &Snapshot, drafts: Vec<(usize, Draft)>, now_ms: i64) {
        if drafts.is_empty() {
            return;
        }
        let mut commit = self.commit(now_ms);
        let mut changes = 0_usize;
        let mut overflown = BTreeSet::new();
        for (object, mut draft) in drafts {
            changes += draft.changes();
            if changes > self.overflow_after {
                if !overflown.insert(object) {
                    continue;
                }
                draft = overflow(&draft.entity);
            }
            // An object that is not selected leaves a hole in the numbers of its transaction.
            commit.sequence += 1;
            if let Some(schema) = data.event_schema(object) {
                self.send(&Arc::clone(schema), draft, &commit, now_ms);
            }
        }
    }

    /// Sends one event, with what was planned for it.
    pub fn send(&mut self, schema: &Arc<EventSchema>, mut draft: Draft, commit: &Commit, now_ms: i64) {
        if !self.channels.is_selected(&draft.entity) {
            return;
        }
        let fault = self.planned.take(&draft.entity);
        match fault {
            Some(EventFault::Dropped) => return,
            Some(EventFault::Gap) => as_gap(&mut draft),
            Some(EventFault::BadBitmap) => draft.stray_bit = true,
            Some(EventFault::UnknownKind) => draft.kind = Kind::Snapshot,
            _ => {}
        }
        let origin = Origin {
            transaction_key: commit.key.to_string(),
            sequence_number: commit.sequence.max(1),
            commit_timestamp: commit.at_ms,
            commit_number: commit.number,
            commit_user: crate::catalogue::catalogue_manager().to_string(),
            by: "com/salesforce/api/soap/67.0;client=SfdcInternalAPI/".to_owned(),
        };
        let mut payload = payload::encode(schema, &origin, &draft, self.style);
        if payload.len() > LARGEST {
            as_gap(&mut draft);
            payload = payload::encode(schema, &origin, &draft, self.style);
        }
        let claimed_schema = match fault {
            Some(EventFault::CorruptHeader) => {
                payload.truncate(3);
                None
            }
            Some(EventFault::CorruptBody) => {
                payload.truncate(payload.len().saturating_sub(2));
                None
            }
            Some(EventFault::UnknownSchema) => Some(crate::oauth::random(22).into()),
            _ => None,
        };
        let event = Event {
            position: 0,
            at_ms: now_ms,
            entity: draft.entity.as_str().into(),
            change_type: draft.kind.name(),
            transaction_key: Arc::clone(&commit.key),
            sequence_number: origin.sequence_number,
            channels: Arc::clone(&self.channels),
            schema: Arc::clone(schema),
            claimed_schema,
            payload: payload.into(),
        };
        self.schemas.entry(schema.id.clone()).or_insert_with(|| Arc::clone(schema));
        if fault == Some(EventFault::Duplicated) {
            self.emit(event.clone());
        }
        self.emit(event);
    }

    /// Brings an event to the bus, now or when its time has come; never before those that were sent before it.
    fn emit(&mut self, event: Event) {
        self.release();
        if self.delay.is_zero() && self.underway.is_empty() {
            self.bus.push(event);
            return;
        }
        let due = Instant::now() + self.delay;
        let due = self.underway.back().map_or(due, |(last, _)| due.max(*last));
        self.underway.push_back((due, event));
    }

    /// Brings to the bus whose time has come, and says when that of the next one will.
    pub fn release(&mut self) -> Option<Instant> {
        let now = Instant::now();
        while let Some((_, event)) = self.underway.pop_front_if(|(due, _)| *due <= now) {
            self.bus.push(event);
        }
        self.underway.front().map(|(due, _)| *due)
    }

    /// Sends events once more: the same transaction and number under other replay ids.
    pub fn redeliver(&mut self, events: &[Arc<Event>], now_ms: i64) {
        for event in events {
            self.bus.push(Event { at_ms: now_ms, ..(**event).clone() });
        }
    }

    /// A move to another instance: every position becomes another one, and commits are counted anew.
    pub fn renumber(&mut self) {
        self.bus.renumber();
        self.commit_number = i64::from(rand::rng().random_range(1_000..2_000_000_u32));
    }
}

/// An overflow event of an object.
pub fn overflow(entity: &str) -> Draft {
    Draft {
        entity: entity.to_owned(),
        kind: Kind::Overflow,
        ids: vec![RecordId::EMPTY.to_owned()],
        values: Vec::new(),
        stray_bit: false,
        before: Vec::new(),
    }
}

fn as_gap(draft: &mut Draft) {
    draft.kind = draft.kind.as_gap();
    draft.values.clear();
    draft.before.clear();
}

/// A text in the form of a UUID that nothing else has.
pub fn uuid() -> String {
    let bytes: [u8; 16] = rand::rng().random();
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
