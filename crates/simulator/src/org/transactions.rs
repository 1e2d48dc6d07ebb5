//! Transactions that take their time: records are stamped when they are written, and seen when they are committed.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{
    Org,
    journal::Entry,
    records::{apply, free_id},
};
use crate::{
    error::Error,
    events::Capture,
    ids::RecordId,
    lock::{lock, read},
    snapshot::Snapshot,
    table::Fate,
};

/// Names an open transaction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Debug)]
#[serde(transparent)]
pub struct TransactionId(u64);

/// One change inside a transaction, as the control page is told of it.
#[derive(Clone, Deserialize, Debug)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Write {
    /// A record is added.
    Insert { object: String, fields: Json },
    /// Fields are changed.
    Update { object: String, id: String, fields: Json },
    /// A record moves to the recycle bin.
    Delete { object: String, id: String },
    /// A record comes back from the recycle bin.
    Undelete { object: String, id: String },
}

/// A transaction of somebody else. Its changes are stamped as they are made; nobody sees them, and no event tells of
/// them, before [`Transaction::commit`]. Dropping it takes everything back.
///
/// Until then `latestDateCovered` of `getUpdated` and `getDeleted` stays at its beginning, and the records that it
/// touched are locked: other changes of them fail.
pub struct Transaction<'a> {
    org: &'a Org,
    id: TransactionId,
    open: bool,
}

/// All open transactions.
#[derive(Default)]
pub struct Transactions {
    begun: u64,
    open: BTreeMap<TransactionId, Open>,
    locks: HashMap<RecordId, TransactionId>,
    reserved: HashSet<RecordId>,
}

struct Open {
    since_ms: i64,
    /// The records as the transaction sees them.
    view: Snapshot,
    entries: Vec<Entry>,
}

impl Transactions {
    /// When the oldest open transaction began.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.open.values().map(|open| open.since_ms).min()
    }

    /// Refuses a change of a record that an open transaction has touched.
    pub(super) fn refuse_locked(&self, entry: &Entry) -> Result<(), Error> {
        let id = entry.record().and_then(RecordId::parse);
        match id {
            Some(id) if self.locks.contains_key(&id) => Err(Error::Locked(id.to_string())),
            _ => Ok(()),
        }
    }

    /// Reports whether an open transaction has this id for a record of its own.
    pub fn is_reserved(&self, id: &RecordId) -> bool {
        self.reserved.contains(id)
    }

    fn end(&mut self, id: TransactionId) -> Option<Open> {
        self.locks.retain(|_, of| *of != id);
        let open = self.open.remove(&id)?;
        for entry in &open.entries {
            if let (Entry::Insert { .. }, Some(record)) = (entry, entry.record().and_then(RecordId::parse)) {
                self.reserved.remove(&record);
            }
        }
        Some(open)
    }
}

impl Transaction<'_> {
    /// Its name, by which the control page knows it.
    pub fn id(&self) -> TransactionId {
        self.id
    }

    /// Adds a record and returns its id.
    pub fn insert(&mut self, object: &str, fields: &Json) -> Result<RecordId, Error> {
        self.org.write_in(self.id, Entry::insert(object, fields, self.org.clock.stamp_ms()))
    }

    /// Changes fields of a record.
    pub fn update(&mut self, object: &str, id: &str, fields: &Json) -> Result<(), Error> {
        let at_ms = Some(self.org.clock.stamp_ms());
        self.org.write_in(self.id, Entry::update(object, id, fields, at_ms)).map(|_| ())
    }

    /// Moves a record to the recycle bin; the entries of a product go with it.
    pub fn delete(&mut self, object: &str, id: &str) -> Result<(), Error> {
        let entry = Entry::fate(object, id, Fate::Binned, self.org.clock.stamp_ms());
        self.org.write_in(self.id, entry).map(|_| ())
    }

    /// Takes a record back from the recycle bin.
    pub fn undelete(&mut self, object: &str, id: &str) -> Result<(), Error> {
        let entry = Entry::fate(object, id, Fate::Live, self.org.clock.stamp_ms());
        self.org.write_in(self.id, entry).map(|_| ())
    }

    /// Makes everything visible at once, and sends the events.
    pub fn commit(mut self) -> Result<Vec<RecordId>, Error> {
        self.open = false;
        self.org.commit_transaction(self.id)
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.open {
            lock(&self.org.transactions).end(self.id);
        }
    }
}

impl Org {
    /// Begins a transaction.
    pub fn begin_transaction(&self) -> Transaction<'_> {
        Transaction { org: self, id: self.open_transaction(), open: true }
    }

    /// Begins a transaction that is steered by its name.
    pub(crate) fn open_transaction(&self) -> TransactionId {
        let view = read(&self.data).clone();
        let mut transactions = lock(&self.transactions);
        transactions.begun += 1;
        let id = TransactionId(transactions.begun);
        transactions.open.insert(id, Open { since_ms: self.clock.stamp_ms(), view, entries: Vec::new() });
        id
    }

    /// Makes one change inside a transaction that is steered by its name.
    pub(crate) fn write_change(&self, id: TransactionId, write: &Write) -> Result<RecordId, Error> {
        let at_ms = self.clock.stamp_ms();
        let entry = match write {
            Write::Insert { object, fields } => Entry::insert(object, fields, at_ms),
            Write::Update { object, id, fields } => Entry::update(object, id, fields, Some(at_ms)),
            Write::Delete { object, id } => Entry::fate(object, id, Fate::Binned, at_ms),
            Write::Undelete { object, id } => Entry::fate(object, id, Fate::Live, at_ms),
        };
        self.write_in(id, entry)
    }

    /// Makes one change inside a transaction.
    pub(super) fn write_in(&self, id: TransactionId, mut entry: Entry) -> Result<RecordId, Error> {
        let mut transactions = lock(&self.transactions);
        let Transactions { open, locks, reserved, .. } = &mut *transactions;
        let open = open.get_mut(&id).ok_or(Error::NoTransaction)?;
        let touched = entry.record().and_then(RecordId::parse);
        if touched.is_some_and(|record| locks.get(&record).is_some_and(|of| *of != id)) {
            return Err(Error::Locked(entry.record().unwrap_or_default().to_owned()));
        }
        if let Entry::Insert { object, id: given @ None, .. } = &mut entry {
            *given = Some(free_id(&open.view, object, |record| reserved.contains(record))?.to_string());
        }
        let applied = apply(&mut open.view, &entry, &mut Capture::off())?;
        if matches!(entry, Entry::Insert { .. }) {
            reserved.insert(applied.id);
        }
        locks.extend(applied.also.into_iter().chain([applied.id]).map(|record| (record, id)));
        open.entries.push(entry);
        Ok(applied.id)
    }

    /// Commits a transaction.
    pub(crate) fn commit_transaction(&self, id: TransactionId) -> Result<Vec<RecordId>, Error> {
        let open = lock(&self.transactions).end(id).ok_or(Error::NoTransaction)?;
        self.commit(open.entries)
    }

    /// Takes a transaction back.
    pub(crate) fn roll_back(&self, id: TransactionId) -> Result<(), Error> {
        lock(&self.transactions).end(id).map(|_| ()).ok_or(Error::NoTransaction)
    }
}
