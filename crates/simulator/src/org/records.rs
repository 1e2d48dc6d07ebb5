//! Reading and changing records from inside: what people do in a real org's pages.

use serde_json::{Map, Value as Json};

use super::{Org, journal::Entry};
use crate::{
    error::Error,
    events::Capture,
    ids::RecordId,
    lock::{lock, read, write},
    schema::{Derived, Field, Kind, Object},
    snapshot::Snapshot,
    table::Fate,
    value::{Owned, Value},
};

impl Org {
    /// Adds a record and returns its id. `Id` may be given; every field that is not, is empty or has its default.
    pub fn insert(&self, object: &str, fields: &Json) -> Result<RecordId, Error> {
        self.change(Entry::insert(object, fields, self.clock.stamp_ms()))
    }

    /// Changes fields of a record, and stamps it.
    pub fn update(&self, object: &str, id: &str, fields: &Json) -> Result<(), Error> {
        self.change(Entry::update(object, id, fields, Some(self.clock.stamp_ms()))).map(|_| ())
    }

    /// Changes fields of a record without any trace: no stamp moves, and nobody is told.
    pub fn change_hidden(&self, object: &str, id: &str, fields: &Json) -> Result<(), Error> {
        self.change(Entry::update(object, id, fields, None)).map(|_| ())
    }

    /// Moves a record to the recycle bin; the entries of a product go with it.
    pub fn delete(&self, object: &str, id: &str) -> Result<(), Error> {
        self.set_fate(object, id, Fate::Binned)
    }

    /// Takes a record back from the recycle bin.
    pub fn undelete(&self, object: &str, id: &str) -> Result<(), Error> {
        self.set_fate(object, id, Fate::Live)
    }

    /// Removes a record for good: no query shows it any more, and no event tells of it.
    pub fn purge(&self, object: &str, id: &str) -> Result<(), Error> {
        self.set_fate(object, id, Fate::Gone)
    }

    /// Adds a field to an object, empty in all its records; a kind is named as in describe, such as `string`.
    ///
    /// Events from now on have another schema, in which the field stands behind the one named, or first of all.
    pub fn add_field(&self, object: &str, name: &str, kind: &str, behind: Option<&str>) -> Result<(), Error> {
        self.change(Entry::Field {
            object: object.to_owned(),
            name: name.to_owned(),
            kind: kind.to_owned(),
            behind: behind.map(str::to_owned),
            at_ms: self.clock.stamp_ms(),
        })
        .map(|_| ())?;
        let data = self.snapshot();
        lock(&self.events).know(data.event_schemas());
        Ok(())
    }

    /// How many records of an object are in use.
    pub fn count(&self, object: &str) -> u64 {
        let data = read(&self.data);
        data.schema.object(object).map_or(0, |object| data.tables[object].live())
    }

    /// All fields of a record as REST shows them, if the org has it; the recycle bin counts.
    pub fn record(&self, object: &str, id: &str) -> Option<Json> {
        let data = self.snapshot();
        let object = data.schema.object(object)?;
        let row = data.tables[object].find(&RecordId::parse(id)?)?;
        (data.tables[object].fate(row) != Fate::Gone).then(|| all_fields(&data, object, row))
    }

    /// The ids of an object's records in use, in id order: from one position, so many.
    pub fn ids(&self, object: &str, from: u64, limit: u64) -> Vec<RecordId> {
        let data = self.snapshot();
        let Some(object) = data.schema.object(object) else { return Vec::new() };
        let rows = data.tables[object].rows(false);
        rows.slice(from, from.saturating_add(limit).min(rows.len()))
            .map(|row| data.tables[object].id(row))
            .collect()
    }

    /// The names of the objects.
    pub fn objects(&self) -> Vec<String> {
        read(&self.data).schema.objects.iter().map(|object| object.name.clone()).collect()
    }

    /// The user of this name.
    pub(crate) fn user_by_name(&self, username: &str) -> Option<RecordId> {
        let data = self.snapshot();
        let users = data.schema.object("User")?;
        let name = data.object(users).field("Username")?;
        let rows = data.tables[users].rows(false);
        let mut scratch = String::new();
        let row = rows.iter().find(|row| {
            matches!(data.read(users, *row, name, &mut scratch), Value::Text(text) if text.eq_ignore_ascii_case(username))
        })?;
        Some(data.tables[users].id(row))
    }

    /// One field of a record as text.
    pub(crate) fn text_of(&self, object: &str, id: RecordId, field: &str) -> Option<String> {
        let data = read(&self.data);
        let object = data.schema.object(object)?;
        let field = data.object(object).field(field)?;
        let row = data.tables[object].find(&id)?;
        let mut scratch = String::new();
        match data.read(object, row, field, &mut scratch) {
            Value::Text(text) => Some(text.to_owned()),
            _ => None,
        }
    }

    fn set_fate(&self, object: &str, id: &str, fate: Fate) -> Result<(), Error> {
        self.change(Entry::fate(object, id, fate, self.clock.stamp_ms())).map(|_| ())
    }

    /// Makes one change by itself.
    fn change(&self, entry: Entry) -> Result<RecordId, Error> {
        lock(&self.transactions).refuse_locked(&entry)?;
        let ids = self.commit(vec![entry])?;
        Ok(ids[0])
    }

    /// Makes changes together: all of them are seen, remembered and told from the same moment, or none is made.
    pub(super) fn commit(&self, mut entries: Vec<Entry>) -> Result<Vec<RecordId>, Error> {
        let mut data = write(&self.data);
        // A single change is checked before anything is written.
        let before = (entries.len() > 1).then(|| data.clone());
        let mut capture = Capture::on();
        let mut ids = Vec::with_capacity(entries.len());
        for entry in &mut entries {
            if let Entry::Insert { object, id: id @ None, .. } = entry {
                let transactions = lock(&self.transactions);
                *id = Some(free_id(&data, object, |id| transactions.is_reserved(id))?.to_string());
            }
            capture.watch(entry.is_told());
            match apply(&mut data, entry, &mut capture) {
                Ok(applied) => ids.push(applied.id),
                Err(error) => {
                    if let Some(before) = before {
                        *data = before;
                    }
                    return Err(error);
                }
            }
        }
        let drafts = capture.drafts(&data);
        for (entry, id) in entries.into_iter().zip(&ids) {
            self.remember(entry, *id)?;
        }
        // Told while nobody else can change anything, so that events come in the order of commits.
        lock(&self.events).publish(&data, drafts, self.clock.now_ms());
        drop(data);
        self.streams.wake();
        Ok(ids)
    }
}

/// What one change did.
pub(super) struct Applied {
    /// The record that it is about.
    pub id: RecordId,
    /// Other records that changed with it.
    pub also: Vec<RecordId>,
}

impl Applied {
    fn one(id: RecordId) -> Self {
        Self { id, also: Vec::new() }
    }
}

/// Applies one change to the records.
pub(super) fn apply(data: &mut Snapshot, entry: &Entry, capture: &mut Capture) -> Result<Applied, Error> {
    match entry {
        Entry::Org { .. } => Ok(Applied::one(RecordId::org(0))),
        Entry::Field { object, name, kind, behind, at_ms } => {
            let object = find_object(data, object)?;
            let described = data.object(object);
            if described.field(name).is_some() {
                return Err(Error::IdTaken { object: described.name.clone(), id: name.clone() });
            }
            let missing =
                |field: &String| Error::NoField { object: described.name.clone(), field: field.clone() };
            if let Some(behind) = behind.as_ref().filter(|behind| described.field(behind).is_none()) {
                return Err(missing(behind));
            }
            let kind = Kind::addable(kind).ok_or_else(|| Error::FieldKind(kind.clone()))?;
            let mut field = Field::new(name, kind);
            field.added_behind = Some(behind.clone().unwrap_or_default());
            data.add_field(object, field, *at_ms);
            Ok(Applied::one(RecordId::org(0)))
        }
        Entry::Insert { object, id, fields, at_ms } => {
            let object = find_object(data, object)?;
            let id = match id {
                Some(id) => parse_id(data.object(object), id)?,
                None => free_id(data, &data.object(object).name, |_| false)?,
            };
            if data.tables[object].find(&id).is_some() {
                return Err(Error::IdTaken { object: data.object(object).name.clone(), id: id.to_string() });
            }
            let values = new_record(data.object(object), id, fields, *at_ms)?;
            let row = data.table_mut(object).insert(id, values);
            capture.created(data, object, row);
            Ok(Applied::one(id))
        }
        Entry::Update { object, id, fields, at_ms } => {
            let object = find_object(data, object)?;
            let (id, row) = find_record(data, object, id)?;
            let written = writable(data.object(object), fields)?;
            let stamps = at_ms.map_or_else(Vec::new, |at_ms| stamps(data.object(object), at_ms, false));
            capture.before(data, object, row);
            let table = data.table_mut(object);
            for (field, value) in written.into_iter().chain(stamps) {
                table.write(row, field, value);
            }
            Ok(Applied::one(id))
        }
        Entry::Fate { object, id, fate, at_ms } => {
            let fate = Fate::from(*fate);
            let object = find_object(data, object)?;
            let (id, row) = find_record(data, object, id)?;
            let mut rows = vec![(object, row)];
            if data.object(object).name == "Product2" && fate != Fate::Live {
                rows.extend(entries_of(data, id));
            }
            let also = rows[1..].iter().map(|(object, row)| data.tables[*object].id(*row)).collect();
            for (object, row) in rows {
                let stamps = stamps(data.object(object), (*at_ms).max(stamped(data, object, row)), false);
                capture.before(data, object, row);
                let table = data.table_mut(object);
                table.set_fate(row, fate);
                for (field, value) in stamps {
                    table.write(row, field, value);
                }
            }
            Ok(Applied { id, also })
        }
    }
}

/// The next id of an object that no record has or had, and that nobody has taken.
pub(super) fn free_id(
    data: &Snapshot,
    object: &str,
    taken: impl Fn(&RecordId) -> bool,
) -> Result<RecordId, Error> {
    let object = find_object(data, object)?;
    let table = &data.tables[object];
    let ids = (table.inserted()..).map(|count| RecordId::inserted(data.object(object).key_prefix, count));
    let mut free = ids.filter(|id| table.find(id).is_none() && !taken(id));
    Ok(free.next().expect("there are more ids than records"))
}

/// When a record was last stamped: a late commit may not stamp it with an earlier time.
fn stamped(data: &Snapshot, object: usize, row: u64) -> i64 {
    let field = data.object(object).field("SystemModstamp");
    let mut scratch = String::new();
    match field.map(|field| data.read(object, row, field, &mut scratch)) {
        Some(Value::Time(at_ms)) => at_ms,
        _ => 0,
    }
}

/// Deleting a product deletes its entries.
fn entries_of(data: &Snapshot, product: RecordId) -> Vec<(usize, u64)> {
    let Some(entries) = data.schema.object("PricebookEntry") else { return Vec::new() };
    let Some(reference) = data.object(entries).field("Product2Id") else { return Vec::new() };
    let mut scratch = String::new();
    data.tables[entries]
        .rows(false)
        .iter()
        .filter(|row| data.tables[entries].read(*row, reference, &mut scratch) == Value::Id(product))
        .map(|row| (entries, row))
        .collect()
}

fn new_record(object: &Object, id: RecordId, fields: &Json, at_ms: i64) -> Result<Vec<Owned>, Error> {
    let mut values: Vec<Owned> = object
        .fields
        .iter()
        .map(|field| match field.name.as_str() {
            "IsActive" => Owned::Bool(true),
            _ if field.kind == Kind::Boolean => Owned::Bool(false),
            "CurrencyIsoCode" => Owned::Text("EUR".into()),
            _ => Owned::Null,
        })
        .collect();
    for (field, value) in stamps(object, at_ms, true) {
        values[field] = value;
    }
    let mut given = fields.clone();
    given.as_object_mut().map(|given| given.remove("Id"));
    for (field, value) in writable(object, &given)? {
        values[field] = value;
    }
    values[0] = Owned::Id(id);
    Ok(values)
}

/// The audit fields of a change by the catalogue's manager.
fn stamps(object: &Object, at_ms: i64, created: bool) -> Vec<(usize, Owned)> {
    let user = crate::catalogue::catalogue_manager();
    object
        .fields
        .iter()
        .enumerate()
        .filter_map(|(at, field)| match field.name.as_str() {
            "LastModifiedDate" | "SystemModstamp" => Some((at, Owned::Time(at_ms))),
            "CreatedDate" if created => Some((at, Owned::Time(at_ms))),
            "LastModifiedById" => Some((at, Owned::Id(user))),
            "CreatedById" | "OwnerId" if created => Some((at, Owned::Id(user))),
            _ => None,
        })
        .collect()
}

/// The fields of a JSON object as positions and values. Audit fields may be written: a test must be able to make any
/// record that a real org could hold.
fn writable(object: &Object, fields: &Json) -> Result<Vec<(usize, Owned)>, Error> {
    let empty = Map::new();
    fields
        .as_object()
        .unwrap_or(&empty)
        .iter()
        .map(|(name, json)| {
            let at = object.field(name).filter(|at| *at > 0 && is_stored(&object.fields[*at]));
            let at = at.ok_or_else(|| Error::NoField { object: object.name.clone(), field: name.clone() })?;
            let value = Owned::from_json(object.fields[at].kind, json).ok_or_else(|| Error::Value {
                object: object.name.clone(),
                field: name.clone(),
                value: json.to_string(),
            })?;
            Ok((at, value))
        })
        .collect()
}

fn is_stored(field: &Field) -> bool {
    field.kind != Kind::Address && matches!(field.derived, None | Some(Derived::StandardPrice(_)))
}

fn find_object(data: &Snapshot, name: &str) -> Result<usize, Error> {
    data.schema.object(name).ok_or_else(|| Error::NoObject(name.to_owned()))
}

fn parse_id(object: &Object, id: &str) -> Result<RecordId, Error> {
    RecordId::parse(id).ok_or_else(|| Error::NoRecord { object: object.name.clone(), id: id.to_owned() })
}

fn find_record(data: &Snapshot, object: usize, id: &str) -> Result<(RecordId, u64), Error> {
    let parsed = parse_id(data.object(object), id)?;
    let found = data.tables[object].find(&parsed).filter(|row| data.tables[object].fate(*row) != Fate::Gone);
    let row = found
        .ok_or_else(|| Error::NoRecord { object: data.object(object).name.clone(), id: id.to_owned() })?;
    Ok((parsed, row))
}

fn all_fields(data: &Snapshot, object: usize, row: u64) -> Json {
    let mut scratch = String::new();
    let fields = data.object(object).fields.iter().enumerate();
    let entries = fields.filter(|(_, field)| field.kind != Kind::Address).map(|(at, field)| {
        let mut out = Vec::new();
        data.read(object, row, at, &mut scratch).write_json(&mut out);
        (field.name.clone(), serde_json::from_slice(&out).unwrap_or(Json::Null))
    });
    Json::Object(entries.collect())
}
