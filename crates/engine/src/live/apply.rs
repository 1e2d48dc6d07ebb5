//! Applies one channel's stored events, in the order of the log, a transaction in one commit.
//!
//! Woken when events are stored, and looks by itself now and then; both do the same.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use salesforce::avro::Schema;
use shadow::ResolvedMapping;
use shadow::event::{ChangeEvent, EventBody, EventHeader, Records};
use store::apply_events::{self, Applied, Decoded};
use store::change_log::{self, StoredEvent};
use store::checkpoints;
use tokio_util::sync::CancellationToken;

use super::channels::Channel;
use super::closing::{LARGEST, complete};
use super::gaps;
use super::term::Term;
use crate::clock;
use crate::notice::View;
use crate::problem::Answer;

/// Silence that closes a transaction.
const SILENCE: Duration = Duration::from_millis(20);
/// Events of one look.
const BATCH: usize = 2_000;
/// How long to wait before looking again unasked.
const SWEEP: Duration = Duration::from_secs(5);
/// How often hosts are told at most.
const NOTICE_EVERY: Duration = Duration::from_millis(250);

/// Applies a channel until the term ends.
pub(crate) async fn apply(term: Arc<Term>, channel: Channel, stop: CancellationToken) -> Answer<()> {
    let mut applier =
        Applier { term, channel, schemas_seen: HashSet::new(), noticed: None, size: BATCH, untold: false };
    while !stop.is_cancelled() {
        let pause = applier.round(&stop).await?;
        applier.tell();
        let Some(pause) = pause else { continue };
        let pause = if applier.untold { pause.min(NOTICE_EVERY) } else { pause };
        tokio::select! {
            () = stop.cancelled() => {}
            () = applier.term.more(&applier.channel.name) => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    Ok(())
}

struct Applier {
    term: Arc<Term>,
    channel: Channel,
    /// Writer schemas after which the object was described.
    schemas_seen: HashSet<String>,
    noticed: Option<Instant>,
    /// Whether something happened that hosts were not told yet.
    untold: bool,
    size: usize,
}

impl Applier {
    /// Applies what can be applied now; answers how long to wait, none to go on at once.
    async fn round(&mut self, stop: &CancellationToken) -> Answer<Option<Duration>> {
        let store = &self.term.store;
        if !super::eligible::may_apply(store, &self.channel.objects).await? {
            return Ok(Some(Duration::from_secs(1)));
        }
        let Some(checkpoint) = checkpoints::get(store, &self.channel.name).await? else {
            return Ok(Some(SWEEP));
        };
        let limit = i64::try_from(self.size).unwrap_or(i64::MAX);
        let name = &self.channel.name;
        // Looked at before the events: what arrives between the two is only taken for younger than it is.
        let arrival = self.term.last_arrival(name);
        let mut events = change_log::next_batch(store, name, checkpoint.applied_position, limit).await?;
        if events.is_empty() {
            return Ok(Some(SWEEP));
        }
        let is_full = events.len() >= self.size;
        let quiet = arrival.map_or(SILENCE, |arrival| arrival.elapsed());
        let is_silent = !is_full && quiet >= SILENCE;
        let ready = complete(events.iter().map(|event| event.transaction_key.as_str()), is_silent);
        if ready == 0 {
            if is_full {
                self.size = LARGEST;
                return Ok(None);
            }
            return Ok(Some(SILENCE.saturating_sub(quiet).max(Duration::from_millis(1))));
        }
        events.truncate(ready);
        self.size = BATCH;
        let applied = self.apply(&events).await?;
        self.follow(&applied);
        Ok(if stop.is_cancelled() { Some(Duration::ZERO) } else { None })
    }

    async fn apply(&mut self, events: &[StoredEvent]) -> Answer<Applied> {
        self.describe_new_shapes(events).await?;
        let eligible = super::eligible::eligible(&self.term).await?;
        gaps::miss(&self.term, &self.channel, &eligible.missed, events).await?;
        let mappings = eligible.applied;
        let mut decoded: Vec<Decoded<'_>> = Vec::with_capacity(events.len());
        for stored in events {
            decoded.push(Decoded { stored, event: self.decode(stored, &mappings).await? });
        }
        let up_to = events.last().map_or(0, |event| event.position);
        let (store, lease, name) = (&self.term.store, &self.term.lease, &self.channel.name);
        let applied = apply_events::apply(store, lease, name, &mappings, &decoded, up_to).await?;
        self.term.environment.live.metrics.applied(events, &applied, clock::now());
        Ok(applied)
    }

    /// Decodes an event by its writer schema. What cannot be decoded is a dead letter; a schema that cannot be had at
    /// the moment is waited for.
    async fn decode(
        &self,
        stored: &StoredEvent,
        mappings: &[Arc<ResolvedMapping>],
    ) -> Answer<Result<ChangeEvent, String>> {
        if !mappings.iter().any(|mapping| *mapping.object() == stored.object) {
            // Nobody reads it: what the log knows of it is enough.
            return Ok(Ok(outline(stored)));
        }
        let schema: Arc<Schema> = match self.term.pubsub.schema(&stored.schema_id).await {
            Ok(schema) => schema,
            Err(error) if error.is_about_the_schema() => return Ok(Err(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        Ok(schema.decode(&stored.payload).map_err(|error| error.to_string()))
    }

    /// A writer schema that was not seen yet may mean that the object's fields changed: it is described anew.
    async fn describe_new_shapes(&mut self, events: &[StoredEvent]) -> Answer<()> {
        for event in events {
            if self.schemas_seen.contains(&event.schema_id) {
                continue;
            }
            self.schemas_seen.insert(event.schema_id.clone());
            let mappings = &self.term.environment.live.mappings;
            let is_known = mappings.described_at(&event.object).is_none_or(|at| at > event.received_at);
            if is_known {
                continue;
            }
            let described = mappings.describe(&self.term.environment, &self.term.client, &event.object).await;
            if let Err(problem) = described {
                tracing::warn!(
                    object.name = %event.object,
                    problem.code = problem.code,
                    "an object whose events changed could not be described anew: {}",
                    problem.title
                );
            }
        }
        Ok(())
    }

    /// Wakes who has work now.
    fn follow(&mut self, applied: &Applied) {
        if applied.dirty > 0 || applied.children_due {
            self.term.dirty.notify_one();
        }
        if applied.holes > 0 {
            self.term.look_at_holes();
        }
        self.untold = true;
    }

    /// Tells hosts what is stale, not more often than a person can see.
    fn tell(&mut self) {
        if self.untold && self.noticed.is_none_or(|noticed| noticed.elapsed() >= NOTICE_EVERY) {
            self.noticed = Some(Instant::now());
            self.untold = false;
            let views = [View::Status, View::Events, View::DeadLetters, View::Rejects, View::Lag];
            self.term.environment.notices.publish(&views);
        }
    }
}

/// An event of which only the header's part in the log is known.
fn outline(stored: &StoredEvent) -> ChangeEvent {
    let records = match &stored.record_ids {
        Some(ids) => Records::Ids(ids.clone()),
        None => Records::All,
    };
    ChangeEvent {
        header: EventHeader {
            object: stored.object.clone(),
            kind: stored.kind,
            records,
            transaction_key: stored.transaction_key.clone(),
            sequence_number: stored.sequence_number,
            committed_at: stored.committed_at.into(),
            commit_number: 0,
            commit_user: String::new(),
            change_origin: String::new(),
        },
        body: EventBody::Nothing,
    }
}
