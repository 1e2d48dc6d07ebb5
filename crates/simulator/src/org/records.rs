//! Reading and changing records from inside: what people do in a real org's pages.

use serde_json::{Map, Value as Json};

use super::{Org, journal::Entry};
use crate::{
    error::Error,
    ids::RecordId,
    lock::{read, write},
    schema::{Derived, Field, Object},
    snapshot::Snapshot,
    table::Fate,
    value::{Owned, Value},
};

impl Org {
    /// Adds a record and returns its id. `Id` may be given; every field that is not, is empty or has its default.
    pub fn insert(&self, object: &str, fields: &Json) -> Result<RecordId, Error> {
        self.change(Entry::Insert {
            object: object.to_owned(),
            id: fields.get("Id").and_then(Json::as_str).map(str::to_owned),
            fields: fields.clone(),
            at_ms: self.clock.stamp_ms(),
        })
    }

    /// Changes fields of a record, and stamps it.
    pub fn update(&self, object: &str, id: &str, fields: &Json) -> Result<(), Error> {
        self.change(Entry::Update {
            object: object.to_owned(),
            id: id.to_owned(),
            fields: fields.clone(),
            at_ms: Some(self.clock.stamp_ms()),
        })
        .map(|_| ())
    }

    /// Changes fields of a record without any trace: no stamp moves, and nobody is told.
    pub fn change_hidden(&self, object: &str, id: &str, fields: &Json) -> Result<(), Error> {
        self.change(Entry::Update {
            object: object.to_owned(),
            id: id.to_owned(),
            fields: fields.clone(),
            at_ms: None,
        })
        .map(|_| ())
    }

    /// Moves a record to the recycle bin; the entries of a product go with it.
    pub fn delete(&self, object: &str, id: &str) -> Result<(), Error> {
        self.set_fate(object, id, Fate::Binned)
    }

    /// Takes a record back from the recycle bin.
    pub fn undelete(&self, object: &str, id: &str) -> Result<(), Error> {
        self.set_fate(object, id, Fate::Live)
    }

    /// Removes a record for good: no query shows it any more.
    pub fn purge(&self, object: &str, id: &str) -> Result<(), Error> {
        self.set_fate(object, id, Fate::Gone)
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
        self.change(Entry::Fate {
            object: object.to_owned(),
            id: id.to_owned(),
            fate: fate.into(),
            at_ms: self.clock.stamp_ms(),
        })
        .map(|_| ())
    }

    /// Applies one change and remembers it.
    fn change(&self, entry: Entry) -> Result<RecordId, Error> {
        let mut data = write(&self.data);
        let id = apply(&mut data, &entry)?;
        self.remember(entry, id)?;
        Ok(id)
    }
}

/// Applies one change to the records.
pub(super) fn apply(data: &mut Snapshot, entry: &Entry) -> Result<RecordId, Error> {
    match entry {
        Entry::Org { .. } => Ok(RecordId::org(0)),
        Entry::Insert { object, id, fields, at_ms } => {
            let object = find_object(data, object)?;
            let id = match id {
                Some(id) => parse_id(data.object(object), id)?,
                None => free_id(data, object),
            };
            if data.tables[object].find(&id).is_some() {
                return Err(Error::IdTaken { object: data.object(object).name.clone(), id: id.to_string() });
            }
            let values = new_record(data.object(object), id, fields, *at_ms)?;
            data.table_mut(object).insert(id, values);
            Ok(id)
        }
        Entry::Update { object, id, fields, at_ms } => {
            let object = find_object(data, object)?;
            let (id, row) = find_record(data, object, id)?;
            let written = writable(data.object(object), fields)?;
            let stamps = at_ms.map_or_else(Vec::new, |at_ms| stamps(data.object(object), at_ms, false));
            let table = data.table_mut(object);
            for (field, value) in written.into_iter().chain(stamps) {
                table.write(row, field, value);
            }
            Ok(id)
        }
        Entry::Fate { object, id, fate, at_ms } => {
            let fate = Fate::from(*fate);
            let object = find_object(data, object)?;
            let (id, row) = find_record(data, object, id)?;
            let mut rows = vec![(object, row)];
            if data.object(object).name == "Product2" && fate != Fate::Live {
                rows.extend(entries_of(data, id));
            }
            for (object, row) in rows {
                let stamps = stamps(data.object(object), *at_ms, false);
                let table = data.table_mut(object);
                table.set_fate(row, fate);
                for (field, value) in stamps {
                    table.write(row, field, value);
                }
            }
            Ok(id)
        }
    }
}

/// The next id that no record has or had.
fn free_id(data: &Snapshot, object: usize) -> RecordId {
    let table = &data.tables[object];
    let ids = (table.inserted()..).map(|count| RecordId::inserted(data.object(object).key_prefix, count));
    let mut free = ids.filter(|id| table.find(id).is_none());
    free.next().expect("there are more ids than records")
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
            _ if field.kind == crate::schema::Kind::Boolean => Owned::Bool(false),
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
    field.kind != crate::schema::Kind::Address
        && matches!(field.derived, None | Some(Derived::StandardPrice(_)))
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
    let entries =
        fields.filter(|(_, field)| field.kind != crate::schema::Kind::Address).map(|(at, field)| {
            let mut out = Vec::new();
            data.read(object, row, at, &mut scratch).write_json(&mut out);
            (field.name.clone(), serde_json::from_slice(&out).unwrap_or(Json::Null))
        });
    Json::Object(entries.collect())
}
