//! One subscription: never more events than were asked for, keep-alives, and an end when nobody asks any more.

use std::{collections::HashSet, sync::Arc};

use tokio::{
    sync::{broadcast, mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tonic::{Status, Streaming};

use super::{Act, proto, proto::ReplayPreset, refusal::Rpc, service};
use crate::{
    events::{Event, Source, Subscriber, Topic, mask, replay_id},
    ids::RecordId,
    lock::lock,
    org::Org,
    soql::Access,
};

/// Events that one request may ask for; more is read as this.
const MOST: i32 = 100;
/// Bytes of one response.
const RESPONSE: usize = 3_000_000;

type Responses = mpsc::Sender<Result<proto::FetchResponse, Status>>;

/// A subscription that runs.
pub struct Subscription {
    org: Arc<Org>,
    rpc: Rpc,
    user: RecordId,
    id: u64,
    name: String,
    topic: Topic,
    /// What the first request said of where to begin.
    replay: (i32, Vec<u8>),
    /// Everything up to here was looked at.
    cursor: u64,
    outstanding: i32,
    delivered: u64,
}

/// What is to be sent next.
enum Next {
    /// Nothing yet.
    Nothing,
    /// These events.
    Events(Vec<Arc<Event>>),
    /// No event, but a position.
    KeepAlive(u64),
    /// The end, with this refusal.
    Refuse(&'static str),
}

impl Subscription {
    /// Serves one subscription from its first request to its end.
    pub async fn serve(
        org: Arc<Org>,
        rpc: Rpc,
        user: RecordId,
        mut inbound: Streaming<proto::FetchRequest>,
        responses: Responses,
    ) {
        let acts = org.streams.acts.subscribe();
        let idle = org.options.idle_close;
        let Ok(Ok(Some(first))) = timeout(idle, inbound.message()).await else { return };
        let mut wake = org.streams.wake.subscribe();
        wake.mark_unchanged();
        match Self::begin(org, rpc, user, &first) {
            Ok(mut subscription) => {
                let ended = subscription.run(inbound, &responses, wake, acts).await;
                lock(&subscription.org.events).subscribers.remove(&subscription.id);
                if let Err(status) = ended {
                    responses.send(Err(status)).await.ok();
                }
            }
            Err(status) => {
                responses.send(Err(status)).await.ok();
            }
        }
    }

    fn begin(org: Arc<Org>, rpc: Rpc, user: RecordId, first: &proto::FetchRequest) -> Result<Self, Status> {
        let topic = service::topic(&org, &first.topic_name, user, &rpc)?;
        let outstanding = requested(first, &rpc)?;
        let now = org.clock.now_ms();
        let mut events = lock(&org.events);
        events.release();
        let cursor = match ReplayPreset::try_from(first.replay_preset) {
            Ok(ReplayPreset::Latest) => events.bus.last(),
            Ok(ReplayPreset::Earliest) => {
                events.bus.forget_older(now - crate::events::RETENTION_MS);
                events.bus.floor()
            }
            Ok(ReplayPreset::Custom) if first.replay_id.is_empty() => {
                return Err(rpc.refuse("subscription.fetch.replayid.validation.failed"));
            }
            Ok(ReplayPreset::Custom) => events
                .bus
                .resolve(&first.replay_id, now)
                .map_err(|_| rpc.refuse("subscription.fetch.replayid.corrupted"))?,
            Err(_) => return Err(rpc.refuse("subscription.fetch.request.invalid")),
        };
        if events.allocation.left(now) == 0 {
            return Err(rpc.refuse("subscription.limit.exceeded"));
        }
        if events.subscribers.len() >= org.options.subscribers {
            return Err(rpc.refuse("concurrent.client.limit.exceeded"));
        }
        let id = events.subscribers.last_key_value().map_or(1, |(id, _)| id + 1);
        let name = first.topic_name.clone();
        events.subscribers.insert(id, Subscriber { topic: name.clone(), user, outstanding, delivered: 0 });
        drop(events);
        let replay = (first.replay_preset, first.replay_id.clone());
        Ok(Self { org, rpc, user, id, name, topic, replay, cursor, outstanding, delivered: 0 })
    }

    async fn run(
        &mut self,
        mut inbound: Streaming<proto::FetchRequest>,
        responses: &Responses,
        mut wake: watch::Receiver<u64>,
        mut acts: broadcast::Receiver<Act>,
    ) -> Result<(), Status> {
        let (keep_alive, idle) = (self.org.options.keep_alive, self.org.options.idle_close);
        let mut due = Instant::now() + self.org.options.first_keep_alive.unwrap_or(keep_alive);
        let mut idle_since = Instant::now();
        loop {
            while self.outstanding > 0 {
                let response = match self.next(Instant::now() >= due) {
                    Next::Nothing => break,
                    Next::Refuse(code) => return Err(self.rpc.refuse(code)),
                    Next::Events(events) => self.response(&events),
                    Next::KeepAlive(position) => proto::FetchResponse {
                        events: Vec::new(),
                        latest_replay_id: replay_id(position),
                        rpc_id: self.rpc.id.clone(),
                        pending_num_requested: self.outstanding,
                    },
                };
                self.note();
                if responses.send(Ok(response)).await.is_err() {
                    return Ok(());
                }
                (due, idle_since) = (Instant::now() + keep_alive, Instant::now());
            }
            // A silent stream is looked at again when something changes, not all the time.
            let overdue = if due <= Instant::now() { Instant::now() + keep_alive } else { due };
            let asked = self.outstanding > 0;
            let underway = lock(&self.org.events).release();
            tokio::select! {
                () = responses.closed() => return Ok(()),
                act = acts.recv() => match act {
                    Ok(Act::Fail(code)) => return Err(self.rpc.refuse(&code)),
                    Ok(Act::FailTopic(topic, code)) if topic == self.name => return Err(self.rpc.refuse(&code)),
                    Ok(Act::FailTopic(..)) => {}
                    Ok(Act::End) | Err(_) => return Ok(()),
                },
                request = inbound.message() => match request {
                    Ok(Some(request)) => self.more(&request)?,
                    // The client has said all that it will say, or is gone.
                    Ok(None) | Err(_) => return Ok(()),
                },
                _ = wake.changed(), if asked => {}
                () = sleep_until(overdue), if asked => {}
                () = sleep_until(underway.unwrap_or(overdue)), if asked && underway.is_some() => {}
                () = sleep_until(idle_since + idle), if !asked => return Ok(()),
            }
        }
    }

    /// Takes a further request.
    fn more(&mut self, request: &proto::FetchRequest) -> Result<(), Status> {
        if !request.topic_name.is_empty() && request.topic_name != self.name {
            return Err(self.rpc.refuse("subscription.fetch.topic.mismatch"));
        }
        let replay = (request.replay_preset, request.replay_id.clone());
        // Saying the same again is tolerated, and so is saying nothing.
        if replay != self.replay && replay != (ReplayPreset::Latest.into(), Vec::new()) {
            return Err(self.rpc.refuse("subscription.fetch.replay.repeated"));
        }
        let total = self.outstanding.checked_add(requested(request, &self.rpc)?);
        self.outstanding = total.ok_or_else(|| self.rpc.refuse("subscription.fetch.overflow"))?;
        self.note();
        Ok(())
    }

    /// What is to be sent now. With `keep_alive` due, the position up to which everything was sent.
    fn next(&mut self, keep_alive: bool) -> Next {
        let unseen = self.org.unseen_objects(self.user);
        let now = self.org.clock.now_ms();
        let mut events = lock(&self.org.events);
        events.release();
        if events.silent || events.held.contains(&self.name) {
            return Next::Nothing;
        }
        if self.cursor < events.bus.dropped() {
            return Next::Refuse("subscription.fetch.replayid.corrupted");
        }
        let limit = usize::try_from(self.outstanding).unwrap_or(0).min(self.org.options.events_per_response);
        let (mut batch, mut bytes, mut cursor) = (Vec::new(), 0, events.bus.last());
        for event in events.bus.after(self.cursor) {
            let wanted =
                event.channels.carries(&self.topic, &event.entity) && !unseen.contains(&*event.entity);
            if !wanted {
                continue;
            }
            bytes += event.payload.len() + 200;
            if batch.len() == limit || (bytes > RESPONSE && !batch.is_empty()) {
                cursor = batch.last().map_or(self.cursor, |last: &Arc<Event>| last.position);
                break;
            }
            batch.push(Arc::clone(event));
        }
        if batch.is_empty() {
            self.cursor = cursor;
            return if keep_alive { Next::KeepAlive(events.bus.mark(now)) } else { Next::Nothing };
        }
        let left = events.allocation.left(now);
        if left == 0 {
            return Next::Refuse("subscription.limit.exceeded");
        }
        if (batch.len() as u64) > left {
            batch.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            cursor = batch.last().map_or(self.cursor, |last| last.position);
        }
        self.cursor = cursor;
        let count = batch.len();
        events.allocation.take(now, count as u64);
        events.last_batch.clone_from(&batch);
        self.outstanding -= i32::try_from(count).unwrap_or(0);
        self.delivered += count as u64;
        Next::Events(batch)
    }

    fn response(&self, batch: &[Arc<Event>]) -> proto::FetchResponse {
        let access = self.org.access(self.user);
        let mut newest = batch.last().map_or(self.cursor, |event| event.position);
        if self.org.options.latest_beyond_events {
            newest = lock(&self.org.events).bus.mark(self.org.clock.now_ms());
        }
        proto::FetchResponse {
            events: batch.iter().map(|event| self.consumer_event(event, &access)).collect(),
            latest_replay_id: replay_id(newest),
            rpc_id: self.rpc.id.clone(),
            pending_num_requested: self.outstanding,
        }
    }

    fn consumer_event(&self, event: &Event, access: &Access) -> proto::ConsumerEvent {
        let claimed = event.claimed_schema.as_deref().unwrap_or(&event.schema.id);
        proto::ConsumerEvent {
            event: Some(proto::ProducerEvent {
                id: crate::events::uuid(),
                schema_id: claimed.to_owned(),
                payload: self.visible_payload(event, access),
                headers: Vec::new(),
            }),
            replay_id: replay_id(event.position),
        }
    }

    /// The payload with what the user may not see taken out. Bits of fields stay where they are.
    fn visible_payload(&self, event: &Event, access: &Access) -> Vec<u8> {
        let object = self.org.object_position(&event.entity);
        let hidden: HashSet<usize> = access
            .hidden_fields
            .iter()
            .filter(|(of, _)| Some(*of) == object)
            .map(|(_, field)| *field)
            .collect();
        if hidden.is_empty() {
            return event.payload.to_vec();
        }
        let masked = mask(&event.schema, &event.payload, |source, inside| match (source, inside) {
            (Source::Field(at, _), None) => hidden.contains(at),
            (Source::Address(parts), Some(inside)) => {
                parts.get(inside).copied().flatten().is_some_and(|at| hidden.contains(&at))
            }
            _ => false,
        });
        // A payload that was broken on purpose stays as it is.
        masked.unwrap_or_else(|| event.payload.to_vec())
    }

    /// Notes how the subscription stands, for who looks at the org from inside.
    fn note(&self) {
        let mut events = lock(&self.org.events);
        if let Some(noted) = events.subscribers.get_mut(&self.id) {
            (noted.outstanding, noted.delivered) = (self.outstanding, self.delivered);
        }
    }
}

fn requested(request: &proto::FetchRequest, rpc: &Rpc) -> Result<i32, Status> {
    if request.num_requested <= 0 {
        return Err(rpc.refuse("subscription.fetch.requested.events.invalid"));
    }
    Ok(request.num_requested.min(MOST))
}
