//! Cache keys of changed rows are deleted: after the commit, always, and once more after the delay.

use std::time::{Duration, Instant};

use engine::HostName;
use engine::api::cache::{self, CacheState};
use serde_json::json;
use sqlx::PgPool;

use crate::redis::{DELAY, Redis, configure, until_flushed};
use crate::world::World;

/// A live world with a cache in which nothing waits to be deleted any more.
async fn cached(pool: PgPool) -> (World, Redis) {
    let mut world = World::live(pool).await;
    let redis = Redis::start().await;
    configure(&world, &redis);
    world.restart_as(HostName::Daemon).await;
    world.until_streaming().await;
    world.age_reads().await;
    until_flushed(&world).await;
    (world, redis)
}

/// Lets templates alone decide what goes.
async fn declare_complete(world: &World) {
    for object in ["Product2", "PricebookEntry", "Account"] {
        cache::declare_complete(&world.engine, object, true).await.unwrap();
    }
}

async fn until_gone(world: &World, redis: &Redis, key: &str) {
    world.until_true(&format!("{key} is gone"), async || !redis.has(key).await).await;
}

#[sqlx::test(migrations = false)]
async fn a_change_in_the_org_deletes_its_keys_and_only_those(pool: PgPool) {
    let (world, redis) = cached(pool).await;
    declare_complete(&world).await;
    let ids = world.org.org().ids("Account", 0, 2);
    let (changed, other) = (format!("eligibility:{}", ids[0]), format!("eligibility:{}", ids[1]));
    redis.fill(&[&changed, &other, "catalog:list", "session:1"]).await;
    let fields = json!({ "Internet_Eligibility__c": "Fibre 10G" });
    world.org.org().update("Account", &ids[0].to_string(), &fields).unwrap();
    until_gone(&world, &redis, &changed).await;
    until_flushed(&world).await;
    assert_eq!(redis.keys().await, ["catalog:list", &other, "session:1"]);
}

#[sqlx::test(migrations = false)]
async fn until_templates_are_declared_complete_everything_of_the_object_goes(pool: PgPool) {
    let (world, redis) = cached(pool).await;
    let id = world.org.org().ids("Account", 0, 1)[0].to_string();
    redis.fill(&["eligibility:list", "eligibility:x", "catalog:list", "session:1"]).await;
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "Fibre 10G" })).unwrap();
    until_gone(&world, &redis, "eligibility:list").await;
    until_flushed(&world).await;
    assert_eq!(redis.keys().await, ["catalog:list", "session:1"]);
}

#[sqlx::test(migrations = false)]
async fn what_a_slow_reader_caches_after_the_first_deletion_goes_with_the_second(pool: PgPool) {
    let (world, redis) = cached(pool).await;
    declare_complete(&world).await;
    let id = world.org.org().ids("Account", 0, 1)[0].to_string();
    let key = format!("eligibility:{id}");
    redis.fill(&[&key]).await;
    let began = Instant::now();
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "Fibre 10G" })).unwrap();
    until_gone(&world, &redis, &key).await;
    // A reader that read the row before the commit sets it now.
    redis.fill(&[&key]).await;
    until_gone(&world, &redis, &key).await;
    assert!(began.elapsed() >= DELAY, "{:?}", began.elapsed());
    until_flushed(&world).await;
    // And whoever reads from then on has read the new row.
    redis.fill(&[&key]).await;
    until_flushed(&world).await;
    assert!(redis.has(&key).await);
}

#[sqlx::test(migrations = false)]
async fn a_cache_that_is_away_slows_nobody_and_gets_everything_when_it_is_back(pool: PgPool) {
    let (world, mut redis) = cached(pool).await;
    declare_complete(&world).await;
    redis.kill();
    let ids = world.org.org().ids("Account", 0, 3);
    for (n, id) in ids.iter().enumerate() {
        let began = Instant::now();
        let value = format!("Away {n}");
        let fields = json!({ "Internet_Eligibility__c": value });
        world.org.org().update("Account", &id.to_string(), &fields).unwrap();
        let table = "sf_account_eligibility_shadow";
        world
            .until_value(table, "account_id", &id.to_string(), "internet_eligibility", Some(value.as_str()))
            .await;
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
    world
        .until_true("it is said that orders wait, and why", async || {
            let view = cache::view(&world.engine).await.unwrap();
            view.state == CacheState::Down && view.waiting.orders > 0 && view.failed.orders > 0
        })
        .await;
    redis.start_again().await;
    let keys: Vec<String> = ids.iter().map(|id| format!("eligibility:{id}")).collect();
    let texts: Vec<&str> = keys.iter().map(String::as_str).collect();
    redis.fill(&texts).await;
    until_flushed(&world).await;
    assert!(redis.keys().await.is_empty());
    let view = cache::view(&world.engine).await.unwrap();
    assert_eq!((view.state, view.failed.orders), (CacheState::Ok, 0));
}

#[sqlx::test(migrations = false)]
async fn a_frozen_cache_slows_nobody(pool: PgPool) {
    let (world, redis) = cached(pool).await;
    redis.signal("STOP");
    let id = world.org.org().ids("Account", 4, 1)[0].to_string();
    let began = Instant::now();
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "Frozen" })).unwrap();
    world
        .until_value(
            "sf_account_eligibility_shadow",
            "account_id",
            &id,
            "internet_eligibility",
            Some("Frozen"),
        )
        .await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    redis.signal("CONT");
    until_flushed(&world).await;
}

#[sqlx::test(migrations = false)]
async fn keys_of_old_and_new_values_go_and_those_of_children_with_their_parents(pool: PgPool) {
    let (world, redis) = cached(pool).await;
    let both = [
        "catalog:price:{parent.sku}:{currency_iso_code}",
        "catalog:named:{parent.name}:{pricebook_entry_id}",
    ];
    let patterns = vec!["catalog:*".to_owned()];
    cache::set_rules(&world.engine, "PricebookEntry", patterns, both.map(str::to_owned).into())
        .await
        .unwrap();
    declare_complete(&world).await;
    until_flushed(&world).await;
    let (entry, product, sku, name, currency): (String, String, String, String, String) = sqlx::query_as(
        "select e.pricebook_entry_id, p.product_id, p.sku, p.name, e.currency_iso_code
           from sf_pricebook_shadow e join sf_product_shadow p using (product_id) order by 1 limit 1",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    let named = |name: &str| format!("catalog:named:{name}:{entry}");
    let priced = |sku: &str| format!("catalog:price:{sku}:{currency}");
    let keys = [
        format!("catalog:product:{sku}"),
        "catalog:product:NEW-1".to_owned(),
        priced(&sku),
        priced("NEW-1"),
        named(&name),
        named("Renamed"),
    ];
    let all: Vec<&str> = keys.iter().map(String::as_str).collect();
    redis.fill(&all).await;
    redis.fill(&["catalog:product:OTHER", "catalog:price:OTHER:EUR"]).await;
    let fields = json!({ "ProductCode": "NEW-1", "StockKeepingUnit": "NEW-1", "Name": "Renamed" });
    world.org.org().update("Product2", &product, &fields).unwrap();
    for key in &keys {
        until_gone(&world, &redis, key).await;
    }
    world.until_settled().await;
    until_flushed(&world).await;
    assert_eq!(redis.keys().await, ["catalog:price:OTHER:EUR", "catalog:product:OTHER"]);
}

#[sqlx::test(migrations = false)]
async fn creation_rejection_and_deletion_delete_keys_too(pool: PgPool) {
    let (world, redis) = cached(pool).await;
    declare_complete(&world).await;
    let org = world.org.org();
    // A shop remembers that there is no such product.
    redis.fill(&["catalog:product:BRAND-NEW"]).await;
    let fields = json!({ "Name": "New", "ProductCode": "BRAND-NEW", "StockKeepingUnit": "BRAND-NEW" });
    let new = org.insert("Product2", &fields).unwrap().to_string();
    until_gone(&world, &redis, "catalog:product:BRAND-NEW").await;

    // Without a SKU it cannot be stored: its row moves out, and its price's with it.
    world.until_settled().await;
    until_flushed(&world).await;
    world.age_reads().await;
    redis.fill(&["catalog:product:BRAND-NEW"]).await;
    org.update("Product2", &new, &json!({ "ProductCode": null, "StockKeepingUnit": null })).unwrap();
    until_gone(&world, &redis, "catalog:product:BRAND-NEW").await;

    let (product, sku): (String, String) = sqlx::query_as(
        "select product_id, sku from sf_product_shadow where exists (select from sf_pricebook_shadow e
          where e.product_id = sf_product_shadow.product_id) order by 1 desc limit 1",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    let (by_sku, by_id) = (format!("catalog:product:{sku}"), format!("catalog:price:{product}"));
    redis.fill(&[&by_sku, &by_id]).await;
    org.delete("Product2", &product).unwrap();
    until_gone(&world, &redis, &by_sku).await;
    until_gone(&world, &redis, &by_id).await;
}

#[sqlx::test(migrations = false)]
async fn a_cache_that_comes_back_empty_gets_the_recent_orders_again(pool: PgPool) {
    let (world, mut redis) = cached(pool).await;
    declare_complete(&world).await;
    let id = world.org.org().ids("Account", 5, 1)[0].to_string();
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "Before" })).unwrap();
    world
        .until_value(
            "sf_account_eligibility_shadow",
            "account_id",
            &id,
            "internet_eligibility",
            Some("Before"),
        )
        .await;
    until_flushed(&world).await;
    redis.kill();
    redis.start_again().await;
    // What a replica without the last deletions would hold.
    let key = format!("eligibility:{id}");
    redis.fill(&[&key, "session:1"]).await;
    until_gone(&world, &redis, &key).await;
    until_flushed(&world).await;
    assert_eq!(redis.keys().await, ["session:1"]);
}

#[sqlx::test(migrations = false)]
async fn a_cache_that_comes_back_from_disk_loses_everything_of_ours(pool: PgPool) {
    let (world, mut redis) = cached(pool).await;
    declare_complete(&world).await;
    redis.fill(&["eligibility:of-last-week", "catalog:old", "session:1"]).await;
    redis.run(&["SAVE"]).await;
    redis.kill();
    redis.start_again().await;
    until_gone(&world, &redis, "eligibility:of-last-week").await;
    until_gone(&world, &redis, "catalog:old").await;
    assert_eq!(redis.keys().await, ["session:1"]);
}

#[sqlx::test(migrations = false)]
async fn what_is_held_by_hand_waits_until_it_is_released(pool: PgPool) {
    let (world, redis) = cached(pool).await;
    let held = cache::hold(&world.engine, true).await.unwrap();
    assert!(held.held_by.is_some());
    let id = world.org.org().ids("Account", 6, 1)[0].to_string();
    let key = format!("eligibility:{id}");
    redis.fill(&[&key]).await;
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "Held" })).unwrap();
    world
        .until_value("sf_account_eligibility_shadow", "account_id", &id, "internet_eligibility", Some("Held"))
        .await;
    // Whoever delivers has looked several times by now.
    let looks = Instant::now();
    world.until_true("some looks went by", async || looks.elapsed() > Duration::from_secs(2)).await;
    assert!(redis.has(&key).await, "it is held back");
    let view = cache::view(&world.engine).await.unwrap();
    assert!(view.waiting.orders > 0 && view.held_by.is_some(), "{view:?}");
    assert!(cache::hold(&world.engine, false).await.unwrap().held_by.is_none());
    until_gone(&world, &redis, &key).await;
    until_flushed(&world).await;
}

#[sqlx::test(migrations = false)]
async fn orders_written_before_there_was_a_cache_are_delivered(pool: PgPool) {
    let mut world = World::start(pool).await;
    world.backfill(&["Account"]).await;
    let waiting = "select count(*) from shadow_sync.invalidations where done_at is null";
    assert!(world.number(waiting).await > 0);
    // As the version before wrote them.
    let old = "insert into shadow_sync.invalidations (object, ids, before)
               values ('Product2', '{01t000000000001AAA}', '[{\"id\": \"01t000000000001AAA\", \"key\": \"OLD\"}]')";
    sqlx::query(old).execute(&world.pool).await.unwrap();
    let redis = Redis::start().await;
    let id = world.org.org().ids("Account", 0, 1)[0].to_string();
    let key = format!("eligibility:{id}");
    redis.fill(&[&key, "catalog:product:OLD", "session:1"]).await;
    configure(&world, &redis);
    world.restart().await;
    until_flushed(&world).await;
    assert_eq!(redis.keys().await, ["session:1"]);
}
