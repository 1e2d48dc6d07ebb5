//! Events as Salesforce writes them, by its worked examples and by another implementation of Avro.

use apache_avro::types::Value;
use serde_json::json;
use shadow::event::{ChangeKind, EventBody, EventValue, FieldChange, Records, WhyFetch};
use shadow::value::Moment;

use super::{AvroError, Schema};

mod random;

const RECORD: &str = "01t58000003xYzAAAU";

/// The kinds in the schema's order; the last one is unknown to us.
const KINDS: [&str; 10] = [
    "CREATE",
    "UPDATE",
    "DELETE",
    "UNDELETE",
    "GAP_CREATE",
    "GAP_UPDATE",
    "GAP_DELETE",
    "GAP_UNDELETE",
    "GAP_OVERFLOW",
    "SNAPSHOT",
];

/// The schema of an event with these fields behind its header, as JSON `(name, type)`.
fn schema_json(event: &str, fields: &[(&str, serde_json::Value)]) -> String {
    let text = |name: &str| json!({ "name": name, "type": "string" });
    let texts = |name: &str| json!({ "name": name, "type": { "type": "array", "items": "string" } });
    let header = json!({
        "type": "record",
        "name": "ChangeEventHeader",
        "fields": [
            text("entityName"),
            texts("recordIds"),
            { "name": "changeType", "type": { "type": "enum", "name": "ChangeType", "symbols": KINDS } },
            text("changeOrigin"),
            text("transactionKey"),
            { "name": "sequenceNumber", "type": "int" },
            { "name": "commitTimestamp", "type": "long" },
            { "name": "commitNumber", "type": "long" },
            text("commitUser"),
            texts("nulledFields"),
            texts("diffFields"),
            texts("changedFields")
        ]
    });
    let mut all = vec![json!({ "name": "ChangeEventHeader", "type": header })];
    for (name, field_type) in fields {
        all.push(json!({ "name": name, "type": field_type, "doc": "Data" }));
    }
    json!({ "type": "record", "name": event, "namespace": "com.sforce.eventbus", "fields": all }).to_string()
}

fn nullable(avro_type: &str) -> serde_json::Value {
    json!(["null", avro_type])
}

/// `[ChangeEventHeader, Name, Family, IsActive, LastModifiedDate]`.
fn reduced_product() -> Schema {
    let json = schema_json(
        "Product2ChangeEvent",
        &[
            ("Name", nullable("string")),
            ("Family", nullable("string")),
            ("IsActive", nullable("boolean")),
            ("LastModifiedDate", nullable("long")),
        ],
    );
    Schema::parse("reduced", &json).expect("a schema")
}

/// The worked example's 105 bytes.
fn worked_bytes() -> Vec<u8> {
    let hex = "10 50 72 6f 64 75 63 74 32 \
        02 24 30 31 74 35 38 30 30 30 30 30 33 78 59 7a 41 41 41 55 00 \
        02 00 08 74 78 2d 31 02 90 f8 a7 a4 be 67 92 9d 8c fc 98 86 05 \
        24 30 30 35 35 38 30 30 30 30 30 30 79 46 79 44 41 41 55 \
        02 08 30 78 30 34 00 00 02 08 30 78 31 41 00 \
        02 10 46 69 62 72 65 20 32 47 00 02 01 02 90 f8 a7 a4 be 67";
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect()
}

fn change(name: &str, value: EventValue) -> FieldChange {
    FieldChange { name: name.to_owned(), value }
}

fn text(value: &str) -> EventValue {
    EventValue::Text(value.to_owned())
}

#[test]
fn the_worked_example_is_read_byte_by_byte() {
    let bytes = worked_bytes();
    assert_eq!(bytes.len(), 105);
    let event = reduced_product().decode(&bytes).expect("an event");
    let header = &event.header;
    assert_eq!(header.object.as_str(), "Product2");
    assert_eq!(header.kind, ChangeKind::Update);
    assert_eq!(header.records, Records::Ids(vec![RECORD.parse().unwrap()]));
    assert_eq!((header.transaction_key.as_str(), header.sequence_number), ("tx-1", 1));
    assert_eq!(header.committed_at, Moment(1_777_886_101_000));
    assert_eq!(header.commit_number, 11_101_546_841_929);
    assert_eq!(header.commit_user, "00558000000yFyDAAU");
    assert_eq!(header.change_origin, "");
    let moment = EventValue::Whole(1_777_886_101_000);
    assert_eq!(
        event.body,
        EventBody::Patch(vec![
            change("Name", text("Fibre 2G")),
            change("Family", EventValue::Null),
            change("IsActive", EventValue::Boolean(true)),
            change("LastModifiedDate", moment),
        ])
    );
}

#[test]
fn the_header_alone_is_the_same_header() {
    let (schema, bytes) = (reduced_product(), worked_bytes());
    assert_eq!(schema.header(&bytes).unwrap(), schema.decode(&bytes).unwrap().header);
    // What stands behind the header is not looked at.
    assert!(schema.header(&bytes[..90]).is_ok());
}

#[test]
fn arrays_may_state_their_size_in_bytes() {
    let mut bytes = worked_bytes();
    // One record id: count -1, then the block's 19 bytes.
    let at = 9;
    assert_eq!(bytes[at], 2);
    bytes.splice(at..=at, [0x01, 0x26]);
    assert_eq!(reduced_product().decode(&bytes), reduced_product().decode(&worked_bytes()));
}

#[test]
fn cut_bytes_and_left_over_bytes_are_corrupt() {
    let (schema, bytes) = (reduced_product(), worked_bytes());
    for length in 0..bytes.len() {
        assert_eq!(schema.decode(&bytes[..length]), Err(AvroError::Corrupt), "{length}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(schema.decode(&longer), Err(AvroError::Corrupt));
}

#[test]
fn what_is_no_change_events_schema_is_refused() {
    for json in ["", "{}", "null", "\"string\"", "{\"type\":\"record\"}"] {
        assert!(matches!(Schema::parse("x", json), Err(AvroError::Schema { .. })), "{json}");
    }
    let platform_event =
        r#"{"type":"record","name":"Order__e","fields":[{"name":"CreatedDate","type":"long"}]}"#;
    assert_eq!(
        Schema::parse("x", platform_event).unwrap_err(),
        AvroError::NotAChangeEvent { id: "x".to_owned() }
    );
}

/// What a test's event says in its header.
#[derive(Clone, Default)]
struct Header {
    kind: &'static str,
    ids: Vec<String>,
    changed: Vec<String>,
    nulled: Vec<String>,
    differences: Vec<String>,
}

impl Header {
    fn of(kind: &'static str) -> Self {
        Self { kind, ids: vec![RECORD.to_owned()], ..Self::default() }
    }

    fn update(changed: &[&str], nulled: &[&str]) -> Self {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        Self { changed: owned(changed), nulled: owned(nulled), ..Self::of("UPDATE") }
    }

    fn value(&self) -> Value {
        let text = |text: &str| Value::String(text.to_owned());
        let texts = |list: &[String]| Value::Array(list.iter().map(|item| text(item)).collect());
        let symbol = KINDS.iter().position(|kind| *kind == self.kind).expect("a kind");
        let fields: Vec<(&str, Value)> = vec![
            ("entityName", text("Account")),
            ("recordIds", texts(&self.ids)),
            ("changeType", Value::Enum(u32::try_from(symbol).unwrap(), self.kind.to_owned())),
            ("changeOrigin", text("com/salesforce/api/rest/67.0")),
            ("transactionKey", text("0002d5d2-d8a7-1ba3-9743-9f168046112b")),
            ("sequenceNumber", Value::Int(1)),
            ("commitTimestamp", Value::Long(1_777_886_101_000)),
            ("commitNumber", Value::Long(11_101_546_841_929)),
            ("commitUser", text("00558000000yFyDAAU")),
            ("nulledFields", texts(&self.nulled)),
            ("diffFields", texts(&self.differences)),
            ("changedFields", texts(&self.changed)),
        ];
        record(fields)
    }
}

fn record(fields: Vec<(&str, Value)>) -> Value {
    Value::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A value in its branch of a union.
fn branch(position: u32, value: Value) -> Value {
    Value::Union(position, Box::new(value))
}

fn null() -> Value {
    branch(0, Value::Null)
}

fn some(value: Value) -> Value {
    branch(1, value)
}

fn encode(json: &str, event: Value) -> Vec<u8> {
    let schema = apache_avro::Schema::parse_str(json).expect("a schema");
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build().expect("a writer");
    writer.write_value_to_vec(event).expect("a datum")
}

/// `Account` with the parts that make it hard: a switchable name, an address twice, and a place.
fn account_json() -> String {
    let part = |name: &str, avro_type: &str| json!({ "name": name, "type": ["null", avro_type] });
    let address = json!({ "type": "record", "name": "Address", "fields": [
        part("Street", "string"), part("City", "string"), part("State", "string"), part("PostalCode", "string"),
        part("Country", "string"), part("StateCode", "string"), part("CountryCode", "string"),
        part("Latitude", "double"), part("Longitude", "double"), part("Xyz", "string"),
        part("GeocodeAccuracy", "string"),
    ] });
    let name = json!({ "type": "record", "name": "Switchable_PersonName", "fields": [
        part("Salutation", "string"), part("FirstName", "string"), part("LastName", "string"),
    ] });
    let place = json!({ "type": "record", "name": "Geolocation", "fields": [
        part("Latitude", "double"), part("Longitude", "double"),
    ] });
    schema_json(
        "AccountChangeEvent",
        &[
            ("Name", json!(["null", "string", name])),
            ("Type", nullable("string")),
            ("ParentId", nullable("string")),
            ("BillingAddress", json!(["null", address])),
            ("ShippingAddress", json!(["null", "com.sforce.eventbus.Address"])),
            ("AnnualRevenue", nullable("double")),
            ("Place__c", json!(["null", place])),
            ("LastModifiedDate", nullable("long")),
        ],
    )
}

const ADDRESS_PARTS: [&str; 11] = [
    "Street",
    "City",
    "State",
    "PostalCode",
    "Country",
    "StateCode",
    "CountryCode",
    "Latitude",
    "Longitude",
    "Xyz",
    "GeocodeAccuracy",
];

/// An address of which only these parts are there.
fn address(parts: &[(&str, Value)]) -> Value {
    let part = |name: &&'static str| {
        let value = parts.iter().find(|(known, _)| known == name).map(|(_, value)| some(value.clone()));
        (*name, value.unwrap_or_else(null))
    };
    some(record(ADDRESS_PARTS.iter().map(part).collect()))
}

/// An account's event; fields that are not given are null.
fn account_bytes(header: &Header, values: &[(&str, Value)]) -> Vec<u8> {
    let names = [
        "Name",
        "Type",
        "ParentId",
        "BillingAddress",
        "ShippingAddress",
        "AnnualRevenue",
        "Place__c",
        "LastModifiedDate",
    ];
    let mut fields = vec![("ChangeEventHeader", header.value())];
    for name in names {
        let value = values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        fields.push((name, value.unwrap_or_else(null)));
    }
    encode(&account_json(), record(fields))
}

fn account_event(header: &Header, values: &[(&str, Value)]) -> shadow::event::ChangeEvent {
    let schema = Schema::parse("account", &account_json()).expect("a schema");
    schema.decode(&account_bytes(header, values)).expect("an event")
}

fn account_body(header: &Header, values: &[(&str, Value)]) -> EventBody {
    account_event(header, values).body
}

fn string(value: &str) -> Value {
    Value::String(value.to_owned())
}

#[test]
fn a_created_record_brings_every_value_under_describes_names() {
    let body = account_body(
        &Header::of("CREATE"),
        &[
            ("Name", some(string("Acme"))),
            ("BillingAddress", address(&[("City", string("Ulm")), ("Xyz", string("packed"))])),
            ("ShippingAddress", address(&[("Latitude", Value::Double(48.4))])),
            ("AnnualRevenue", some(Value::Double(0.1 + 0.2))),
            ("Place__c", some(record(vec![("Latitude", null()), ("Longitude", some(Value::Double(9.98)))]))),
            ("LastModifiedDate", some(Value::Long(1_777_886_101_000))),
        ],
    );
    assert_eq!(
        body,
        EventBody::Whole(vec![
            change("Name", text("Acme")),
            change("BillingCity", text("Ulm")),
            change("ShippingLatitude", EventValue::Double(48.4)),
            change("AnnualRevenue", EventValue::Double(0.1 + 0.2)),
            change("Place__Longitude__s", EventValue::Double(9.98)),
            change("LastModifiedDate", EventValue::Whole(1_777_886_101_000)),
        ])
    );
}

#[test]
fn an_update_brings_changed_and_nulled_fields_and_nothing_else() {
    // Bits: 1 Name, 2 Type, 3 ParentId, 8 LastModifiedDate. Type's value is there without its bit.
    let header = Header::update(&["0x0102"], &["0x08"]);
    let body = account_body(
        &header,
        &[
            ("Name", some(string("Acme"))),
            ("Type", some(string("enriched"))),
            ("LastModifiedDate", some(Value::Long(1))),
        ],
    );
    assert_eq!(
        body,
        EventBody::Patch(vec![
            change("Name", text("Acme")),
            change("ParentId", EventValue::Null),
            change("LastModifiedDate", EventValue::Whole(1)),
        ])
    );
}

#[test]
fn a_changed_field_without_a_value_is_null_only_where_it_is_listed_as_nulled() {
    let body = account_body(&Header::update(&["0x0C"], &["0x08"]), &[]);
    let (withheld, nulled) = (change("Type", EventValue::Withheld), change("ParentId", EventValue::Null));
    assert_eq!(body, EventBody::Patch(vec![withheld, nulled]));
}

#[test]
fn parts_of_an_address_change_alone() {
    let header = Header::update(&["4-0x06", "0x0100"], &["4-0x04"]);
    let body = account_body(
        &header,
        &[
            ("BillingAddress", address(&[("City", string("Ulm")), ("Street", string("not named"))])),
            ("LastModifiedDate", some(Value::Long(1))),
        ],
    );
    assert_eq!(
        body,
        EventBody::Patch(vec![
            change("BillingCity", text("Ulm")),
            change("BillingState", EventValue::Null),
            change("LastModifiedDate", EventValue::Whole(1)),
        ])
    );
}

#[test]
fn an_address_named_as_a_whole_brings_all_its_parts() {
    let header = Header::update(&["0x20", "5-0x02"], &[]);
    let body = account_body(&header, &[("ShippingAddress", address(&[("City", string("Ulm"))]))]);
    let EventBody::Patch(changes) = body else { panic!("{body:?}") };
    assert_eq!(changes.len(), 10);
    let value = |name: &str| changes.iter().find(|change| change.name == name).map(|change| &change.value);
    assert_eq!(value("ShippingCity"), Some(&text("Ulm")));
    assert_eq!(value("ShippingStreet"), Some(&EventValue::Null));
    assert_eq!(value("ShippingXyz"), None);
    // Emptied as a whole.
    let body = account_body(&Header::update(&[], &["0x20"]), &[]);
    assert!(matches!(body, EventBody::Patch(changes) if changes.len() == 10));
}

#[test]
fn a_persons_name_is_fetched() {
    let person = record(vec![
        ("Salutation", null()),
        ("FirstName", some(string("Ada"))),
        ("LastName", some(string("Byron"))),
    ]);
    let fetch = EventBody::Fetch(WhyFetch::Difference { field: "Name".to_owned() });
    let values = [("Name", branch(2, person))];
    assert_eq!(account_body(&Header::of("CREATE"), &values), fetch);
    assert_eq!(account_body(&Header::update(&["1-0x02"], &[]), &values), fetch);
    assert_eq!(account_body(&Header::update(&["0x02"], &[]), &values), fetch);
}

#[test]
fn what_an_event_does_not_show_is_fetched() {
    let mut difference = Header::update(&["0x04"], &[]);
    difference.differences = vec!["0x04".to_owned()];
    let values = [("Type", some(string("--- \n+++ 0a\n@@ -1 +1 @@")))];
    assert_eq!(
        account_body(&difference, &values),
        EventBody::Fetch(WhyFetch::Difference { field: "Type".to_owned() })
    );
    for (changed, nulled) in [
        ("0x0200", ""),   // beyond the last field
        ("0x01", ""),     // the header itself
        ("0x", ""),       // nothing at all
        ("2-0x01", ""),   // within a field that has nothing within
        ("Nonsense", ""), // no field's name
        ("0x04", "0x04"), // nulled, and yet with a value
    ] {
        let changed: Vec<_> = (!changed.is_empty()).then_some(changed).into_iter().collect();
        let nulled: Vec<_> = (!nulled.is_empty()).then_some(nulled).into_iter().collect();
        let body = account_body(&Header::update(&changed, &nulled), &values);
        assert_eq!(body, EventBody::Fetch(WhyFetch::Bitmap), "{changed:?} {nulled:?}");
    }
}

#[test]
fn every_kind_says_what_to_do() {
    for (kind, expected) in [
        ("CREATE", EventBody::Whole(Vec::new())),
        ("UNDELETE", EventBody::Whole(Vec::new())),
        ("DELETE", EventBody::Nothing),
        ("GAP_CREATE", EventBody::Fetch(WhyFetch::Gap)),
        ("GAP_UPDATE", EventBody::Fetch(WhyFetch::Gap)),
        ("GAP_DELETE", EventBody::Fetch(WhyFetch::Gap)),
        ("GAP_UNDELETE", EventBody::Fetch(WhyFetch::Gap)),
        ("GAP_OVERFLOW", EventBody::Fetch(WhyFetch::Gap)),
        ("SNAPSHOT", EventBody::Fetch(WhyFetch::Gap)),
    ] {
        let event = account_event(&Header::of(kind), &[]);
        assert_eq!(event.body, expected, "{kind}");
        assert_eq!(event.header.kind, ChangeKind::of(kind));
    }
}

#[test]
fn many_records_a_wildcard_or_none() {
    let records = |ids: &[&str]| {
        let ids = ids.iter().map(|&id| id.to_owned()).collect();
        account_event(&Header { ids, ..Header::of("UPDATE") }, &[]).header.records
    };
    let (first, second) = ("001D000000KnaXjIAJ", "0015f00002JUWMVAA5");
    assert_eq!(records(&[first, second]).ids().len(), 2);
    for unnamed in [vec!["001*"], vec![first, "001*"], vec!["000000000000000AAA"], vec![]] {
        assert_eq!(records(&unnamed), Records::All, "{unnamed:?}");
    }
}

#[test]
fn a_header_that_cannot_be_is_refused() {
    let schema = Schema::parse("account", &account_json()).unwrap();
    let header = Header { ids: vec!["not an id".to_owned()], ..Header::of("UPDATE") };
    let bytes = account_bytes(&header, &[]);
    assert_eq!(schema.header(&bytes), Err(AvroError::Header("recordIds")));
    assert_eq!(schema.decode(&bytes), Err(AvroError::Header("recordIds")));
}

#[test]
fn unions_come_in_any_order_and_width() {
    let json = schema_json(
        "OddChangeEvent",
        &[
            ("Required", json!(["string", { "type": "record", "name": "PersonName", "fields": [] }])),
            ("Late", json!(["string", "long", "null"])),
            ("Stamp", json!(["null", { "type": "long", "logicalType": "timestamp-micros" }])),
            ("Day", json!(["null", { "type": "int", "logicalType": "date" }])),
            ("Plain", json!("double")),
            ("Short", json!(["null", "float"])),
        ],
    );
    let event = record(vec![
        ("ChangeEventHeader", Header::of("CREATE").value()),
        ("Required", branch(0, string("here"))),
        ("Late", branch(1, Value::Long(7))),
        ("Stamp", some(Value::TimestampMicros(1_777_886_101_000_999))),
        ("Day", some(Value::Date(20_577))),
        ("Plain", Value::Double(2.5)),
        ("Short", some(Value::Float(0.5))),
    ]);
    let body = Schema::parse("odd", &json).unwrap().decode(&encode(&json, event)).unwrap().body;
    assert_eq!(
        body,
        EventBody::Whole(vec![
            change("Required", text("here")),
            change("Late", EventValue::Whole(7)),
            change("Stamp", EventValue::Whole(1_777_886_101_000)),
            change("Day", EventValue::Whole(20_577)),
            change("Plain", EventValue::Double(2.5)),
            change("Short", EventValue::Double(0.5)),
        ])
    );
}

#[test]
fn errors_do_not_quote_the_event() {
    let mut bytes = account_bytes(&Header::of("CREATE"), &[("Type", some(string("secret value")))]);
    bytes.truncate(bytes.len() - 3);
    let error = Schema::parse("account", &account_json()).unwrap().decode(&bytes).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
}
