use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::describe::{FieldInfo, ObjectInfo};
use crate::ids::ObjectName;
use crate::mapping::{Mapping, OrgFacts, resolve};

fn entry_mapping() -> ResolvedMapping {
    let fields = vec![
        FieldInfo::new("Id", FieldType::Id),
        FieldInfo::new("Name", FieldType::Text),
        FieldInfo::new("SystemModstamp", FieldType::DateTime),
        FieldInfo::new("CreatedDate", FieldType::DateTime),
        FieldInfo::new("IsDeleted", FieldType::Boolean),
        FieldInfo::new("Product2Id", FieldType::Reference),
        FieldInfo::new("Pricebook2Id", FieldType::Reference),
        FieldInfo::new("UnitPrice", FieldType::Decimal).digits(18, 2),
        FieldInfo::new("IsActive", FieldType::Boolean),
        FieldInfo::new("Rank__c", FieldType::Integer),
        FieldInfo::new("From__c", FieldType::Date),
    ];
    let info = ObjectInfo { name: ObjectName::pricebook_entry(), key_prefix: None, fields };
    let org = OrgFacts { currency: Some("EUR".to_owned()), multi_currency: false };
    let all = Mapping::built_in();
    resolve(&all[1], &all, &info, &org).unwrap()
}

fn row(mapping: &ResolvedMapping, values: &[(&str, &str)]) -> RowChunk {
    let mut chunk = RowChunk::with_columns(mapping.field_names());
    push(&mut chunk, values);
    chunk
}

fn push(chunk: &mut RowChunk, values: &[(&str, &str)]) {
    for column in chunk.columns().clone().iter() {
        let value = values.iter().find(|(name, _)| *name == &**column).map_or("", |(_, value)| value);
        chunk.push_field(value.as_bytes()).unwrap();
    }
    chunk.end_row().unwrap();
}

const ENTRY: [(&str, &str); 8] = [
    ("Id", "01uE0000001NPa6"),
    ("SystemModstamp", "2026-03-01T08:09:10.000Z"),
    ("CreatedDate", "2012-08-27T03:20:21.000+0000"),
    ("IsDeleted", "false"),
    ("Product2Id", "01tE0000001IQYN"),
    ("Pricebook2Id", "01sE0000000K9ot"),
    ("UnitPrice", "25000"),
    ("IsActive", "true"),
];

fn with(changes: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    // The first entry of a name counts.
    changes.iter().copied().chain(ENTRY).collect()
}

fn defect(changes: &[(&'static str, &'static str)]) -> Option<Reason> {
    let mapping = entry_mapping();
    prepare(&mapping, &row(&mapping, &with(changes))).unwrap().records[0].defect.clone()
}

#[test]
fn a_record_is_rendered_once_for_columns_and_payload() {
    let mapping = entry_mapping();
    let prepared = prepare(&mapping, &row(&mapping, &ENTRY)).unwrap();
    let record = &prepared.records[0];
    let columns: Vec<_> = (0..5).map(|index| prepared.column(record, index).unwrap()).collect();
    assert_eq!(columns, ["01tE0000001IQYNIA4", "01sE0000000K9otIAC", "25000.00", "EUR", "true"]);
    assert_eq!(
        std::str::from_utf8(prepared.payload(record)).unwrap(),
        r#"{"CreatedDate":"2012-08-27T03:20:21.000Z","From__c":null,"Id":"01uE0000001NPa6IAG","IsActive":true,"IsDeleted":false,"Name":null,"Pricebook2Id":"01sE0000000K9otIAC","Product2Id":"01tE0000001IQYNIA4","Rank__c":null,"SystemModstamp":"2026-03-01T08:09:10.000Z","UnitPrice":25000.00}"#
    );
    assert_eq!(record.defect, None);
}

#[test]
fn a_price_that_the_column_cannot_hold_exactly_is_a_defect_and_is_never_rounded() {
    for price in ["12.345", "10000000000", "1E10", "0.001"] {
        let expected = Some(Reason::PriceNotExact { field: "UnitPrice".to_owned() });
        assert_eq!(defect(&[("UnitPrice", price)]), expected, "{price}");
    }
    for price in ["12.340", "9999999999.99", "1.25E1", "-3"] {
        assert_eq!(defect(&[("UnitPrice", price)]), None, "{price}");
    }
}

#[test]
fn what_a_record_lacks_is_its_defect() {
    assert_eq!(defect(&[("Product2Id", "")]), Some(Reason::MissingProduct { product: None }));
    assert_eq!(defect(&[("IsActive", "")]), Some(Reason::MissingValue { field: "IsActive".to_owned() }));
    assert_eq!(
        defect(&[("IsActive", "perhaps")]),
        Some(Reason::BrokenValue { field: "IsActive".to_owned() })
    );
    assert_eq!(
        defect(&[("From__c", "2026-13-01")]),
        Some(Reason::BrokenValue { field: "From__c".to_owned() })
    );
}

#[test]
fn a_stamp_is_no_content() {
    let mapping = entry_mapping();
    let hash = |changes: &[(&'static str, &'static str)]| {
        prepare(&mapping, &row(&mapping, &with(changes))).unwrap().records[0].hash
    };
    assert_eq!(hash(&[]), hash(&[("SystemModstamp", "2026-04-01T00:00:00.000Z")]));
    assert_ne!(hash(&[]), hash(&[("Name", "x")]));
    assert_ne!(hash(&[]), hash(&[("CreatedDate", "2026-04-01T00:00:00.000Z")]));
}

#[test]
fn of_two_rows_of_one_id_the_newer_stays() {
    let mapping = entry_mapping();
    let mut chunk = row(&mapping, &with(&[("UnitPrice", "2"), ("SystemModstamp", "2026-03-01T08:09:11Z")]));
    push(&mut chunk, &ENTRY);
    let prepared = prepare(&mapping, &chunk).unwrap();
    assert_eq!(prepared.records.len(), 1);
    assert_eq!(prepared.column(&prepared.records[0], 2), Some("2.00"));
}

#[test]
fn a_record_without_id_or_stamp_is_no_record() {
    let mapping = entry_mapping();
    for (field, value) in [("Id", "x"), ("SystemModstamp", ""), ("CreatedDate", "yesterday")] {
        let error = prepare(&mapping, &row(&mapping, &with(&[(field, value)]))).unwrap_err();
        assert_eq!(error, UnreadableChunk::UnreadableRow { row: 1, field });
    }
}

#[test]
fn a_header_without_a_selected_field_is_refused() {
    let mut chunk = RowChunk::with_columns(["Id", "SystemModstamp"]);
    assert!(prepare(&entry_mapping(), &chunk).unwrap().records.is_empty());
    chunk.push_row(b"01uE0000001NPa6", &[15, 15]).unwrap();
    assert!(matches!(prepare(&entry_mapping(), &chunk), Err(UnreadableChunk::MissingColumn(_))));
}

/// One field as the two interfaces write it: (CSV text, JSON value).
fn spelled(price: i64, places: u32) -> (String, String) {
    let number = rust_decimal::Decimal::new(price, places);
    // REST writes doubles: whole numbers with `.0`, others plainly. Bulk may write an exponent.
    let rest = if number.fract().is_zero() { format!("{}.0", number.trunc()) } else { number.to_string() };
    (format!("{price}E-{places}"), rest)
}

proptest! {
    #[test]
    fn the_same_record_through_bulk_csv_and_rest_json_is_byte_equal(
        name in proptest::option::of("[^\u{fffe}]{1,20}"), price in -99_999_999_i64..99_999_999,
        places in 0_u32..4, active in any::<bool>(), rank in proptest::option::of(any::<i32>()),
        day in proptest::option::of(0_i64..20_000), second in 0_i64..4_000_000_000,
    ) {
        let mapping = entry_mapping();
        let (bulk_price, rest_price) = spelled(price, places);
        let moment = chrono::DateTime::from_timestamp(second, 0).unwrap();
        let day = day.map(|day| chrono::DateTime::from_timestamp(day * 86_400, 0).unwrap().format("%Y-%m-%d").to_string());
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let rank_text = rank.map(|rank| rank.to_string());
        let csv_stamp = moment.format("%Y-%m-%dT%H:%M:%S.000Z").to_string();
        let csv = row(&mapping, &[
            ("Id", "01uE0000001NPa6IAG"), ("Name", &text(&name)), ("SystemModstamp", &csv_stamp),
            ("CreatedDate", &csv_stamp), ("IsDeleted", "false"), ("Product2Id", "01tE0000001IQYNIA4"),
            ("Pricebook2Id", "01sE0000000K9otIAC"), ("UnitPrice", &bulk_price),
            ("IsActive", if active { "true" } else { "false" }), ("Rank__c", &text(&rank_text)),
            ("From__c", &text(&day)),
        ]);
        let rest_stamp = moment.format("%Y-%m-%dT%H:%M:%S.000+0000").to_string();
        let json = format!(
            r#"{{"attributes":{{"type":"PricebookEntry","url":"/x"}},"Id":"01uE0000001NPa6IAG","Name":{},
            "SystemModstamp":"{rest_stamp}","CreatedDate":"{rest_stamp}","IsDeleted":false,
            "Product2Id":"01tE0000001IQYNIA4","Pricebook2Id":"01sE0000000K9otIAC","UnitPrice":{rest_price},
            "IsActive":{active},"Rank__c":{},"From__c":{}}}"#,
            serde_json::to_string(&name).unwrap(), serde_json::to_string(&rank).unwrap(),
            serde_json::to_string(&day).unwrap(),
        );
        let mut rest = RowChunk::new(csv.columns().clone());
        rest.push_json(&RawValue::from_string(json).unwrap()).unwrap();
        let (bulk, rest) = (prepare(&mapping, &csv).unwrap(), prepare(&mapping, &rest).unwrap());
        prop_assert_eq!(
            std::str::from_utf8(bulk.payload(&bulk.records[0])).unwrap(),
            std::str::from_utf8(rest.payload(&rest.records[0])).unwrap()
        );
        prop_assert_eq!(bulk.records[0].hash, rest.records[0].hash);
        prop_assert!(serde_json::from_slice::<serde_json::Value>(bulk.payload(&bulk.records[0])).is_ok());
    }
}
