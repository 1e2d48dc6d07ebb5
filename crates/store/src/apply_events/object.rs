//! What a batch of events does to one object's table, inside the batch's transaction.

use std::collections::{HashMap, HashSet};

use serde_json::json;
use shadow::fold::{End, Fields, Folded, MarkReason, NewMark, Patched, RecordEvent, fold};
use shadow::plan::{ApplyPlan, DirtyReason, Roles, plan};
use shadow::prepare::{OwnMark, prepare};
use shadow::value::Moment;
use shadow::{EventOutcome, ReadMark, RecordId, RowChunk, RowError, derived};
use sqlx::PgTransaction;

use super::batch::{Ledger, ObjectEvents, record_event};
use super::known::Stored;
use super::{Apply, Piece};
use crate::dead_letters::{self, LetterEnd};
use crate::dirty::{self, Source};
use crate::error::Error;
use crate::merge::apply::Writer;
use crate::merge::{state, transaction};
use crate::objects;
use crate::parents::Shown;
use crate::tables::copy::RowMark;
use crate::tombstones::{self, DeletedByEvent};

/// What the events do to the records, sorted by what is to be written.
struct Sorted<'a> {
    folded: Vec<(RecordId, Folded<'a>)>,
    deleted: Vec<DeletedByEvent>,
    marks: Vec<(RecordId, NewMark)>,
    /// Dirty records that an event deleted.
    cleared: Vec<RecordId>,
    chunk: RowChunk,
    own: HashMap<RecordId, OwnMark>,
    shown: Shown,
    /// Commit time of the earliest event after which children must be read again.
    shown_since: Option<Moment>,
}

/// Applies the events of one object.
pub(super) async fn apply(
    tx: &mut PgTransaction<'_>,
    apply: &Apply<'_>,
    piece: &Piece<'_, '_>,
    object: &ObjectEvents<'_>,
    ledger: &mut Ledger,
) -> Result<(), Error> {
    let mapping = object.mapping;
    let name = mapping.object();
    if let Some(parent) = &mapping.mapping.parent {
        objects::lock_for_reading(tx, &parent.object).await?;
    }
    let locked = objects::lock(tx, name).await?;
    let schema = apply.store.tables_schema();
    let ids: Vec<RecordId> = object.groups().map(|(id, _)| id).collect();
    let texts: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    let stored = Stored::load(tx, schema, mapping, &texts, locked).await?;
    let fields = Fields::of(mapping);
    let sorted = sort(&fields, piece, object, &stored).map_err(|error| Error::Unexpected {
        state: None,
        source: Box::new(sqlx::Error::Decode(error.into())),
    })?;
    let mut current = stored.current.clone();

    let children = Writer::children_of(&mapping.children);
    let mut writer = Writer::new(tx, schema, &mapping.mapping, mapping.parent.as_deref(), children);
    writer.received(piece.events.iter().map(|event| event.stored.received_at).min());
    let (mut has_rejects, mut is_outdated) = (locked.has_rejects, false);
    if !sorted.deleted.is_empty() {
        let gone: Vec<RecordId> = sorted.deleted.iter().map(|(id, ..)| *id).collect();
        let among = |known: &dyn Fn(&RecordId) -> bool| -> Vec<RecordId> {
            gone.iter().filter(|id| known(id)).copied().collect()
        };
        let rows = among(&|id| current.rows.contains_key(id));
        crate::rejects::forget(writer.tx(), name, &among(&|id| current.rejects.contains_key(id))).await?;
        // Values that become free go to who waits for them before anybody else is asked: the plan then sees who holds
        // what.
        let left = writer.leave(&rows).await?;
        tombstones::put_by_events(writer.tx(), name, &sorted.deleted).await?;
        dead_letters::close_in(writer.tx(), name, &gone, piece.up_to, LetterEnd::Deleted).await?;
        ledger.applied.rows += left.rows + left.moved + writer.enter_freed(&left.freed).await?;
        for id in &gone {
            current.rows.remove(id);
            current.rejects.remove(id);
        }
        if !left.freed.is_empty() {
            // One of those who entered may be among the records that are written now.
            (has_rejects, is_outdated) = (true, true);
        }
    }
    dirty::clear(writer.tx(), name, &sorted.cleared).await?;

    let mut plan_made = ApplyPlan::default();
    let mut written = None;
    if !sorted.chunk.is_empty() {
        let mut chunk = prepare(mapping, &sorted.chunk)?;
        chunk.mark_each(|id| sorted.own.get(id).copied());
        // Rejected records that nothing is written of have no part in the plan: it does not ask who holds what they
        // wait for, and would take it for free.
        current.rejects.retain(|id, _| chunk.find(id).is_some());
        if is_outdated {
            let locked = objects::Locked { has_rejects, ..locked };
            current = state::load(writer.tx(), schema, mapping, &chunk, locked).await?;
        } else {
            state::load_around(writer.tx(), schema, mapping, &chunk, has_rejects, &mut current).await?;
        }
        let mark = ReadMark { as_of: piece.up_to, read_no: 0 };
        plan_made = plan(Roles::of(&mapping.mapping), &chunk, mark, &current);
        let row_mark = RowMark { mark, read_end: locked.now, updated_at: locked.now };
        let outcome =
            transaction::write(&mut writer, &mapping.mapping, &chunk, &plan_made, &current, &row_mark)
                .await?;
        ledger.applied.rows +=
            outcome.inserted + outcome.updated + outcome.rejected + outcome.entered + outcome.moved;
        if !plan_made.dirty.is_empty() {
            dirty::mark(writer.tx(), name, piece.up_to, Source::Event, &plan_made.dirty).await?;
        }
        written = Some(chunk);
    }
    dirty::mark_by_events(writer.tx(), name, &sorted.marks).await?;
    ledger.applied.dirty += (sorted.marks.len() + plan_made.dirty.len()) as u64;

    let since = sorted.shown_since.and_then(Moment::to_utc);
    ledger.applied.children_due |=
        sorted.shown.mark(&mut writer, &mapping.mapping, piece.up_to, since).await?;
    writer.note_changes().await?;

    let rejected: HashMap<RecordId, serde_json::Value> = written
        .iter()
        .flat_map(|chunk| {
            plan_made.rejects.iter().map(|(place, reason)| (chunk.records[*place].id, json!(reason)))
        })
        .collect();
    let waits: HashSet<RecordId> = plan_made
        .dirty
        .iter()
        .filter(|(_, reason)| matches!(reason, DirtyReason::Claim(_)))
        .map(|(id, _)| *id)
        .collect();
    note(ledger, piece, object, &sorted.folded, &rejected, &waits);
    Ok(())
}

/// Folds the events of every record.
fn sort<'a>(
    fields: &Fields<'_>,
    piece: &'a Piece<'_, '_>,
    object: &ObjectEvents<'_>,
    stored: &'a Stored,
) -> Result<Sorted<'a>, RowError> {
    let mapping = object.mapping;
    let mut sorted = Sorted {
        folded: Vec::new(),
        deleted: Vec::new(),
        marks: Vec::new(),
        cleared: Vec::new(),
        chunk: RowChunk::with_columns(mapping.payload_names()),
        own: HashMap::new(),
        shown: Shown::default(),
        shown_since: None,
    };
    let places = |names: &[&str]| -> Vec<usize> {
        let named = |field: &&str| {
            mapping.fields.iter().position(|selected| selected.name.eq_ignore_ascii_case(field))
        };
        names.iter().filter_map(named).collect()
    };
    let children = mapping.children.iter();
    let shown: Vec<usize> = children
        .flat_map(|child| places(derived::shown_by_children(mapping.object(), &child.object)))
        .collect();
    let followed = derived::shared_value(mapping.object()).map(|shared| places(&[shared.value]));
    let mut events: Vec<RecordEvent<'a>> = Vec::new();
    for (id, group) in object.groups() {
        events.clear();
        events.extend(
            group.iter().map(|(_, place)| record_event(&piece.events[*place], piece.refusal.is_some())),
        );
        let mut folded = fold(fields, &id, stored.known(&id), stored.is_dirty(&id), &events);
        let since = events.first().map(|event| event.committed_at);
        let mut show = |list: &mut Vec<RecordId>| {
            list.push(id);
            sorted.shown_since = sorted.shown_since.into_iter().chain(since).min();
        };
        if folded.came_or_went && !shown.is_empty() {
            show(&mut sorted.shown.parents);
        }
        match &mut folded.end {
            End::Untouched => {}
            End::Gone { as_of } => {
                let event = events.iter().find(|event| event.position == *as_of);
                sorted.deleted.push((id, *as_of, event.map_or(Moment(0), |event| event.committed_at)));
            }
            End::Write(patched) => {
                let changed = |places: &[usize]| places.iter().any(|place| patched.changed.contains(place));
                if !folded.came_or_went && changed(&shown) {
                    show(&mut sorted.shown.parents);
                }
                if followed.as_ref().is_some_and(|followed| changed(followed)) {
                    show(&mut sorted.shown.followed);
                }
                for text in patched.texts.drain(..) {
                    sorted.chunk.push_field(text.as_deref().unwrap_or_default().as_bytes())?;
                }
                sorted.chunk.end_row()?;
                let Patched { as_of, read_no, read_end, .. } = *patched;
                sorted.own.insert(id, OwnMark { as_of, read_no, read_end });
            }
        }
        if let Some(mark) = folded.mark {
            sorted.marks.push((id, mark));
        }
        if folded.clears_mark && stored.is_dirty(&id) {
            sorted.cleared.push(id);
        }
        sorted.folded.push((id, folded));
    }
    Ok(sorted)
}

/// Writes down what was done with each event for each record.
fn note(
    ledger: &mut Ledger,
    piece: &Piece<'_, '_>,
    object: &ObjectEvents<'_>,
    folded: &[(RecordId, Folded<'_>)],
    rejected: &HashMap<RecordId, serde_json::Value>,
    waits: &HashSet<RecordId>,
) {
    for ((id, group), (_, folded)) in object.groups().zip(folded) {
        for ((_, place), (outcome, reason)) in group.iter().zip(&folded.outcomes) {
            let event = &piece.events[*place];
            match outcome {
                EventOutcome::Applied if waits.contains(&id) => {
                    ledger.note(event, Some(id), EventOutcome::Dirty, Some("claim"));
                }
                EventOutcome::Applied if rejected.contains_key(&id) => {
                    let reason = rejected.get(&id).cloned();
                    ledger.note_with(event, Some(id), EventOutcome::Rejected, reason);
                }
                EventOutcome::DeadLetter => {
                    ledger.parked.push((*place, id));
                    ledger.note(event, Some(id), *outcome, reason.map(MarkReason::as_str));
                }
                _ => ledger.note(event, Some(id), *outcome, reason.map(MarkReason::as_str)),
            }
        }
    }
}
