//! Random histories of an org, with everything that a stream and its reads can do wrong: the shadow ends like the org,
//! and on the way no record ever shows an older state than before.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use shadow::{
    ChangeKind, EventBody, EventValue, FieldChange, ObjectName, ReadMark, RecordId, Records, ResolvedMapping,
    RowChunk, WhyFetch,
};
use sqlx::PgPool;
use store::merge::merge_chunk;
use store::parents::{self, DirtyParent};
use store::reads::{Read, ReadKind};
use store::{dirty, rejects};

use crate::live::{Live, Told};
use crate::world::{entry_id, product_id};

/// How many histories are run, and how many steps each has.
const HISTORIES: u64 = 24;
const STEPS: usize = 80;

const RECORDS: u32 = 4;

/// A small generator of numbers: histories are named by their seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % u64::from(sides)).unwrap()
    }

    fn one_in(&mut self, sides: u32) -> bool {
        self.roll(sides) == 0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Object {
    Product,
    Entry,
}

/// A record as the org has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    /// Grows with every change: the product's name, the entry's price.
    version: u32,
    code: &'static str,
    active: bool,
    created_s: i64,
    stamp_s: i64,
    modified_s: i64,
    deleted: bool,
}

/// What the org holds, the recycle bin included.
type Org = BTreeMap<(Object, u32), Record>;

/// A read between its request and its merge.
struct Flight {
    object: Object,
    mark: ReadMark,
    what: What,
    answer: Option<(RowChunk, DateTime<Utc>)>,
}

enum What {
    Fetch(Vec<RecordId>),
    /// Every record, with the deleted ones or without.
    All {
        deleted: bool,
    },
    Children(Vec<DirtyParent>),
}

struct History {
    live: Live,
    dice: Dice,
    org: Org,
    /// Salesforce's time, in milliseconds.
    now_ms: i64,
    /// Committed and not delivered yet.
    undelivered: Vec<Told>,
    flights: Vec<Flight>,
    /// Whether only products change now, of which their entries show the name.
    only_products: bool,
    /// Whether every change is told by some event. Then the shadow ends like the org without a catch-up.
    is_told: bool,
    /// The highest version, position and derived name of each record seen so far.
    seen: HashMap<String, (i64, i64, i64)>,
    diary: Vec<String>,
}

fn id_of(object: Object, number: u32) -> RecordId {
    match object {
        Object::Product => product_id(number),
        Object::Entry => entry_id(number),
    }
}

fn name_of(object: Object) -> ObjectName {
    match object {
        Object::Product => ObjectName::product(),
        Object::Entry => ObjectName::pricebook_entry(),
    }
}

/// Entries 1 and 3 belong to product 1, 2 and 4 to product 2.
fn product_of(entry: u32) -> u32 {
    2 - entry % 2
}

fn moment(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0).unwrap().format("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

fn change(name: &str, value: EventValue) -> FieldChange {
    FieldChange { name: name.to_owned(), value }
}

fn text(value: &str) -> EventValue {
    if value.is_empty() { EventValue::Null } else { EventValue::Text(value.to_owned()) }
}

impl History {
    fn note(&mut self, line: String) {
        self.diary.push(line);
    }

    fn mapping(&self, object: Object) -> &ResolvedMapping {
        match object {
            Object::Product => &self.live.world.product,
            Object::Entry => &self.live.world.entry,
        }
    }

    fn rows(&self, object: Object, wanted: impl Fn(u32, &Record) -> bool) -> RowChunk {
        let mapping = self.mapping(object);
        let mut chunk = RowChunk::with_columns(mapping.field_names());
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

    /// One change in the org, and the event that tells of it, if one does.
    fn change_org(&mut self) {
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
            active,
            created_s: stamp_s,
            stamp_s,
            modified_s: stamp_s,
            deleted: false,
        });
        record.stamp_s = stamp_s;
        record.deleted = kind == ChangeKind::Delete;
        if kind == ChangeKind::Update {
            (record.version, record.active) = (version, active);
            record.modified_s = stamp_s;
            if self.dice.one_in(3) {
                record.code = code;
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

    /// Receives some of what was committed; now and then the last message comes twice.
    async fn deliver(&mut self, all: bool) {
        let count = if all { self.undelivered.len() } else { self.dice.roll(4) as usize };
        let count = count.min(self.undelivered.len());
        let events: Vec<Told> = self.undelivered.drain(..count).collect();
        if !events.is_empty() {
            let twice = self.dice.one_in(4);
            let position = self.live.receive(&events).await;
            if twice {
                assert_eq!(self.live.receive_last_again().await, position);
            }
            self.note(format!("received up to {position}{}", if twice { ", twice" } else { "" }));
        }
    }

    async fn apply(&mut self) {
        let limit = i64::from(1 + self.dice.roll(4));
        if self.dice.one_in(5) {
            // The process dies somewhere in the middle.
            let patience = Duration::from_micros(u64::from(1_000 + self.dice.roll(14_000)));
            let done = self.live.apply_and_die(limit, patience).await;
            self.note(format!("dies while it applies{}", if done { ", too late" } else { "" }));
        } else {
            let applied = self.live.apply_some(limit).await.unwrap();
            self.note(format!("applied {:?}", applied.counts));
        }
    }

    async fn begin_read(&mut self) {
        let object = if self.dice.one_in(2) { Object::Product } else { Object::Entry };
        sqlx::query("update shadow_sync.dirty set not_before = now()")
            .execute(self.live.world.store.pool())
            .await
            .unwrap();
        let store = self.live.world.store.clone();
        let mapping = self.mapping(object).clone();
        let what = match self.dice.roll(6) {
            0 => What::All { deleted: true },
            1 => What::All { deleted: false },
            2 if object == Object::Entry => {
                sqlx::query("update shadow_sync.dirty_parents set not_before = now()")
                    .execute(store.pool())
                    .await
                    .unwrap();
                What::Children(parents::next(&store, mapping.object(), 10).await.unwrap())
            }
            _ => What::Fetch(dirty::next_batch(&store, &mapping.mapping, 10).await.unwrap()),
        };
        let mark = self.live.world.begin().await;
        let line = match &what {
            What::Fetch(ids) if ids.is_empty() => return,
            What::Fetch(ids) => format!("fetch of {ids:?}"),
            What::All { deleted } => format!("read of every {object:?}, deleted ones {deleted}"),
            What::Children(parents) if parents.is_empty() => return,
            What::Children(parents) => format!("read of the children of {:?}", parents.len()),
        };
        self.note(format!("begins {} at {}: {line}", mark.read_no, mark.as_of));
        self.flights.push(Flight { object, mark, what, answer: None });
    }

    /// Salesforce answers the oldest open request: answers come in the order of requests.
    fn answer(&mut self) {
        let Some(place) = self.flights.iter().position(|flight| flight.answer.is_none()) else { return };
        let flight = &self.flights[place];
        let chunk = match &flight.what {
            What::Fetch(ids) => self.rows(flight.object, |number, record| {
                !record.deleted && ids.contains(&id_of(flight.object, number))
            }),
            What::All { deleted } => self.rows(flight.object, |_, record| *deleted || !record.deleted),
            What::Children(parents) => self.rows(flight.object, |number, _| {
                parents.iter().any(|parent| parent.id == product_id(product_of(number)))
            }),
        };
        let end = DateTime::from_timestamp(self.now_ms / 1000, 0).unwrap();
        let line = format!("answers {}: {} records", flight.mark.read_no, chunk.len());
        self.flights[place].answer = Some((chunk, end));
        self.note(line);
    }

    /// Merges one of the answers, whichever.
    async fn merge(&mut self) {
        let answered: Vec<usize> =
            (0..self.flights.len()).filter(|place| self.flights[*place].answer.is_some()).collect();
        if answered.is_empty() {
            return;
        }
        let place = answered[self.dice.roll(u32::try_from(answered.len()).unwrap()) as usize];
        let flight = self.flights.remove(place);
        self.merge_flight(flight).await;
    }

    async fn merge_flight(&mut self, flight: Flight) {
        let (chunk, end) = flight.answer.unwrap();
        let kind = match flight.what {
            What::Fetch(ids) => ReadKind::Fetch { ids, job: None },
            What::All { .. } => ReadKind::Window { job: None },
            What::Children(parents) => ReadKind::Children { parents },
        };
        let read = Read { mark: flight.mark, end, kind };
        let (store, key) = (&self.live.world.store, self.live.world.lease.key());
        let outcome = merge_chunk(store, key, self.mapping(flight.object), &chunk, &read).await.unwrap();
        self.note(format!("merges {}: {outcome:?}", flight.mark.read_no));
    }

    async fn step(&mut self) {
        self.now_ms += [0, 300, 900, 2_000, 7_000][self.dice.roll(5) as usize];
        match self.dice.roll(12) {
            0..=3 => self.change_org(),
            4..=5 => self.deliver(false).await,
            6..=7 => self.apply().await,
            8 => self.begin_read().await,
            9 => self.answer(),
            10 => self.merge().await,
            _ => {
                rejects::sweep(&self.live.world.store, &shadow::Mapping::built_in(), false).await.unwrap();
            }
        }
        self.check_nothing_went_backwards().await;
    }

    /// Every record is in one place, and that shows nothing older than before.
    async fn check_nothing_went_backwards(&mut self) {
        let stored: Vec<(String, i64, Option<i64>, Option<i64>)> = sqlx::query_as(
            "select product_id, as_of, substr(raw_payload ->> 'Name', 2)::bigint, null::bigint from sf_product_shadow
             union all
             select pricebook_entry_id, as_of, (raw_payload ->> 'UnitPrice')::numeric::bigint,
                    substr(raw_payload ->> 'Name', 2)::bigint from sf_pricebook_shadow
             union all
             select record_id, as_of,
                    case object when 'Product2' then substr(raw_payload ->> 'Name', 2)::bigint
                        else (raw_payload ->> 'UnitPrice')::numeric::bigint end,
                    case object when 'Product2' then null else substr(raw_payload ->> 'Name', 2)::bigint end
               from shadow_sync.rejects
             union all
             select record_id, as_of, null, null from shadow_sync.tombstones",
        )
        .fetch_all(self.live.world.store.pool())
        .await
        .unwrap();
        let mut places: HashMap<&str, u32> = HashMap::new();
        for (id, as_of, version, derived) in &stored {
            let seen = self.seen.entry(id.clone()).or_default();
            let now = (*as_of, version.unwrap_or(seen.1), derived.unwrap_or(seen.2));
            assert!(
                now.0 >= seen.0 && now.1 >= seen.1 && now.2 >= seen.2,
                "{id} went from {seen:?} to {now:?}"
            );
            *seen = now;
            *places.entry(id).or_default() += 1;
        }
        assert!(places.values().all(|count| *count == 1), "a record is in two places: {places:?}");
    }

    /// Everything arrives, a catch-up with id comparison follows, and what is dirty is fetched.
    async fn finish(&mut self) {
        self.deliver(true).await;
        while self.live.applied_position().await < self.live.world.begin().await.as_of {
            self.live.apply_some(50).await.unwrap();
        }
        self.now_ms += 60_000;
        while let Some(place) = self.flights.iter().position(|flight| flight.answer.is_some()) {
            let flight = self.flights.remove(place);
            self.merge_flight(flight).await;
            self.check_nothing_went_backwards().await;
        }
        self.flights.clear();
        let caught_up = if self.is_told { &[][..] } else { &[Object::Product, Object::Entry] };
        for object in caught_up.iter().copied() {
            self.flights.push(Flight {
                object,
                mark: self.live.world.begin().await,
                what: What::All { deleted: true },
                answer: None,
            });
            self.settle().await;
            // What the shadow has and the org has not is looked up by id.
            let lacking: Vec<RecordId> = (1..=RECORDS)
                .filter(|number| !self.org.contains_key(&(object, *number)))
                .map(|number| id_of(object, number))
                .collect();
            let store = &self.live.world.store;
            dirty::order(store, &name_of(object), &lacking, dirty::Order::Person).await.unwrap();
        }
        for _ in 0..40 {
            self.settle().await;
            let store = self.live.world.store.clone();
            sqlx::query("update shadow_sync.dirty set not_before = now()")
                .execute(store.pool())
                .await
                .unwrap();
            sqlx::query("update shadow_sync.dirty_parents set not_before = now()")
                .execute(store.pool())
                .await
                .unwrap();
            for object in [Object::Product, Object::Entry] {
                let mapping = self.mapping(object).clone();
                let ids = dirty::next_batch(&store, &mapping.mapping, 20).await.unwrap();
                let due = parents::next(&store, mapping.object(), 20).await.unwrap();
                let mark = self.live.world.begin().await;
                if !ids.is_empty() {
                    self.flights.push(Flight { object, mark, what: What::Fetch(ids), answer: None });
                }
                if !due.is_empty() {
                    self.flights.push(Flight { object, mark, what: What::Children(due), answer: None });
                }
            }
            if self.flights.is_empty() {
                return;
            }
        }
        panic!("records stay dirty: {:?}", self.live.dirty().await);
    }

    async fn settle(&mut self) {
        while !self.flights.is_empty() {
            self.answer();
            let flight = self.flights.remove(0);
            self.merge_flight(flight).await;
            self.check_nothing_went_backwards().await;
        }
    }

    fn stamp(&self, record: &Record) -> String {
        if self.is_told { String::new() } else { moment(record.stamp_s) }
    }

    /// The shadow is the org: contents, holders of SKUs, and nothing that is gone.
    async fn check_the_end(&self) {
        let alive =
            |object| self.org.iter().filter(move |((of, _), record)| *of == object && !record.deleted);
        let mut products: Vec<(u32, &Record)> =
            alive(Object::Product).map(|((_, number), record)| (*number, record)).collect();
        products.sort_by_key(|(number, record)| (record.created_s, *number));
        let mut holders: BTreeMap<&str, u32> = BTreeMap::new();
        for (number, record) in &products {
            if !record.code.is_empty() {
                holders.entry(record.code).or_insert(*number);
            }
        }
        let stored: Vec<u32> = holders.values().copied().collect();
        let mut expected: Vec<(String, String)> = Vec::new();
        for (number, record) in products {
            let place = if stored.contains(&number) { "row" } else { "reject" };
            let id = product_id(number).to_string();
            let stamp = self.stamp(record);
            expected.push((id, format!("{place} n{} {} {stamp}", record.version, record.code)));
        }
        for ((_, number), record) in alive(Object::Entry) {
            let product = self.org.get(&(Object::Product, product_of(*number)));
            let name = product.map_or(String::new(), |product| format!("n{}", product.version));
            let place = if stored.contains(&product_of(*number)) { "row" } else { "reject" };
            let stamp = self.stamp(record);
            let content = format!("{place} {name} {}.00 {} {stamp}", record.version, record.active);
            expected.push((entry_id(*number).to_string(), content));
        }
        expected.sort();
        let found = self
            .live
            .world
            .query(
                "with everything as (
                     select 'row' as place, product_id as id, raw_payload from sf_product_shadow
                     union all select 'row', pricebook_entry_id, raw_payload from sf_pricebook_shadow
                     union all select 'reject', record_id, raw_payload from shadow_sync.rejects)
                 select id, case when left(id, 3) = '01t'
                        then concat_ws(' ', place, raw_payload ->> 'Name', coalesce(raw_payload ->> 'ProductCode', ''),
                                       raw_payload ->> 'SystemModstamp')
                        else concat_ws(' ', place, coalesce(raw_payload ->> 'Name', ''), raw_payload ->> 'UnitPrice',
                                       raw_payload ->> 'IsActive', raw_payload ->> 'SystemModstamp') end
                   from everything order by 1",
            )
            .await;
        // No event carries the stamp: it is right once the record was read.
        let stampless = |(id, content): (String, String)| {
            let end = if self.is_told { content.rfind(' ').unwrap() + 1 } else { content.len() };
            (id, content[..end].to_owned())
        };
        let found: Vec<_> = found.into_iter().map(stampless).collect();
        assert_eq!(found, expected);
        let skus = self.live.world.skus().await;
        let held: Vec<_> =
            holders.into_iter().map(|(code, id)| (code.to_owned(), product_id(id).to_string())).collect();
        assert_eq!(skus, held);
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

/// Runs one history; the diary is printed if it ends badly.
#[expect(clippy::print_stderr, reason = "without its diary nobody can tell why a history ended badly")]
async fn run(live: Live, seed: u64) -> Live {
    /// Prints what happened when a check fails.
    struct Teller<'a>(&'a mut History, u64);

    impl Drop for Teller<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("history {}:\n{}", self.1, self.0.diary.join("\n"));
            }
        }
    }

    let mut history = History {
        live,
        dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        org: Org::new(),
        now_ms: 1_700_000_000_000,
        undelivered: Vec::new(),
        only_products: false,
        is_told: seed.is_multiple_of(2),
        flights: Vec::new(),
        seen: HashMap::new(),
        diary: Vec::new(),
    };
    {
        let teller = Teller(&mut history, seed);
        for _ in 0..STEPS {
            teller.0.step().await;
        }
        teller.0.finish().await;
        teller.0.check_the_end().await;
        teller.0.only_products = true;
        for _ in 0..5 {
            teller.0.change_org();
        }
        teller.0.finish().await;
        teller.0.check_the_end().await;
    }
    history.live
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn after_any_history_the_shadow_is_the_org_and_nothing_went_backwards(pool: PgPool) {
    let mut live = Live::start(pool).await;
    // Nobody renews the leases of this test.
    sqlx::query("update shadow_sync.leases set expires_at = now() + interval '1 day'")
        .execute(live.world.store.pool())
        .await
        .unwrap();
    for seed in 1..=HISTORIES {
        live = run(live, seed).await;
        sqlx::raw_sql(
            "truncate sf_product_shadow, sf_pricebook_shadow, shadow_sync.rejects, shadow_sync.tombstones,
                 shadow_sync.dirty, shadow_sync.dirty_parents, shadow_sync.dead_letters, shadow_sync.holes,
                 shadow_sync.invalidations",
        )
        .execute(live.world.store.pool())
        .await
        .unwrap();
    }
}
