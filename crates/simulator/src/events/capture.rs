//! What a transaction did to each record, from its first touch to its end: one draft of an event for each change.

use std::collections::HashMap;

use super::{
    payload::{Draft, Kind},
    schema::{EventSchema, Source},
};
use crate::{snapshot::Snapshot, table::Fate, value::Owned};

/// Records that one event may name.
const MERGED: usize = 1_000;
/// Characters from which a text that was replaced may be told as a difference.
const LONG: usize = 1_000;

/// Watches a transaction. One that does not watch costs nothing: a change without a trace, or one of an earlier run.
pub struct Capture {
    watches: bool,
    touched: Vec<Touched>,
    places: HashMap<(usize, u64), usize>,
}

/// A record as it was before the transaction.
struct Touched {
    object: usize,
    row: u64,
    /// Where it was, and the fields that events carry; nothing if it was not there.
    before: Option<(Fate, Vec<(usize, Owned)>)>,
}

impl Capture {
    /// Watches every record that it is told of.
    pub fn on() -> Self {
        Self { watches: true, touched: Vec::new(), places: HashMap::new() }
    }

    /// Watches nothing.
    pub fn off() -> Self {
        Self { watches: false, ..Self::on() }
    }

    /// Stops or goes on watching.
    pub fn watch(&mut self, watches: bool) {
        self.watches = watches;
    }

    /// Notes a record that is about to change.
    pub fn before(&mut self, data: &Snapshot, object: usize, row: u64) {
        if !self.watches || self.places.contains_key(&(object, row)) {
            return;
        }
        let image = data.event_schema(object).map(|schema| image(data, schema, object, row));
        if let Some(values) = image {
            let before = Some((data.tables[object].fate(row), values));
            self.note(Touched { object, row, before });
        }
    }

    /// Notes a record that has just come into being.
    pub fn created(&mut self, data: &Snapshot, object: usize, row: u64) {
        if self.watches && data.event_schema(object).is_some() {
            self.note(Touched { object, row, before: None });
        }
    }

    fn note(&mut self, touched: Touched) {
        self.places.insert((touched.object, touched.row), self.touched.len());
        self.touched.push(touched);
    }

    /// The events of the whole transaction, in the order in which records were first touched. Identical changes of
    /// several records of one object are one draft.
    pub fn drafts(self, data: &Snapshot) -> Vec<(usize, Draft)> {
        let mut drafts: Vec<(usize, Draft)> = Vec::new();
        let mut merged: HashMap<String, usize> = HashMap::new();
        let several = self.touched.len() > 1;
        for touched in self.touched {
            let Some(schema) = data.event_schema(touched.object) else { continue };
            let id = data.tables[touched.object].id(touched.row).to_string();
            let Some((kind, values, before)) = outcome(data, schema, &touched) else { continue };
            if several {
                let same = format!("{} {kind:?} {values:?}", touched.object);
                match merged.get(&same).map(|at| &mut drafts[*at].1) {
                    Some(draft) if draft.ids.len() < MERGED => {
                        draft.ids.push(id);
                        continue;
                    }
                    _ => merged.insert(same, drafts.len()),
                };
            }
            let entity = data.object(touched.object).name.clone();
            drafts.push((
                touched.object,
                Draft { entity, kind, ids: vec![id], values, stray_bit: false, before },
            ));
        }
        drafts
    }
}

/// What happened to a record: values by field position, and the long texts that were replaced.
type Outcome = (Kind, Vec<(usize, Owned)>, Vec<(usize, String)>);

fn outcome(data: &Snapshot, schema: &EventSchema, touched: &Touched) -> Option<Outcome> {
    let fate = data.tables[touched.object].fate(touched.row);
    let values = image(data, schema, touched.object, touched.row);
    let whole = |values: Vec<(usize, Owned)>| {
        values.into_iter().filter(|(_, value)| *value != Owned::Null).collect::<Vec<_>>()
    };
    match (&touched.before, fate) {
        (None, Fate::Live) => Some((Kind::Create, whole(values), Vec::new())),
        (Some((Fate::Live, before)), Fate::Live) => {
            let stamp = data.object(touched.object).field("LastModifiedDate");
            let mut changed = Vec::new();
            let mut long = Vec::new();
            for ((at, value), (_, before)) in values.into_iter().zip(before) {
                if value == *before && Some(at) != stamp {
                    continue;
                }
                if let Owned::Text(text) = before
                    && text.len() >= LONG
                {
                    long.push((at, text.to_string()));
                }
                changed.push((at, value));
            }
            Some((Kind::Update, changed, long))
        }
        (Some((Fate::Live, _)), Fate::Binned) => Some((Kind::Delete, Vec::new(), Vec::new())),
        (Some((Fate::Binned, _)), Fate::Live) => Some((Kind::Undelete, whole(values), Vec::new())),
        // Created and deleted in one transaction, already deleted, or gone for good: nobody is told.
        (None | Some((Fate::Binned | Fate::Gone, _)), _) | (Some((Fate::Live, _)), Fate::Gone) => None,
    }
}

/// The fields of a record that events carry, as a query shows them.
fn image(data: &Snapshot, schema: &EventSchema, object: usize, row: u64) -> Vec<(usize, Owned)> {
    let mut scratch = String::new();
    schema.fields().map(|at| (at, data.read(object, row, at, &mut scratch).keep())).collect()
}

impl EventSchema {
    /// The positions of the object's fields that the event carries.
    pub fn fields(&self) -> impl Iterator<Item = usize> {
        self.slots.iter().flat_map(|slot| {
            let (one, many) = match &slot.source {
                Source::Field(at, _) => (Some(*at), None),
                Source::Address(parts) => (None, Some(parts.iter().flatten().copied())),
            };
            one.into_iter().chain(many.into_iter().flatten())
        })
    }
}

impl Draft {
    /// How many changes it counts for: each changed field of an update is one.
    pub fn changes(&self) -> usize {
        let each = if self.kind == Kind::Update { self.values.len() } else { 1 };
        each * self.ids.len()
    }
}
