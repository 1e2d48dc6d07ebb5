//! The org of a history: what it holds, how it changes, and what its events say of that.

use std::collections::BTreeMap;

use chrono::DateTime;
use shadow::{
    ChangeKind, EventBody, EventValue, FieldChange, FieldInfo, FieldType, Mapping, ObjectInfo, ObjectName,
    OrgFacts, RecordId, Records, ResolvedMapping, RowChunk, WhyFetch, resolve,
};

use super::History;
use crate::live::Told;
use crate::world::{entry_id, product_id};

pub const RECORDS: u32 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Object {
    Product,
    Entry,
}

/// A record as the org has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Grows with every change: the product's name, the entry's price.
    pub version: u32,
    pub code: &'static str,
    /// A field that the mapping gains on the way; grows when it changes.
    pub tier: u32,
    /// What a formula shows: grows with every change, and by itself, without stamp or event.
    pub formula: u32,
    pub active: bool,
    pub created_s: i64,
    pub stamp_s: i64,
    pub modified_s: i64,
    pub deleted: bool,
}

/// What the org holds, the recycle bin included.
pub type Org = BTreeMap<(Object, u32), Record>;

pub fn id_of(object: Object, number: u32) -> RecordId {
    match object {
        Object::Product => product_id(number),
        Object::Entry => entry_id(number),
    }
}

pub fn name_of(object: Object) -> ObjectName {
    match object {
        Object::Product => ObjectName::product(),
        Object::Entry => ObjectName::pricebook_entry(),
    }
}

/// Entries 1 and 3 belong to product 1, 2 and 4 to product 2.
pub fn product_of(entry: u32) -> u32 {
    2 - entry % 2
}

pub fn moment(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0).unwrap().format("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

fn change(name: &str, value: EventValue) -> FieldChange {
    FieldChange { name: name.to_owned(), value }
}

fn text(value: &str) -> EventValue {
    if value.is_empty() { EventValue::Null } else { EventValue::Text(value.to_owned()) }
}

/// What the sync user sees of a product: with a formula or without, with the tier or not yet.
pub fn product_mapping(with_formula: bool, with_tier: bool) -> ResolvedMapping {
    let mut fields: Vec<FieldInfo> = [
        ("Id", FieldType::Id),
        ("Name", FieldType::Text),
        ("SystemModstamp", FieldType::DateTime),
        ("CreatedDate", FieldType::DateTime),
        ("IsDeleted", FieldType::Boolean),
        ("ProductCode", FieldType::Text),
    ]
    .map(|(name, kind)| FieldInfo::new(name, kind))
    .into();
    if with_formula {
        let mut formula = FieldInfo::new("Formula__c", FieldType::Text);
        formula.calculated = true;
        fields.push(formula);
    }
    if with_tier {
        fields.push(FieldInfo::new("Plan_Tier__c", FieldType::Text));
    }
    let info = ObjectInfo { name: ObjectName::product(), key_prefix: None, fields };
    let all = Mapping::built_in();
    resolve(&all[0], &all, &info, &OrgFacts::default()).unwrap()
}

impl History {
    /// Records as a read brings them that asks for some columns now.
    pub fn rows<'a>(
        &self,
        object: Object,
        columns: impl IntoIterator<Item = &'a str>,
        wanted: impl Fn(u32, &Record) -> bool,
    ) -> RowChunk {
        let mut chunk = RowChunk::with_columns(columns);
        for ((_, number), record) in self.org.iter().filter(|((of, _), _)| *of == object) {
            if !wanted(*number, record) {
                continue;
            }
            for column in chunk.columns().clone().iter() {
                let value = match (&**column, object) {
                    ("Id", _) => id_of(object, *number).to_string(),
                    ("SystemModstamp", _) => moment(record.stamp_s),
                    ("CreatedDate", _) => moment(record.created_s),
                    ("IsDeleted", _) => record.deleted.to_string(),
                    ("Name", Object::Product) => format!("n{}", record.version),
                    ("Name", Object::Entry) => {
                        let product = self.org.get(&(Object::Product, product_of(*number)));
                        product.map_or(String::new(), |product| format!("n{}", product.version))
                    }
                    ("Plan_Tier__c", _) => format!("t{}", record.tier),
                    ("Formula__c", _) => format!("f{}", record.formula),
                    ("ProductCode", _) => record.code.to_owned(),
                    ("Product2Id", _) => product_id(product_of(*number)).to_string(),
                    ("Pricebook2Id", _) => "01sE0000000K9otIAC".to_owned(),
                    ("UnitPrice", _) => record.version.to_string(),
                    ("IsActive", _) => record.active.to_string(),
                    _ => String::new(),
                };
                chunk.push_field(value.as_bytes()).unwrap();
            }
            chunk.end_row().unwrap();
        }
        chunk
    }

    /// A formula shows something else, because a day went by or another record changed: nothing tells of it.
    pub fn change_formula(&mut self) {
        let version = u32::try_from(self.diary.len()).unwrap() + 1;
        let number = 1 + self.dice.roll(RECORDS);
        if let Some(record) = self.org.get_mut(&(Object::Product, number)) {
            record.formula = version;
            self.note(format!("the formula of product {number} becomes {version}"));
        }
    }

    /// One change in the org, and the event that tells of it, if one does.
    pub fn change_org(&mut self) {
        let object = if self.dice.one_in(2) || self.only_products { Object::Product } else { Object::Entry };
        let number = 1 + self.dice.roll(RECORDS);
        let key = (object, number);
        let now_s = self.now_ms / 1000;
        // The stamp is set when the row is written, the commit comes later; and what is committed shows a little later.
        let stamp_s = now_s - i64::from(self.dice.roll(4));
        let committed_ms = self.now_ms - i64::from(self.dice.roll(4_000));
        let code = ["A", "B", "C", "D", ""][self.dice.roll(5) as usize];
        let kind = match self.org.get(&key) {
            None => ChangeKind::Create,
            Some(record) if record.deleted => {
                if self.dice.one_in(3) && !self.is_told {
                    // Emptied from the recycle bin: nothing tells of it.
                    self.org.remove(&key);
                    return self.note(format!("{key:?} is gone for good"));
                }
                ChangeKind::Undelete
            }
            Some(_) if self.dice.one_in(6) => ChangeKind::Delete,
            Some(_) => ChangeKind::Update,
        };
        if object == Object::Entry && !self.org.contains_key(&(Object::Product, product_of(number))) {
            return;
        }
        let before = self.org.get(&key).cloned();
        let stamp_s = before.as_ref().map_or(stamp_s, |before| before.stamp_s.max(stamp_s));
        let version = u32::try_from(self.diary.len()).unwrap() + 1;
        let active = self.dice.one_in(2);
        let mut record = before.clone().unwrap_or(Record {
            version,
            code,
            tier: version,
            formula: version,
            active,
            created_s: stamp_s,
            stamp_s,
            modified_s: stamp_s,
            deleted: false,
        });
        record.stamp_s = stamp_s;
        record.deleted = kind == ChangeKind::Delete;
        record.formula = version;
        if kind == ChangeKind::Update {
            (record.version, record.active) = (version, active);
            record.modified_s = stamp_s;
            if self.dice.one_in(3) {
                record.code = code;
            }
            if self.dice.one_in(2) {
                record.tier = version;
            }
        }
        let body = body_of(object, number, kind, before.as_ref(), &record);
        self.org.insert(key, record);
        let fate = self.dice.roll(10);
        self.note(format!(
            "{kind:?} of {key:?} as version {version}, stamp {stamp_s}, committed {committed_ms}, fate {fate}"
        ));
        let (kind, body) = match fate {
            // Lost: the next catch-up finds it.
            0 if !self.is_told => return,
            1 => (gap_of(kind), Ok(EventBody::Fetch(WhyFetch::Gap))),
            2 if self.dice.one_in(3) => (kind, Err("cannot be read".to_owned())),
            _ => (kind, Ok(body)),
        };
        self.undelivered.push(Told {
            object: name_of(object),
            kind,
            records: Records::Ids(vec![id_of(object, number)]),
            committed_at: DateTime::from_timestamp_millis(committed_ms).unwrap(),
            transaction: None,
            body,
        });
    }
}

fn gap_of(kind: ChangeKind) -> ChangeKind {
    match kind {
        ChangeKind::Create => ChangeKind::GapCreate,
        ChangeKind::Delete => ChangeKind::GapDelete,
        ChangeKind::Undelete => ChangeKind::GapUndelete,
        _ => ChangeKind::GapUpdate,
    }
}

fn body_of(
    object: Object,
    number: u32,
    kind: ChangeKind,
    before: Option<&Record>,
    record: &Record,
) -> EventBody {
    let is_whole = matches!(kind, ChangeKind::Create | ChangeKind::Undelete);
    let moved =
        |same: fn(&Record, &Record) -> bool| is_whole || before.is_none_or(|before| !same(before, record));
    let mut fields = vec![change("LastModifiedDate", EventValue::Whole(record.modified_s * 1000))];
    match object {
        Object::Product => {
            if moved(|a, b| a.version == b.version) {
                fields.push(change("Name", text(&format!("n{}", record.version))));
            }
            if moved(|a, b| a.tier == b.tier) {
                fields.push(change("Plan_Tier__c", text(&format!("t{}", record.tier))));
            }
            if moved(|a, b| a.code == b.code) {
                fields.push(change("ProductCode", text(record.code)));
            }
        }
        Object::Entry => {
            if moved(|a, b| a.version == b.version) {
                fields.push(change("UnitPrice", EventValue::Double(f64::from(record.version))));
            }
            if moved(|a, b| a.active == b.active) {
                fields.push(change("IsActive", EventValue::Boolean(record.active)));
            }
        }
    }
    if is_whole {
        fields.push(change("CreatedDate", EventValue::Whole(record.created_s * 1000)));
        if object == Object::Entry {
            fields.push(change("Product2Id", text(product_id(product_of(number)).as_str())));
            fields.push(change("Pricebook2Id", text("01sE0000000K9otIAC")));
        }
        fields.retain(|field| field.value != EventValue::Null);
    }
    match kind {
        ChangeKind::Delete => EventBody::Nothing,
        ChangeKind::Update => EventBody::Patch(fields),
        _ => EventBody::Whole(fields),
    }
}
