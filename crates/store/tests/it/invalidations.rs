//! Orders to delete cache keys: what they carry, how they are done, what brings them back.

use std::time::Duration;

use shadow::keys::KeyRules;
use shadow::{Mapping, ObjectName};
use sqlx::PgPool;
use store::invalidations::{self, CacheServer, Order, Pass, Redelivery};
use store::leases::{self, Lease};
use store::{Error, cache_rules};

use crate::world::{World, entry, entry_id, product, product_id};

async fn due(world: &World, pass: Pass) -> Vec<Order> {
    let at_once = Duration::ZERO;
    invalidations::due(&world.store, &Mapping::built_in(), pass, at_once, 100).await.unwrap()
}

async fn lease(world: &World) -> Lease {
    leases::acquire(&world.store, "invalidate", "the test").await.unwrap().unwrap()
}

fn numbers(orders: &[Order]) -> Vec<i64> {
    orders.iter().map(|order| order.id).collect()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_order_carries_every_column_of_before_and_the_parents(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A").named("old")]).await;
    world.merge_entries(&[entry(1, 1, "1.50")]).await;
    world.merge_products(&[product(1, "B").named("new").at(1)]).await;
    world.merge_entries(&[store_entry("2.00")]).await;
    let orders = due(&world, Pass::First).await;
    assert_eq!(orders.len(), 4);
    let of = |object: &ObjectName| orders.iter().rfind(|order| order.object == *object).unwrap();

    let products = of(&ObjectName::product());
    assert_eq!(products.ids, [product_id(1).to_string()]);
    let before = &products.before[0];
    assert_eq!(
        (before.columns["sku"].as_deref(), before.columns["name"].as_deref()),
        (Some("A"), Some("old"))
    );
    assert_eq!(before.columns["plan_tier"], None);

    let before = &of(&ObjectName::pricebook_entry()).before[0];
    assert_eq!(before.columns["pricebook_entry_id"].as_deref(), Some(entry_id(1).as_str()));
    assert_eq!(before.columns["unit_price"].as_deref(), Some("1.50"));
    assert_eq!(before.parent.as_deref(), Some(product_id(1).as_str()));
    assert_eq!(before.parent_columns.as_ref().unwrap()["sku"].as_deref(), Some("B"));
}

fn store_entry(price: &'static str) -> crate::world::Entry {
    crate::world::Entry { stamp: 1, ..entry(1, 1, price) }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_order_says_what_a_record_was_only_where_a_column_changed(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A"), product(2, "B")]).await;
    // A day of creation is in no column.
    let outcome =
        world.merge_products(&[product(1, "A").created(9).at(1), product(2, "C").created(9).at(1)]).await;
    assert_eq!(outcome.updated, 2);
    let orders = due(&world, Pass::First).await;
    let mut ids = orders[1].ids.clone();
    ids.sort_unstable();
    assert_eq!(ids, [product_id(1).to_string(), product_id(2).to_string()]);
    let before: Vec<(&str, Option<&str>)> =
        orders[1].before.iter().map(|was| (was.id.as_str(), was.columns["sku"].as_deref())).collect();
    assert_eq!(before, [(product_id(2).as_str(), Some("B"))]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_a_child_was_is_known_until_its_keys_were_deleted_twice(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A")]).await;
    world.merge_entries(&[entry(1, 1, "1.50")]).await;
    world.merge_entries(&[store_entry("2.00")]).await;
    let (lease, store) = (lease(&world).await, &world.store);
    let ids = numbers(&due(&world, Pass::First).await);
    let prices = async || {
        let (child, parents) = (Mapping::pricebook_entry(), [product_id(1).to_string()]);
        let children = invalidations::waiting_children(store, &child, &parents).await.unwrap();
        children.into_iter().map(|was| was.columns["unit_price"].clone().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(prices().await, ["1.50"]);
    invalidations::keys_deleted(store, lease.key(), Pass::First, &ids, &ids).await.unwrap();
    assert_eq!(prices().await, ["1.50"]);
    invalidations::keys_deleted(store, lease.key(), Pass::Second, &ids, &[]).await.unwrap();
    assert!(prices().await.is_empty());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_leaves_with_its_product_says_what_both_were(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A")]).await;
    world.merge_entries(&[entry(1, 1, "1.50")]).await;
    world.merge_products(&[product(1, "A").at(1).deleted()]).await;
    let orders = due(&world, Pass::First).await;
    let moved = orders.iter().rfind(|order| order.object == ObjectName::pricebook_entry()).unwrap();
    assert_eq!((moved.ids.len(), moved.before.len()), (0, 1));
    assert_eq!(moved.before[0].parent_columns.as_ref().unwrap()["sku"].as_deref(), Some("A"));
    let gone = orders.iter().rfind(|order| order.object == ObjectName::product()).unwrap();
    assert_eq!(gone.before[0].columns["sku"].as_deref(), Some("A"));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_order_is_done_when_keys_and_patterns_were_deleted_twice(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A")]).await;
    let (lease, store) = (lease(&world).await, &world.store);
    let ids = numbers(&due(&world, Pass::First).await);
    assert_eq!(ids.len(), 1);
    assert!(due(&world, Pass::Second).await.is_empty(), "nothing was deleted a first time");
    invalidations::keys_deleted(store, lease.key(), Pass::First, &ids, &[]).await.unwrap();
    assert!(due(&world, Pass::First).await.is_empty());
    assert_eq!(invalidations::standing(store, None).await.unwrap().waiting, 1, "patterns are to follow");
    let late = Duration::from_mins(1);
    let mappings = Mapping::built_in();
    assert!(invalidations::due(store, &mappings, Pass::Second, late, 9).await.unwrap().is_empty());
    assert_eq!(numbers(&due(&world, Pass::Second).await), ids);
    invalidations::keys_deleted(store, lease.key(), Pass::Second, &ids, &[]).await.unwrap();

    for pass in [Pass::First, Pass::Second] {
        let waiting = invalidations::due_for_patterns(store, pass, Duration::ZERO).await.unwrap();
        assert_eq!(waiting.len(), 1, "{pass:?}");
        assert_eq!(
            world.count("select count(*) from shadow_sync.invalidations where done_at is null").await,
            1
        );
        invalidations::patterns_deleted(store, lease.key(), pass, &waiting).await.unwrap();
    }
    assert_eq!(world.count("select count(*) from shadow_sync.invalidations where done_at is null").await, 0);
    assert_eq!(invalidations::prune(store, Duration::from_mins(1)).await.unwrap(), 0);
    assert_eq!(invalidations::prune(store, Duration::ZERO).await.unwrap(), 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn who_lost_the_lease_marks_nothing(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A")]).await;
    let lost = lease(&world).await;
    world.query("select name, (name)::text from shadow_sync.leases").await;
    let key = lost.key().clone();
    leases::release(&world.store, lost).await.unwrap();
    let ids = numbers(&due(&world, Pass::First).await);
    let marked = invalidations::keys_deleted(&world.store, &key, Pass::First, &ids, &ids).await;
    assert!(matches!(marked, Err(Error::LeaseLost { .. })));
    assert_eq!(numbers(&due(&world, Pass::First).await), ids);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_server_that_comes_back_as_another_gets_recent_orders_again(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A")]).await;
    let (lease, store) = (lease(&world).await, &world.store);
    let ids = numbers(&due(&world, Pass::First).await);
    invalidations::keys_deleted(store, lease.key(), Pass::First, &ids, &ids).await.unwrap();
    invalidations::keys_deleted(store, lease.key(), Pass::Second, &ids, &[]).await.unwrap();
    assert_eq!(world.count("select count(*) from shadow_sync.invalidations where done_at is null").await, 0);
    let server = |run: &str| CacheServer {
        address: "127.0.0.1:6379".to_owned(),
        run_id: run.to_owned(),
        started_at: None,
        seen_at: chrono::DateTime::UNIX_EPOCH,
    };
    let note = async |run: &str, redelivery: Redelivery| {
        invalidations::note_servers(store, lease.key(), &[server(run)], &redelivery).await.unwrap()
    };
    assert_eq!(note("one", Redelivery::Nothing).await, 0);
    assert!(due(&world, Pass::First).await.is_empty());
    assert_eq!(note("two", Redelivery::Recent(Duration::from_mins(10))).await, 1);
    assert_eq!(numbers(&due(&world, Pass::First).await), ids);
    let known = invalidations::known_servers(store).await.unwrap();
    assert_eq!((known.len(), known[0].run_id.as_str()), (1, "two"));

    note("three", Redelivery::Everything(vec![ObjectName::account()])).await;
    let orders = due(&world, Pass::First).await;
    assert!(orders.iter().any(|order| order.whole && order.object == ObjectName::account()));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn orders_that_nobody_delivers_become_one_about_everything(pool: PgPool) {
    let world = World::start(pool).await;
    for n in 0..4 {
        world
            .merge_products(&[product(1, "A").at(n).named(["a", "b", "c", "d"][usize::try_from(n).unwrap()])])
            .await;
    }
    let store = &world.store;
    assert_eq!(invalidations::compact(store, Duration::from_mins(1), 3).await.unwrap(), 0, "they are young");
    assert_eq!(invalidations::compact(store, Duration::ZERO, 4).await.unwrap(), 0, "they are few");
    assert_eq!(invalidations::compact(store, Duration::ZERO, 3).await.unwrap(), 4);
    let orders = due(&world, Pass::First).await;
    assert_eq!(orders.len(), 1);
    assert!(orders[0].whole);
    assert_eq!(invalidations::compact(store, Duration::ZERO, 0).await.unwrap(), 0, "it stays");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_is_no_longer_declared_complete_is_deleted_whole_once(pool: PgPool) {
    let world = World::start(pool).await;
    let (store, account) = (&world.store, ObjectName::account());
    let rules = KeyRules::built_in(&account);
    assert!(cache_rules::list(store).await.unwrap().is_empty());
    let complete = rules.clone().declared(&account, true).unwrap();
    cache_rules::set(store, &account, &complete, "somebody").await.unwrap();
    let stored = cache_rules::list(store).await.unwrap();
    assert_eq!((&stored[0].rules, stored[0].complete_by.as_deref()), (&complete, Some("somebody")));
    assert!(due(&world, Pass::First).await.is_empty());
    cache_rules::set(store, &account, &rules, "somebody").await.unwrap();
    assert!(due(&world, Pass::First).await[0].whole);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_walk_over_the_server_before_does_not_answer_what_waits_again(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A")]).await;
    let (lease, store) = (lease(&world).await, &world.store);
    let ids = numbers(&due(&world, Pass::First).await);
    invalidations::keys_deleted(store, lease.key(), Pass::First, &ids, &[]).await.unwrap();
    let walked = invalidations::due_for_patterns(store, Pass::First, Duration::ZERO).await.unwrap();
    invalidations::note_servers(store, lease.key(), &[], &Redelivery::Recent(Duration::from_mins(10)))
        .await
        .unwrap();
    invalidations::keys_deleted(store, lease.key(), Pass::First, &ids, &[]).await.unwrap();
    invalidations::patterns_deleted(store, lease.key(), Pass::First, &walked).await.unwrap();
    let again = invalidations::due_for_patterns(store, Pass::First, Duration::ZERO).await.unwrap();
    assert_eq!(again.len(), 1, "the walk was of the server before");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_order_about_everything_of_what_has_no_patterns_is_done_at_once(pool: PgPool) {
    let world = World::start(pool).await;
    let (lease, store) = (lease(&world).await, &world.store);
    invalidations::order_whole(store, &[ObjectName::account()]).await.unwrap();
    let ids = numbers(&due(&world, Pass::First).await);
    invalidations::keys_deleted(store, lease.key(), Pass::First, &ids, &ids).await.unwrap();
    let standing = invalidations::standing(store, None).await.unwrap();
    assert_eq!((standing.waiting, standing.second), (0, 0));
}
