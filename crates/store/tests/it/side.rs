//! Side reads: some fields of every record, laid over rows that surely show the state below them.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use shadow::{
    FieldInfo, FieldType, Mapping, ObjectInfo, OrgFacts, ReadMark, RecordId, ResolvedMapping, RowChunk,
    resolve,
};
use sqlx::PgPool;
use store::jobs::{self, BulkJob, Ending, JobKind, JobState};
use store::merge::{MergeOutcome, SideRead, side_read};
use store::{dirty, holes, objects, selected_fields};

use crate::live::{Live, product_changed, product_deleted, text};
use crate::world::{World, entry, page_progress, product, product_id, read_end};

/// An hour after the reads of every other test, the side reads of these end.
fn side_end() -> DateTime<Utc> {
    read_end() + TimeDelta::hours(1)
}

fn info(world: &World, more: &[&str]) -> ObjectInfo {
    let always = [
        ("Id", FieldType::Id),
        ("Name", FieldType::Text),
        ("SystemModstamp", FieldType::DateTime),
        ("CreatedDate", FieldType::DateTime),
        ("IsDeleted", FieldType::Boolean),
        ("ProductCode", FieldType::Text),
    ];
    let more = more.iter().map(|name| (*name, FieldType::Text));
    let fields = always.into_iter().chain(more).map(|(name, kind)| FieldInfo::new(name, kind)).collect();
    ObjectInfo { name: world.product.object().clone(), key_prefix: None, fields }
}

/// A product's mapping with a plan tier, which is a column, and a note, which is not.
fn with_tier(world: &World) -> ResolvedMapping {
    let all = Mapping::built_in();
    resolve(&all[0], &all, &info(world, &["Plan_Tier__c", "Note__c"]), &OrgFacts::default()).unwrap()
}

/// Products without tier and note are loaded, then the org shows both.
async fn reshaped(pool: PgPool) -> Live {
    let mut live = Live::start(pool).await;
    let all = Mapping::built_in();
    let plain = resolve(&all[0], &all, &info(&live.world, &[]), &OrgFacts::default()).unwrap();
    live.world.product = plain;
    live.world.merge_products(&[product(1, "A"), product(2, "B"), product(3, "")]).await;
    let mapping = with_tier(&live.world);
    live.mappings[0] = Arc::new(mapping.clone());
    live.world.product = mapping;
    live
}

/// What a side read of tiers and notes brings.
fn tiers(rows: &[(u32, &str, &str)]) -> RowChunk {
    let mut chunk = RowChunk::with_columns(["Id", "SystemModstamp", "Plan_Tier__c", "Note__c"]);
    for (id, tier, note) in rows {
        for field in [product_id(*id).as_str(), "2026-01-01T00:00:00.000Z", tier, note] {
            chunk.push_field(field.as_bytes()).unwrap();
        }
        chunk.end_row().unwrap();
    }
    chunk
}

fn side(mark: ReadMark) -> SideRead {
    let began = side_end() - TimeDelta::minutes(5);
    SideRead { mark, began, end: side_end(), is_reshaping: true, page: None }
}

impl Live {
    async fn side_at(&self, rows: &[(u32, &str, &str)], mark: ReadMark) -> MergeOutcome {
        let world = &self.world;
        side_read(&world.store, world.lease.key(), &world.product, &tiers(rows), &side(mark)).await.unwrap()
    }

    async fn side(&self, rows: &[(u32, &str, &str)]) -> MergeOutcome {
        let mark = self.world.begin().await;
        self.side_at(rows, mark).await
    }

    /// Everything kept of products but the mark of the last read: id with place, then the rest.
    async fn standing(&self) -> Vec<(String, String)> {
        self.world
            .query(
                "select product_id || ' row', concat_ws(' ', as_of, extract(epoch from system_modstamp)::bigint,
                        coalesce(plan_tier, '-'), raw_payload ->> 'Plan_Tier__c', raw_payload ->> 'Note__c')
                   from sf_product_shadow
                 union all
                 select record_id || ' ' || reason, concat_ws(' ', as_of, extract(epoch from system_modstamp)::bigint,
                        coalesce(columns ->> 'plan_tier', '-'), raw_payload ->> 'Plan_Tier__c',
                        raw_payload ->> 'Note__c')
                   from shadow_sync.rejects
                 order by 1",
            )
            .await
    }

    async fn tiers(&self) -> Vec<(String, String)> {
        self.world
            .query("select product_id, coalesce(plan_tier, '-') || ' ' || name from sf_product_shadow order by 1")
            .await
    }
}

/// What tells whether a product's row was written.
const WRITTEN: &str = "select product_id, concat_ws(' ', updated_at, read_no, read_end, xmin)
                         from sf_product_shadow order by 1";

fn id_text(id: u32) -> String {
    product_id(id).to_string()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_new_column_is_filled_on_rows_and_rejected_records_and_nothing_else_moves(pool: PgPool) {
    let live = reshaped(pool).await;
    let before = live.standing().await;
    let outcome = live.side(&[(1, "Gold", "one"), (2, "", ""), (3, "Silver", "three")]).await;
    assert_eq!((outcome.updated, outcome.rejected, outcome.dirty), (2, 1, vec![]));
    let as_before = |place: usize| before[place].1.trim_end_matches(" -").to_owned();
    let expected = [
        (format!("{} row", id_text(1)), format!("{} Gold Gold one", as_before(0))),
        (format!("{} row", id_text(2)), format!("{} -", as_before(1))),
        (format!("{} no-sku", id_text(3)), format!("{} Silver Silver three", as_before(2))),
    ];
    assert_eq!(live.standing().await, expected);
    // A whole read of the same records finds every byte as it is.
    let whole = live.world.products(&[product(1, "A"), product(2, "B"), product(3, "")]);
    let mut chunk = RowChunk::new(whole.columns().clone());
    for (row, (tier, note)) in whole.rows().zip([("Gold", "one"), ("", ""), ("Silver", "three")]) {
        for (place, column) in whole.columns().iter().enumerate() {
            let value = match &**column {
                "Plan_Tier__c" => tier,
                "Note__c" => note,
                _ => row.field(place).unwrap_or_default(),
            };
            chunk.push_field(value.as_bytes()).unwrap();
        }
        chunk.end_row().unwrap();
    }
    assert_eq!(live.world.merge(&live.world.product, &chunk).await.equal, 3);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_shows_the_values_already_is_not_touched(pool: PgPool) {
    let live = reshaped(pool).await;
    live.side(&[(1, "Gold", "one"), (2, "", ""), (3, "", "")]).await;
    sqlx::raw_sql("truncate shadow_sync.invalidations").execute(live.world.store.pool()).await.unwrap();
    let before = live.world.query(WRITTEN).await;
    for is_reshaping in [true, false] {
        let mark = live.world.begin().await;
        let later = SideRead { end: side_end() + TimeDelta::hours(1), is_reshaping, ..side(mark) };
        let later = SideRead { began: later.end - TimeDelta::minutes(1), ..later };
        let (store, key) = (&live.world.store, live.world.lease.key());
        let rows = tiers(&[(1, "Gold", "one"), (2, "Gold", ""), (3, "", "")]);
        let outcome = side_read(store, key, &live.world.product, &rows, &later).await.unwrap();
        assert_eq!((outcome.equal, outcome.updated), if is_reshaping { (2, 1) } else { (3, 0) });
    }
    let after = live.world.query(WRITTEN).await;
    assert_eq!(after[0], before[0]);
    assert_ne!(after[1], before[1]);
    let ordered = live.world.query("select object, ids::text from shadow_sync.invalidations").await;
    assert_eq!(ordered, [("Product2".to_owned(), format!("{{{}}}", id_text(2)))]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_new_column_is_filled_on_a_row_that_an_event_wrote_last(pool: PgPool) {
    let live = reshaped(pool).await;
    // The event finds a row that lacks fields: it is fetched whole, with the new mapping.
    live.tell(&[product_changed(1, &[("Name", text("event"))])]).await;
    assert_eq!(live.dirty().await.len(), 1);
    let mark = live.world.begin().await;
    let outcome = live.side_at(&[(1, "Gold", ""), (2, "Gold", "")], mark).await;
    assert_eq!((outcome.updated, outcome.dirty.as_slice()), (1, &[product_id(1)][..]));
    // One that has them is patched, and the next side read is laid over that.
    let told = live.tell(&[product_changed(2, &[("Name", text("event"))]).committed(4_000)]).await;
    assert_eq!(told.rows, 1);
    let mark = live.world.begin().await;
    let later = SideRead { end: side_end() + TimeDelta::hours(2), ..side(mark) };
    let later = SideRead { began: later.end - TimeDelta::minutes(1), ..later };
    let (store, key) = (&live.world.store, live.world.lease.key());
    let outcome =
        side_read(store, key, &live.world.product, &tiers(&[(2, "Silver", "")]), &later).await.unwrap();
    assert_eq!((outcome.updated, outcome.dirty.len()), (1, 0));
    assert_eq!(live.tiers().await[1], (id_text(2), "Silver event".to_owned()));
    let as_of = live.world.count("select as_of from sf_product_shadow where plan_tier = 'Silver'").await;
    assert_eq!(as_of, 2);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_event_that_waits_and_may_show_in_what_was_filled_makes_the_record_dirty(pool: PgPool) {
    let live = reshaped(pool).await;
    // Committed before the side read ended, or so little after it that it may have been seen; and surely after it.
    let seconds = [3_000, 3_604, 3_606];
    for (number, seconds) in seconds.into_iter().enumerate() {
        let id = u32::try_from(number).unwrap() + 1;
        let told = product_changed(id, &[("Plan_Tier__c", text("Old")), ("ProductCode", text("C"))]);
        live.receive(&[told.committed(seconds)]).await;
    }
    // They wait while it begins: had it raised the rows' position to its own, they would be skipped.
    let mark = live.world.begin().await;
    live.side_at(&[(1, "New", ""), (2, "New", ""), (3, "New", "")], mark).await;
    live.apply().await;
    let outcomes: Vec<String> = live.outcomes().await.into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(outcomes, ["dirty", "dirty", "applied"]);
    assert_eq!(live.tiers().await[0].1, "New A product");
    // What the side read found as it is shows nothing of it: what waits applies to it.
    let live = live;
    let mark = live.world.begin().await;
    live.receive(&[product_changed(3, &[("Name", text("later"))]).committed(3_700)]).await;
    let read = SideRead {
        began: side_end() + TimeDelta::hours(1),
        end: side_end() + TimeDelta::hours(2),
        is_reshaping: false,
        ..side(mark)
    };
    let (store, key) = (&live.world.store, live.world.lease.key());
    let same = tiers(&[(3, "Old", "")]);
    assert_eq!(side_read(store, key, &live.world.product, &same, &read).await.unwrap().equal, 1);
    live.apply().await;
    assert_eq!(live.outcomes().await.pop().unwrap().1, "applied");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn records_that_are_unknown_gone_or_dirty_are_not_filled(pool: PgPool) {
    let live = reshaped(pool).await;
    live.tell(&[product_deleted(2)]).await;
    dirty::order(&live.world.store, live.world.product.object(), &[product_id(1)], dirty::Order::Person)
        .await
        .unwrap();
    let marked = live.dirty().await;
    let before = live.standing().await;
    // A request from before the deletion says nothing against it.
    let early = ReadMark { as_of: 0, read_no: live.world.begin().await.read_no };
    let outcome = live.side_at(&[(2, "Gold", "")], early).await;
    assert_eq!((outcome.older, outcome.dirty.len()), (1, 0));
    live.receive(&[product_changed(7, &[])]).await;
    let outcome = live.side(&[(1, "Gold", ""), (2, "Gold", ""), (9, "Gold", "")]).await;
    let ids: Vec<RecordId> = outcome.dirty;
    assert_eq!(ids, [product_id(2), product_id(9), product_id(1)]);
    assert_eq!(live.standing().await, before);
    let tombstones = live.world.count("select count(*) from shadow_sync.tombstones").await;
    assert_eq!(tombstones, 1);
    // The mark that stood is raised: a fetch that began before this read does not clear it.
    assert_eq!(marked, [(id_text(1), "person 1".to_owned())]);
    assert_eq!(live.dirty().await[0], (id_text(1), "person 2".to_owned()));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_whole_read_that_began_before_the_merge_does_not_set_a_filled_row_back(pool: PgPool) {
    let live = reshaped(pool).await;
    let side_mark = live.world.begin().await;
    // An event of another record moves the log, then a fetch begins: its position is the greater one.
    live.receive(&[product_changed(7, &[])]).await;
    let fetch = live.world.begin().await;
    live.side_at(&[(1, "New", "")], side_mark).await;
    let old = live.world.products(&[product(1, "A").at(5)]);
    let outcome = live.world.merge_at(&live.world.product, &old, fetch).await.unwrap();
    assert_eq!((outcome.updated, outcome.dirty), (0, vec![product_id(1)]));
    assert_eq!(live.tiers().await[0], (id_text(1), "New A product".to_owned()));
    // One that begins now is later than either.
    live.world.merge(&live.world.product, &old).await;
    assert_eq!(live.tiers().await[0], (id_text(1), "- A product".to_owned()));
    // A side read that began before that ended does not lay its own over it.
    let outcome = live.side_at(&[(1, "Newest", "")], side_mark).await;
    assert_eq!((outcome.updated, outcome.dirty.len()), (0, 1));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_entrys_name_is_refreshed_with_the_entry_where_it_is(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A")]).await;
    world.merge_entries(&[entry(1, 1, "12.5"), entry(2, 2, "1"), entry(3, 1, "0.001")]).await;
    let mut chunk = RowChunk::with_columns(["Id", "SystemModstamp", "Name"]);
    for id in 1..=3 {
        for field in [crate::world::entry_id(id).as_str(), "2026-01-01T00:00:00Z", "Renamed"] {
            chunk.push_field(field.as_bytes()).unwrap();
        }
        chunk.end_row().unwrap();
    }
    let read = SideRead { is_reshaping: false, ..side(world.begin().await) };
    let (store, key) = (&world.store, world.lease.key());
    let outcome = side_read(store, key, &world.entry, &chunk, &read).await.unwrap();
    assert_eq!((outcome.updated, outcome.rejected, outcome.dirty.len()), (1, 2, 0));
    let names = world
        .query(
            "select 'row', raw_payload ->> 'Name' from sf_pricebook_shadow
             union all select reason, raw_payload ->> 'Name' from shadow_sync.rejects order by 1",
        )
        .await;
    let named = |place: &str| (place.to_owned(), "Renamed".to_owned());
    assert_eq!(names, [named("missing-product"), named("price-not-exact"), named("row")]);
    // It enters with what was filled.
    world.merge_products(&[product(2, "B")]).await;
    let entered = world
        .query("select pricebook_entry_id, raw_payload ->> 'Name' from sf_pricebook_shadow order by 1")
        .await;
    assert_eq!(entered[1], (crate::world::entry_id(2).to_string(), "Renamed".to_owned()));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_value_that_the_database_refuses_makes_its_record_dirty_alone(pool: PgPool) {
    let live = reshaped(pool).await;
    sqlx::raw_sql("alter table sf_product_shadow add check (plan_tier <> 'Evil')")
        .execute(live.world.store.pool())
        .await
        .unwrap();
    let outcome = live.side(&[(1, "Evil", ""), (2, "Good", ""), (3, "Good", "")]).await;
    assert_eq!((outcome.updated, outcome.rejected, outcome.dirty), (1, 1, vec![product_id(1)]));
    assert_eq!(live.dirty().await.len(), 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_page_of_a_side_read_saves_its_progress_and_merges_again_without_a_trace(pool: PgPool) {
    let live = reshaped(pool).await;
    let (store, key) = (&live.world.store, live.world.lease.key());
    let object = live.world.product.object();
    let job = jobs::create_fields(store, object, "the test").await.unwrap();
    assert_eq!(job.kind, JobKind::Fields);
    jobs::started(store, key, job.id).await.unwrap();
    jobs::reads_begin(store, key, job.id).await.unwrap();
    let read = side(live.world.begin().await);
    let bulk = BulkJob {
        id: "750000000000001".to_owned(),
        api_version: "67.0".to_owned(),
        soql: live.world.product.side_soql(&["Note__c", "Plan_Tier__c"]),
        shape: live.world.product.shape(),
        stamps_only: false,
        mark: read.mark,
        began_at: Some(read.began),
    };
    jobs::set_bulk(store, key, job.id, &bulk).await.unwrap();
    assert_eq!(jobs::get(store, job.id).await.unwrap().bulk, Some(bulk));
    let chunk = tiers(&[(1, "Gold", ""), (2, "", ""), (3, "", "")]);
    let read = SideRead { page: Some(page_progress(job.id, 1, &chunk, true)), ..read };
    let first = side_read(store, key, &live.world.product, &chunk, &read).await.unwrap();
    assert!(first.requested.is_some());
    let before = live.world.query("select product_id, xmin::text from sf_product_shadow order by 1").await;
    let again = side_read(store, key, &live.world.product, &chunk, &read).await.unwrap();
    assert_eq!((again.equal, again.updated, again.dirty.len()), (3, 0, 0));
    let after = live.world.query("select product_id, xmin::text from sf_product_shadow order by 1").await;
    assert_eq!(before, after);
    let job = jobs::get(store, job.id).await.unwrap();
    assert_eq!((job.counts.read, job.counts.updated, job.counts.rejected), (3, 2, 1));
    objects::keep_held(store, &live.world.product).await.unwrap();
    assert_eq!(objects::held_fields(store, object).await.unwrap(), None, "the rows are of no shape yet");
    objects::filled(store, key, &live.world.product).await.unwrap();
    assert_eq!(objects::held_fields(store, object).await.unwrap(), Some(live.world.product.held()));
    // A database of before that was kept.
    sqlx::raw_sql("update shadow_sync.objects set loaded_fields = null").execute(store.pool()).await.unwrap();
    objects::keep_held(store, &live.world.product).await.unwrap();
    assert_eq!(objects::held_fields(store, object).await.unwrap(), Some(live.world.product.held()));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_hole_of_fields_is_closed_by_their_side_read_when_nothing_of_it_is_dirty(pool: PgPool) {
    let live = Live::start(pool).await;
    let (store, key) = (&live.world.store, live.world.lease.key());
    let all = Mapping::built_in();
    let object = all[0].object.clone();
    let describe = async |fields: &[&str]| {
        let info = info(&live.world, fields);
        selected_fields::resolve(store, &all[0], &all, &info, &OrgFacts::default()).await.unwrap().unwrap()
    };
    describe(&["Plan_Tier__c", "Note__c"]).await;
    describe(&[]).await;
    assert_eq!(describe(&["Note__c"]).await.thawed, ["Note__c"]);
    assert_eq!(describe(&["Plan_Tier__c", "Note__c"]).await.thawed, ["Plan_Tier__c"]);
    // One hole, which waits for both.
    assert_eq!(holes::thawed(store, &object).await.unwrap(), ["Note__c", "Plan_Tier__c"]);
    let open = holes::list_open(store).await.unwrap();
    assert_eq!((open.len(), open[0].fields().map(|fields| fields.len())), (1, Some(2)));

    let run = async |brought: &[&str]| {
        let job = jobs::create_fields(store, &object, "the test").await.unwrap();
        jobs::started(store, key, job.id).await.unwrap();
        jobs::reads_begin(store, key, job.id).await.unwrap();
        jobs::reads_ended(store, key, job.id).await.unwrap();
        let brought: Vec<String> = brought.iter().map(|name| (*name).to_owned()).collect();
        let ending = Ending {
            state: JobState::Done,
            problem: None,
            act: None,
            closing: None,
            brought: Some(&brought),
        };
        let closed = jobs::finish_with(store, key, job.id, ending).await.unwrap();
        (closed.holes, closed.left)
    };
    assert_eq!(run(&["Note__c"]).await, (0, 1));
    dirty::order(store, &object, &[product_id(1)], dirty::Order::Person).await.unwrap();
    assert_eq!(run(&["Note__c", "Plan_Tier__c"]).await, (0, 1));
    sqlx::raw_sql("delete from shadow_sync.dirty").execute(store.pool()).await.unwrap();
    assert_eq!(run(&["Name", "Note__c", "Plan_Tier__c"]).await, (1, 0));
}
