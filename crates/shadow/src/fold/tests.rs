use proptest::prelude::*;

use super::*;
use crate::describe::{FieldInfo, FieldType, ObjectInfo};
use crate::event::EventValue;
use crate::ids::ObjectName;
use crate::mapping::{Mapping, OrgFacts, resolve};
use crate::prepare::{PreparedChunk, prepare};
use crate::rows::RowChunk;

/// An entry's mapping; with a formula among its fields if asked.
fn mapping(with_formula: bool) -> ResolvedMapping {
    let mut fields = vec![
        FieldInfo::new("Id", FieldType::Id),
        FieldInfo::new("SystemModstamp", FieldType::DateTime),
        FieldInfo::new("LastModifiedDate", FieldType::DateTime),
        FieldInfo::new("CreatedDate", FieldType::DateTime),
        FieldInfo::new("IsDeleted", FieldType::Boolean),
        FieldInfo::new("Product2Id", FieldType::Reference),
        FieldInfo::new("Pricebook2Id", FieldType::Reference),
        FieldInfo::new("UnitPrice", FieldType::Decimal).digits(18, 2),
        FieldInfo::new("IsActive", FieldType::Boolean),
        FieldInfo::new("Note__c", FieldType::Text),
        FieldInfo::new("From__c", FieldType::Date),
    ];
    if with_formula {
        let mut formula = FieldInfo::new("Twice__c", FieldType::Decimal).digits(18, 2);
        formula.calculated = true;
        fields.push(formula);
    }
    let info = ObjectInfo { name: ObjectName::pricebook_entry(), key_prefix: None, fields };
    let org = OrgFacts { currency: Some("EUR".to_owned()), multi_currency: false };
    let all = Mapping::built_in();
    resolve(&all[1], &all, &info, &org).unwrap()
}

fn id() -> RecordId {
    RecordId::parse("01u000000000001").unwrap()
}

const MODIFIED_MS: i64 = 1_777_886_101_000;

/// A stored payload, its members in an order of the database's own.
const PAYLOAD: &str = r#"{"Id": "01u000000000001AAA", "From__c": null, "Note__c": "a \"b\"", "IsActive": true,
    "IsDeleted": false, "UnitPrice": 12.50, "Product2Id": "01t000000000001AAA", "CreatedDate": "2026-01-01T00:00:00.000Z",
    "Pricebook2Id": "01s000000000001AAA", "SystemModstamp": "2026-01-02T00:00:00.000Z",
    "LastModifiedDate": "2026-01-02T00:00:00.000Z"}"#;

/// Stored as of 10, read by request 3, whose answer came at 100,000 ms.
fn stored(payload: &str) -> Known<'_> {
    Known::Stored { as_of: 10, read_no: 3, read_end: Moment(100_000), payload }
}

fn change(name: &str, value: EventValue) -> FieldChange {
    FieldChange { name: name.to_owned(), value }
}

fn patch() -> EventBody {
    EventBody::Patch(vec![
        change("UnitPrice", EventValue::Double(13.0)),
        change("note__c", EventValue::Null),
        change("LastModifiedDate", EventValue::Whole(MODIFIED_MS)),
        change("Unmapped__c", EventValue::Boolean(true)),
    ])
}

fn whole() -> EventBody {
    EventBody::Whole(vec![
        change("Product2Id", EventValue::Text("01t000000000001AAA".to_owned())),
        change("Pricebook2Id", EventValue::Text("01s000000000001AAA".to_owned())),
        change("UnitPrice", EventValue::Double(12.5)),
        change("IsActive", EventValue::Boolean(true)),
        change("CreatedDate", EventValue::Whole(MODIFIED_MS)),
        change("LastModifiedDate", EventValue::Whole(MODIFIED_MS)),
    ])
}

/// An event at a position, committed so long after the read of [`stored`].
fn event(position: i64, after_read_ms: i64, kind: ChangeKind, body: &EventBody) -> RecordEvent<'_> {
    RecordEvent { position, committed_at: Moment(100_000 + after_read_ms), kind, body: Some(body) }
}

fn run<'a>(stored: Known<'a>, is_dirty: bool, events: &[RecordEvent<'a>]) -> Folded<'a> {
    let mapping = mapping(false);
    fold(&Fields::of(&mapping), &id(), stored, is_dirty, events)
}

fn words(folded: &Folded<'_>) -> Vec<&'static str> {
    folded.outcomes.iter().map(|(outcome, _)| outcome.as_str()).collect()
}

fn prepared(mapping: &ResolvedMapping, texts: &[Option<Cow<'_, str>>]) -> PreparedChunk {
    let mut chunk = RowChunk::with_columns(mapping.field_names());
    for text in texts {
        chunk.push_field(text.as_deref().unwrap_or_default().as_bytes()).unwrap();
    }
    chunk.end_row().unwrap();
    prepare(mapping, &chunk).unwrap()
}

fn payload_of(chunk: &PreparedChunk) -> String {
    String::from_utf8(chunk.payload(&chunk.records[0]).to_vec()).unwrap()
}

#[test]
fn an_update_is_laid_over_what_is_stored() {
    let body = patch();
    let folded = run(stored(PAYLOAD), false, &[event(11, 5_001, ChangeKind::Update, &body)]);
    assert_eq!(words(&folded), ["applied"]);
    let End::Write(patched) = &folded.end else { panic!("{folded:?}") };
    assert_eq!((patched.as_of, patched.read_no, patched.read_end), (11, 3, Moment(100_000)));
    let payload = payload_of(&prepared(&mapping(false), &patched.texts));
    assert!(payload.contains(r#""Note__c":null"#) && payload.contains(r#""UnitPrice":13.00"#), "{payload}");
    // What the event does not say stays: another field, and the stamp, which no event carries.
    assert!(payload.contains(r#""SystemModstamp":"2026-01-02T00:00:00.000Z""#), "{payload}");
    assert!(payload.contains(r#""LastModifiedDate":"2026-05-04T09:15:01.000Z""#), "{payload}");
    assert!(payload.contains(r#""IsActive":true"#), "{payload}");
}

#[test]
fn an_event_at_or_below_as_of_is_skipped() {
    let body = patch();
    let folded = run(stored(PAYLOAD), false, &[event(10, 99_999, ChangeKind::Update, &body)]);
    assert_eq!((words(&folded), &folded.end), (vec!["skipped"], &End::Untouched));
    let gone = Known::Gone { as_of: 10, read_end: None };
    assert_eq!(words(&run(gone, false, &[event(9, 99_999, ChangeKind::Undelete, &whole())])), ["skipped"]);
}

#[test]
fn what_the_last_read_may_have_seen_makes_the_record_dirty() {
    let body = patch();
    let folded = run(stored(PAYLOAD), false, &[event(11, 5_000, ChangeKind::Update, &body)]);
    assert_eq!((words(&folded), &folded.end), (vec!["dirty"], &End::Untouched));
    let mark = folded.mark.unwrap();
    assert_eq!((mark.reason, mark.as_of, mark.committed_at.0), (MarkReason::Ambiguous, 11, 105_000));
    // Fetches of one record are 5 s apart: the last was at 100,000.
    assert_eq!(mark.wait_ms, 0);
    let folded = run(stored(PAYLOAD), false, &[event(11, 2_000, ChangeKind::Update, &body)]);
    assert_eq!(folded.mark.unwrap().wait_ms, 3_000);
}

#[test]
fn nothing_is_applied_behind_a_change_that_is_not_known() {
    let (gap, body) = (EventBody::Fetch(WhyFetch::Gap), patch());
    let events = [
        event(11, 6_000, ChangeKind::Update, &body),
        event(12, 7_000, ChangeKind::GapUpdate, &gap),
        event(13, 8_000, ChangeKind::Update, &body),
    ];
    let folded = run(stored(PAYLOAD), false, &events);
    assert_eq!(words(&folded), ["applied", "dirty", "dirty"]);
    // What was known before it is written; the later event only raises the mark.
    assert!(matches!(&folded.end, End::Write(patched) if patched.as_of == 11));
    let mark = folded.mark.unwrap();
    assert_eq!((mark.reason, mark.as_of), (MarkReason::Gap, 13));
    assert_eq!((mark.since.0, mark.committed_at.0), (107_000, 108_000));
    assert_eq!(words(&run(stored(PAYLOAD), true, &events[..1])), ["dirty"]);
}

#[test]
fn an_update_of_an_unknown_record_is_fetched() {
    let body = patch();
    let folded = run(Known::Nothing, false, &[event(11, 0, ChangeKind::Update, &body)]);
    assert_eq!(folded.mark.unwrap().reason, MarkReason::Unknown);
    let gone = Known::Gone { as_of: 1, read_end: None };
    assert_eq!(
        run(gone, false, &[event(11, 0, ChangeKind::Update, &body)]).mark.unwrap().reason,
        MarkReason::Unknown
    );
}

#[test]
fn an_unambiguous_delete_applies_at_once_to_a_dirty_record_too() {
    let nothing = EventBody::Nothing;
    let delete = event(12, 6_000, ChangeKind::Delete, &nothing);
    for (stored, is_dirty) in [
        (stored(PAYLOAD), false),
        (stored(PAYLOAD), true),
        (Known::Nothing, false),
        (Known::Gone { as_of: 3, read_end: Some(Moment(200_000)) }, false),
    ] {
        let folded = run(stored, is_dirty, &[delete]);
        assert_eq!((words(&folded), &folded.end), (vec!["deleted"], &End::Gone { as_of: 12 }));
        assert!(folded.clears_mark && folded.came_or_went && folded.mark.is_none());
    }
    let folded = run(stored(PAYLOAD), false, &[event(12, 5_000, ChangeKind::Delete, &nothing)]);
    assert_eq!(folded.end, End::Untouched);
    assert!(folded.mark.unwrap().deleted_noted);
}

#[test]
fn a_deletion_that_is_followed_by_something_else_proves_no_absence() {
    let (gap, nothing) = (EventBody::Fetch(WhyFetch::Gap), EventBody::Nothing);
    let gone = event(11, 6_000, ChangeKind::GapDelete, &gap);
    assert!(run(stored(PAYLOAD), false, &[gone]).mark.unwrap().deleted_noted);
    let back = event(12, 6_000, ChangeKind::GapUndelete, &gap);
    assert!(!run(stored(PAYLOAD), false, &[gone, back]).mark.unwrap().deleted_noted);
    // A delete in between applies and takes the mark with it; what follows makes a new one.
    let deleted = event(12, 6_000, ChangeKind::Delete, &nothing);
    let back = event(13, 6_000, ChangeKind::GapUndelete, &gap);
    let folded = run(stored(PAYLOAD), false, &[gone, deleted, back]);
    assert_eq!((words(&folded), &folded.end), (vec!["dirty", "deleted", "dirty"], &End::Gone { as_of: 12 }));
    assert_eq!(folded.mark.unwrap().as_of, 13);
}

#[test]
fn a_created_record_is_written_from_its_event_only_if_that_carries_all_of_it() {
    let body = whole();
    let create = event(11, 0, ChangeKind::Create, &body);
    let folded = run(Known::Nothing, false, &[create]);
    let End::Write(patched) = &folded.end else { panic!("{folded:?}") };
    assert_eq!((patched.as_of, patched.read_no, patched.read_end), (11, 0, NEVER_READ));
    let payload = payload_of(&prepared(&mapping(false), &patched.texts));
    assert!(payload.contains(r#""IsDeleted":false"#) && payload.contains(r#""From__c":null"#), "{payload}");
    assert!(payload.contains(r#""SystemModstamp":"2026-05-04T09:15:01.000Z""#), "{payload}");

    let mapping = mapping(true);
    let folded = fold(&Fields::of(&mapping), &id(), Known::Nothing, false, &[create]);
    assert_eq!((folded.end, folded.mark.unwrap().reason), (End::Untouched, MarkReason::Incomplete));
    let EventBody::Whole(mut fields) = whole() else { unreachable!() };
    fields.retain(|field| field.name != "CreatedDate");
    let body = EventBody::Whole(fields);
    let folded = run(Known::Nothing, false, &[event(11, 0, ChangeKind::Create, &body)]);
    assert_eq!(folded.mark.unwrap().reason, MarkReason::Incomplete);
}

#[test]
fn a_created_record_can_be_changed_at_once_because_no_read_is_in_doubt() {
    let (body, more) = (whole(), patch());
    let folded = run(
        Known::Nothing,
        false,
        &[event(11, 0, ChangeKind::Create, &body), event(12, 0, ChangeKind::Update, &more)],
    );
    assert_eq!(words(&folded), ["applied", "applied"]);
    assert!(matches!(&folded.end, End::Write(patched) if patched.as_of == 12));
}

#[test]
fn a_record_that_came_back_replaces_its_tombstone() {
    let body = whole();
    let gone = Known::Gone { as_of: 9, read_end: Some(Moment(100_000)) };
    let folded = run(gone, false, &[event(11, 6_000, ChangeKind::Undelete, &body)]);
    assert!(matches!(&folded.end, End::Write(patched) if patched.read_end == Moment(100_000)));
    assert!(folded.came_or_went);
    // The read that found it gone may have come after it came back and went again.
    let folded = run(gone, false, &[event(11, 4_000, ChangeKind::Undelete, &body)]);
    assert_eq!((folded.end, folded.mark.unwrap().reason), (End::Untouched, MarkReason::Ambiguous));
}

#[test]
fn a_stored_record_that_lacks_a_selected_field_is_fetched() {
    let body = patch();
    let payload = PAYLOAD.replace("\"From__c\": null, ", "");
    let folded = run(stored(&payload), false, &[event(11, 6_000, ChangeKind::Update, &body)]);
    assert_eq!((folded.end, folded.mark.unwrap().reason), (End::Untouched, MarkReason::Incomplete));
}

#[test]
fn an_event_that_cannot_be_read_makes_its_record_dirty() {
    let unreadable =
        RecordEvent { position: 11, committed_at: Moment(0), kind: ChangeKind::Delete, body: None };
    let folded = run(stored(PAYLOAD), false, &[unreadable]);
    assert_eq!((words(&folded), &folded.end), (vec!["dead-letter"], &End::Untouched));
    let mark = folded.mark.unwrap();
    assert_eq!((mark.reason, mark.deleted_noted), (MarkReason::DeadLetter, true));
}

#[test]
fn a_formula_is_never_taken_from_an_event() {
    let mapping = mapping(true);
    let payload = PAYLOAD.replace("\"From__c\"", "\"Twice__c\": 25.00, \"From__c\"");
    let body = EventBody::Patch(vec![
        change("Twice__c", EventValue::Double(99.0)),
        change("UnitPrice", EventValue::Double(1.0)),
    ]);
    let event = [event(11, 6_000, ChangeKind::Update, &body)];
    let folded = fold(&Fields::of(&mapping), &id(), stored(&payload), false, &event);
    let End::Write(patched) = folded.end else { panic!() };
    let payload = payload_of(&prepared(&mapping, &patched.texts));
    assert!(payload.contains(r#""Twice__c":25.00,"UnitPrice":1.00"#), "{payload}");
}

#[test]
fn a_frozen_field_keeps_its_value_whatever_an_event_says() {
    let mut mapping = mapping(false);
    for field in &mut mapping.fields {
        if field.name == "Note__c" {
            (field.in_events, field.is_frozen) = (false, true);
        }
    }
    let (patch, whole) = (patch(), whole());
    for event in
        [event(11, 6_000, ChangeKind::Update, &patch), event(11, 6_000, ChangeKind::Undelete, &whole)]
    {
        let folded = fold(&Fields::of(&mapping), &id(), stored(PAYLOAD), false, &[event]);
        let End::Write(patched) = folded.end else { panic!("{:?}", event.kind) };
        let note = mapping.fields.iter().position(|field| field.name == "Note__c").unwrap();
        assert_eq!(patched.texts[note].as_deref(), Some("a \"b\""));
    }
}

#[test]
fn a_value_that_is_withheld_is_read_and_expected_of_a_frozen_field_alone() {
    let withheld = EventBody::Patch(vec![
        change("UnitPrice", EventValue::Double(13.0)),
        change("Note__c", EventValue::Withheld),
        change("Unmapped__c", EventValue::Withheld),
    ]);
    let update = event(11, 6_000, ChangeKind::Update, &withheld);
    let folded = run(stored(PAYLOAD), false, &[update]);
    assert_eq!((words(&folded), &folded.end), (vec!["dirty"], &End::Untouched));
    assert_eq!(folded.mark.unwrap().reason, MarkReason::Incomplete);

    let mut frozen = mapping(false);
    for field in frozen.fields.iter_mut().filter(|field| field.name == "Note__c") {
        (field.in_events, field.is_frozen) = (false, true);
    }
    let folded = fold(&Fields::of(&frozen), &id(), stored(PAYLOAD), false, &[update]);
    assert_eq!(words(&folded), ["applied"]);
}

/// One record as the org has it.
#[derive(Debug, Clone)]
struct Record {
    cents: i64,
    active: bool,
    note: Option<String>,
    day: Option<i64>,
    modified_s: i64,
}

fn any_record() -> impl Strategy<Value = Record> {
    (
        -999_999_999_i64..999_999_999,
        any::<bool>(),
        prop::option::of("[^\0]{1,12}"),
        prop::option::of(1_i64..30_000),
        0_i64..2_000_000_000,
    )
        .prop_map(|(cents, active, note, day, modified_s)| Record {
            cents,
            active,
            note,
            day,
            modified_s,
        })
}

impl Record {
    fn price(&self) -> String {
        rust_decimal::Decimal::new(self.cents, 2).to_string()
    }

    fn moment(&self) -> String {
        Moment(self.modified_s * 1000).to_utc().unwrap().format("%Y-%m-%dT%H:%M:%S.000Z").to_string()
    }

    fn date(&self) -> Option<String> {
        self.day.map(|day| Moment(day * 86_400_000).to_utc().unwrap().format("%Y-%m-%d").to_string())
    }

    fn of_bulk(&self, mapping: &ResolvedMapping) -> PreparedChunk {
        let text = |name: &str| match name {
            "Id" => Some("01u000000000001".to_owned()),
            "SystemModstamp" | "LastModifiedDate" | "CreatedDate" => Some(self.moment()),
            "IsDeleted" => Some("false".to_owned()),
            "Product2Id" => Some("01t000000000001AAA".to_owned()),
            "Pricebook2Id" => Some("01s000000000001AAA".to_owned()),
            "UnitPrice" => Some(self.price()),
            "IsActive" => Some(self.active.to_string()),
            "Note__c" => self.note.clone(),
            _ => self.date(),
        };
        let texts: Vec<Option<Cow<'_, str>>> =
            mapping.field_names().map(|name| text(name).map(Cow::Owned)).collect();
        prepared(mapping, &texts)
    }

    fn of_rest(&self, mapping: &ResolvedMapping) -> PreparedChunk {
        let json = serde_json::json!({
            "attributes": { "type": "PricebookEntry" }, "Id": "01u000000000001AAA", "SystemModstamp": self.moment(),
            "LastModifiedDate": self.moment().replace('Z', "+0000"), "CreatedDate": self.moment(), "IsDeleted": false,
            "Product2Id": "01t000000000001AAA", "Pricebook2Id": "01s000000000001AAA", "IsActive": self.active,
            "UnitPrice": serde_json::from_str::<serde_json::Value>(&self.price()).unwrap(), "Note__c": self.note,
            "From__c": self.date(),
        });
        let mut chunk = RowChunk::with_columns(mapping.field_names());
        chunk.push_json(&serde_json::value::to_raw_value(&json).unwrap()).unwrap();
        prepare(mapping, &chunk).unwrap()
    }

    /// The changed fields as an event carries them; all of them if `before` is none, without those that are null.
    fn fields(&self, before: Option<&Self>) -> Vec<FieldChange> {
        let moved = |same: fn(&Self, &Self) -> bool| before.is_none_or(|before| !same(before, self));
        let mut fields = vec![change("LastModifiedDate", EventValue::Whole(self.modified_s * 1000))];
        if before.is_none() {
            fields.push(change("CreatedDate", EventValue::Whole(self.modified_s * 1000)));
            fields.push(change("Product2Id", EventValue::Text("01t000000000001AAA".to_owned())));
            fields.push(change("Pricebook2Id", EventValue::Text("01s000000000001AAA".to_owned())));
        }
        if moved(|a, b| a.cents == b.cents) {
            fields.push(change("UnitPrice", EventValue::Double(self.price().parse().unwrap())));
        }
        if moved(|a, b| a.active == b.active) {
            fields.push(change("IsActive", EventValue::Boolean(self.active)));
        }
        if moved(|a, b| a.note == b.note) {
            fields.push(change("Note__c", self.note.clone().map_or(EventValue::Null, EventValue::Text)));
        }
        if moved(|a, b| a.day == b.day) {
            fields.push(change("From__c", self.day.map_or(EventValue::Null, EventValue::Whole)));
        }
        if before.is_none() {
            fields.retain(|field| field.value != EventValue::Null);
        }
        fields
    }
}

/// The payload without what no event carries.
fn carried(chunk: &PreparedChunk) -> serde_json::Map<String, serde_json::Value> {
    let mut payload: serde_json::Map<_, _> = serde_json::from_str(&payload_of(chunk)).unwrap();
    payload.remove("SystemModstamp");
    payload
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_record_has_one_form_whether_bulk_rest_or_an_event_brought_it(record in any_record()) {
        let mapping = mapping(false);
        let bulk = record.of_bulk(&mapping);
        prop_assert_eq!(payload_of(&bulk), payload_of(&record.of_rest(&mapping)));
        let body = EventBody::Whole(record.fields(None));
        let create = [event(11, 0, ChangeKind::Create, &body)];
        let folded = fold(&Fields::of(&mapping), &id(), Known::Nothing, false, &create);
        let End::Write(patched) = folded.end else { panic!("{folded:?}") };
        let created = prepared(&mapping, &patched.texts);
        // The stamp is that of the last change here, so that even that is equal.
        prop_assert_eq!(payload_of(&created), payload_of(&bulk));
        prop_assert_eq!(created.records[0].hash, bulk.records[0].hash);
    }

    #[test]
    fn a_patched_record_is_equal_to_the_same_record_read(before in any_record(), after in any_record()) {
        let mapping = mapping(false);
        let stored_payload = payload_of(&before.of_bulk(&mapping));
        let body = EventBody::Patch(after.fields(Some(&before)));
        let update = [event(11, 6_000, ChangeKind::Update, &body)];
        let folded = fold(&Fields::of(&mapping), &id(), stored(&stored_payload), false, &update);
        let End::Write(patched) = folded.end else { panic!("{folded:?}") };
        let patched = prepared(&mapping, &patched.texts);
        let mut expected = carried(&after.of_rest(&mapping));
        // An update does not carry when the record was created.
        expected["CreatedDate"] = carried(&before.of_bulk(&mapping))["CreatedDate"].clone();
        prop_assert_eq!(carried(&patched), expected);
    }

    #[test]
    fn a_payload_that_is_read_back_is_byte_equal(record in any_record()) {
        let mapping = mapping(false);
        let bulk = record.of_bulk(&mapping);
        // The database keeps members in an order of its own and puts blanks between them.
        let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&payload_of(&bulk)).unwrap();
        let mut names: Vec<&String> = members.keys().collect();
        names.sort_by_key(|name| (name.len(), name.as_str()));
        let raw: HashMap<String, Box<serde_json::value::RawValue>> = serde_json::from_str(&payload_of(&bulk)).unwrap();
        let shuffled: Vec<String> = names.iter().map(|name| format!("\"{name}\": {}", raw[*name])).collect();
        let shuffled = serde_json::value::RawValue::from_string(format!("{{{}}}", shuffled.join(", "))).unwrap();
        let mut chunk = RowChunk::with_columns(mapping.field_names());
        chunk.push_json(&shuffled).unwrap();
        let back = prepare(&mapping, &chunk).unwrap();
        prop_assert_eq!(payload_of(&back), payload_of(&bulk));
        prop_assert_eq!(back.records[0].hash, bulk.records[0].hash);
    }

    /// Folding the events again over their outcome changes nothing, in whatever batches they came.
    #[test]
    fn folding_twice_is_folding_once(
        steps in prop::collection::vec((0..6_u8, 0..12_000_i64, -999_i64..999), 1..8), cut in 0..8_usize,
    ) {
        let mapping = mapping(false);
        let fields = Fields::of(&mapping);
        let bodies: Vec<(ChangeKind, EventBody)> = steps.iter().map(|(kind, _, cents)| match kind {
            0 => (ChangeKind::Delete, EventBody::Nothing),
            1 => (ChangeKind::GapUpdate, EventBody::Fetch(WhyFetch::Gap)),
            2 => (ChangeKind::Undelete, whole()),
            _ => {
                let price = EventValue::Double(f64::from(i32::try_from(*cents).unwrap()) / 100.0);
                (ChangeKind::Update, EventBody::Patch(vec![change("UnitPrice", price)]))
            }
        }).collect();
        let events: Vec<RecordEvent<'_>> = bodies.iter().zip(&steps).enumerate()
            .map(|(place, ((kind, body), (_, after, _)))| event(11 + i64::try_from(place).unwrap(), *after, *kind, body))
            .collect();
        let once = fold(&fields, &id(), stored(PAYLOAD), false, &events);
        let (payload, known, dirty) = after(&mapping, &once, PAYLOAD, stored(PAYLOAD), false);
        let again = fold(&fields, &id(), known.over(&payload), dirty, &events);
        if once.mark.is_none() {
            prop_assert!(again.outcomes.iter().all(|(outcome, _)| *outcome == EventOutcome::Skipped));
            prop_assert_eq!(&again.end, &End::Untouched);
        } else {
            // A dirty record stays as it is, but for a delete.
            let stays = matches!(again.end, End::Untouched | End::Gone { .. });
            prop_assert!(stays, "{again:?}");
        }
        // The same in two batches.
        let cut = cut.min(events.len());
        let first = fold(&fields, &id(), stored(PAYLOAD), false, &events[..cut]);
        let (middle, known, dirty) = after(&mapping, &first, PAYLOAD, stored(PAYLOAD), false);
        let second = fold(&fields, &id(), known.over(&middle), dirty, &events[cut..]);
        let end = after(&mapping, &second, &middle, known.over(&middle), dirty);
        prop_assert_eq!(end.0, payload);
        prop_assert_eq!(end.2, once.mark.is_some());
    }
}

/// What is stored after a fold, without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Nothing,
    Gone(i64, Option<Moment>),
    Stored(i64, i64, Moment),
}

impl After {
    fn over(self, payload: &str) -> Known<'_> {
        match self {
            Self::Nothing => Known::Nothing,
            Self::Gone(as_of, read_end) => Known::Gone { as_of, read_end },
            Self::Stored(as_of, read_no, read_end) => Known::Stored { as_of, read_no, read_end, payload },
        }
    }
}

/// Does with a fold what the store does: payload, marks, and whether the record is dirty.
fn after(
    mapping: &ResolvedMapping,
    folded: &Folded<'_>,
    payload: &str,
    before: Known<'_>,
    was_dirty: bool,
) -> (String, After, bool) {
    let before = match before {
        Known::Nothing => After::Nothing,
        Known::Gone { as_of, read_end } => After::Gone(as_of, read_end),
        Known::Stored { as_of, read_no, read_end, .. } => After::Stored(as_of, read_no, read_end),
    };
    let (payload, known) = match &folded.end {
        End::Untouched => (payload.to_owned(), before),
        End::Gone { as_of } => (String::new(), After::Gone(*as_of, None)),
        End::Write(patched) => (
            payload_of(&prepared(mapping, &patched.texts)),
            After::Stored(patched.as_of, patched.read_no, patched.read_end),
        ),
    };
    (payload, known, folded.mark.is_some() || (was_dirty && !folded.clears_mark))
}
