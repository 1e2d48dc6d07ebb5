//! The business's API quota is not ours: background work stops in time, a person may go on, every call is counted.

use engine::api::quota::{self, BackgroundWork};
use engine::api::{backfills, catch_up};
use serde_json::json;
use simulator::{Disturbance, EventFault};
use sqlx::PgPool;

use crate::world::{World, names};

const ACCOUNTS: &str = "sf_account_eligibility_shadow";

#[sqlx::test(migrations = false)]
async fn background_work_waits_while_the_org_is_short_of_calls_and_a_person_goes_on(pool: PgPool) {
    let world = World::live(pool).await;
    world.age_reads().await;
    let org = world.org.org();
    let allowed = 100_000;
    org.set_api_requests(81_000, allowed);
    // Any answer tells.
    engine::api::counts::count(&world.engine, names(&["Account"])).await.unwrap();
    let view = quota::get(&world.engine).await.unwrap();
    assert_eq!(
        view.stopped,
        [BackgroundWork::Verification, BackgroundWork::Polling, BackgroundWork::Healing],
        "{view:?}"
    );
    // An event that says nothing makes its record dirty; it is not fetched now.
    let id = org.ids("Account", 1, 1)[0].to_string();
    let fetches = org.requests("*/composite/sobjects/*");
    let gap = Disturbance::NextEvents { object: None, fault: EventFault::Gap, times: Some(1) };
    org.disturb(&gap).unwrap();
    org.update("Account", &id, &json!({ "Internet_Eligibility__c": "Waits" })).unwrap();
    world
        .until_true("it is dirty", async || world.number("select count(*) from shadow_sync.dirty").await == 1)
        .await;
    // Events cost no call: they go on.
    let other = org.ids("Account", 2, 1)[0].to_string();
    org.update("Account", &other, &json!({ "Internet_Eligibility__c": "Streams" })).unwrap();
    world.until_value(ACCOUNTS, "account_id", &other, "internet_eligibility", Some("Streams")).await;
    assert_eq!(org.requests("*/composite/sobjects/*"), fetches);
    // A person's act says its cost and goes on.
    let ids = catch_up::start(&world.engine, names(&["Account"]), None).await.unwrap();
    let jobs = world.until_ended(&ids).await;
    assert_eq!(jobs[0].state, backfills::JobState::Done, "{jobs:?}");

    org.set_api_requests(10_000, allowed);
    engine::api::counts::count(&world.engine, names(&["Account"])).await.unwrap();
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("Waits")).await;
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn every_call_is_counted_by_its_purpose(pool: PgPool) {
    let mut world = World::live(pool).await;
    let before = world.org.org().api_requests_used();
    world.engine.shutdown().await;
    let used = world.org.org().api_requests_used();
    assert_eq!(used, before, "ending costs nothing");
    world.restart_as(engine::HostName::CommandLine).await;
    // The calls of the process that only signed in may not be written down yet; those of before are all there.
    let kept = world.number("select coalesce(sum(calls), 0)::bigint from shadow_sync.api_usage").await;
    let missing = i64::try_from(used).unwrap() - kept;
    assert!((-4..=4).contains(&missing), "{missing} of {used} calls were not written down");
    let view = quota::get(&world.engine).await.unwrap();
    let counted: u32 = view.purposes.iter().map(|purpose| purpose.calls).sum();
    assert_eq!(counted, view.ours, "{view:?}");
    assert!(u64::from(view.ours) >= used && view.used >= view.ours, "{used} calls were made: {view:?}");
    for purpose in ["backfill", "describe", "sign-in", "count"] {
        assert!(view.purposes.iter().any(|use_| use_.purpose == purpose), "{purpose} in {view:?}");
    }
}
