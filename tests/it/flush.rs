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
