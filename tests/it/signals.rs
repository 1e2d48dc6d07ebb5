//! The second signal ends the daemon at once, in the middle of what it does, and loses nothing.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::PgPool;

use crate::daemon::Daemon;
use crate::world::World;

/// Well below the time that draining takes here: a lock is waited for 10 s.
const AT_ONCE: Duration = Duration::from_secs(2);

#[sqlx::test(migrations = false)]
async fn the_second_signal_ends_at_once_and_what_was_under_way_comes_again(pool: PgPool) {
    let world = World::start(pool).await;
    world.backfill(&["Product2", "PricebookEntry", "Account"]).await;
    let daemon = Daemon::start(&world, &[]).await;
    world.until_streaming().await;
    world.until_settled().await;
    world.age_reads().await;

    // Events have come and cannot be stored: draining waits for that.
    let mut busy = world.pool.begin().await.unwrap();
    sqlx::query("lock table shadow_sync.change_log").execute(&mut *busy).await.unwrap();
    let ids: Vec<String> =
        world.org.org().ids("Account", 0, 5).into_iter().map(|id| id.to_string()).collect();
    for id in &ids {
        world.org.org().update("Account", id, &json!({ "Internet_Eligibility__c": "Under way" })).unwrap();
    }
    world
        .until_true("an event is about to be stored", async || {
            let waiting = "select count(*) from pg_stat_activity
                            where datname = current_database() and wait_event_type = 'Lock'";
            world.number(waiting).await > 0
        })
        .await;

    daemon.signal("-TERM");
    world
        .until_true("it drains", async || {
            daemon.get("/health").await.is_some_and(|health| health.contains("\"status\":\"draining\""))
        })
        .await;
    daemon.signal("-TERM");
    let signalled = Instant::now();
    assert_eq!(daemon.ended().await, Some(130));
    assert!(signalled.elapsed() < AT_ONCE, "{:?}", signalled.elapsed());
    busy.rollback().await.unwrap();

    let next = Daemon::start(&world, &[]).await;
    for id in &ids {
        let table = "sf_account_eligibility_shadow";
        world.until_value(table, "account_id", id, "internet_eligibility", Some("Under way")).await;
    }
    world.assert_same().await;
    let log = "select count(*) from shadow_sync.change_log";
    assert_eq!(world.number(log).await, 5, "each event is stored once");
    let holes = "select count(*) from shadow_sync.holes where why <> 'first-position'";
    assert_eq!(world.number(holes).await, 0, "nothing was missed");
    next.signal("-INT");
    assert_eq!(next.ended().await, Some(0), "one signal, and nothing to wait for: it drains");
}
