use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

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
