//! A quiet org, whose first message takes minutes: what Salesforce accepted counts as heard at once.

use std::time::{Duration, Instant};

use engine::api::environments;
use engine::api::status::{ObjectHealth, status};
use engine::api::stream::StreamState;
use engine::{Engine, Host, HostName, Timing};
use serde_json::json;
use simulator::Options;
use sqlx::PgPool;

use crate::world::{World, quick, small};

const ACCOUNTS: &str = "sf_account_eligibility_shadow";

/// Nothing is said unasked for as long as a test runs.
fn quiet() -> Options {
    let silent = Duration::from_mins(10);
    Options { keep_alive: silent, first_keep_alive: Some(silent), ..small() }
}

/// Loaded before there was a stream, then a daemon.
async fn streaming(pool: PgPool) -> World {
    let mut world = World::with(pool, quiet()).await;
    world.backfill(&["Product2", "PricebookEntry", "Account"]).await;
    patient_daemon(&mut world).await;
    world
}

/// A daemon to which minutes without a message are no silence, as in earnest.
async fn patient_daemon(world: &mut World) {
    world.engine.shutdown().await;
    let host = Host { name: HostName::Daemon, config_path: Some(world.config()) };
    world.engine = Engine::with_timing(host, Timing { silence: Timing::default().silence, ..quick() });
    environments::open(&world.engine, "demo").await.unwrap();
}

/// Both sides agree, though no message says that nothing waits.
async fn assert_same(world: &World) {
    world
        .until_true("nothing differs", async || {
            world.waiting().await == 0 && world.differences().await.is_empty()
        })
        .await;
}

#[sqlx::test(migrations = false)]
async fn an_accepted_stream_is_heard_and_its_first_hole_is_closed_at_once(pool: PgPool) {
    let began = Instant::now();
    let world = streaming(pool).await;
    world
        .until_true("every object is live", async || {
            let status = status(&world.engine).await;
            status.stream.is_some_and(|stream| stream.state == StreamState::Live && stream.heard_at.is_some())
                && status
                    .objects
                    .iter()
                    .all(|object| object.health == ObjectHealth::Live && object.holes == 0)
        })
        .await;
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    let positions = "select count(*) from shadow_sync.checkpoints where replay_id is not null";
    assert_eq!(world.number(positions).await, 0, "no message came yet");
    let closed =
        "select count(*) from shadow_sync.holes where why = 'first-position' and closed_at is not null";
    assert_eq!(world.number(closed).await, 3);
    // The first event comes by the stream, and opens no hole.
    let id = world.org.org().ids("Account", 3, 1)[0].to_string();
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "First" })).unwrap();
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("First")).await;
    assert_eq!(world.number("select count(*) from shadow_sync.holes").await, 3);
    assert_same(&world).await;
}

#[sqlx::test(migrations = false)]
async fn what_is_lost_before_the_first_position_is_a_hole(pool: PgPool) {
    let mut world = streaming(pool).await;
    let accepted = "select count(*) from shadow_sync.checkpoints where proven_until is not null";
    world.until_true("every channel is accepted", async || world.number(accepted).await == 3).await;
    world.engine.shutdown().await;
    // Nobody listens, and no position was saved: the next subscription begins behind this change.
    let id = world.org.org().ids("Account", 4, 1)[0].to_string();
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "Between" })).unwrap();
    patient_daemon(&mut world).await;
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("Between")).await;
    assert_same(&world).await;
}
