//! `kill -9` at every durable step of a load: nothing is lost, nothing is set back, at most the pages in flight are
//! downloaded again.
//!
//! The command line runs as a process of its own and ends itself at a failpoint, as if it was killed there; then it
//! runs again to its end. `SHADOW_SYNC_KILL_TIMES` kills at the first so many times each point is reached.

use std::process::Stdio;
use std::time::{Duration, Instant};

use simulator::{Disturbance, EventFault, Options};
use sqlx::PgPool;
use store::failpoint::{LIVE_POINTS, POINTS};

use crate::cli::command;
use crate::world::{World, small};

/// Pages of the org's accounts.
const PAGES: u64 = 6;

async fn run_with(world: &World, failpoint: Option<String>) -> Option<i32> {
    load(world, &["Product2", "PricebookEntry", "Account"], failpoint).await
}

/// Loads objects in a process of its own; its exit code, none if it was killed.
async fn load(world: &World, objects: &[&str], failpoint: Option<String>) -> Option<i32> {
    let mut command = command(world);
    command.arg("backfill").args(objects);
    if let Some(failpoint) = failpoint {
        command.env("SHADOW_SYNC_FAILPOINT", failpoint);
    }
    let output =
        tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("it ends");
    if output.status.code().is_some_and(|code| code != 0) {
        println!("{}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.code()
}

#[sqlx::test(migrations = false)]
async fn a_load_killed_at_any_step_loses_nothing(pool: PgPool) {
    let times: u32 =
        std::env::var("SHADOW_SYNC_KILL_TIMES").map_or(1, |times| times.parse().expect("a number"));
    let options = Options { accounts: PAGES * 100, ..small() };
    let world = World::with(pool, options).await;
    world.engine.shutdown().await;
    let (mut killed, mut quiet) = (Vec::new(), Vec::new());
    for point in POINTS {
        for time in 1..=times {
            empty(&world).await;
            let before = world.org.org().requests("*/results*");
            let code = run_with(&world, Some(format!("{point}={time}"))).await;
            if code.is_some() {
                // It ended by itself: this load has no such step.
                quiet.push(format!("{point}={time}"));
                continue;
            }
            killed.push(*point);
            assert_eq!(run_with(&world, None).await, Some(0), "resuming after {point}={time}");
            assert_complete(&world, point).await;
            let downloads = world.org.org().requests("*/results*") - before;
            let needed = 1 + 3 + PAGES;
            assert!(downloads <= needed + 2, "{point}={time}: {downloads} downloads of {needed} pages");
        }
    }
    println!("killed at {killed:?}; not reached: {quiet:?}");
    for needed in ["bulk.recorded", "page.announced", "chunk.applied", "chunk.committed", "page.committed"] {
        assert!(killed.contains(&needed), "{needed} was never reached");
    }
}

#[sqlx::test(migrations = false)]
async fn a_load_killed_late_goes_on_at_the_page_where_it_was(pool: PgPool) {
    let world = World::with(pool, Options { accounts: PAGES * 100, ..small() }).await;
    world.engine.shutdown().await;
    for (point, merged) in [("page.committed=4", 4), ("chunk.applied=5", 4), ("page.announced=6", 4)] {
        empty(&world).await;
        let accounts = &["Account"];
        assert_eq!(load(&world, accounts, Some(point.to_owned())).await, None, "{point} kills it");
        let query = "select count(*) from shadow_sync.job_pages where merged_at is not null";
        assert!(world.number(query).await >= merged, "{point}");
        let left = PAGES - u64::try_from(world.number(query).await).unwrap();
        let before = world.org.org().requests("*/results*");
        assert_eq!(load(&world, accounts, None).await, Some(0), "resuming after {point}");
        let downloads = world.org.org().requests("*/results*") - before;
        assert_eq!(downloads, left, "{point}: pages that were merged are not downloaded again");
        let rows = world.number("select count(*) from sf_account_eligibility_shadow").await;
        assert_eq!(u64::try_from(rows).unwrap(), PAGES * 100, "{point}");
    }
}

/// Empties everything but the schema, so that every run is a first load.
async fn empty(world: &World) {
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', schemaname, tablename) from pg_tables
          where (schemaname = 'shadow_sync' and tablename not in ('migrations', 'settings', 'objects', 'log_head'))
             or tablename like 'sf\\_%\\_shadow'",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let truncate = format!("truncate {} cascade", tables.join(", "));
    sqlx::query(sqlx::AssertSqlSafe(truncate)).execute(&world.pool).await.unwrap();
    let objects = "update shadow_sync.objects
                      set state = 'pending', ready_at = null, loaded_at = null, loaded_shape = null";
    sqlx::query(objects).execute(&world.pool).await.unwrap();
}

/// Shadow and rejected together are the org, each record in one place only.
async fn assert_complete(world: &World, point: &str) {
    for (object, table, key) in [
        ("Product2", "sf_product_shadow", "product_id"),
        ("PricebookEntry", "sf_pricebook_shadow", "pricebook_entry_id"),
        ("Account", "sf_account_eligibility_shadow", "account_id"),
    ] {
        let query = format!(
            "select count(*)::bigint from (
                select {key} from {table} union select record_id from shadow_sync.rejects where object = '{object}'
             ) as known"
        );
        let known: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&world.pool).await.unwrap();
        let query = format!(
            "select (select count(*) from {table})
                  + (select count(*) from shadow_sync.rejects where object = '{object}')"
        );
        let places: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&world.pool).await.unwrap();
        let there = i64::try_from(world.org.org().count(object)).unwrap();
        assert_eq!((known, places), (there, there), "{object} after {point}");
    }
}

/// A daemon that ends itself at a point, as if it was killed there.
fn daemon(world: &World, failpoint: Option<String>) -> std::process::Child {
    let mut command = command(world);
    command.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(failpoint) = failpoint {
        command.env("SHADOW_SYNC_FAILPOINT", failpoint);
    }
    command.spawn().expect("it runs")
}

/// Changes of every kind, one that is lost without a trace but for a header that cannot be read.
fn disturb(world: &World, round: usize) {
    let org = world.org.org();
    let accounts = org.ids("Account", 0, 30);
    let value = |n: usize| serde_json::json!({ "Internet_Eligibility__c": format!("{round}-{n}") });
    for (n, id) in accounts.iter().enumerate().take(6) {
        org.update("Account", &id.to_string(), &value(n)).unwrap();
    }
    org.delete("Account", &accounts[10].to_string()).unwrap();
    org.insert("Account", &value(7)).unwrap();
    for fault in [EventFault::Gap, EventFault::CorruptHeader] {
        org.disturb(&Disturbance::NextEvents { object: None, fault, times: Some(1) }).unwrap();
        org.update("Account", &accounts[8].to_string(), &value(8)).unwrap();
    }
}

#[sqlx::test(migrations = false)]
async fn a_daemon_killed_at_any_step_loses_nothing_and_sets_nothing_back(pool: PgPool) {
    let world = World::start(pool).await;
    world.backfill(&["Product2", "PricebookEntry", "Account"]).await;
    world.engine.shutdown().await;
    let (mut killed, mut quiet) = (Vec::new(), Vec::new());
    let further = ["fetch.received", "fetch.committed", "ids.compared", "job.finishing", "job.ended"];
    for (round, point) in LIVE_POINTS.iter().chain(&further).enumerate() {
        let mut dying = daemon(&world, Some((*point).to_owned()));
        world.until_streaming().await;
        disturb(&world, round);
        let ends = Instant::now() + Duration::from_secs(25);
        let died = loop {
            if dying.try_wait().expect("a process").is_some() {
                break true;
            }
            if Instant::now() > ends {
                break false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let _ = dying.kill();
        let _ = dying.wait();
        if died { &mut killed } else { &mut quiet }.push(*point);
        let mut next = daemon(&world, None);
        world.assert_same().await;
        let _ = next.kill();
        let _ = next.wait();
    }
    println!("killed at {killed:?}; not reached: {quiet:?}");
    assert!(quiet.is_empty(), "not reached: {quiet:?}");
}
