//! The database's server changes under a running process, or between two runs: nothing of before is believed.

use engine::HostName;
use engine::api::backfills::{self, BackfillMode, JobState};
use engine::api::{audit, status};
use serde_json::json;
use simulator::{Fault, Options};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgPool};

use crate::world::{World, names, small};

const ACCOUNTS: &str = "sf_account_eligibility_shadow";
const SET_BACK: &str = "update shadow_sync.log_head set position = 1";

/// A loaded table whose rows were told of by events, so that they stand high on the number line.
async fn told(pool: PgPool) -> (World, String) {
    let world = World::live(pool).await;
    world.age_reads().await;
    let id = world.org.org().ids("Account", 7, 1)[0].to_string();
    for speed in ["One", "Two", "Three"] {
        world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": speed })).unwrap();
        world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some(speed)).await;
    }
    world.until_settled().await;
    until_seen(&world, 3).await;
    (world, id)
}

/// Waits until the process knows how far the log is.
async fn until_seen(world: &World, position: i64) {
    let file = world.folder.path().join("servers/demo.json");
    world
        .until_true("the end of the log is known", async || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            serde_json::from_str::<serde_json::Value>(&text)
                .is_ok_and(|seen| seen["log_position"] == position)
        })
        .await;
}

async fn run(world: &World, sql: &'static str) {
    sqlx::query(sql).execute(&world.pool).await.unwrap();
}

async fn changes_said(world: &World) -> Vec<String> {
    let acts = audit::list(&world.engine, 100).await.unwrap();
    acts.into_iter().filter(|act| act.act == "database.change").map(|act| act.sentence).collect()
}

#[sqlx::test(migrations = false)]
async fn a_log_that_was_set_back_ends_the_term_and_opens_holes(pool: PgPool) {
    let (world, id) = told(pool).await;
    let terms = "select count(distinct token) from shadow_sync.leases where name = 'stream'";
    assert_eq!(world.number(terms).await, 1);
    let token: String =
        sqlx::query_scalar("select token::text from shadow_sync.leases where name = 'stream'")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    run(&world, SET_BACK).await;
    world
        .until_true("the holes of the set-back are closed", async || {
            world
                .number(
                    "select count(*) from shadow_sync.holes where why = 'set-back' and closed_at is not null",
                )
                .await
                == 3
        })
        .await;
    world
        .until_true("another term began", async || {
            let now: Option<String> =
                sqlx::query_scalar("select token::text from shadow_sync.leases where name = 'stream'")
                    .fetch_optional(&world.pool)
                    .await
                    .unwrap();
            now.is_some_and(|now| now != token)
        })
        .await;
    let said = changes_said(&world).await;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("set back"), "{said:?}");
    world.age_reads().await;
    // Without a leap of the number line this event would lie below the row's own position.
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "Four" })).unwrap();
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("Four")).await;
    world.assert_same().await;
    let status = status::status(&world.engine).await;
    assert!(status.problems.iter().all(|problem| problem.code != "SS-3014"), "{:?}", status.problems);
}

#[sqlx::test(migrations = false)]
async fn a_backup_restored_between_two_runs_is_noticed_by_the_next(pool: PgPool) {
    let (mut world, id) = told(pool).await;
    world.engine.shutdown().await;
    run(&world, SET_BACK).await;
    // What neither the restored state nor the stream knows of.
    world.lose_events(1);
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "Silent" })).unwrap();
    world.restart().await;
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("Silent")).await;
    world.until_settled().await;
    assert_eq!(changes_said(&world).await.len(), 1);
    world.assert_same().await;
    // It is said once.
    world.restart().await;
    assert_eq!(changes_said(&world).await.len(), 1);
}

#[sqlx::test(migrations = false)]
async fn a_set_back_database_is_a_problem_until_it_is_caught_up(pool: PgPool) {
    let (mut world, _) = told(pool).await;
    world.engine.shutdown().await;
    run(&world, SET_BACK).await;
    // A command closes no holes.
    world.restart_as(HostName::CommandLine).await;
    let status = status::status(&world.engine).await;
    assert!(status.problems.iter().any(|problem| problem.code == "SS-3014"), "{:?}", status.problems);
}

#[sqlx::test(migrations = false)]
async fn a_load_in_flight_goes_on_from_what_the_server_has_of_it(pool: PgPool) {
    let world = World::streaming(pool, Options { accounts: 1_500, ..small() }).await;
    for n in 0..3 {
        world.org.org().insert("Account", &json!({ "Name": format!("New {n}") })).unwrap();
    }
    until_seen(&world, 3).await;
    world.org.org().inject("*/results*", Fault::Slow { delay_ms: 300 }, 10_000);
    let ids = backfills::start(&world.engine, names(&["Account"]), BackfillMode::Auto).await.unwrap();
    world.until(|jobs| jobs.iter().find(|job| job.id == ids[0] && job.done >= 200).map(|_| ())).await;
    run(&world, SET_BACK).await;
    world
        .until_true("the change of server is noticed", async || !changes_said(&world).await.is_empty())
        .await;
    world
        .until(|jobs| jobs.iter().find(|job| job.id == ids[0] && job.state == JobState::Done).map(|_| ()))
        .await;
    world.until_settled().await;
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn another_database_is_told_from_the_one_before(pool: PgPool) {
    let (mut world, id) = told(pool).await;
    world.engine.shutdown().await;
    let options = (*world.pool.connect_options()).clone();
    let before = options.get_database().unwrap().to_owned();
    // A name has 63 letters at most.
    let copy = format!("copy_{}", before.chars().skip(12).take(40).collect::<String>());
    world.pool.close().await;
    let server = PgPoolOptions::new().connect_with(options.clone().database("postgres")).await.unwrap();
    let create = format!("create database \"{copy}\" template \"{before}\"");
    sqlx::query(AssertSqlSafe(create)).execute(&server).await.unwrap();
    let text = std::fs::read_to_string(world.config()).unwrap();
    let there = options.clone().database(&copy);
    let moved = text.replace(options.to_url_lossy().as_str(), there.to_url_lossy().as_str());
    assert_ne!(moved, text);
    std::fs::write(world.config(), moved).unwrap();
    world.pool = PgPoolOptions::new().connect_with(there).await.unwrap();
    world.restart().await;
    let said = changes_said(&world).await;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("another server"), "{said:?}");
    assert_eq!(world.number("select count(*) from shadow_sync.holes where why = 'set-back'").await, 0);
    world.age_reads().await;
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "There" })).unwrap();
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("There")).await;
    world.engine.shutdown().await;
    world.pool.close().await;
    let drop = format!("drop database \"{copy}\" with (force)");
    sqlx::query(AssertSqlSafe(drop)).execute(&server).await.unwrap();
}
