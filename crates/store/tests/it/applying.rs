//! Events are applied by the rules of design 5.2.

use shadow::{ChangeKind, EventOutcome, EventValue, ObjectName};
use sqlx::PgPool;
use store::reads::{Read, ReadKind};
use store::{Error, dirty, merge, rejects};

use crate::live::{
    Live, after, entry_changed, product_changed, product_deleted, product_gap, product_whole, text,
};
use crate::world::{World, entry, entry_id, product, product_id, read_end};

fn named(id: u32, name: &str) -> crate::live::Told {
    product_changed(id, &[("Name", text(name))])
}

const ROWS: &str = "select name, sku || ' as of ' || as_of from sf_product_shadow order by product_id";

fn row(name: &str, rest: &str) -> (String, String) {
    (name.to_owned(), rest.to_owned())
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_update_changes_its_fields_and_nothing_else(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A").named("old"), product(2, "B")]).await;
    let stamps = "select product_id, system_modstamp || ' ' || read_end || ' ' || read_no from sf_product_shadow order by 1";
    let before = live.world.query(stamps).await;
    let applied = live.tell(&[named(1, "new")]).await;
    assert_eq!((applied.count(EventOutcome::Applied), applied.rows, applied.commits), (1, 1, 1));
    let rows = live.world.query(ROWS).await;
    assert_eq!(rows, [row("new", "A as of 1"), row("A product", "B as of 0")]);
    assert_eq!(live.world.query(stamps).await, before);
    let payload = live.world.query(
        "select raw_payload ->> 'Name', raw_payload ->> 'ProductCode' from sf_product_shadow where as_of = 1",
    );
    assert_eq!(payload.await, [row("new", "A")]);
    // Caches are told, in the same commit.
    assert_eq!(live.world.count("select count(*) from shadow_sync.invalidations").await, 2);
    assert_eq!(live.outcomes().await, [(product_id(1).to_string(), "applied".to_owned())]);
    assert_eq!(live.applied_position().await, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_event_that_changes_nothing_raises_the_row_in_silence(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A").named("same")]).await;
    let updated = live.world.query("select sku, updated_at::text from sf_product_shadow").await;
    live.tell(&[named(1, "same")]).await;
    assert_eq!(live.world.query(ROWS).await, [row("same", "A as of 1")]);
    assert_eq!(live.world.query("select sku, updated_at::text from sf_product_shadow").await, updated);
    assert_eq!(live.world.count("select count(*) from shadow_sync.invalidations").await, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_a_read_has_seen_is_skipped(pool: PgPool) {
    let live = Live::start(pool).await;
    live.receive(&[named(1, "first"), named(1, "second")]).await;
    live.world.merge_products(&[product(1, "A").named("second")]).await;
    let applied = live.apply().await;
    assert_eq!((applied.count(EventOutcome::Skipped), applied.rows), (2, 0));
    assert_eq!(live.world.query(ROWS).await, [row("second", "A as of 2")]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_a_read_may_have_seen_makes_the_record_dirty_until_it_is_fetched(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A").named("read")]).await;
    let applied = live.tell(&[named(1, "unclear").committed(5), named(1, "later")]).await;
    assert_eq!((applied.count(EventOutcome::Dirty), applied.dirty), (2, 1));
    assert_eq!(live.world.query(ROWS).await, [row("read", "A as of 0")]);
    assert_eq!(live.dirty().await, [(product_id(1).to_string(), "ambiguous 2".to_owned())]);
    live.world.fetch_dirty(&[product(1, "A").named("later").at(1)]).await;
    assert_eq!(live.world.query(ROWS).await, [row("later", "A as of 2")]);
    assert_eq!(live.dirty().await, []);
    live.tell(&[named(1, "patched")]).await;
    assert_eq!(live.world.query(ROWS).await, [row("patched", "A as of 3")]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_unknown_record_is_fetched_whole(pool: PgPool) {
    let live = Live::start(pool).await;
    live.tell(&[named(1, "never half")]).await;
    assert_eq!(live.world.query(ROWS).await, []);
    assert_eq!(live.dirty().await, [(product_id(1).to_string(), "unknown 1".to_owned())]);
    live.world.fetch_dirty(&[product(1, "A").named("never half")]).await;
    assert_eq!(live.world.query(ROWS).await, [row("never half", "A as of 1")]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_fetch_that_began_before_the_last_event_does_not_clear_its_mark(pool: PgPool) {
    let live = Live::start(pool).await;
    live.tell(&[product_gap(ChangeKind::GapUpdate, 1)]).await;
    let ids = dirty::next_batch(&live.world.store, &live.world.product.mapping, 10).await.unwrap();
    assert_eq!(ids, [product_id(1)]);
    let mark = live.world.begin().await;
    live.tell(&[product_gap(ChangeKind::GapUpdate, 1)]).await;
    let chunk = live.world.products(&[product(1, "A").named("between")]);
    live.world.merge_at(&live.world.product, &chunk, mark).await.unwrap();
    // What it brought stands, and the record is fetched again, but not at once.
    assert_eq!(live.world.query(ROWS).await, [row("between", "A as of 1")]);
    assert_eq!(live.dirty().await, [(product_id(1).to_string(), "gap 2".to_owned())]);
    let due = dirty::next_batch(&live.world.store, &live.world.product.mapping, 10).await.unwrap();
    assert_eq!(due, []);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_read_that_an_event_overtook_is_refused_and_its_record_fetched(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A"), product(2, "B"), product(3, "C").named("same")]).await;
    let mark = live.world.begin().await;
    live.tell(&[named(1, "event"), product_deleted(2), named(3, "same too")]).await;
    let page =
        [product(1, "A").named("page").at(9), product(2, "B").at(9), product(3, "C").named("same too").at(9)];
    live.world.merge_at(&live.world.product, &live.world.products(&page), mark).await.unwrap();
    let rows = live.world.query(ROWS).await;
    assert_eq!(rows, [row("event", "A as of 1"), row("same too", "C as of 3")]);
    assert_eq!(live.dirty().await, [(product_id(1).to_string(), "doubt 0".to_owned())]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_deleted_product_goes_with_its_entries_and_no_older_page_brings_it_back(pool: PgPool) {
    let live = Live::start(pool).await;
    let early = live.world.begin().await;
    live.world.merge_products(&[product(1, "A"), product(2, "B")]).await;
    live.world.merge_entries(&[entry(1, 1, "5"), entry(2, 2, "6")]).await;
    let applied = live.tell(&[product_deleted(1), product_deleted(9)]).await;
    assert_eq!(applied.count(EventOutcome::Deleted), 2);
    assert!(applied.children_due);
    assert_eq!(live.world.count("select count(*) from sf_product_shadow").await, 1);
    assert_eq!(live.world.count("select count(*) from sf_pricebook_shadow").await, 1);
    assert_eq!(live.world.rejects().await, [(entry_id(1).to_string(), "missing-product".to_owned())]);
    let tombstones = "select record_id, as_of || ' ' || presumed from shadow_sync.tombstones order by 1";
    assert_eq!(
        live.world.query(tombstones).await,
        [
            (product_id(1).to_string(), "1 false".to_owned()),
            (product_id(9).to_string(), "2 false".to_owned())
        ]
    );
    let page = live.world.products(&[product(1, "A").at(99), product(9, "I").at(99)]);
    let outcome = live.world.merge_at(&live.world.product, &page, early).await.unwrap();
    assert_eq!((outcome.older, outcome.inserted), (2, 0));
    // A read that began after the event and sees it alive knows better.
    assert_eq!(live.world.merge_products(&[product(1, "A").at(99)]).await.inserted, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_unambiguous_delete_settles_a_dirty_record(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A")]).await;
    live.tell(&[product_gap(ChangeKind::GapUpdate, 1)]).await;
    live.tell(&[product_deleted(1)]).await;
    assert_eq!((live.dirty().await, live.world.query(ROWS).await), (vec![], vec![]));
    assert_eq!(live.world.count("select count(*) from shadow_sync.tombstones where not presumed").await, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn absence_is_proof_only_where_an_event_said_that_the_record_is_gone(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A"), product(2, "B"), product(3, "C")]).await;
    live.tell(&[
        product_gap(ChangeKind::GapDelete, 1),
        product_gap(ChangeKind::GapUpdate, 2),
        product_deleted(3).committed(1),
    ])
    .await;
    assert_eq!(live.world.count("select count(*) from sf_product_shadow").await, 3);
    sqlx::query("update shadow_sync.dirty set not_before = now()")
        .execute(live.world.store.pool())
        .await
        .unwrap();
    live.world.fetch_dirty(&[]).await;
    let tombstones = "select record_id, presumed::text from shadow_sync.tombstones order by 1";
    assert_eq!(
        live.world.query(tombstones).await,
        [
            (product_id(1).to_string(), "false".to_owned()),
            (product_id(2).to_string(), "true".to_owned()),
            (product_id(3).to_string(), "false".to_owned())
        ]
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_created_product_is_a_row_at_once_and_an_entry_is_fetched_for_its_derived_name(pool: PgPool) {
    let live = Live::start(pool).await;
    live.tell(&[product_whole(ChangeKind::Create, 1, "A", "born"), named(1, "renamed").committed(60)]).await;
    assert_eq!(live.world.query(ROWS).await, [row("renamed", "A as of 2")]);
    // The stamp of the read is a second later than that of the event.
    let same = product(1, "A").named("renamed").at(13_600_051);
    assert_eq!(live.world.merge_products(&[same]).await.stamped, 1, "but for the stamp it is as it is read");
    let entry = ("UnitPrice", EventValue::Double(5.0));
    let mut created = entry_changed(1, &[entry]);
    created.kind = ChangeKind::Create;
    created.body = Ok(shadow::EventBody::Whole(Vec::new()));
    live.tell(&[created]).await;
    assert_eq!(live.dirty().await, [(entry_id(1).to_string(), "incomplete 3".to_owned())]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_product_that_comes_back_brings_its_entries_to_be_read(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A")]).await;
    live.tell(&[product_deleted(1)]).await;
    live.tell(&[product_whole(ChangeKind::Undelete, 1, "A", "back")]).await;
    assert_eq!(live.world.query(ROWS).await, [row("back", "A as of 2")]);
    assert_eq!(live.world.count("select count(*) from shadow_sync.tombstones").await, 0);
    assert_eq!(live.world.count("select max(as_of) from shadow_sync.dirty_parents").await, 2);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_rejected_record_follows_events_and_enters_when_its_cause_goes(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, ""), product(2, "B")]).await;
    live.world.merge_entries(&[entry(1, 1, "5"), entry(2, 2, "6")]).await;
    let applied = live.tell(&[named(1, "still without a code")]).await;
    assert_eq!(applied.count(EventOutcome::Rejected), 1);
    let reject =
        "select raw_payload ->> 'Name', as_of::text from shadow_sync.rejects where object = 'Product2'";
    assert_eq!(live.world.query(reject).await, [row("still without a code", "1")]);
    let code = |id, code| product_changed(id, &[("ProductCode", text(code))]);
    let applied = live.tell(&[code(1, "A"), code(2, "")]).await;
    assert_eq!((applied.count(EventOutcome::Applied), applied.count(EventOutcome::Rejected)), (1, 1));
    assert_eq!(live.world.query(ROWS).await, [row("still without a code", "A as of 2")]);
    // The entry of the one came in with it, that of the other went out.
    let entries = live.world.query("select pricebook_entry_id, product_id from sf_pricebook_shadow").await;
    assert_eq!(entries, [(entry_id(1).to_string(), product_id(1).to_string())]);
    let rejects = live.world.rejects().await;
    assert_eq!(
        rejects,
        [
            (product_id(2).to_string(), "no-sku".to_owned()),
            (entry_id(2).to_string(), "missing-product".to_owned())
        ]
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn who_claims_a_held_sku_waits_until_both_are_fetched(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A"), product(2, "B"), product(3, "C")]).await;
    let code = |id, code| product_changed(id, &[("ProductCode", text(code))]);
    let applied = live.tell(&[code(1, "B")]).await;
    assert_eq!((applied.count(EventOutcome::Dirty), applied.dirty), (1, 2));
    assert_eq!(live.world.skus().await.len(), 3);
    // Two who claim a free one are only heard of by events: neither is refused on that word.
    let applied = live.tell(&[product_whole(ChangeKind::Create, 4, "D", "d"), code(3, "D")]).await;
    assert_eq!(applied.count(EventOutcome::Dirty), 2);
    let org = [product(1, "B").at(1), product(2, "B"), product(3, "D").at(1), product(4, "D")];
    live.world.fetch_dirty(&org).await;
    let held = |sku: &str, id| (sku.to_owned(), product_id(id).to_string());
    assert_eq!(live.world.skus().await, [held("B", 1), held("D", 3)]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn skus_that_swap_in_one_transaction_end_right_and_move_no_entry(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A"), product(2, "B")]).await;
    live.world.merge_entries(&[entry(1, 1, "1"), entry(2, 2, "2")]).await;
    let xmin = "select pricebook_entry_id, xmin::text from sf_pricebook_shadow order by 1";
    let before = live.world.query(xmin).await;
    let code = |id, code| product_changed(id, &[("ProductCode", text(code))]).of_transaction("swap");
    live.tell(&[code(1, "B"), code(2, "A")]).await;
    let held = |sku: &str, id| (sku.to_owned(), product_id(id).to_string());
    assert_eq!(live.world.skus().await, [held("A", 2), held("B", 1)]);
    assert_eq!((live.world.query(xmin).await, live.dirty().await), (before, vec![]));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_freed_sku_goes_to_who_waits_for_it(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A"), product(2, "A")]).await;
    live.world.merge_entries(&[entry(2, 2, "5")]).await;
    // The one who enters is itself changed by the batch.
    live.tell(&[product_deleted(1), named(2, "enters")]).await;
    assert_eq!(live.world.query(ROWS).await, [row("enters", "A as of 2")]);
    assert_eq!(live.world.count("select count(*) from sf_pricebook_shadow").await, 1);
    assert_eq!(live.world.rejects().await, []);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_rejected_record_of_which_nothing_is_written_takes_no_sku(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A"), product(2, "A"), product(3, "C")]).await;
    let applied = live.tell(&[product_gap(ChangeKind::GapUpdate, 2), named(3, "written")]).await;
    assert_eq!((applied.commits, applied.dirty, applied.dead_letters), (1, 1, 0));
    let held = |sku: &str, id| (sku.to_owned(), product_id(id).to_string());
    assert_eq!(live.world.skus().await, [held("A", 1), held("C", 3)]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn events_of_nobody_in_particular_open_holes(pool: PgPool) {
    let live = Live::start(pool).await;
    sqlx::query("delete from shadow_sync.holes").execute(live.world.store.pool()).await.unwrap();
    let overflow = product_gap(ChangeKind::Overflow, 1).nameless().committed(70);
    let wildcard = named(1, "anything").nameless();
    live.receive(&[named(7, "begins the channel")]).await;
    sqlx::query("delete from shadow_sync.holes").execute(live.world.store.pool()).await.unwrap();
    let applied = live.tell(&[overflow, wildcard]).await;
    assert_eq!((applied.holes, applied.count(EventOutcome::Hole)), (2, 2));
    let holes = "select why, needs || ' ' || (from_at = until_at) from shadow_sync.holes order by why";
    assert_eq!(
        live.world.query(holes).await,
        [row("overflow", "catch-up true"), row("wildcard", "backfill true")]
    );
    let from = sqlx::query_scalar::<_, chrono::DateTime<chrono::Utc>>(
        "select from_at from shadow_sync.holes where why = 'overflow'",
    );
    assert_eq!(from.fetch_one(live.world.store.pool()).await.unwrap(), after(70));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_event_that_cannot_be_read_is_parked_and_nothing_later_is_built_on_it(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A").named("old"), product(2, "B")]).await;
    let applied = live.tell(&[named(1, "?").unreadable(), named(1, "later"), named(2, "fine")]).await;
    assert_eq!((applied.dead_letters, applied.count(EventOutcome::Applied)), (1, 1));
    assert_eq!(live.world.query(ROWS).await, [row("old", "A as of 0"), row("fine", "B as of 3")]);
    assert_eq!(live.dirty().await, [(product_id(1).to_string(), "dead-letter 2".to_owned())]);
    let open = "select count(*) from shadow_sync.dead_letters where closed_at is null";
    assert_eq!(live.world.count(open).await, 1);
    live.tell(&[named(1, "later still")]).await;
    assert_eq!(live.world.query(ROWS).await[0], row("old", "A as of 0"));
    // The fetch mends it, even if it finds what is stored already, and closes the letter.
    live.world.fetch_dirty(&[product(1, "A").named("old")]).await;
    assert_eq!(live.world.query(ROWS).await[0], row("old", "A as of 4"));
    assert_eq!(live.world.count(open).await, 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_event_that_the_database_refuses_is_found_parked_and_the_stream_goes_on(pool: PgPool) {
    let live = Live::start(pool).await;
    let all: Vec<_> = (1..=9).map(|id| product(id, Box::leak(format!("S{id}").into_boxed_str()))).collect();
    live.world.merge_products(&all).await;
    sqlx::query("alter table sf_product_shadow add check (name <> 'refused')")
        .execute(live.world.store.pool())
        .await
        .unwrap();
    let mut events: Vec<_> =
        (1..=9).map(|id| named(id, "fine").of_transaction(&format!("t{}", id / 4))).collect();
    events.insert(4, named(4, "refused").of_transaction("t1"));
    let applied = live.tell(&events).await;
    assert_eq!((applied.dead_letters, applied.count(EventOutcome::Applied)), (1, 9));
    assert_eq!(live.applied_position().await, 10);
    assert_eq!(live.world.count("select count(*) from sf_product_shadow where name = 'fine'").await, 9);
    let letters = "select record_id, stage || ' ' || cause from shadow_sync.dead_letters";
    assert_eq!(
        live.world.query(letters).await,
        [(product_id(4).to_string(), "apply refused-23514".to_owned())]
    );
    assert_eq!(live.dirty().await, [(product_id(4).to_string(), "dead-letter 5".to_owned())]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn events_of_objects_that_nothing_maps_only_move_the_position(pool: PgPool) {
    let live = Live::start(pool).await;
    let mut event = named(1, "x");
    event.object = ObjectName::parse("Contact").unwrap();
    let applied = live.tell(&[event]).await;
    assert_eq!((applied.count(EventOutcome::Unmapped), applied.rows), (1, 0));
    assert_eq!(live.applied_position().await, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn applying_again_after_a_lost_commit_gives_the_same(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A"), product(2, "B")]).await;
    let price = ("UnitPrice", EventValue::Double(2.5));
    live.receive(&[named(1, "x"), product_deleted(2), named(1, "y"), entry_changed(1, &[price])]).await;
    live.apply_some(2).await.unwrap();
    live.apply().await;
    let seen =
        async |live: &Live| (live.world.query(ROWS).await, live.dirty().await, live.world.rejects().await);
    let before = seen(&live).await;
    // As if the position had been lost with the process, although the rows were kept.
    sqlx::query("update shadow_sync.checkpoints set applied_position = 0")
        .execute(live.world.store.pool())
        .await
        .unwrap();
    let applied = live.apply().await;
    assert_eq!((applied.count(EventOutcome::Skipped), applied.rows), (3, 0));
    assert_eq!(seen(&live).await, before);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn who_lost_the_lease_applies_nothing(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A").named("old")]).await;
    live.receive(&[named(1, "new")]).await;
    sqlx::query("update shadow_sync.leases set token = gen_random_uuid() where name = 'stream'")
        .execute(live.world.store.pool())
        .await
        .unwrap();
    assert!(matches!(live.apply_some(9).await, Err(Error::LeaseLost { .. })));
    assert_eq!(
        (live.world.query(ROWS).await, live.applied_position().await),
        (vec![row("old", "A as of 0")], 0)
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn one_event_of_many_records_is_applied_to_each(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A"), product(2, "B")]).await;
    let mut event = named(1, "both");
    event.records = shadow::Records::Ids(vec![product_id(2), product_id(1), product_id(2), product_id(5)]);
    let applied = live.tell(&[event]).await;
    assert_eq!((applied.count(EventOutcome::Applied), applied.count(EventOutcome::Dirty)), (2, 1));
    assert_eq!(live.world.count("select count(*) from sf_product_shadow where name = 'both'").await, 2);
}

/// Merges an answer of a catch-up.
async fn window(world: &World, products: &[crate::world::Product]) -> merge::MergeOutcome {
    let read = Read { mark: world.begin().await, end: read_end(), kind: ReadKind::Window { job: None } };
    let chunk = world.products(products);
    merge::merge_chunk(&world.store, world.lease.key(), &world.product, &chunk, &read).await.unwrap()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_catch_up_leaves_proven_tombstones_of_deleted_records_known_or_not(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A"), product(3, "C")]).await;
    live.tell(&[product_gap(ChangeKind::GapUpdate, 3)]).await;
    live.world.fetch_dirty(&[]).await;
    let tombstones = "select record_id, as_of || ' ' || presumed from shadow_sync.tombstones order by 1";
    assert_eq!(live.world.query(tombstones).await, [(product_id(3).to_string(), "1 true".to_owned())]);
    live.receive(&[named(7, "moves the log")]).await;
    let gone = [product(1, "A").at(1).deleted(), product(2, "B").deleted(), product(3, "C").deleted()];
    let outcome = window(&live.world, &gone).await;
    assert_eq!((outcome.deleted, outcome.equal), (2, 1));
    let proven = |id| (product_id(id).to_string(), "2 false".to_owned());
    assert_eq!(live.world.query(tombstones).await, [proven(1), proven(2), proven(3)]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_catch_up_finds_a_lost_event_and_does_not_undo_a_later_one(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A").named("old"), product(2, "B").named("old")]).await;
    live.tell(&[named(2, "by event")]).await;
    window(
        &live.world,
        &[product(1, "A").named("lost change").at(5), product(2, "B").named("by event").at(5)],
    )
    .await;
    assert_eq!(live.world.query(ROWS).await, [row("lost change", "A as of 1"), row("by event", "B as of 1")]);
    assert_eq!(live.dirty().await, []);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_read_that_missed_a_record_makes_its_return_unclear(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A")]).await;
    live.tell(&[product_gap(ChangeKind::GapDelete, 1)]).await;
    live.world.fetch_dirty(&[]).await;
    // Whether it came back before that fetch, and went again, or after it: nobody knows.
    live.tell(&[product_whole(ChangeKind::Undelete, 1, "A", "back").committed(4)]).await;
    assert_eq!(live.world.query(ROWS).await, []);
    assert_eq!(live.dirty().await, [(product_id(1).to_string(), "ambiguous 2".to_owned())]);
    live.world.merge_products(&[product(1, "A").named("back")]).await;
    assert_eq!((live.world.query(ROWS).await, live.dirty().await), (vec![row("back", "A as of 2")], vec![]));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn events_and_reads_of_parents_and_children_queue_and_all_succeed(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A"), product(2, "B")]).await;
    live.world.merge_entries(&[entry(1, 1, "1"), entry(2, 2, "2")]).await;
    let price = |price| ("UnitPrice", EventValue::Double(price));
    for round in 1..=8_i64 {
        live.receive(&[
            named(1, "by event"),
            entry_changed(1, &[price(round as f64)]),
            product_deleted(2),
            entry_changed(2, &[price(round as f64)]),
            product_gap(ChangeKind::GapUndelete, 2),
        ])
        .await;
        let products = [product(1, "A").at(round), product(2, "B").at(round)];
        let entries = [
            crate::world::Entry { stamp: round, ..entry(1, 1, "7") },
            crate::world::Entry { stamp: round, ..entry(2, 2, "8") },
        ];
        tokio::join!(
            async { live.apply_some(100).await.unwrap() },
            live.world.merge_products(&products),
            live.world.merge_entries(&entries),
            async { rejects::sweep(&live.world.store, &shadow::Mapping::built_in(), false).await.unwrap() },
        );
    }
    assert_eq!(live.applied_position().await, 40);
    assert_eq!(
        live.world
            .count("select count(*) from sf_product_shadow where product_id like '01t000000000001%'")
            .await,
        1
    );
}
