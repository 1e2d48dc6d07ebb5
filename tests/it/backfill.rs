//! Loads from the first to the second: everything is accounted for, nothing is written twice, what went is removed.

use engine::api::backfills::{self, BackfillMode, JobState};
use engine::api::catch_up;
use serde_json::json;
use sqlx::PgPool;

use crate::world::{World, names};

const ALL: &[&str] = &["Product2", "PricebookEntry", "Account"];

#[sqlx::test(migrations = false)]
async fn after_a_backfill_every_record_is_accounted_for(pool: PgPool) {
    let world = World::start(pool).await;
    let jobs = world.backfill(ALL).await;
    assert!(jobs.iter().all(|job| job.state == JobState::Done), "{jobs:?}");
    let prices = jobs.iter().find(|job| job.object == "PricebookEntry").unwrap();
    assert_eq!(prices.done, 300);
    assert!(prices.rows.rejected > 0, "the org has prices that cannot be stored: {prices:?}");
    world.assert_explained().await;
    let ready = world.number("select count(*) from shadow_sync.objects where ready_at is not null").await;
    assert_eq!(ready, 3);
}

#[sqlx::test(migrations = false)]
async fn a_second_backfill_of_an_unchanged_org_writes_no_row(pool: PgPool) {
    let world = World::start(pool).await;
    world.backfill(ALL).await;
    // A row's xmin changes with every version of it.
    let versions = "select coalesce(sum(xmin::text::bigint), 0)::bigint from sf_pricebook_shadow";
    let (before, orders) =
        (world.number(versions).await, world.number("select count(*) from shadow_sync.invalidations").await);
    for mode in [BackfillMode::Auto, BackfillMode::Restart] {
        let jobs = world.backfill_as(ALL, mode).await;
        assert!(jobs.iter().all(|job| job.rows.new == 0 && job.rows.newer == 0), "{mode:?}: {jobs:?}");
    }
    assert_eq!(world.number(versions).await, before);
    assert_eq!(world.number("select count(*) from shadow_sync.invalidations").await, orders);
}

#[sqlx::test(migrations = false)]
async fn a_changed_record_is_the_only_one_fetched(pool: PgPool) {
    let world = World::start(pool).await;
    world.backfill(ALL).await;
    // Rows read within minutes of their stamp may be read again; make this load an old one.
    sqlx::query("update sf_account_eligibility_shadow set read_end = read_end + interval '1 day'")
        .execute(&world.pool)
        .await
        .unwrap();
    let id = world.org.org().ids("Account", 7, 1)[0].to_string();
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "Fibre 10G" })).unwrap();
    let jobs = world.backfill(&["Account"]).await;
    assert_eq!((jobs[0].rows.newer, jobs[0].rows.equal), (1, 39), "{jobs:?}");
    let now = world.value("sf_account_eligibility_shadow", "account_id", &id, "internet_eligibility").await;
    assert_eq!(now.as_deref(), Some("Fibre 10G"));
}

#[sqlx::test(migrations = false)]
async fn a_record_deleted_in_salesforce_leaves_the_shadow_with_a_tombstone(pool: PgPool) {
    let world = World::start(pool).await;
    world.backfill(ALL).await;
    let id = world.org.org().ids("Account", 3, 1)[0].to_string();
    world.org.org().delete("Account", &id).unwrap();
    let jobs = world.backfill(&["Account"]).await;
    assert_eq!(jobs[0].rows.removed, 1, "{jobs:?}");
    assert_eq!(world.value("sf_account_eligibility_shadow", "account_id", &id, "account_id").await, None);
    assert_eq!(world.number("select count(*) from shadow_sync.tombstones where object = 'Account'").await, 1);
    world.assert_explained().await;

    world.org.org().undelete("Account", &id).unwrap();
    world.backfill(&["Account"]).await;
    assert!(world.value("sf_account_eligibility_shadow", "account_id", &id, "account_id").await.is_some());
    world.assert_explained().await;
}

#[sqlx::test(migrations = false)]
async fn many_removals_wait_for_a_person(pool: PgPool) {
    let world = World::with(pool, simulator::Options { accounts: 200, ..crate::world::small() }).await;
    world.backfill(ALL).await;
    for id in world.org.org().ids("Account", 0, 120) {
        world.org.org().delete("Account", &id.to_string()).unwrap();
    }
    let jobs = world.backfill(&["Account"]).await;
    assert_eq!((jobs[0].rows.removed, jobs[0].removals_waiting), (0, 120), "{jobs:?}");
    assert_eq!(world.number("select count(*) from sf_account_eligibility_shadow").await, 200);

    backfills::consent_removals(&world.engine, &jobs[0].id).await.unwrap();
    assert_eq!(world.number("select count(*) from sf_account_eligibility_shadow").await, 80);
    world.assert_explained().await;
}

#[sqlx::test(migrations = false)]
async fn a_load_with_a_condition_makes_nothing_ready_and_removes_nothing(pool: PgPool) {
    let world = World::start(pool).await;
    let id = world.org.org().ids("Account", 0, 1)[0].to_string();
    let condition = Some(format!("Id = '{id}'"));
    let started =
        backfills::start_where(&world.engine, vec!["Account".to_owned()], BackfillMode::Auto, condition)
            .await;
    let jobs = world.until_ended(&started.unwrap()).await;
    assert_eq!((jobs[0].state, jobs[0].rows.new), (JobState::Done, 1), "{jobs:?}");
    let ready = world.number("select count(*) from shadow_sync.objects where ready_at is not null").await;
    assert_eq!(ready, 0);
}

#[sqlx::test(migrations = false)]
async fn another_org_is_refused_before_a_byte_is_written(pool: PgPool) {
    let mut world = World::start(pool).await;
    world.backfill(ALL).await;
    let rows = world.number("select count(*) from sf_product_shadow").await;
    let other =
        simulator::Simulator::start(simulator::Options { seed: 9, products: 5, ..crate::world::small() })
            .await
            .unwrap();
    assert_ne!(other.org().id(), world.org.org().id());
    let text = std::fs::read_to_string(world.config()).unwrap();
    let text = text.replace(world.org.base_url().as_str(), other.base_url().as_str());
    std::fs::write(world.config(), text).unwrap();
    world.restart().await;
    let jobs = world.number("select count(*) from shadow_sync.jobs").await;
    let counts = world.number("select count(*) from shadow_sync.counts").await;
    let load = backfills::start(&world.engine, names(&["Product2"]), BackfillMode::Auto).await;
    assert_eq!(load.unwrap_err().code, "SS-1304");
    let caught_up = catch_up::start(&world.engine, names(&["Product2"]), None).await;
    assert_eq!(caught_up.unwrap_err().code, "SS-1304");
    let counted = engine::api::counts::count(&world.engine, names(&["Product2"])).await;
    assert_eq!(counted.unwrap_err().code, "SS-1304");
    assert_eq!(
        world.number("select count(*) from shadow_sync.jobs").await,
        jobs,
        "nothing is left to resume"
    );
    assert_eq!(world.number("select count(*) from shadow_sync.counts").await, counts);
    assert_eq!(world.number("select count(*) from sf_product_shadow").await, rows);
    assert_eq!(other.org().requests("/jobs/query"), 0, "nothing was asked of the other org's records");
}

#[sqlx::test(migrations = false)]
async fn a_database_that_no_demo_made_takes_no_demo_records(pool: PgPool) {
    let world = World::start(pool).await;
    sqlx::query("delete from shadow_sync.settings where name = 'is-for-demos'")
        .execute(&world.pool)
        .await
        .unwrap();
    let load = backfills::start(&world.engine, names(&["Account"]), BackfillMode::Auto).await;
    assert_eq!(load.unwrap_err().code, "SS-1303");
    assert_eq!(world.number("select count(*) from sf_account_eligibility_shadow").await, 0);
}
