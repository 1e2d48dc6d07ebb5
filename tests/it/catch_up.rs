//! The catch-up finds what events missed: by its window what changed, by its id comparison what is gone.

use engine::api::backfills::{JobKind, JobState};
use engine::api::catch_up::{self, ScheduleKind};
use serde_json::json;
use simulator::Options;
use sqlx::PgPool;

use crate::world::{World, names, small};

const ACCOUNTS: &str = "sf_account_eligibility_shadow";

#[sqlx::test(migrations = false)]
async fn a_change_without_an_event_is_found(pool: PgPool) {
    let world = World::live(pool).await;
    let org = world.org.org();
    let (changed, gone) = (org.ids("Account", 1, 1)[0].to_string(), org.ids("Account", 2, 1)[0].to_string());
    world.lose_events(1);
    org.update("Account", &changed, &json!({ "Internet_Eligibility__c": "Silent" })).unwrap();
    org.purge("Account", &gone).unwrap();
    let ids = catch_up::start(&world.engine, names(&["Account"]), None).await.unwrap();
    let jobs = world.until_ended(&ids).await;
    assert_eq!((jobs[0].state, jobs[0].kind), (JobState::Done, JobKind::CatchUp), "{jobs:?}");
    assert_eq!((jobs[0].rows.newer, jobs[0].rows.removed), (1, 1), "{jobs:?}");
    let now = world.value(ACCOUNTS, "account_id", &changed, "internet_eligibility").await;
    assert_eq!(now.as_deref(), Some("Silent"));
    assert_eq!(world.value(ACCOUNTS, "account_id", &gone, "account_id").await, None);
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn a_deleted_record_in_the_bin_leaves_a_proven_tombstone_known_or_not(pool: PgPool) {
    let world = World::live(pool).await;
    let org = world.org.org();
    // Its creation and its deletion were both missed.
    let never_seen = {
        world.lose_events(2);
        let id = org.insert("Account", &json!({ "Name": "Never seen" })).unwrap().to_string();
        org.delete("Account", &id).unwrap();
        id
    };
    let ids = catch_up::start(&world.engine, names(&["Account"]), None).await.unwrap();
    world.until_ended(&ids).await;
    let tombstones: i64 = sqlx::query_scalar(
        "select count(*) from shadow_sync.tombstones where record_id = $1 and not presumed",
    )
    .bind(&never_seen)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(tombstones, 1);
}

#[sqlx::test(migrations = false)]
async fn the_watermark_moves_with_the_last_page_and_no_further_than_the_books(pool: PgPool) {
    let world = World::live(pool).await;
    let org = world.org.org();
    // A transaction that has run for a while: what it changes is stamped before it can be seen.
    let id = org.ids("Account", 3, 1)[0].to_string();
    let mut late = org.begin_transaction();
    late.update("Account", &id, &json!({ "Internet_Eligibility__c": "Late" })).unwrap();
    let began = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
    let ids = catch_up::start(&world.engine, names(&["Account"]), None).await.unwrap();
    world.until_ended(&ids).await;
    let watermark: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("select watermark from shadow_sync.objects where object = 'Account'")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert!(
        watermark <= began + chrono::TimeDelta::seconds(1),
        "{watermark} is behind the open transaction's start, {began}"
    );
    late.commit().unwrap();
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("Late")).await;
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn a_window_of_many_records_is_read_by_a_bulk_job(pool: PgPool) {
    let options = Options { accounts: 20_500, bulk_page_cap: Some(5_000), ..small() };
    let world = World::live_with(pool, options).await;
    let since = "2000-01-01T00:00:00Z".parse().unwrap();
    let ids = catch_up::start(&world.engine, names(&["Account"]), Some(since)).await.unwrap();
    let jobs = world.until_ended(&ids).await;
    assert_eq!(jobs[0].state, JobState::Done, "{jobs:?}");
    assert!(jobs[0].bulk_job_id.is_some());
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn what_is_due_by_the_clock_runs_and_says_when_it_runs_next(pool: PgPool) {
    let mut world = World::live(pool).await;
    let before = catch_up::schedules(&world.engine).await.unwrap();
    let nightly = before.iter().find(|schedule| schedule.kind == ScheduleKind::CatchUp).unwrap();
    let next = nightly.next_at.expect("a next run");
    assert_eq!((nightly.cron.as_str(), nightly.time_zone.as_str()), ("30 2 * * *", "UTC"));
    let id = world.org.org().ids("Account", 1, 1)[0].to_string();
    world.lose_events(1);
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "Tonight" })).unwrap();
    // The machine was off at that hour: it is made up for.
    world.engine.shutdown().await;
    sqlx::query(
        "update shadow_sync.schedules set next_run = now() - interval '1 hour', last_run = now() - interval '25 hours'
          where name = 'catch-up'",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    world.restart().await;
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("Tonight")).await;
    let after = catch_up::schedules(&world.engine).await.unwrap();
    let nightly = after.iter().find(|schedule| schedule.kind == ScheduleKind::CatchUp).unwrap();
    assert!(nightly.last_at.is_some() && nightly.next_at >= Some(next), "{nightly:?}");
}

#[sqlx::test(migrations = false)]
async fn many_removals_without_proof_wait_for_a_person(pool: PgPool) {
    let world = World::live_with(pool, Options { accounts: 200, ..small() }).await;
    for id in world.org.org().ids("Account", 0, 120) {
        world.org.org().purge("Account", &id.to_string()).unwrap();
    }
    let ids = catch_up::start(&world.engine, names(&["Account"]), None).await.unwrap();
    let jobs = world.until_ended(&ids).await;
    assert_eq!((jobs[0].rows.removed, jobs[0].removals_waiting), (0, 120), "{jobs:?}");
    assert_eq!(world.number("select count(*) from sf_account_eligibility_shadow").await, 200);
    engine::api::backfills::consent_removals(&world.engine, &jobs[0].id).await.unwrap();
    assert_eq!(world.number("select count(*) from sf_account_eligibility_shadow").await, 80);
}

#[sqlx::test(migrations = false)]
async fn an_object_that_was_never_loaded_is_not_caught_up(pool: PgPool) {
    let world = World::start(pool).await;
    let refused = catch_up::start(&world.engine, Vec::new(), None).await.unwrap_err();
    assert_eq!(refused.code, "SS-4007");
}
