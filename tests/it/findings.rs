//! Things that a stranger would stumble over: what fails leaves nothing behind, what is shown is so, wrong names are refused.

use engine::HostName;
use engine::api::backfills::{self, BackfillMode, JobState};
use engine::api::events::{self, EventFilter, EventOutcome};
use engine::api::objects;
use engine::api::status::{ObjectHealth, status};
use serde_json::json;
use simulator::{Disturbance, EventFault};
use sqlx::PgPool;

use crate::cli::{program, run};
use crate::world::{World, names};

/// What a command said on standard error.
fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[sqlx::test(migrations = false)]
async fn a_wrong_name_or_id_is_wrong_usage_and_its_control_characters_are_spelled_out(pool: PgPool) {
    let world = World::start(pool).await;
    for arguments in [
        &["jobs", "cancel", "9999"][..],
        &["jobs", "cancel", "x\u{1b}[2J"],
        &["jobs", "consent", "9999"],
        &["backfill", "Foo\u{1b}[2J"],
        &["record", "Account", ""],
        &["record", "Account", "nothing\u{7}"],
        &["dead-letters", "retry", "12345"],
        &["dead-letters", "retry", "x"],
        &["dead-letters", "discard", "99", "--yes"],
    ] {
        let output = run(&world, arguments).await;
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(!said.contains(['\u{1b}', '\u{7}']), "{arguments:?}: {said:?}");
        assert!(said.starts_with("error: "), "{arguments:?}: {said}");
    }
}

#[sqlx::test(migrations = false)]
async fn a_mistyped_condition_is_not_the_objects_fault(pool: PgPool) {
    let world = World::start(pool).await;
    world.backfill(&["Product2", "PricebookEntry", "Account"]).await;
    let condition = Some("Nmae = 'x'".to_owned());
    let ids = backfills::start_where(&world.engine, names(&["Account"]), BackfillMode::Auto, condition)
        .await
        .unwrap();
    let jobs = world.until_ended(&ids).await;
    assert_eq!(jobs[0].state, JobState::Failed, "{jobs:?}");
    let status = status(&world.engine).await;
    let account = status.objects.iter().find(|object| object.object == "Account").unwrap();
    assert_eq!((account.health, &account.problem), (ObjectHealth::CountsAgree, &None));
    assert!(status.problems.is_empty(), "{:?}", status.problems);
    let state = "select count(*) from shadow_sync.objects where state = 'failed'";
    assert_eq!(world.number(state).await, 0);
}

#[sqlx::test(migrations = false)]
async fn one_paused_object_is_not_all_of_sync(pool: PgPool) {
    let world = World::live(pool).await;
    objects::pause(&world.engine, names(&["Product2"])).await.unwrap();
    world
        .until_true("its channel is paused", async || {
            world.number("select count(*) from shadow_sync.checkpoints where state = 'paused'").await == 1
        })
        .await;
    let status = status(&world.engine).await;
    assert!(status.statement.contains("Product2 is paused"), "{}", status.statement);
    let stream = status.stream.unwrap();
    assert_eq!(stream.state, engine::api::stream::StreamState::Live, "{stream:?}");
    objects::pause(&world.engine, Vec::new()).await.unwrap();
    world
        .until_true("everything is paused", async || {
            let status = engine::api::status::status(&world.engine).await;
            status.statement == "Sync is paused."
        })
        .await;
}

#[sqlx::test(migrations = false)]
async fn a_job_whose_process_is_gone_is_interrupted_everywhere(pool: PgPool) {
    let world = World::start(pool).await;
    let product = shadow::ObjectName::product();
    let account = shadow::ObjectName::account();
    let store = store::Store::on_pool(world.pool.clone()).await.unwrap();
    let new = |object| store::jobs::NewJob { object, condition: None, started_by: "somebody" };
    // As a process leaves them that is killed: one that ran, and one that waited behind it.
    store::jobs::create(&store, new(&product)).await.unwrap();
    store::jobs::create(&store, new(&account)).await.unwrap();
    let running =
        "update shadow_sync.jobs set state = 'running', started_at = now() where object = 'Product2'";
    sqlx::query(running).execute(&world.pool).await.unwrap();
    let jobs = backfills::jobs(&world.engine).await.unwrap();
    assert!(jobs.iter().all(|job| job.state == JobState::Interrupted), "{jobs:?}");
    let status = status(&world.engine).await;
    for name in ["Product2", "Account"] {
        let object = status.objects.iter().find(|object| object.object == name).unwrap();
        assert_eq!(object.health, ObjectHealth::Interrupted, "{name}");
    }
    assert!(status.statement.contains("was interrupted"), "{}", status.statement);
}

#[sqlx::test(migrations = false)]
async fn our_calls_are_never_more_than_everybodys(pool: PgPool) {
    let world = World::start(pool).await;
    world.backfill(&["Product2"]).await;
    let status = status(&world.engine).await;
    let (quota, usage) = (status.quota.unwrap(), status.api_usage.unwrap());
    assert!(quota.ours > 0 && quota.ours <= quota.used, "{quota:?}");
    assert_eq!((usage.ours, usage.used, usage.max), (quota.ours, quota.used, quota.max));
    let output = run(&world, &["status", "--json"]).await;
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["apiUsage"]["ours"], json["quota"]["ours"]);
}

#[sqlx::test(migrations = false)]
async fn a_dead_letter_that_was_healed_says_so(pool: PgPool) {
    let world = World::live(pool).await;
    world.age_reads().await;
    let id = world.org.org().ids("Account", 3, 1)[0].to_string();
    let poison = Disturbance::NextEvents { object: None, fault: EventFault::CorruptBody, times: Some(1) };
    world.org.org().disturb(&poison).unwrap();
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "Poison" })).unwrap();
    let healed = "select count(*) from shadow_sync.dead_letters where closed_at is not null";
    world.until_true("its record was fetched", async || world.number(healed).await == 1).await;
    let filter = EventFilter { record: Some(id.clone()), ..EventFilter::default() };
    let found = events::list(&world.engine, filter).await.unwrap();
    assert_eq!(found.events[0].outcome, Some(EventOutcome::DeadLetter), "{found:?}");
    assert!(found.events[0].why.as_ref().unwrap().contains("was fetched whole instead"), "{found:?}");
}

#[sqlx::test(migrations = false)]
async fn another_orgs_configuration_replays_nothing(pool: PgPool) {
    let mut world = World::live(pool).await;
    world.engine.shutdown().await;
    let other = "update shadow_sync.binding set org_id = '00D000000000002EAA', org_name = 'Another'";
    sqlx::query(other).execute(&world.pool).await.unwrap();
    world.restart_as(HostName::CommandLine).await;
    let refused = run(&world, &["replay", "--from", "earliest", "--dry-run"]).await;
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    assert!(said(&refused).contains("another org"), "{}", said(&refused));
    let plan = run(&world, &["rebind", "--dry-run"]).await;
    assert_eq!(plan.status.code(), Some(1), "{}", said(&plan));
    assert!(String::from_utf8_lossy(&plan.stdout).contains("does not look like a refreshed sandbox"));
}

#[tokio::test]
async fn a_failing_command_leaves_no_database_running() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("config.toml");
    let text =
        "[environments.demo]\nkind = \"demo\"\nlogin_url = \"http://localhost:1\"\ncurrency = \"EUR\"\n";
    std::fs::write(&config, text).unwrap();
    let data = folder.path().join("data");
    let mut command = std::process::Command::new(program());
    command.arg("--config").arg(&config).env("SHADOW_SYNC_DATA_DIR", &data).args(["jobs", "cancel", "9999"]);
    let output =
        tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("it ends");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let mut left = Vec::new();
    let mut folders = vec![data];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name() == "postmaster.pid" {
                left.push(entry.path());
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    assert!(left.is_empty(), "the server still runs: {left:?}");
}

#[sqlx::test(migrations = false)]
async fn active_records_come_first_where_that_is_configured(pool: PgPool) {
    let mut world = World::live(pool).await;
    let org = world.org.org();
    let ids = org.ids("Product2", 10, 2);
    let (older, newer) = (ids[0].to_string(), ids[1].to_string());
    let sku = world.sku(&older).await.unwrap();
    org.update("Product2", &older, &json!({ "IsActive": false })).unwrap();
    org.update("Product2", &newer, &json!({ "StockKeepingUnit": sku, "ProductCode": sku, "IsActive": true }))
        .unwrap();
    world.until_settled().await;
    assert_eq!(world.sku(&older).await.as_deref(), Some(sku.as_str()), "the older one holds it");
    world.engine.shutdown().await;
    let text = std::fs::read_to_string(world.config()).unwrap() + "active_first = true\n";
    std::fs::write(world.config(), text).unwrap();
    world.restart().await;
    world
        .until_true("the active one holds it", async || {
            world.sku(&newer).await.as_deref() == Some(sku.as_str()) && world.sku(&older).await.is_none()
        })
        .await;
}
