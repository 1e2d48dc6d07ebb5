//! Changes made in the org appear in the shadow within moments, with no command.

use std::time::{Duration, Instant};

use engine::api::events::{self, EventFilter, EventOutcome};
use engine::api::flags::{self, FlagName};
use engine::api::stream::StreamState;
use serde_json::json;
use simulator::{Disturbance, EventFault};
use sqlx::PgPool;

use crate::world::World;

const ACCOUNTS: &str = "sf_account_eligibility_shadow";

#[sqlx::test(migrations = false)]
async fn an_update_in_the_org_shows_in_the_shadow_within_a_second(pool: PgPool) {
    let world = World::live(pool).await;
    let id = world.org.org().ids("Account", 7, 1)[0].to_string();
    // Bulk reads end at their last poll, and events within 5 s of it are doubted: these records were read long ago.
    world.age_reads().await;
    let began = Instant::now();
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "Fibre 10G" })).unwrap();
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("Fibre 10G")).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let outcome = "select count(*) from shadow_sync.event_outcomes where outcome = 'applied'";
    assert_eq!(world.number(outcome).await, 1, "the event itself was applied");
}

#[sqlx::test(migrations = false)]
async fn every_kind_of_change_arrives_in_order(pool: PgPool) {
    let world = World::live(pool).await;
    world.age_reads().await;
    let org = world.org.org();
    let account = org.ids("Account", 1, 1)[0].to_string();
    for speed in ["Fibre 1G", "Fibre 2G", "Fibre 5G"] {
        org.update("Account", &account, &json!({ "Internet_Eligibility__c": speed })).unwrap();
    }
    let new = org.insert("Account", &json!({ "Name": "New", "Internet_Eligibility__c": "DSL 50" })).unwrap();
    let gone = org.ids("Account", 2, 1)[0].to_string();
    org.delete("Account", &gone).unwrap();
    let back = org.ids("Account", 3, 1)[0].to_string();
    org.delete("Account", &back).unwrap();
    org.undelete("Account", &back).unwrap();
    let nulled = org.ids("Account", 4, 1)[0].to_string();
    org.update("Account", &nulled, &json!({ "Internet_Eligibility__c": null })).unwrap();
    world.until_value(ACCOUNTS, "account_id", &account, "internet_eligibility", Some("Fibre 5G")).await;
    world.until_value(ACCOUNTS, "account_id", &new.to_string(), "internet_eligibility", Some("DSL 50")).await;
    world.until_value(ACCOUNTS, "account_id", &gone, "account_id", None).await;
    world.until_value(ACCOUNTS, "account_id", &nulled, "internet_eligibility", None).await;
    world.assert_same().await;
    let tombstones = "select count(*) from shadow_sync.tombstones where object = 'Account' and not presumed";
    assert_eq!(world.number(tombstones).await, 1, "{}", world.standing().await);
}

#[sqlx::test(migrations = false)]
async fn prices_are_exact_and_entries_follow_their_products(pool: PgPool) {
    let world = World::live(pool).await;
    world.age_reads().await;
    let org = world.org.org();
    let (entry, product): (String, String) = sqlx::query_as(
        "select pricebook_entry_id, product_id from sf_pricebook_shadow order by pricebook_entry_id limit 1",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    org.update("PricebookEntry", &entry, &json!({ "UnitPrice": 1234.56 })).unwrap();
    world
        .until_value("sf_pricebook_shadow", "pricebook_entry_id", &entry, "unit_price", Some("1234.56"))
        .await;

    org.update("Product2", &product, &json!({ "Name": "Renamed" })).unwrap();
    world.until_value("sf_product_shadow", "product_id", &product, "name", Some("Renamed")).await;
    world
        .until_value(
            "sf_pricebook_shadow",
            "pricebook_entry_id",
            &entry,
            "raw_payload ->> 'Name'",
            Some("Renamed"),
        )
        .await;
    world.assert_same().await;

    org.delete("Product2", &product).unwrap();
    world.until_value("sf_product_shadow", "product_id", &product, "product_id", None).await;
    world.until_value("sf_pricebook_shadow", "pricebook_entry_id", &entry, "product_id", None).await;
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn an_event_delivered_twice_is_stored_once(pool: PgPool) {
    let world = World::live(pool).await;
    world.age_reads().await;
    let org = world.org.org();
    let id = org.ids("Account", 5, 1)[0].to_string();
    let twice = Disturbance::NextEvents { object: None, fault: EventFault::Duplicated, times: Some(3) };
    org.disturb(&twice).unwrap();
    for speed in ["A", "B", "C"] {
        org.update("Account", &id, &json!({ "Internet_Eligibility__c": speed })).unwrap();
    }
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("C")).await;
    org.disturb(&Disturbance::Redeliver { events: Some(5) }).unwrap();
    org.update("Account", &id, &json!({ "Internet_Eligibility__c": "D" })).unwrap();
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("D")).await;
    assert_eq!(world.number("select count(*) from shadow_sync.change_log").await, 4);
    assert_eq!(
        world.number("select count(*) from shadow_sync.event_outcomes where outcome = 'applied'").await,
        4
    );
}

#[sqlx::test(migrations = false)]
async fn a_paused_stream_misses_nothing(pool: PgPool) {
    let world = World::live(pool).await;
    world.age_reads().await;
    let id = world.org.org().ids("Account", 6, 1)[0].to_string();
    engine::api::objects::pause(&world.engine, Vec::new()).await.unwrap();
    world.until_true("the stream is paused", async || world.org.org().subscribers().is_empty()).await;
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "Later" })).unwrap();
    engine::api::objects::resume(&world.engine, Vec::new()).await.unwrap();
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("Later")).await;
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn with_the_consumer_off_events_are_stored_and_wait(pool: PgPool) {
    let world = World::live(pool).await;
    world.age_reads().await;
    let id = world.org.org().ids("Account", 6, 1)[0].to_string();
    flags::set(&world.engine, FlagName::EventConsumer, false).await.unwrap();
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "Waiting" })).unwrap();
    world
        .until_true("the event is stored", async || {
            world.number("select count(*) from shadow_sync.change_log").await == 1
        })
        .await;
    let status = engine::api::status::status(&world.engine).await;
    let stream = status.stream.unwrap();
    assert_eq!((stream.state, stream.backlog_events), (StreamState::Live, 1));
    assert_ne!(
        world.value(ACCOUNTS, "account_id", &id, "internet_eligibility").await.as_deref(),
        Some("Waiting")
    );
    flags::set(&world.engine, FlagName::EventConsumer, true).await.unwrap();
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("Waiting")).await;
}

#[sqlx::test(migrations = false)]
async fn what_was_done_with_an_event_can_be_looked_at(pool: PgPool) {
    let world = World::live(pool).await;
    world.age_reads().await;
    let id = world.org.org().ids("Account", 8, 1)[0].to_string();
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "Seen" })).unwrap();
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("Seen")).await;
    let found =
        events::list(&world.engine, EventFilter { record: Some(id.clone()), ..EventFilter::default() })
            .await
            .unwrap();
    assert_eq!(found.events.len(), 1, "{found:?}");
    assert_eq!(found.events[0].outcome, Some(EventOutcome::Applied));
    let event = events::get(&world.engine, found.events[0].position).await.unwrap();
    let field = event.fields.iter().find(|field| field.field == "Internet_Eligibility__c").unwrap();
    assert_eq!((field.after.as_deref(), field.is_mapped), (Some("Seen"), true), "{event:?}");
    assert_eq!(event.steps.len(), 4, "{event:?}");
    assert!(event.payload.contains("Seen"), "{event:?}");
}
