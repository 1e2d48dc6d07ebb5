//! A world whose changes also come as events: they are appended to the log, then applied.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use shadow::{
    ChangeEvent, ChangeKind, ChannelName, EventBody, EventHeader, EventValue, FieldChange, ObjectName,
    RecordId, Records, ReplayId, ResolvedMapping, WhyFetch,
};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use store::apply_events::{self, Applied, Decoded};
use store::change_log::{self, NewEvent};
use store::leases::{self, Lease, LeaseTimes};
use store::{Error, Store, checkpoints};

use crate::world::{World, entry_id, product_id, read_end};

/// What one event says.
#[derive(Debug, Clone)]
pub struct Told {
    pub object: ObjectName,
    pub kind: ChangeKind,
    pub records: Records,
    pub committed_at: DateTime<Utc>,
    pub transaction: Option<String>,
    pub body: Result<EventBody, String>,
}

pub struct Live {
    pub world: World,
    pub lease: Lease,
    pub channel: ChannelName,
    pub mappings: Vec<Arc<ResolvedMapping>>,
    numbers: Cell<u32>,
    bodies: RefCell<HashMap<ReplayId, Result<ChangeEvent, String>>>,
    /// The events received last.
    last: RefCell<Vec<NewEvent>>,
}

/// So many seconds after the end of every read of the tests.
pub fn after(seconds: i64) -> DateTime<Utc> {
    read_end() + TimeDelta::seconds(seconds)
}

pub fn text(value: &str) -> EventValue {
    if value.is_empty() { EventValue::Null } else { EventValue::Text(value.to_owned()) }
}

fn fields(fields: &[(&str, EventValue)]) -> Vec<FieldChange> {
    fields
        .iter()
        .map(|(name, value)| FieldChange { name: (*name).to_owned(), value: value.clone() })
        .collect()
}

fn told(object: ObjectName, kind: ChangeKind, id: RecordId, body: EventBody) -> Told {
    Told {
        object,
        kind,
        records: Records::Ids(vec![id]),
        committed_at: after(60),
        transaction: None,
        body: Ok(body),
    }
}

/// An update of a product, committed a minute after every read.
pub fn product_changed(id: u32, changes: &[(&str, EventValue)]) -> Told {
    let body = EventBody::Patch(fields(changes));
    told(ObjectName::product(), ChangeKind::Update, product_id(id), body)
}

pub fn entry_changed(id: u32, changes: &[(&str, EventValue)]) -> Told {
    let body = EventBody::Patch(fields(changes));
    told(ObjectName::pricebook_entry(), ChangeKind::Update, entry_id(id), body)
}

/// An event of a product that carries all of it: created on day `id`.
pub fn product_whole(kind: ChangeKind, id: u32, sku: &str, name: &str) -> Told {
    let created = 1_600_000_000_000 + i64::from(id) * 86_400_000;
    let body = EventBody::Whole(fields(&[
        ("Name", text(name)),
        ("ProductCode", text(sku)),
        ("CreatedDate", EventValue::Whole(created)),
        ("LastModifiedDate", EventValue::Whole(1_700_000_050_000)),
    ]));
    told(ObjectName::product(), kind, product_id(id), body)
}

pub fn product_deleted(id: u32) -> Told {
    told(ObjectName::product(), ChangeKind::Delete, product_id(id), EventBody::Nothing)
}

/// An event that does not say how a product changed.
pub fn product_gap(kind: ChangeKind, id: u32) -> Told {
    told(ObjectName::product(), kind, product_id(id), EventBody::Fetch(WhyFetch::Gap))
}

impl Told {
    pub fn committed(self, seconds: i64) -> Self {
        Self { committed_at: after(seconds), ..self }
    }

    pub fn of_transaction(self, key: &str) -> Self {
        Self { transaction: Some(key.to_owned()), ..self }
    }

    pub fn unreadable(self) -> Self {
        Self { body: Err("the text `a\0b` is cut off".to_owned()), ..self }
    }

    pub fn nameless(self) -> Self {
        Self { records: Records::All, ..self }
    }
}

impl Live {
    pub async fn start(pool: PgPool) -> Self {
        let world = World::start(pool).await;
        let lease = leases::acquire_for(&world.store, "stream", "the test", LeaseTimes::STREAM).await;
        let mappings =
            [&world.product, &world.entry, &world.account].map(|mapping| Arc::new(mapping.clone()));
        Self {
            lease: lease.unwrap().unwrap(),
            mappings: mappings.into(),
            world,
            channel: ChannelName::parse(ChannelName::ALL_CHANGES).unwrap(),
            numbers: Cell::new(0),
            bodies: RefCell::default(),
            last: RefCell::default(),
        }
    }

    /// Appends events to the log; returns its newest position.
    pub async fn receive(&self, events: &[Told]) -> i64 {
        let mut new = Vec::new();
        for event in events {
            let number = self.numbers.get() + 1;
            self.numbers.set(number);
            let header = EventHeader {
                object: event.object.clone(),
                kind: event.kind,
                records: event.records.clone(),
                transaction_key: event.transaction.clone().unwrap_or_else(|| format!("transaction-{number}")),
                sequence_number: i32::try_from(number).unwrap(),
                committed_at: event.committed_at.into(),
                commit_number: i64::from(number),
                commit_user: "005000000000001".to_owned(),
                change_origin: String::new(),
            };
            let replay_id = ReplayId::new(number.to_be_bytes().to_vec());
            let decoded = event.body.clone().map(|body| ChangeEvent { header: header.clone(), body });
            self.bodies.borrow_mut().insert(replay_id.clone(), decoded);
            let payload = Bytes::from_static(b"an event");
            new.push(NewEvent { replay_id, schema_id: "schema".to_owned(), payload, header: Ok(header) });
        }
        let objects = [ObjectName::product(), ObjectName::pricebook_entry()];
        let appended =
            change_log::append(&self.world.store, self.lease.key(), &self.channel, &new, &objects, &[]).await;
        *self.last.borrow_mut() = new;
        appended.unwrap().last_position
    }

    /// Appends the last events once more, as after a reconnect; returns the log's newest position.
    pub async fn receive_last_again(&self) -> i64 {
        let events = self.last.borrow().clone();
        let appended =
            change_log::append(&self.world.store, self.lease.key(), &self.channel, &events, &[], &[]);
        appended.await.unwrap().last_position
    }

    pub async fn applied_position(&self) -> i64 {
        let checkpoint = checkpoints::get(&self.world.store, &self.channel).await.unwrap();
        checkpoint.map_or(0, |checkpoint| checkpoint.applied_position)
    }

    /// Applies up to so many events that wait.
    pub async fn apply_some(&self, limit: i64) -> Result<Applied, Error> {
        self.apply_by(&self.world.store, limit).await
    }

    /// The same by a process that dies after a while, connections and all. Says whether it was done before.
    pub async fn apply_and_die(&self, limit: i64, patience: Duration) -> bool {
        let connect = (*self.world.store.pool().connect_options()).clone();
        let pool = PgPoolOptions::new().max_connections(2).connect_with(connect).await.unwrap();
        let store = Store::on_pool(pool).await.unwrap();
        tokio::time::timeout(patience, self.apply_by(&store, limit)).await.is_ok()
    }

    async fn apply_by(&self, store: &Store, limit: i64) -> Result<Applied, Error> {
        let after = self.applied_position().await;
        let stored = change_log::next_batch(store, &self.channel, after, limit).await?;
        if stored.is_empty() {
            return Ok(Applied::default());
        }
        let decoded: Vec<Decoded<'_>> = stored
            .iter()
            .map(|stored| Decoded { stored, event: self.bodies.borrow()[&stored.replay_id].clone() })
            .collect();
        let up_to = stored.last().map_or(after, |event| event.position);
        let key = self.lease.key();
        apply_events::apply(store, key, &self.channel, &self.mappings, &decoded, up_to).await
    }

    pub async fn apply(&self) -> Applied {
        self.apply_some(10_000).await.unwrap()
    }

    /// Appends events and applies them.
    pub async fn tell(&self, events: &[Told]) -> Applied {
        self.receive(events).await;
        self.apply().await
    }

    /// Outcomes: record and word, in the order of the log.
    pub async fn outcomes(&self) -> Vec<(String, String)> {
        self.world
            .query("select coalesce(record_id, '-'), outcome from shadow_sync.event_outcomes order by position, record_id")
            .await
    }

    /// Dirty records: id, and reason with position.
    pub async fn dirty(&self) -> Vec<(String, String)> {
        self.world
            .query(
                "select record_id, reason || ' ' || as_of from shadow_sync.dirty order by object, record_id",
            )
            .await
    }
}
