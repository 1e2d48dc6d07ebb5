//! Events by object and record, as the fold takes them.

use std::sync::Arc;

use serde_json::{Value, json};
use shadow::fold::RecordEvent;
use shadow::{EventOutcome, ObjectName, RecordId, ResolvedMapping};

use super::{Applied, Decoded, Piece};
use crate::event_outcomes::NewOutcome;

/// The events of one object.
pub(super) struct ObjectEvents<'e> {
    pub mapping: &'e ResolvedMapping,
    /// Which record, and which of the piece's events; by record, then by position.
    records: Vec<(RecordId, usize)>,
}

impl ObjectEvents<'_> {
    /// The records, each once, by id, with the places of their events.
    pub fn groups(&self) -> impl Iterator<Item = (RecordId, &[(RecordId, usize)])> {
        self.records.chunk_by(|a, b| a.0 == b.0).map(|group| (group[0].0, group))
    }
}

/// The events of a piece, parents' objects before their children's.
pub(super) struct Batch<'e> {
    pub objects: Vec<ObjectEvents<'e>>,
    /// Places of events that name no record.
    pub nameless: Vec<usize>,
    /// Places of events whose object nothing maps.
    pub unmapped: Vec<usize>,
}

impl<'e> Batch<'e> {
    pub fn of(mappings: &'e [Arc<ResolvedMapping>], piece: &Piece<'_, '_>) -> Self {
        let mut batch = Self { objects: Vec::new(), nameless: Vec::new(), unmapped: Vec::new() };
        for (place, event) in piece.events.iter().enumerate() {
            let Some(mapping) = mappings.iter().find(|mapping| *mapping.object() == event.stored.object)
            else {
                batch.unmapped.push(place);
                continue;
            };
            let Some(ids) = &event.stored.record_ids else {
                batch.nameless.push(place);
                continue;
            };
            let object = batch.objects.iter().position(|object| object.mapping.object() == mapping.object());
            let object = object.unwrap_or_else(|| {
                batch.objects.push(ObjectEvents { mapping, records: Vec::new() });
                batch.objects.len() - 1
            });
            batch.objects[object].records.extend(ids.iter().map(|id| (*id, place)));
        }
        for object in &mut batch.objects {
            // Stable: the events of a record stay in their order. An event that names a record twice counts once.
            object.records.sort();
            object.records.dedup();
        }
        batch.objects.sort_by_key(|object| {
            let mapping = &object.mapping.mapping;
            (depth(mappings, &mapping.object), mapping.object.clone())
        });
        batch
    }
}

/// How many parents stand above an object. Who locks several tables locks in this order, then by name.
fn depth(mappings: &[Arc<ResolvedMapping>], object: &ObjectName) -> usize {
    let mut depth = 0;
    let mut object = object;
    while let Some(parent) = mappings
        .iter()
        .find(|mapping| mapping.object() == object)
        .and_then(|mapping| mapping.mapping.parent.as_ref())
    {
        depth += 1;
        object = &parent.object;
        if depth > mappings.len() {
            break;
        }
    }
    depth
}

/// An event as it concerns one record; without a body if it is parked.
pub(super) fn record_event<'e>(event: &'e Decoded<'_>, is_refused: bool) -> RecordEvent<'e> {
    RecordEvent {
        position: event.stored.position,
        committed_at: event.stored.committed_at.into(),
        kind: event.stored.kind,
        body: event.event.as_ref().ok().filter(|_| !is_refused).map(|event| &event.body),
    }
}

/// What is to be written down of what was done.
#[derive(Default)]
pub(super) struct Ledger {
    pub applied: Applied,
    pub outcomes: Vec<NewOutcome>,
    /// Records to be parked, by the place of their event.
    pub parked: Vec<(usize, RecordId)>,
}

impl Ledger {
    pub fn note(
        &mut self,
        event: &Decoded<'_>,
        record: Option<RecordId>,
        outcome: EventOutcome,
        why: Option<&str>,
    ) {
        self.note_with(event, record, outcome, why.map(|why| json!({ "why": why })));
    }

    pub fn note_with(
        &mut self,
        event: &Decoded<'_>,
        record: Option<RecordId>,
        outcome: EventOutcome,
        detail: Option<Value>,
    ) {
        let stored = event.stored;
        *self.applied.counts.entry((stored.object.clone(), stored.kind, outcome)).or_default() += 1;
        self.outcomes.push(NewOutcome {
            position: stored.position,
            received_at: stored.received_at,
            record,
            outcome,
            detail,
        });
    }
}
