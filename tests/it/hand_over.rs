//! Hand-over between load and stream: what changes while a load runs ends right, whichever comes first.

use std::time::Duration;

use engine::HostName;
use engine::api::backfills::{self, BackfillMode, JobState};
use serde_json::json;
use simulator::{Fault, Options};
use sqlx::PgPool;

use crate::world::{World, names, small};

const ACCOUNTS: &str = "sf_account_eligibility_shadow";

/// A daemon that streams, and a load whose pages come slowly: begun, some of it merged.
async fn loading(pool: PgPool) -> (World, String) {
    let world = World::streaming(pool, Options { accounts: 1_500, ..small() }).await;
    world.org.org().inject("*/results*", Fault::Slow { delay_ms: 300 }, 10_000);
    let ids = backfills::start(&world.engine, names(&["Account"]), BackfillMode::Auto).await.unwrap();
    let id = ids[0].clone();
    world.until(|jobs| jobs.iter().find(|job| job.id == id && job.done >= 200).map(|_| ())).await;
    (world, id)
}

#[sqlx::test(migrations = false)]
async fn changes_during_a_load_end_right_on_both_sides_of_its_page(pool: PgPool) {
    let (world, id) = loading(pool).await;
    let org = world.org.org();
    let all = org.ids("Account", 0, 1_500);
    // Some are loaded already, some are not.
    for place in (0..1_500).step_by(97) {
        let id = all[place].to_string();
        match place % 3 {
            0 => org.update("Account", &id, &json!({ "Internet_Eligibility__c": "During" })).unwrap(),
            1 => org.delete("Account", &id).unwrap(),
            _ => {
                org.delete("Account", &id).unwrap();
                org.undelete("Account", &id).unwrap();
            }
        }
    }
    for n in 0..20 {
        org.insert("Account", &json!({ "Name": format!("New {n}"), "Internet_Eligibility__c": "New" }))
            .unwrap();
    }
    let jobs = world.until_ended(&[id]).await;
    assert_eq!(jobs[0].state, JobState::Done, "{jobs:?}");
    world.assert_same().await;
    let back = "select count(*) from shadow_sync.tombstones t
                  join sf_account_eligibility_shadow a on a.account_id = t.record_id";
    assert_eq!(world.number(back).await, 0, "no row came back beside its tombstone");
}

#[sqlx::test(migrations = false)]
async fn a_load_resumed_after_days_ends_right_with_what_came_meanwhile(pool: PgPool) {
    let (mut world, id) = loading(pool).await;
    backfills::pause(&world.engine, &id).await.unwrap();
    world.until_ended(std::slice::from_ref(&id)).await;
    let org = world.org.org();
    let all = org.ids("Account", 0, 1_500);
    for place in [3, 700, 1_499] {
        org.update("Account", &all[place].to_string(), &json!({ "Internet_Eligibility__c": "Meanwhile" }))
            .unwrap();
    }
    for place in [4, 701, 1_498] {
        org.delete("Account", &all[place].to_string()).unwrap();
    }
    // The events of it were received; then the process was away for longer than they are kept.
    world
        .until_true("the events are stored", async || {
            world.number("select count(*) from shadow_sync.change_log").await == 6
        })
        .await;
    world.engine.shutdown().await;
    world
        .org
        .org()
        .update("Account", &all[5].to_string(), &json!({ "Internet_Eligibility__c": "Away" }))
        .unwrap();
    world.org.org().disturb(&simulator::Disturbance::ExpireReplayIds).unwrap();
    world.org.org().withdraw_all();
    world.restart().await;
    backfills::resume(&world.engine, &id).await.unwrap();
    let jobs = world.until_ended(&[id]).await;
    assert_eq!(jobs[0].state, JobState::Done, "{jobs:?}");
    world
        .until_value(ACCOUNTS, "account_id", &all[5].to_string(), "internet_eligibility", Some("Away"))
        .await;
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn a_table_loaded_before_there_was_a_stream_is_caught_up_when_it_begins(pool: PgPool) {
    let mut world = World::start(pool).await;
    world.backfill(&["Product2", "PricebookEntry", "Account"]).await;
    let id = world.org.org().ids("Account", 9, 1)[0].to_string();
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "Before" })).unwrap();
    world.restart_as(HostName::Daemon).await;
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("Before")).await;
    world.until_settled().await;
    let closed =
        "select count(*) from shadow_sync.holes where why = 'first-position' and closed_at is not null";
    assert_eq!(world.number(closed).await, 3);
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn what_was_never_loaded_is_not_fetched_record_by_record(pool: PgPool) {
    let world = World::streaming(pool, small()).await;
    let calls = world.org.org().requests("*/composite/sobjects/*");
    for id in world.org.org().ids("Account", 0, 10) {
        world
            .org
            .org()
            .update("Account", &id.to_string(), &json!({ "Internet_Eligibility__c": "Early" }))
            .unwrap();
    }
    let unmapped = "select count(*) from shadow_sync.event_outcomes where outcome = 'unmapped'";
    world.until_true("the events are left out", async || world.number(unmapped).await == 10).await;
    assert_eq!(world.org.org().requests("*/composite/sobjects/*"), calls);
    world.backfill(&["Product2", "PricebookEntry", "Account"]).await;
    world.assert_same().await;
    tokio::time::timeout(Duration::from_secs(5), world.until_settled()).await.unwrap();
}
