//! Bytes into values. Most fields of most events are null, so only the others are kept.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor},
};
use serde_avro_fast::de::{
    DeserializerConfig, DeserializerState,
    read::{Read, SliceRead},
};
use shadow::{
    ObjectName, RecordId,
    event::{ChangeKind, EventHeader, Records},
    value::Moment,
};

use super::{AvroError, layout::HEADER};

/// The longest list that is believed; an event has a megabyte at most.
const MOST_ELEMENTS: usize = 1_000_000;

/// A value as it stands in the bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Raw {
    #[default]
    Null,
    Boolean(bool),
    Whole(i64),
    Double(f64),
    Text(String),
    /// A record's fields that are not null, by their position.
    Parts(Vec<(usize, Raw)>),
    List(Vec<Raw>),
    /// Bytes, and numbers beyond 64 bits: no field of ours has such a type.
    Other,
}

/// An event: its header, and its fields that are not null by their position.
#[derive(Debug, Default)]
pub(super) struct Datum {
    pub header: RawHeader,
    pub values: Vec<(usize, Raw)>,
}

/// The header's fields, none of them checked.
#[derive(Debug, Default)]
pub(super) struct RawHeader {
    entity_name: Raw,
    record_ids: Raw,
    change_type: Raw,
    change_origin: Raw,
    transaction_key: Raw,
    sequence_number: Raw,
    commit_timestamp: Raw,
    commit_number: Raw,
    commit_user: Raw,
    /// The bitmaps of fields that were set to null.
    pub nulled: Vec<String>,
    /// The bitmaps of fields that came as a difference.
    pub differences: Vec<String>,
    /// The bitmaps of fields that changed.
    pub changed: Vec<String>,
}

/// Reads the whole event. Bytes that are left over mean that another schema wrote it.
pub(super) fn read(schema: &serde_avro_fast::Schema, payload: &[u8]) -> Result<Datum, AvroError> {
    read_with(schema, payload, Extent::Whole)
}

/// Reads the header and stops.
pub(super) fn read_header(schema: &serde_avro_fast::Schema, payload: &[u8]) -> Result<RawHeader, AvroError> {
    Ok(read_with(schema, payload, Extent::Header)?.header)
}

/// How far an event is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Header,
    Whole,
}

fn read_with(schema: &serde_avro_fast::Schema, payload: &[u8], extent: Extent) -> Result<Datum, AvroError> {
    let mut config = DeserializerConfig::new(schema);
    config.max_seq_size = MOST_ELEMENTS;
    let mut state = DeserializerState::with_config(SliceRead::new(payload), config);
    // What the library says would quote the event.
    let datum = EventSeed(extent).deserialize(state.deserializer()).map_err(|_| AvroError::Corrupt)?;
    let is_left_over = || state.into_reader().skip_bytes(1).is_ok();
    if extent == Extent::Whole && is_left_over() {
        return Err(AvroError::Corrupt);
    }
    Ok(datum)
}

/// Reads the event's record: the header by its name, everything else by its position.
struct EventSeed(Extent);

impl<'de> DeserializeSeed<'de> for EventSeed {
    type Value = Datum;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Datum, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EventSeed {
    type Value = Datum;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the record of a change event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Datum, A::Error> {
        let mut datum = Datum::default();
        let mut position = 0;
        while let Some(name) = fields.next_key::<FieldName>()? {
            match name {
                FieldName::Header => {
                    datum.header = fields.next_value()?;
                    if self.0 == Extent::Header {
                        break;
                    }
                }
                FieldName::Other if self.0 == Extent::Header => {
                    fields.next_value::<IgnoredAny>()?;
                }
                FieldName::Other => match fields.next_value()? {
                    Raw::Null => {}
                    value => datum.values.push((position, value)),
                },
            }
            position += 1;
        }
        Ok(datum)
    }
}

/// A field's name, of which only one matters: values are kept by position.
enum FieldName {
    Header,
    Other,
}

impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = FieldName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }

            fn visit_str<E>(self, name: &str) -> Result<FieldName, E> {
                Ok(if name == HEADER { FieldName::Header } else { FieldName::Other })
            }
        }

        deserializer.deserialize_identifier(Name)
    }
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Header;

        impl<'de> Visitor<'de> for Header {
            type Value = RawHeader;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the header of a change event")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<RawHeader, A::Error> {
                let mut header = RawHeader::default();
                while let Some(name) = fields.next_key::<HeaderField>()? {
                    let value = fields.next_value::<Raw>()?;
                    match name {
                        HeaderField::EntityName => header.entity_name = value,
                        HeaderField::RecordIds => header.record_ids = value,
                        HeaderField::ChangeType => header.change_type = value,
                        HeaderField::ChangeOrigin => header.change_origin = value,
                        HeaderField::TransactionKey => header.transaction_key = value,
                        HeaderField::SequenceNumber => header.sequence_number = value,
                        HeaderField::CommitTimestamp => header.commit_timestamp = value,
                        HeaderField::CommitNumber => header.commit_number = value,
                        HeaderField::CommitUser => header.commit_user = value,
                        HeaderField::NulledFields => header.nulled = value.into_texts(),
                        HeaderField::DiffFields => header.differences = value.into_texts(),
                        HeaderField::ChangedFields => header.changed = value.into_texts(),
                        HeaderField::Other => {}
                    }
                }
                Ok(header)
            }
        }

        deserializer.deserialize_map(Header)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum HeaderField {
    EntityName,
    RecordIds,
    ChangeType,
    ChangeOrigin,
    TransactionKey,
    SequenceNumber,
    CommitTimestamp,
    CommitNumber,
    CommitUser,
    NulledFields,
    DiffFields,
    ChangedFields,
    #[serde(other)]
    Other,
}

impl RawHeader {
    /// How the records changed.
    pub fn kind(&self) -> ChangeKind {
        self.change_type.text().map_or(ChangeKind::Unknown, ChangeKind::of)
    }

    /// Checks the fields that must be there.
    pub fn check(self) -> Result<EventHeader, AvroError> {
        let object = self.entity_name.text().and_then(|name| ObjectName::parse(name).ok());
        let transaction_key = self.transaction_key.text().filter(|key| !key.is_empty());
        let sequence_number = self.sequence_number.whole().and_then(|number| i32::try_from(number).ok());
        let committed_at = self.commit_timestamp.whole().map(Moment).filter(|at| at.to_utc().is_some());
        Ok(EventHeader {
            object: object.ok_or(AvroError::Header("entityName"))?,
            kind: self.kind(),
            records: records(&self.record_ids)?,
            transaction_key: transaction_key.ok_or(AvroError::Header("transactionKey"))?.to_owned(),
            sequence_number: sequence_number.ok_or(AvroError::Header("sequenceNumber"))?,
            committed_at: committed_at.ok_or(AvroError::Header("commitTimestamp"))?,
            commit_number: self.commit_number.whole().unwrap_or_default(),
            commit_user: self.commit_user.text().unwrap_or_default().to_owned(),
            change_origin: self.change_origin.text().unwrap_or_default().to_owned(),
        })
    }
}

/// A wildcard such as `001*`, the empty id of an overflow, or no id at all: nobody knows which records.
fn records(ids: &Raw) -> Result<Records, AvroError> {
    let Raw::List(ids) = ids else { return Err(AvroError::Header("recordIds")) };
    let mut known = Vec::with_capacity(ids.len());
    for id in ids {
        let text = id.text().ok_or(AvroError::Header("recordIds"))?;
        if text.ends_with('*') {
            return Ok(Records::All);
        }
        let id = RecordId::parse(text).map_err(|_| AvroError::Header("recordIds"))?;
        if id.is_empty_id() {
            return Ok(Records::All);
        }
        known.push(id);
    }
    Ok(if known.is_empty() { Records::All } else { Records::Ids(known) })
}

impl Raw {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn whole(&self) -> Option<i64> {
        match self {
            Self::Whole(number) => Some(*number),
            _ => None,
        }
    }

    /// The texts of a list of texts. Something else leaves a text that no schema has, so that it is noticed.
    fn into_texts(self) -> Vec<String> {
        let text = |value| match value {
            Self::Text(text) => text,
            _ => String::new(),
        };
        match self {
            Self::Null => Vec::new(),
            Self::List(values) => values.into_iter().map(text).collect(),
            other => vec![text(other)],
        }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

/// Takes whatever the schema says.
struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Whole(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(i64::try_from(value).map_or(Raw::Other, Raw::Whole))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Double(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Raw, E> {
        Ok(Raw::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Raw, A::Error> {
        let mut parts = Vec::new();
        let mut position = 0;
        while fields.next_key::<IgnoredAny>()?.is_some() {
            match fields.next_value()? {
                Raw::Null => {}
                value => parts.push((position, value)),
            }
            position += 1;
        }
        Ok(Raw::Parts(parts))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, symbol: A) -> Result<Raw, A::Error> {
        let (name, variant) = symbol.variant::<String>()?;
        variant.unit_variant()?;
        Ok(Raw::Text(name))
    }
}
