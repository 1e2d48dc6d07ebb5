//! The id comparison, and records that go.

use sqlx::PgPool;
use store::comparison::{self, Proof};
use store::jobs;

use crate::world::{World, entry, product, product_id};

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_a_whole_load_lacks_is_a_candidate_and_nothing_else(pool: PgPool) {
    let world = World::start(pool).await;
    world
        .merge_products(&[product(1, "A"), product(2, "B"), product(3, ""), product(4, "D"), product(5, "")])
        .await;
    let job = world.job(&world.product, false).await;
    // Equal, changed, rejected as before; 4 and 5 are lacking; 6 is new and 7 was read by somebody else meanwhile.
    let page = [product(1, "A"), product(2, "C").at(1), product(3, ""), product(6, "F")];
    world.page(&world.product, &job, 1, &world.products(&page), true).await;
    world.merge_products(&[product(7, "G")]).await;
    let found =
        comparison::compare_ids(&world.store, world.lease.key(), &world.product, job.id).await.unwrap();
    assert_eq!((found.candidates, found.records, found.needs_consent), (2, 7, false));
    let candidates = comparison::candidates(&world.store, job.id, None, 10).await.unwrap();
    assert_eq!(candidates, [product_id(4), product_id(5)]);
    let behind = comparison::candidates(&world.store, job.id, Some(product_id(4)), 10).await.unwrap();
    assert_eq!(behind, [product_id(5)]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_removed_product_takes_its_entries_out_and_leaves_a_presumed_tombstone(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A"), product(2, "A"), product(3, "C")]).await;
    world.merge_entries(&[entry(1, 1, "1"), entry(2, 2, "2"), entry(3, 3, "3")]).await;
    let job = world.job(&world.product, false).await;
    let mark = world.begin().await;
    let ids = [product_id(1), product_id(9)];
    let key = world.lease.key();
    let gone =
        comparison::remove(&world.store, key, &world.product, Some(job.id), &ids, Proof::Absent, mark).await;
    assert_eq!(gone.unwrap(), 1);
    // The SKU went to who waited for it, with its entry.
    let skus = world.skus().await;
    assert_eq!(
        skus,
        [("A".to_owned(), product_id(2).to_string()), ("C".to_owned(), product_id(3).to_string())]
    );
    assert_eq!(world.count("select count(*) from sf_pricebook_shadow").await, 2);
    assert_eq!(world.rejects().await.len(), 1);
    assert_eq!(world.count("select count(*) from shadow_sync.tombstones where presumed").await, 1);
    assert_eq!(jobs::get(&world.store, job.id).await.unwrap().counts.removed, 1);
    // The order says which keys the entry may have been under.
    let orders = world
        .query("select object, before ->> 0 from shadow_sync.invalidations where before <> '[]' order by 1")
        .await;
    assert_eq!(
        orders.iter().map(|order| order.0.as_str()).collect::<Vec<_>>(),
        ["PricebookEntry", "Product2"]
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_record_that_a_later_read_brought_is_not_removed(pool: PgPool) {
    let world = World::start(pool).await;
    let mark = world.begin().await;
    world.merge_products(&[product(1, "A")]).await;
    let ids = [product_id(1)];
    let gone =
        comparison::remove(&world.store, world.lease.key(), &world.product, None, &ids, Proof::Absent, mark);
    assert_eq!(gone.await.unwrap(), 0);
    assert_eq!(world.skus().await.len(), 1);
    assert_eq!(world.count("select count(*) from shadow_sync.tombstones").await, 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_page_that_was_asked_for_before_cannot_bring_a_removed_record_back(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A")]).await;
    let early = world.begin().await;
    let mark = world.begin().await;
    let ids = [product_id(1)];
    let key = world.lease.key();
    comparison::remove(&world.store, key, &world.product, None, &ids, Proof::Absent, mark).await.unwrap();
    let chunk = world.products(&[product(1, "A").at(9)]);
    let outcome = world.merge_at(&world.product, &chunk, early).await.unwrap();
    assert_eq!((outcome.older, outcome.inserted), (1, 0));
    assert_eq!(world.merge(&world.product, &chunk).await.inserted, 1);
    assert_eq!(world.count("select count(*) from shadow_sync.tombstones").await, 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_mass_removal_waits_for_consent(pool: PgPool) {
    let world = World::start(pool).await;
    let products: Vec<_> =
        (1..=60).map(|id| product(id, Box::leak(format!("S{id}").into_boxed_str()))).collect();
    world.merge_products(&products).await;
    let job = world.job(&world.product, false).await;
    world.page(&world.product, &job, 1, &world.products(&products[..9]), true).await;
    let found =
        comparison::compare_ids(&world.store, world.lease.key(), &world.product, job.id).await.unwrap();
    assert_eq!((found.candidates, found.needs_consent), (51, true));
    comparison::wait_for_consent(&world.store, world.lease.key(), job.id, 51).await.unwrap();
    comparison::still_there(&world.store, world.lease.key(), job.id, &[product_id(60)]).await.unwrap();
    assert_eq!(comparison::candidates(&world.store, job.id, None, 100).await.unwrap().len(), 50);
    assert_eq!(jobs::get(&world.store, job.id).await.unwrap().removals_waiting, 51);
    comparison::consent(&world.store, job.id).await.unwrap();
    assert!(jobs::get(&world.store, job.id).await.unwrap().removals_consent);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_dirty_record_that_a_fetch_does_not_get_is_presumed_deleted(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A")]).await;
    world.merge_entries(&[entry(1, 1, "1")]).await;
    world.merge_products(&[product(2, "A")]).await;
    // Both are dirty now; the holder is gone, and so is a third that was never stored.
    world.merge_products(&[product(3, "A")]).await;
    world.fetch_dirty(&[product(2, "A")]).await;
    assert_eq!(world.skus().await, [("A".to_owned(), product_id(2).to_string())]);
    assert_eq!(world.count("select count(*) from shadow_sync.dirty").await, 0);
    assert_eq!(world.count("select count(*) from shadow_sync.tombstones where presumed").await, 2);
    assert_eq!(
        world.count("select count(*) from shadow_sync.rejects where reason = 'missing-product'").await,
        1
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_fetch_that_is_split_for_a_refused_record_takes_nobody_out(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A"), product(2, "B")]).await;
    // Both are dirty for a third that claims the first one's SKU.
    world.merge_products(&[product(3, "A")]).await;
    sqlx::query("insert into shadow_sync.dirty (object, record_id, reason, as_of) values ('Product2', $1, 'doubt', 0)")
        .bind(product_id(2).to_string())
        .execute(world.store.pool())
        .await
        .unwrap();
    // A check of somebody else's refuses one name.
    sqlx::query("alter table sf_product_shadow add check (name <> 'refused')")
        .execute(world.store.pool())
        .await
        .unwrap();
    world.fetch_dirty(&[product(1, "A"), product(2, "B"), product(3, "C").named("refused")]).await;
    let skus = world.skus().await;
    assert_eq!(
        skus,
        [("A".to_owned(), product_id(1).to_string()), ("B".to_owned(), product_id(2).to_string())]
    );
    assert_eq!(world.rejects().await, [(product_id(3).to_string(), "broken-value".to_owned())]);
    assert_eq!(world.count("select count(*) from shadow_sync.tombstones").await, 0);
}

#[test]
fn fifty_or_five_percent_go_without_asking() {
    assert_eq!(comparison::allowed_removals(10), 50);
    assert_eq!(comparison::allowed_removals(1_000_000), 50_000);
}
