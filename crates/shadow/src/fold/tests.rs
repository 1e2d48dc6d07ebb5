use super::*;
use crate::describe::{FieldInfo, FieldType, ObjectInfo};
use crate::event::EventValue;
use crate::ids::ObjectName;
use crate::mapping::{Mapping, OrgFacts, ResolvedMapping, resolve};
use crate::prepare::{PreparedChunk, prepare};
use crate::rows::RowChunk;

mod properties;

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
