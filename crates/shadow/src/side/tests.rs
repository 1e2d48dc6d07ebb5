use proptest::prelude::*;

use super::*;
use crate::describe::{FieldInfo, FieldType, ObjectInfo};
use crate::ids::ObjectName;
use crate::mapping::{Mapping, OrgFacts, resolve};

/// A product's mapping: a tier, which is a column; a number and a day that are not; a text that is a formula.
fn mapping(with_number: bool) -> ResolvedMapping {
    let mut fields = vec![
        FieldInfo::new("Id", FieldType::Id),
        FieldInfo::new("SystemModstamp", FieldType::DateTime),
        FieldInfo::new("CreatedDate", FieldType::DateTime),
        FieldInfo::new("IsDeleted", FieldType::Boolean),
        FieldInfo::new("Name", FieldType::Text),
        FieldInfo::new("ProductCode", FieldType::Text),
        FieldInfo::new("From__c", FieldType::Date),
        FieldInfo::new("Plan_Tier__c", FieldType::Text),
    ];
    if with_number {
        fields.push(FieldInfo::new("Number__c", FieldType::Decimal).digits(18, 2));
    }
    let info = ObjectInfo { name: ObjectName::product(), key_prefix: None, fields };
    let all = Mapping::built_in();
    resolve(&all[0], &all, &info, &OrgFacts::default()).unwrap()
}

/// What a record says, by field.
type Values = Vec<(&'static str, String)>;

fn record(name: &str, code: &str, tier: &str, number: &str) -> Values {
    vec![
        ("Id", "01t000000000001AAA".to_owned()),
        ("SystemModstamp", "2026-01-02T00:00:00.000Z".to_owned()),
        ("CreatedDate", "2026-01-01T00:00:00.000Z".to_owned()),
        ("IsDeleted", "false".to_owned()),
        ("Name", name.to_owned()),
        ("ProductCode", code.to_owned()),
        ("Plan_Tier__c", tier.to_owned()),
        ("Number__c", number.to_owned()),
    ]
}

fn chunk<'a>(columns: impl IntoIterator<Item = &'a str>, values: &Values) -> RowChunk {
    let mut chunk = RowChunk::with_columns(columns);
    for column in chunk.columns().clone().iter() {
        let value = values.iter().find(|(name, _)| *name == &**column).map_or("", |(_, value)| value);
        chunk.push_field(value.as_bytes()).unwrap();
    }
    chunk.end_row().unwrap();
    chunk
}

fn whole(mapping: &ResolvedMapping, values: &Values) -> PreparedChunk {
    prepare(mapping, &chunk(mapping.field_names(), values)).unwrap()
}

const SIDE: [&str; 4] = ["Id", "SystemModstamp", "Number__c", "Plan_Tier__c"];

/// The stamp of every record, and an hour.
const STAMP_MS: i64 = 1_767_312_000_000;
const HOUR_MS: i64 = 3_600_000;

/// A read that began as of 10, two hours after the stamp.
fn read() -> SideRead {
    let (began, end) = (Moment(STAMP_MS + 2 * HOUR_MS), Moment(STAMP_MS + 3 * HOUR_MS));
    SideRead { mark: ReadMark { as_of: 10, read_no: 5 }, began, end, next_no: 9 }
}

fn id() -> RecordId {
    RecordId::parse("01t000000000001AAA").unwrap()
}

/// What is stored of a record that a whole read brought as of 8, an hour after its stamp.
fn stored(mapping: &ResolvedMapping, values: &Values) -> StoredSide {
    let prepared = whole(mapping, values);
    let record = &prepared.records[0];
    let version = StoredVersion {
        as_of: 8,
        system_modstamp_ms: STAMP_MS,
        read_no: 3,
        read_end: Moment(STAMP_MS + HOUR_MS),
        hash: record.hash,
    };
    // The database gives members back in an order of its own.
    let members: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(prepared.payload(record)).unwrap();
    let raw: HashMap<&str, Box<serde_json::value::RawValue>> =
        serde_json::from_slice(prepared.payload(record)).unwrap();
    let mut names: Vec<&String> = members.keys().collect();
    names.sort_by_key(|name| (name.len(), *name));
    let members: Vec<String> =
        names.into_iter().map(|name| format!("\"{name}\": {}", raw[name.as_str()].get())).collect();
    let claim = Roles::of(&mapping.mapping)
        .unique
        .and_then(|column| prepared.column(record, column))
        .map(str::to_owned);
    StoredSide { version, reason: None, claim, payload: Some(format!("{{{}}}", members.join(", "))) }
}

fn current(stored: StoredSide) -> SideCurrent {
    SideCurrent { records: HashMap::from([(id(), stored)]), ..SideCurrent::default() }
}

fn decide(values: &Values, read: &SideRead, current: &SideCurrent) -> SidePlan {
    let mapping = mapping(true);
    let chunk = chunk(SIDE, values);
    let fields = SideFields::of(&mapping, &chunk).unwrap();
    plan(&fields, &chunk, read, current).unwrap()
}

#[test]
fn a_row_is_filled_keeps_its_position_and_takes_the_reads_end() {
    let now = record("one", "A", "Gold", "1.5");
    let before = stored(&mapping(true), &record("one", "A", "Silver", ""));
    let plan = decide(&now, &read(), &current(before));
    assert_eq!((plan.updates.as_slice(), plan.dirty.as_slice()), (&[0][..], &[][..]));
    let own = plan.chunk.records[0].own.unwrap();
    assert_eq!(own, OwnMark { as_of: 8, read_no: 9, read_end: read().end });
    let wanted = whole(&mapping(true), &now);
    assert_eq!(plan.chunk.payload(&plan.chunk.records[0]), wanted.payload(&wanted.records[0]));
    assert_eq!(plan.chunk.records[0].hash, wanted.records[0].hash);
}

#[test]
fn a_field_that_the_row_never_had_is_filled() {
    let now = record("one", "A", "Gold", "1.5");
    let plan = decide(&now, &read(), &current(stored(&mapping(false), &now)));
    assert_eq!(plan.updates, [0]);
    let wanted = whole(&mapping(true), &now);
    assert_eq!(plan.chunk.payload(&plan.chunk.records[0]), wanted.payload(&wanted.records[0]));
}

#[test]
fn a_row_that_lacks_a_field_which_the_read_does_not_bring_is_fetched() {
    let now = record("one", "A", "Gold", "1.5");
    let mapping = mapping(true);
    let chunk = chunk(["Id", "SystemModstamp", "Plan_Tier__c"], &now);
    let fields = SideFields::of(&mapping, &chunk).unwrap();
    let before = stored(&self::mapping(false), &record("one", "A", "Silver", ""));
    let plan = plan(&fields, &chunk, &read(), &current(before)).unwrap();
    assert_eq!((plan.updates.len(), plan.dirty), (0, vec![id()]));
}

#[test]
fn what_shows_the_values_already_is_left_alone() {
    let now = record("one", "A", "Gold", "1.5");
    let plan = decide(&now, &read(), &current(stored(&mapping(true), &now)));
    assert_eq!((plan.equal, plan.updates.len(), plan.dirty.len()), (1, 0, 0));
    // Even where its events came meanwhile, if nobody had to look into its payload.
    let mut seen = stored(&mapping(true), &now);
    (seen.payload, seen.version.as_of) = (None, 11);
    assert_eq!(decide(&now, &read(), &current(seen)).equal, 1);
}

#[test]
fn where_it_is_not_sure_what_the_read_lies_on_the_record_is_fetched() {
    let now = record("one", "A", "Gold", "1.5");
    let before = || stored(&mapping(true), &record("one", "A", "Silver", "1.5"));
    let is_dirty = |change: &dyn Fn(&mut StoredSide)| {
        let mut stored = before();
        change(&mut stored);
        let plan = decide(&now, &read(), &current(stored));
        (plan.updates.is_empty() && plan.rejects.is_empty(), plan.dirty == [id()])
    };
    let dirty = (true, true);
    assert_eq!(is_dirty(&|_| {}), (false, false));
    // An event raised it after the read began.
    assert_eq!(is_dirty(&|stored| stored.version.as_of = 11), dirty);
    // A whole read ended after this one began.
    assert_eq!(is_dirty(&|stored| stored.version.read_end = read().began), dirty);
    // It was read within ten minutes of its stamp, or never.
    assert_eq!(is_dirty(&|stored| stored.version.read_end = Moment(STAMP_MS + 599_999)), dirty);
    assert_eq!(is_dirty(&|stored| stored.version.read_end = Moment(0)), dirty);
    // The read saw an earlier state of it.
    assert_eq!(is_dirty(&|stored| stored.version.system_modstamp_ms = STAMP_MS + 1), dirty);
    // It would move: from the table, or into it.
    assert_eq!(is_dirty(&|stored| stored.claim = Some("B".to_owned())), dirty);
    assert_eq!(is_dirty(&|stored| stored.reason = Some(Reason::NoSku)), dirty);
    // A later side read was merged already.
    let mut current = current(before());
    current.sided.read_no = 6;
    assert_eq!(decide(&now, &read(), &current).dirty, [id()]);
}

#[test]
fn a_value_that_no_column_can_hold_makes_the_record_be_fetched() {
    let before = stored(&mapping(true), &record("one", "A", "Gold", "1.5"));
    let plan = decide(&record("one", "A", "Gold", "many"), &read(), &current(before));
    assert_eq!(plan.dirty, [id()]);
}

#[test]
fn a_rejected_record_is_filled_where_it_stands() {
    let now = record("one", "A", "Gold", "1.5");
    let taken = Reason::SkuTaken { holder: id() };
    let mut before = stored(&mapping(true), &record("one", "A", "Silver", ""));
    before.reason = Some(taken.clone());
    let plan = decide(&now, &read(), &current(before));
    assert_eq!((plan.rejects, plan.updates.len()), (vec![(0, taken)], 0));
    let mut before = stored(&mapping(true), &record("one", "", "Silver", ""));
    before.reason = Some(Reason::NoSku);
    let plan = decide(&record("one", "", "Gold", ""), &read(), &current(before));
    assert_eq!(plan.rejects, [(0, Reason::NoSku)]);
}

#[test]
fn a_side_read_brings_nothing_in_and_takes_nothing_out() {
    let now = record("one", "A", "Gold", "1.5");
    assert_eq!(decide(&now, &read(), &SideCurrent::default()).dirty, [id()]);
    let gone = |as_of, read_no| SideCurrent {
        tombstones: HashMap::from([(id(), StoredTombstone { as_of, read_no, presumed: true })]),
        ..SideCurrent::default()
    };
    let stays = decide(&now, &read(), &gone(11, 0));
    assert_eq!((stays.older, stays.dirty.len()), (1, 0));
    // Seen alive since: the fetch says what it is.
    assert_eq!(decide(&now, &read(), &gone(10, 4)).dirty, [id()]);
}

#[test]
fn a_dirty_record_is_not_filled_and_its_fetch_must_see_as_much() {
    let now = record("one", "A", "Gold", "1.5");
    let mut current = current(stored(&mapping(true), &record("one", "A", "Silver", "")));
    current.marks.insert(id(), StoredMark { as_of: 4 });
    let plan = decide(&now, &read(), &current);
    assert_eq!((plan.raised, plan.updates.len(), plan.dirty.len()), (vec![id()], 0, 0));
}

#[test]
fn what_decides_on_a_sku_is_not_read_on_the_side() {
    let mapping = mapping(true);
    assert!(may_bring(&mapping, &["Plan_Tier__c", "Number__c", "Name"]));
    assert!(!may_bring(&mapping, &["Plan_Tier__c", "ProductCode"]));
    let now = record("one", "A", "Gold", "");
    let chunk = chunk(["Id", "SystemModstamp", "ProductCode", "Plan_Tier__c"], &now);
    let fields = SideFields::of(&mapping, &chunk).unwrap();
    let before = current(stored(&mapping, &record("one", "A", "Silver", "")));
    assert_eq!(plan(&fields, &chunk, &read(), &before).unwrap().dirty, [id()]);
}

#[test]
fn an_answer_that_was_not_asked_for_is_refused() {
    let mapping = mapping(true);
    for columns in [&["SystemModstamp", "Name"][..], &["Id", "Name"], &["Id", "SystemModstamp", "Other__c"]] {
        let chunk = chunk(columns.iter().copied(), &Values::new());
        assert!(SideFields::of(&mapping, &chunk).is_err(), "{columns:?}");
    }
}

/// Texts that a field may hold, odd ones among them.
fn value() -> impl Strategy<Value = String> {
    prop_oneof!["[ a-z\"\\\\\n\0€é]{0,6}", Just(String::new()), Just("null".to_owned())]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        (-9_999_i64..9_999, 0_u32..4).prop_map(|(n, e)| format!("{n}e-{e}")),
        "[0-9]{1,9}(\\.[0-9]{1,3})?"
    ]
}

proptest! {
    /// Whatever a record held, a side read laid over it is byte-equal to a whole read of the same record, and doing it
    /// twice changes nothing more.
    #[test]
    fn a_filled_record_is_the_record_read_whole(
        name in "[a-z]{1,4}", tier in (value(), value()), number in (number(), number()), had_number in any::<bool>(),
    ) {
        let then = record(&name, "A", &tier.0, &number.0);
        let now = record(&name, "A", &tier.1, &number.1);
        let wanted = whole(&mapping(true), &now);
        let before = stored(&mapping(had_number), &then);
        let hash = before.version.hash;
        let first = decide(&now, &read(), &current(before));
        prop_assert!(first.dirty.is_empty());
        if hash == wanted.records[0].hash {
            prop_assert_eq!(first.equal, 1);
        } else {
            prop_assert_eq!(&first.updates, &[0]);
            let record = &first.chunk.records[0];
            prop_assert_eq!(first.chunk.payload(record), wanted.payload(&wanted.records[0]));
            prop_assert_eq!(record.hash, wanted.records[0].hash);
            for column in 0..wanted.columns_per_record() {
                prop_assert_eq!(first.chunk.column(record, column), wanted.column(&wanted.records[0], column));
            }
        }
        let mut after = stored(&mapping(true), &now);
        after.version.read_end = read().end;
        let second = decide(&now, &read(), &current(after));
        prop_assert_eq!((second.equal, second.updates.len(), second.dirty.len()), (1, 0, 0));
    }
}
