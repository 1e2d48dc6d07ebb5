//! Records of random fields, written by another implementation of Avro and read by ours.

use apache_avro::types::Value;
use proptest::prelude::*;
use shadow::event::{EventBody, EventValue, FieldChange, WhyFetch};

use super::{Header, encode, null, nullable, record, schema_json, some, string, text};
use crate::avro::Schema;

/// One field of a random record: its Avro type, its value, and what it should come out as.
#[derive(Debug, Clone)]
struct RandomField {
    avro_type: &'static str,
    value: Option<(Value, EventValue)>,
    changed: bool,
}

fn random_field() -> impl Strategy<Value = RandomField> {
    let value = prop_oneof![
        any::<String>().prop_map(|value| ("string", string(&value), text(&value))),
        any::<bool>().prop_map(|value| ("boolean", Value::Boolean(value), EventValue::Boolean(value))),
        any::<i64>().prop_map(|value| ("long", Value::Long(value), EventValue::Whole(value))),
        any::<i32>().prop_map(|value| ("int", Value::Int(value), EventValue::Whole(value.into()))),
        prop::num::f64::NORMAL.prop_map(|value| ("double", Value::Double(value), EventValue::Double(value))),
    ];
    (value, prop::bool::weighted(0.6), any::<bool>()).prop_map(
        |((avro_type, value, expected), null, changed)| RandomField {
            avro_type,
            value: (!null).then_some((value, expected)),
            changed,
        },
    )
}

/// Positions as Salesforce writes them: whole bytes, upper case.
fn bitmap(positions: impl Iterator<Item = usize>) -> Vec<String> {
    let mut bytes: Vec<u8> = Vec::new();
    for position in positions {
        if bytes.len() <= position / 8 {
            bytes.resize(position / 8 + 1, 0);
        }
        bytes[position / 8] |= 1 << (position % 8);
    }
    if bytes.is_empty() {
        return Vec::new();
    }
    let digits = bytes.iter().rev().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat();
    vec![format!("0x{digits}")]
}

/// A record of random fields: its schema, its event, the fields.
fn random_event(fields: &[RandomField], kind: &'static str) -> (String, Vec<u8>) {
    let names: Vec<String> = (1..=fields.len()).map(|position| format!("F{position}__c")).collect();
    let typed: Vec<_> =
        names.iter().zip(fields).map(|(name, field)| (name.as_str(), nullable(field.avro_type))).collect();
    let json = schema_json("RandomChangeEvent", &typed);
    let positions = |wanted: fn(&RandomField) -> bool| {
        bitmap(fields.iter().enumerate().filter(move |(_, field)| wanted(field)).map(|(index, _)| index + 1))
    };
    let header = Header {
        changed: positions(|field| field.changed && field.value.is_some()),
        nulled: positions(|field| field.changed && field.value.is_none()),
        ..Header::of(kind)
    };
    let mut values = vec![("ChangeEventHeader", header.value())];
    for (name, field) in names.iter().zip(fields) {
        let value = field.value.as_ref().map_or_else(null, |(value, _)| some(value.clone()));
        values.push((name, value));
    }
    (json.clone(), encode(&json, record(values)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// What another implementation wrote is read as it was meant, with more fields than any integer has bits.
    #[test]
    fn what_was_written_is_read(fields in prop::collection::vec(random_field(), 1..160)) {
        let named = |index: usize| format!("F{}__c", index + 1);

        let (json, bytes) = random_event(&fields, "CREATE");
        let whole = Schema::parse("random", &json).unwrap().decode(&bytes).unwrap().body;
        let expected = fields.iter().enumerate().filter_map(|(index, field)| {
            Some(FieldChange { name: named(index), value: field.value.as_ref()?.1.clone() })
        });
        prop_assert_eq!(whole, EventBody::Whole(expected.collect()));

        let (json, bytes) = random_event(&fields, "UPDATE");
        let patch = Schema::parse("random", &json).unwrap().decode(&bytes).unwrap().body;
        let expected: Vec<_> = fields.iter().enumerate().filter(|(_, field)| field.changed).map(|(index, field)| {
            let value = field.value.as_ref().map_or(EventValue::Null, |(_, expected)| expected.clone());
            FieldChange { name: named(index), value }
        }).collect();
        let expected =
            if expected.is_empty() { EventBody::Fetch(WhyFetch::Bitmap) } else { EventBody::Patch(expected) };
        prop_assert_eq!(patch, expected);
    }

    /// Whatever the bytes, there is an answer: an event or an error, and the header alone agrees with the whole.
    #[test]
    fn damaged_bytes_are_an_error_and_no_panic(
        fields in prop::collection::vec(random_field(), 1..20),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let (json, mut bytes) = random_event(&fields, "UPDATE");
        let schema = Schema::parse("random", &json).unwrap();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let cut = &bytes[..cut.index(bytes.len() + 1)];
        for bytes in [bytes.as_slice(), cut, noise.as_slice()] {
            if let Ok(event) = schema.decode(bytes) {
                prop_assert_eq!(schema.header(bytes), Ok(event.header));
            }
        }
    }
}
