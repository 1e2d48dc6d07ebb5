//! `kill -9` at every step of the deletion of cache keys: no key of a changed row outlives it.
//!
//! The daemon runs as a process of its own and ends itself at a failpoint, as if it was killed there; the next one
//! finds what was ordered. `SHADOW_SYNC_KILL_TIMES` kills at the first so many times each point is reached.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::PgPool;
use store::failpoint::FLUSH_POINTS;

use crate::cli::command;
use crate::redis::{Redis, configure, until_flushed};
use crate::world::World;

fn daemon(world: &World, failpoint: Option<String>) -> Child {
    let mut command = command(world);
    command.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(failpoint) = failpoint {
        command.env("SHADOW_SYNC_FAILPOINT", failpoint);
    }
    command.spawn().expect("it runs")
}

/// Whether the templates of accounts are declared complete: then only named keys are deleted, and no pattern makes up for
/// one that was forgotten.
fn declare(world: &World, is_complete: bool) {
    let mut command = command(world);
    command.args(["cache", "declare", "Account", "--yes"]);
    if !is_complete {
        command.arg("--incomplete");
    }
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn end(mut daemon: Child) {
    let _ = daemon.kill();
    let _ = daemon.wait();
}

/// Whether it ended by itself in time.
async fn ends(daemon: &mut Child) -> bool {
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        if daemon.try_wait().expect("a process").is_some() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[sqlx::test(migrations = false)]
async fn a_daemon_killed_at_any_step_of_a_deletion_leaves_no_stale_key(pool: PgPool) {
    let times: u32 =
        std::env::var("SHADOW_SYNC_KILL_TIMES").map_or(1, |times| times.parse().expect("a number"));
    let world = World::start(pool).await;
    world.backfill(&["Product2", "PricebookEntry", "Account"]).await;
    world.engine.shutdown().await;
    let redis = Redis::start().await;
    configure(&world, &redis);
    let first = daemon(&world, None);
    world.until_streaming().await;
    until_flushed(&world).await;
    end(first);
    let accounts = world.org.org().ids("Account", 0, 40);
    let mut quiet = Vec::new();
    // The last step of all is the commit of the change itself: its order is there, whoever dies right behind it.
    let points = FLUSH_POINTS.iter().chain(&["apply.committed"]);
    for (round, point) in points.enumerate() {
        let by_name = !point.starts_with("patterns");
        declare(&world, by_name);
        for time in 1..=times {
            let id = accounts[round].to_string();
            let key = format!("eligibility:{id}");
            world.age_reads().await;
            let mut dying = daemon(&world, Some(format!("{point}={time}")));
            world.until_streaming().await;
            redis.fill(&[&key, "eligibility:list", "session:1"]).await;
            for change in 1..=time {
                let fields = json!({ "Internet_Eligibility__c": format!("{round}-{change}") });
                world.org.org().update("Account", &id, &fields).unwrap();
            }
            if !ends(&mut dying).await {
                quiet.push(format!("{point}={time}"));
            }
            end(dying);
            // A reader that read the row before the change sets it between the two lives.
            redis.fill(&[&key]).await;
            let next = daemon(&world, None);
            world
                .until_true("the change arrived", async || {
                    let wanted = format!("{round}-{time}");
                    let table = "sf_account_eligibility_shadow";
                    world.value(table, "account_id", &id, "internet_eligibility").await == Some(wanted)
                })
                .await;
            until_flushed(&world).await;
            end(next);
            let others: &[&str] = if by_name { &["eligibility:list", "session:1"] } else { &["session:1"] };
            assert_eq!(redis.keys().await, others, "unflushed after {point}={time}");
        }
    }
    println!("not reached: {quiet:?}");
    assert!(quiet.is_empty() || times > 1, "not reached: {quiet:?}");
}
