//! What happens to the event stream on command, and what can be seen of it from inside.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::Org;
use crate::{
    error::Error,
    events::{
        self, Change, DEFAULT_CHANNEL, Draft, EventFault, EventSchema, Kind, Subscriber, Topic, has_events,
    },
    ids::RecordId,
    lock::{lock, read},
    pubsub::Act,
};

/// Acts that a subscription may be late to hear.
const ACTS: usize = 64;

/// The wires to all subscriptions that run.
pub(crate) struct Streams {
    /// What they are to do.
    pub acts: broadcast::Sender<Act>,
    /// There may be something new for them.
    pub wake: watch::Sender<u64>,
    /// Ends the answers that are under way now.
    pub reset: Mutex<CancellationToken>,
    /// Ends the connections that are open now.
    pub cut: Mutex<CancellationToken>,
    /// Tells the connections that are open now to take nothing new.
    pub drain: Mutex<CancellationToken>,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            acts: broadcast::channel(ACTS).0,
            wake: watch::channel(0).0,
            reset: Mutex::default(),
            cut: Mutex::default(),
            drain: Mutex::default(),
        }
    }
}

impl Streams {
    /// Tells every subscription to look for something new.
    pub fn wake(&self) {
        self.wake.send_modify(|version| *version = version.wrapping_add(1));
    }
}

/// Something that happens to the event stream.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Disturbance {
    /// All subscriptions are reset (RST_STREAM).
    ResetStreams,
    /// All connections of the Pub/Sub API break.
    CutConnections,
    /// All connections of the Pub/Sub API are told to go away (GOAWAY): what runs goes on, what is new needs another one.
    Drain,
    /// All subscriptions end normally, as when a server is replaced.
    EndStreams,
    /// All subscriptions end with a refusal, by the last part of its code: `service.unavailable`.
    FailStreams {
        /// What follows `sfdc.platform.eventbus.grpc.`
        code: String,
    },
    /// All sessions end, and the subscriptions with them.
    ExpireTokens,
    /// Nothing is sent to anybody any more, not even keep-alives; or everything again.
    Silence {
        /// Whether it is silent.
        on: bool,
    },
    /// Nothing is sent on one topic, so that others run ahead of it; or everything again.
    Hold {
        /// Such as `/data/ChangeEvents`.
        topic: String,
        /// Whether it is held.
        on: bool,
    },
    /// Events come so long after their commits from now on.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Every replay id handed out so far is refused, and the retained events are gone.
    ExpireReplayIds,
    /// The org moves to another instance: new replay ids for the same events, commits counted anew, connections break.
    Renumber,
    /// Events come again under other replay ids: the last response's, or the last so many.
    Redeliver {
        /// How many of the retained events.
        events: Option<usize>,
    },
    /// Something goes wrong with the next events of an object, or of any. Without `times`, with all of them.
    NextEvents {
        /// The object.
        object: Option<String>,
        /// What goes wrong.
        fault: EventFault,
        /// How often.
        times: Option<u32>,
    },
    /// A gap event comes, though nothing changed.
    Gap {
        /// The object.
        object: String,
        /// The records.
        ids: Vec<String>,
        /// How they are said to have changed.
        change: Change,
    },
    /// An overflow event comes: more changed in one transaction than events are sent for.
    Overflow {
        /// The object.
        object: String,
    },
    /// An event comes that means all records of the object.
    Wildcard {
        /// The object.
        object: String,
    },
    /// The day's allocation of delivered events is spent: deliveries are refused, and so are new subscriptions.
    SpendAllocation,
    /// There is allocation again.
    RestoreAllocation,
    /// Ends silence, holds and delays, and takes back what was planned for events to come.
    TakeBack,
}

/// One event on the bus, as a test looks at it.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
pub struct SentEvent {
    /// The object.
    pub object: String,
    /// What it says of its change, such as `CREATE`.
    pub change_type: &'static str,
    /// The transaction.
    pub transaction_key: String,
    /// Order within the transaction.
    pub sequence_number: i32,
    /// Its replay id.
    pub replay_id: Vec<u8>,
    /// Bytes of its payload.
    pub size: usize,
}

impl Org {
    /// Disturbs the event stream.
    pub fn disturb(&self, disturbance: &Disturbance) -> Result<(), Error> {
        match disturbance {
            Disturbance::ResetStreams => replace(&self.streams.reset),
            Disturbance::CutConnections => replace(&self.streams.cut),
            Disturbance::Drain => replace(&self.streams.drain),
            Disturbance::EndStreams => self.act(Act::End),
            Disturbance::FailStreams { code } => self.act(Act::Fail(code.clone())),
            Disturbance::ExpireTokens => {
                self.expire_sessions();
                self.act(Act::Fail("service.auth.error".to_owned()));
            }
            Disturbance::Silence { on } => lock(&self.events).silent = *on,
            Disturbance::Hold { topic, on: true } => {
                lock(&self.events).held.insert(topic.clone());
            }
            Disturbance::Hold { topic, on: false } => {
                lock(&self.events).held.remove(topic);
            }
            Disturbance::Delay { ms } => lock(&self.events).delay = Duration::from_millis(*ms),
            Disturbance::ExpireReplayIds => lock(&self.events).bus.forget_all(),
            Disturbance::Renumber => {
                lock(&self.events).renumber();
                replace(&self.streams.cut);
            }
            Disturbance::Redeliver { events } => self.redeliver(*events),
            Disturbance::NextEvents { object, fault, times } => {
                let object = object.as_deref().map(|name| self.event_object(name)).transpose()?;
                lock(&self.events).planned.plan(object, *fault, times.unwrap_or(u32::MAX));
            }
            Disturbance::Gap { object, ids, change } => {
                self.announce(object, Kind::Gap(*change), ids.clone())?;
            }
            Disturbance::Overflow { object } => {
                self.announce(object, Kind::Overflow, vec![RecordId::EMPTY.to_owned()])?;
            }
            Disturbance::Wildcard { object } => {
                let prefix = {
                    let data = read(&self.data);
                    let at = data.schema.object(object).ok_or_else(|| Error::NoObject(object.clone()))?;
                    String::from_utf8_lossy(&data.object(at).key_prefix).into_owned()
                };
                self.announce(object, Kind::Update, vec![format!("{prefix}*")])?;
            }
            Disturbance::SpendAllocation => {
                let allowed = lock(&self.events).allocation.allowed();
                self.set_delivered_events(allowed, allowed);
            }
            Disturbance::RestoreAllocation => {
                let allowed = lock(&self.events).allocation.allowed();
                self.set_delivered_events(0, allowed);
            }
            Disturbance::TakeBack => {
                let mut events = lock(&self.events);
                events.silent = false;
                events.delay = Duration::ZERO;
                events.held.clear();
                events.planned.clear();
            }
        }
        self.streams.wake();
        Ok(())
    }

    fn act(&self, act: Act) {
        // Nobody may be listening.
        self.streams.acts.send(act).ok();
    }

    fn redeliver(&self, count: Option<usize>) {
        let mut events = lock(&self.events);
        let again = match count {
            None => events.last_batch.clone(),
            Some(count) => {
                let mut newest: Vec<_> = events.bus.events().rev().take(count).cloned().collect();
                newest.reverse();
                newest
            }
        };
        events.redeliver(&again, self.clock.now_ms());
    }

    /// Sends an event by itself.
    fn announce(&self, object: &str, kind: Kind, ids: Vec<String>) -> Result<(), Error> {
        let entity = self.event_object(object)?;
        let data = read(&self.data);
        let at = data.schema.object(&entity).ok_or_else(|| Error::NoObject(entity.clone()))?;
        let draft = Draft { entity, kind, ids, values: Vec::new(), stray_bit: false, before: Vec::new() };
        lock(&self.events).publish(&data, vec![(at, draft)], self.clock.now_ms());
        Ok(())
    }

    /// Puts an object on the default channel, or takes it off. Nobody who listens is told.
    pub fn set_selected(&self, object: &str, selected: bool) -> Result<(), Error> {
        self.set_channel_member(DEFAULT_CHANNEL, object, selected)
    }

    /// Puts an object on a channel such as `Shop__chn`, which is made if need be, or takes it off.
    ///
    /// - **Errors:** at most five objects may be selected over all channels.
    pub fn set_channel_member(&self, channel: &str, object: &str, member: bool) -> Result<(), Error> {
        let object = self.event_object(object)?;
        let mut events = lock(&self.events);
        Arc::make_mut(&mut events.channels).set(channel, &object, member)
    }

    /// Removes a custom channel; its subscriptions end.
    pub fn remove_channel(&self, channel: &str) {
        Arc::make_mut(&mut lock(&self.events).channels).remove(channel);
        self.act(Act::FailTopic(format!("/data/{channel}"), "topic.not.found".to_owned()));
    }

    /// Pairs of channel and object: what is selected where.
    pub fn selection(&self) -> Vec<(String, String)> {
        let events = lock(&self.events);
        events.channels.members().map(|(channel, object)| (channel.to_owned(), object.to_owned())).collect()
    }

    /// The retained events, oldest first.
    pub fn sent_events(&self) -> Vec<SentEvent> {
        let mut events = lock(&self.events);
        events.release();
        let seen = |event: &Arc<events::Event>| SentEvent {
            object: event.entity.to_string(),
            change_type: event.change_type,
            transaction_key: event.transaction_key.to_string(),
            sequence_number: event.sequence_number,
            replay_id: events::replay_id(event.position),
            size: event.payload.len(),
        };
        events.bus.events().map(seen).collect()
    }

    /// How many events are retained.
    pub fn retained_events(&self) -> usize {
        let mut events = lock(&self.events);
        events.release();
        events.bus.events().count()
    }

    /// Who is subscribed.
    pub fn subscribers(&self) -> Vec<Subscriber> {
        lock(&self.events).subscribers.values().cloned().collect()
    }

    /// How many events were delivered in the last 24 hours, each counted for each of its subscribers.
    pub fn delivered_events(&self) -> u64 {
        lock(&self.events).allocation.used(self.clock.now_ms())
    }

    /// Sets how many events count as delivered, and how many are allowed in 24 hours.
    pub fn set_delivered_events(&self, used: u64, allowed: u64) {
        lock(&self.events).allocation.set(self.clock.now_ms(), used, allowed);
        self.streams.wake();
    }

    /// The name of an object that has change events, in describe's case.
    fn event_object(&self, name: &str) -> Result<String, Error> {
        let data = read(&self.data);
        let object = data.schema.object(name).map(|at| data.object(at).name.clone());
        object.filter(|name| has_events(name)).ok_or_else(|| Error::NoObject(name.to_owned()))
    }

    /// The position of an object of this very name.
    pub(crate) fn object_position(&self, name: &str) -> Option<usize> {
        read(&self.data).schema.object(name)
    }

    /// What a topic's name means.
    pub(crate) fn topic(&self, name: &str) -> Option<Topic> {
        let schema = Arc::clone(&read(&self.data).schema);
        lock(&self.events).channels.topic(name, &schema)
    }

    /// The schema of an id, whether it is still in use or not.
    pub(crate) fn schema_of_events(&self, id: &str) -> Option<Arc<EventSchema>> {
        lock(&self.events).schemas.get(id).cloned()
    }

    /// The schema that the next event of an object will be written by.
    pub(crate) fn newest_event_schema(&self, object: &str) -> Option<Arc<EventSchema>> {
        let data = read(&self.data);
        data.event_schema(data.schema.object(object)?).cloned()
    }

    /// Reports whether a user may subscribe to an object's events: sees it, and all of its records.
    pub(crate) fn may_subscribe(&self, user: RecordId, object: &str) -> bool {
        !self.unseen_objects(user).contains(object)
    }

    /// The objects whose events a user does not get.
    pub(crate) fn unseen_objects(&self, user: RecordId) -> HashSet<String> {
        let access = self.access(user);
        let data = read(&self.data);
        let mut unseen: HashSet<String> =
            access.hidden_objects.iter().map(|object| data.object(*object).name.clone()).collect();
        let partly = self.without_view_all();
        let partly = partly.iter().filter_map(|name| data.schema.object(name));
        unseen.extend(partly.map(|object| data.object(object).name.clone()));
        unseen
    }
}

/// Breaks what hangs on a token, and puts a new one in its place.
fn replace(token: &Mutex<CancellationToken>) {
    std::mem::take(&mut *lock(token)).cancel();
}
