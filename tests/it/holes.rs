//! What could not be received is a recorded hole, kept until it is closed; and it closes by itself.

use engine::api::holes::{self, HoleView};
use serde_json::json;
use shadow::HoleWhy;
use simulator::{Disturbance, EventFault};
use sqlx::PgPool;

use crate::world::World;

const ACCOUNTS: &str = "sf_account_eligibility_shadow";

async fn holes_of(world: &World, why: HoleWhy) -> Vec<HoleView> {
    let all = holes::list(&world.engine, 100).await.unwrap();
    all.into_iter().filter(|hole| hole.why == why).collect()
}

/// Every hole of a kind was closed by a job.
async fn assert_closed(world: &World, why: HoleWhy, holes: usize) {
    let found = holes_of(world, why).await;
    assert_eq!(found.len(), holes, "{found:?}");
    assert!(found.iter().all(|hole| hole.closed_at.is_some() && hole.job_id.is_some()), "{found:?}");
}

#[sqlx::test(migrations = false)]
async fn a_position_that_expired_is_a_hole_that_closes_by_itself(pool: PgPool) {
    let mut world = World::live(pool).await;
    let org = world.org.org();
    let (changed, gone) = (org.ids("Account", 1, 1)[0].to_string(), org.ids("Account", 2, 1)[0].to_string());
    world.engine.shutdown().await;
    // Four days: the events of the change are no longer kept, and the saved position is refused.
    world.org.org().update("Account", &changed, &json!({ "Internet_Eligibility__c": "While away" })).unwrap();
    world.org.org().delete("Account", &gone).unwrap();
    world.org.org().disturb(&Disturbance::ExpireReplayIds).unwrap();
    world.restart().await;
    world.until_value(ACCOUNTS, "account_id", &changed, "internet_eligibility", Some("While away")).await;
    world.until_value(ACCOUNTS, "account_id", &gone, "account_id", None).await;
    world.assert_same().await;
    assert_closed(&world, HoleWhy::PositionLost, 3).await;
}

#[sqlx::test(migrations = false)]
async fn a_stop_within_three_days_needs_no_hole(pool: PgPool) {
    let mut world = World::live(pool).await;
    let id = world.org.org().ids("Account", 1, 1)[0].to_string();
    let before = world.number("select count(*) from shadow_sync.holes").await;
    world.engine.shutdown().await;
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "While away" })).unwrap();
    world.restart().await;
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("While away")).await;
    world.assert_same().await;
    assert_eq!(world.number("select count(*) from shadow_sync.holes").await, before);
}

#[sqlx::test(migrations = false)]
async fn an_event_whose_header_cannot_be_read_is_kept_and_its_change_is_caught_up(pool: PgPool) {
    let world = World::live(pool).await;
    let org = world.org.org();
    let id = org.ids("Account", 3, 1)[0].to_string();
    let corrupt = Disturbance::NextEvents { object: None, fault: EventFault::CorruptHeader, times: Some(1) };
    org.disturb(&corrupt).unwrap();
    org.update("Account", &id, &json!({ "Internet_Eligibility__c": "Corrupt" })).unwrap();
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("Corrupt")).await;
    world.until_settled().await;
    assert_closed(&world, HoleWhy::HeaderUnreadable, 1).await;
    let letters = engine::api::dead_letters::list(&world.engine, None, 0).await.unwrap();
    assert_eq!(letters.groups.len(), 1, "{letters:?}");
    assert_eq!(letters.groups[0].cause, "header-unreadable");
}

#[sqlx::test(migrations = false)]
async fn an_overflow_is_caught_up(pool: PgPool) {
    let world = World::live(pool).await;
    let org = world.org.org();
    let id = org.ids("Account", 4, 1)[0].to_string();
    world.lose_events(1);
    org.update("Account", &id, &json!({ "Internet_Eligibility__c": "Overflowed" })).unwrap();
    org.disturb(&Disturbance::Overflow { object: "Account".to_owned() }).unwrap();
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("Overflowed")).await;
    world.until_settled().await;
    assert_closed(&world, HoleWhy::Overflow, 1).await;
}

#[sqlx::test(migrations = false)]
async fn a_wildcard_is_closed_by_a_whole_load(pool: PgPool) {
    let world = World::live(pool).await;
    world.org.org().disturb(&Disturbance::Wildcard { object: "Account".to_owned() }).unwrap();
    world
        .until_true("the wildcard is a hole", async || !holes_of(&world, HoleWhy::Wildcard).await.is_empty())
        .await;
    world.until_settled().await;
    assert_closed(&world, HoleWhy::Wildcard, 1).await;
    let loads = "select count(*) from shadow_sync.jobs where object = 'Account' and kind = 'backfill'
                    and started_by = 'Shadow Sync' and not stamps_only";
    assert_eq!(world.number(loads).await, 1);
}

#[sqlx::test(migrations = false)]
async fn a_gap_event_is_fetched(pool: PgPool) {
    let world = World::live(pool).await;
    world.age_reads().await;
    let org = world.org.org();
    let id = org.ids("Account", 5, 1)[0].to_string();
    let gap = Disturbance::NextEvents { object: None, fault: EventFault::Gap, times: Some(1) };
    org.disturb(&gap).unwrap();
    org.update("Account", &id, &json!({ "Internet_Eligibility__c": "Gap" })).unwrap();
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("Gap")).await;
    let dirty = "select count(*) from shadow_sync.event_outcomes where outcome = 'dirty'";
    assert_eq!(world.number(dirty).await, 1);
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn an_org_that_moved_to_another_instance_is_followed(pool: PgPool) {
    let world = World::live(pool).await;
    let org = world.org.org();
    let id = org.ids("Account", 6, 1)[0].to_string();
    org.disturb(&Disturbance::Renumber).unwrap();
    org.update("Account", &id, &json!({ "Internet_Eligibility__c": "Moved" })).unwrap();
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("Moved")).await;
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn another_channel_is_a_hole_that_closes_by_itself(pool: PgPool) {
    let mut world = World::live(pool).await;
    let id = world.org.org().ids("Account", 7, 1)[0].to_string();
    world.lose_events(1);
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "Between" })).unwrap();
    world.use_channel("/data/ShadowSync__chn").await;
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("Between")).await;
    world.assert_same().await;
    assert_closed(&world, HoleWhy::ChannelChanged, 3).await;
}
