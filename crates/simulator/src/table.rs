//! The records of one object: a base that is computed or loaded, and what was changed since.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::Arc,
};

use crate::{
    ids::RecordId,
    selection::Selection,
    value::{Owned, Value},
};

/// The records that an org started with. A row is its position in id order.
pub trait Base: Send + Sync {
    /// How many there are.
    fn len(&self) -> u64;
    /// The id of a row.
    fn id(&self, row: u64) -> RecordId;
    /// The row of an id.
    fn find(&self, id: &RecordId) -> Option<u64>;
    /// The value of a field; text may be composed in `scratch`.
    fn read<'a>(&'a self, row: u64, field: usize, scratch: &'a mut String) -> Value<'a>;
    /// The row that holds the standard price of the same product and currency.
    fn standard_entry(&self, _row: u64) -> Option<u64> {
        None
    }
}

/// Where a record is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// In use.
    Live,
    /// In the recycle bin: `queryAll` still shows it.
    Binned,
    /// Gone for good: no query shows it.
    Gone,
}

#[derive(Clone, Debug)]
struct Change {
    values: HashMap<usize, Owned>,
    fate: Fate,
}

#[derive(Clone, Debug)]
struct Extra {
    id: RecordId,
    values: Vec<Owned>,
    fate: Fate,
}

/// The records of one object as of one moment. A copy shares the records; only the list of changes is copied.
#[derive(Clone)]
pub struct Table {
    base: Arc<dyn Base>,
    /// Fields that the base knows; further ones were added later.
    base_fields: usize,
    changes: BTreeMap<u64, Arc<Change>>,
    extras: Vec<Arc<Extra>>,
    extra_rows: HashMap<RecordId, u64>,
    live: u64,
}

impl Table {
    /// A table of just its base.
    pub fn new(base: Arc<dyn Base>, base_fields: usize) -> Self {
        let live = base.len();
        Self {
            base,
            base_fields,
            changes: BTreeMap::new(),
            extras: Vec::new(),
            extra_rows: HashMap::new(),
            live,
        }
    }

    /// How many records are in use.
    pub fn live(&self) -> u64 {
        self.live
    }

    /// How many records were ever inserted after the start.
    pub fn inserted(&self) -> u64 {
        self.extras.len() as u64
    }

    /// The row of an id, whatever its fate.
    pub fn find(&self, id: &RecordId) -> Option<u64> {
        self.extra_rows.get(id).copied().or_else(|| self.base.find(id))
    }

    /// The id of a row.
    pub fn id(&self, row: u64) -> RecordId {
        self.extra(row).map_or_else(|| self.base.id(row), |extra| extra.id)
    }

    /// Where the record of a row is in its life.
    pub fn fate(&self, row: u64) -> Fate {
        match self.extra(row) {
            Some(extra) => extra.fate,
            None => self.changes.get(&row).map_or(Fate::Live, |change| change.fate),
        }
    }

    /// The stored value of a field.
    pub fn read<'a>(&'a self, row: u64, field: usize, scratch: &'a mut String) -> Value<'a> {
        if let Some(extra) = self.extra(row) {
            return extra.values.get(field).map_or(Value::Null, Owned::lend);
        }
        if !self.changes.is_empty() {
            let changed = self.changes.get(&row).and_then(|change| change.values.get(&field));
            if let Some(value) = changed {
                return value.lend();
            }
        }
        if field < self.base_fields { self.base.read(row, field, scratch) } else { Value::Null }
    }

    /// The row that holds the standard price of the same product and currency, for a record of the base.
    pub fn standard_entry(&self, row: u64) -> Option<u64> {
        (row < self.base.len()).then(|| self.base.standard_entry(row)).flatten()
    }

    /// Adds a record; its row is the answer.
    pub fn insert(&mut self, id: RecordId, values: Vec<Owned>) -> u64 {
        let row = self.base.len() + self.extras.len() as u64;
        self.extras.push(Arc::new(Extra { id, values, fate: Fate::Live }));
        self.extra_rows.insert(id, row);
        self.live += 1;
        row
    }

    /// Sets one field of one record.
    pub fn write(&mut self, row: u64, field: usize, value: Owned) {
        let base_len = self.base.len();
        match self.extras.get_mut(usize::try_from(row.wrapping_sub(base_len)).unwrap_or(usize::MAX)) {
            Some(extra) if row >= base_len => {
                let extra = Arc::make_mut(extra);
                if field >= extra.values.len() {
                    extra.values.resize(field + 1, Owned::Null);
                }
                extra.values[field] = value;
            }
            _ => {
                self.change(row).values.insert(field, value);
            }
        }
    }

    /// Moves a record to another part of its life.
    pub fn set_fate(&mut self, row: u64, fate: Fate) {
        let before = self.fate(row);
        self.live = self.live + u64::from(fate == Fate::Live) - u64::from(before == Fate::Live);
        let base_len = self.base.len();
        match self.extras.get_mut(usize::try_from(row.wrapping_sub(base_len)).unwrap_or(usize::MAX)) {
            Some(extra) if row >= base_len => Arc::make_mut(extra).fate = fate,
            _ => self.change(row).fate = fate,
        }
    }

    /// All rows in id order that a query may see: those in use, and the recycle bin too if `with_binned`.
    pub fn rows(&self, with_binned: bool) -> Selection {
        let visible = |fate| fate == Fate::Live || (with_binned && fate == Fate::Binned);
        let mut extras: Vec<(RecordId, u64)> = self
            .extras
            .iter()
            .enumerate()
            .filter(|(_, extra)| visible(extra.fate))
            .map(|(at, extra)| (extra.id, self.base.len() + at as u64))
            .collect();
        extras.sort_unstable();

        let mut selection = Selection::default();
        let mut hidden =
            self.changes.iter().filter(|(_, change)| !visible(change.fate)).map(|(row, _)| *row).peekable();
        let mut from = 0;
        for (id, row) in extras {
            let to = self.position_of(&id);
            push_visible(&mut selection, from..to, &mut hidden);
            selection.push(row);
            from = to;
        }
        push_visible(&mut selection, from..self.base.len(), &mut hidden);
        selection
    }

    /// How many rows of the base have a smaller id.
    fn position_of(&self, id: &RecordId) -> u64 {
        let (mut low, mut high) = (0, self.base.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.base.id(middle) < *id {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn extra(&self, row: u64) -> Option<&Extra> {
        let at = row.checked_sub(self.base.len())?;
        self.extras.get(usize::try_from(at).ok()?).map(Arc::as_ref)
    }

    fn change(&mut self, row: u64) -> &mut Change {
        let fresh = || Arc::new(Change { values: HashMap::new(), fate: Fate::Live });
        Arc::make_mut(self.changes.entry(row).or_insert_with(fresh))
    }
}

fn push_visible(
    selection: &mut Selection,
    rows: Range<u64>,
    hidden: &mut std::iter::Peekable<impl Iterator<Item = u64>>,
) {
    let mut from = rows.start;
    while let Some(row) = hidden.next_if(|row| *row < rows.end) {
        selection.push_run(from..row);
        from = row + 1;
    }
    selection.push_run(from..rows.end);
}
