//! The network between a daemon and what it needs is cut, and nobody is told: no connection is closed.

use std::time::{Duration, Instant};

use engine::HostName;
use engine::api::status::status;
use engine::api::stream::StreamState;
use serde_json::json;
use sqlx::PgPool;

use crate::daemon::Daemon;
use crate::wire::Wire;
use crate::world::World;

const ACCOUNTS: &str = "sf_account_eligibility_shadow";
const ALL: &[&str] = &["Product2", "PricebookEntry", "Account"];
/// Within this time the other one streams.
const WITHIN: Duration = Duration::from_secs(10);

/// Changes an account; its id.
fn change(world: &World, place: u64, value: &str) -> String {
    let id = world.org.org().ids("Account", place, 1)[0].to_string();
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": value })).unwrap();
    id
}

async fn until_arrived(world: &World, id: &str, value: &str) {
    world.until_value(ACCOUNTS, "account_id", id, "internet_eligibility", Some(value)).await;
}

/// Everything loaded; one daemon leads by way of a wire to the database, another stands by beside it.
async fn two(pool: PgPool) -> (World, Wire, Daemon, Daemon) {
    let (wire, by_wire) = Wire::to_database(&pool).await;
    let world = World::start(pool).await;
    world.backfill(ALL).await;
    let far = Daemon::start(&world, &[("SHADOW_SYNC_DATABASE_URL", &by_wire)]).await;
    far.until_leads(&world).await;
    world.until_streaming().await;
    let near = Daemon::start(&world, &[]).await;
    near.until_role(&world, "standby").await;
    world.until_settled().await;
    world.age_reads().await;
    (world, wire, far, near)
}

/// Cuts the leader off while it works; the other one streams within the time, and the one that was cut off no longer
/// does although it reaches Salesforce. Returns how many events there were.
async fn cut_off(world: &World, wire: &Wire, far: &Daemon, near: &Daemon) -> i64 {
    // Events are on their way into the database when it happens.
    for place in 0..10 {
        change(world, place, "just before");
    }
    wire.cut();
    let began = Instant::now();
    let id = change(world, 11, "cut off");
    until_arrived(world, &id, "cut off").await;
    assert!(began.elapsed() < WITHIN, "{:?}", began.elapsed());
    near.until_leads(world).await;
    world.until_true("only the leader subscribes", async || world.org.org().subscribers().len() == 3).await;
    world
        .until_true("the one that was cut off says that it has no database", async || {
            far.get("/health").await.is_some_and(|health| health.contains("\"database\":\"down\""))
        })
        .await;
    11
}

/// After the network is back: one of them wrote each event, once; the one that was cut off stands by, and can follow.
async fn assert_stands_by(world: &World, far: Daemon, near: Daemon, events: i64) {
    far.until_role(world, "standby").await;
    near.until_leads(world).await;
    let id = change(world, 12, "together again");
    until_arrived(world, &id, "together again").await;
    world.assert_same().await;
    let stored = world.number("select count(*) from shadow_sync.change_log").await;
    assert_eq!(stored, events + 1, "every event is stored once: {}", world.standing().await);
    assert_eq!(world.org.org().subscribers().len(), 3, "only the leader subscribes");

    near.signal("-KILL");
    let began = Instant::now();
    let id = change(world, 13, "followed");
    until_arrived(world, &id, "followed").await;
    assert!(began.elapsed() < WITHIN, "{:?}", began.elapsed());
    far.until_leads(world).await;
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn a_leader_behind_a_cut_network_is_followed_and_stands_by_when_the_network_is_back(pool: PgPool) {
    let (world, wire, far, near) = two(pool).await;
    let events = cut_off(&world, &wire, &far, &near).await;
    let written = world.number("select max(position) from shadow_sync.change_log").await;
    // What the one that was cut off had sent arrives now, its commits among it.
    wire.mend();
    far.until_role(&world, "standby").await;
    let later = world.number("select max(position) from shadow_sync.change_log").await;
    assert_eq!(later, written, "it wrote after another had taken over");
    assert_stands_by(&world, far, near, events).await;
}

#[sqlx::test(migrations = false)]
async fn a_leader_whose_connections_are_lost_for_good_stands_by_when_there_is_a_network_again(pool: PgPool) {
    let (world, wire, far, near) = two(pool).await;
    // Every connection that it may have is in the middle of something.
    let mut busy = world.pool.begin().await.unwrap();
    let lock =
        "lock table shadow_sync.checkpoints, shadow_sync.objects, shadow_sync.settings, shadow_sync.workers";
    sqlx::query(lock).execute(&mut *busy).await.unwrap();
    world
        .until_true("it waits with every connection", async || {
            let waiting = "select count(*) from pg_stat_activity
                            where datname = current_database() and wait_event_type = 'Lock'";
            world.number(waiting).await >= 8
        })
        .await;
    wire.cut();
    busy.rollback().await.unwrap();
    let events = cut_off(&world, &wire, &far, &near).await;
    wire.replace();
    assert_stands_by(&world, far, near, events).await;
}

#[sqlx::test(migrations = false)]
async fn a_stream_ends_without_its_database_and_goes_on_from_its_position(pool: PgPool) {
    let (wire, by_wire) = Wire::to_database(&pool).await;
    let world = World::start(pool).await;
    world.backfill(ALL).await;
    let daemon = Daemon::start(&world, &[("SHADOW_SYNC_DATABASE_URL", &by_wire)]).await;
    daemon.until_leads(&world).await;
    world.until_streaming().await;
    world.until_settled().await;
    let holes = world.number("select count(*) from shadow_sync.holes").await;
    for is_lost_for_good in [false, true] {
        wire.cut();
        world.until_true("the stream ends", async || world.org.org().subscribers().is_empty()).await;
        let value = format!("without a database, {is_lost_for_good}");
        let id = change(&world, 1, &value);
        if is_lost_for_good {
            wire.replace();
        } else {
            wire.mend();
        }
        until_arrived(&world, &id, &value).await;
        daemon.until_leads(&world).await;
        world.assert_same().await;
    }
    let now = world.number("select count(*) from shadow_sync.holes").await;
    assert_eq!(now, holes, "nothing was missed, so there is nothing to catch up");
}

#[sqlx::test(migrations = false)]
async fn a_leader_cut_off_from_salesforce_says_so_and_goes_on_from_its_position(pool: PgPool) {
    let mut world = World::start(pool).await;
    let events = world.org.grpc_url().socket_addrs(|| None).unwrap()[0];
    let wire = Wire::to(events).await;
    let text = std::fs::read_to_string(world.config()).unwrap();
    let by_wire = format!("http://{}", wire.address());
    let text = text.replace(world.org.grpc_url().as_str().trim_end_matches('/'), &by_wire);
    assert!(text.contains(&by_wire), "{text}");
    std::fs::write(world.config(), text).unwrap();
    world.backfill(ALL).await;
    world.restart_as(HostName::Daemon).await;
    world.until_streaming().await;
    world.until_settled().await;
    let holes = world.number("select count(*) from shadow_sync.holes").await;
    for is_lost_for_good in [false, true] {
        wire.cut();
        let value = format!("without Salesforce, {is_lost_for_good}");
        let id = change(&world, 1, &value);
        world
            .until_true("the status says so", async || {
                let stream = status(&world.engine).await.stream.expect("a stream");
                let says = stream.channels.iter().all(|channel| channel.problem.is_some());
                says && stream.state == StreamState::Backoff && stream.is_here
            })
            .await;
        if is_lost_for_good {
            wire.replace();
        } else {
            wire.mend();
        }
        until_arrived(&world, &id, &value).await;
        world
            .until_true("the status no longer says so", async || {
                let stream = status(&world.engine).await.stream.expect("a stream");
                stream.state == StreamState::Live && stream.problem.is_none()
            })
            .await;
        world.assert_same().await;
    }
    let now = world.number("select count(*) from shadow_sync.holes").await;
    assert_eq!(now, holes, "nothing was missed, so there is nothing to catch up");
}
