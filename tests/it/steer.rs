//! Pause, resume, cancel, and a process that ends in the middle.

use std::time::{Duration, Instant};

use engine::api::backfills::{self, BackfillMode, JobState};
use engine::api::objects;
use simulator::{Fault, Options};
use sqlx::PgPool;

use crate::world::{World, names, small};

/// An org whose pages come slowly enough to be stopped in the middle.
async fn slow(pool: PgPool) -> World {
    let world = World::with(pool, Options { accounts: 2_000, ..small() }).await;
    world.org.org().inject("*/results*", Fault::Slow { delay_ms: 300 }, 10_000);
    world
}

async fn begin(world: &World) -> String {
    let ids = backfills::start(&world.engine, names(&["Account"]), BackfillMode::Auto).await.unwrap();
    let id = ids[0].clone();
    world.until(|jobs| jobs.iter().find(|job| job.id == id && job.done >= 200).map(|_| ())).await;
    id
}

#[sqlx::test(migrations = false)]
async fn a_cancelled_load_stops_within_two_seconds_and_keeps_what_it_had(pool: PgPool) {
    let world = slow(pool).await;
    let id = begin(&world).await;
    let asked = Instant::now();
    backfills::cancel(&world.engine, &id).await.unwrap();
    let jobs = world.until_ended(&[id]).await;
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert_eq!(jobs[0].state, JobState::Cancelled);
    let rows = world.number("select count(*) from sf_account_eligibility_shadow").await;
    assert!((200..2_000).contains(&rows), "{rows}");
}

#[sqlx::test(migrations = false)]
async fn a_paused_load_goes_on_where_it_stopped(pool: PgPool) {
    let world = slow(pool).await;
    let id = begin(&world).await;
    backfills::pause(&world.engine, &id).await.unwrap();
    let jobs = world.until_ended(std::slice::from_ref(&id)).await;
    assert_eq!(jobs[0].state, JobState::Paused);
    let (pages, creations) =
        (world.org.org().requests("*/results*"), world.org.org().requests("*/jobs/query"));
    world.org.org().withdraw_all();
    backfills::resume(&world.engine, &id).await.unwrap();
    let jobs = world.until_ended(&[id]).await;
    assert_eq!((jobs[0].state, jobs[0].done), (JobState::Done, 2_000), "{jobs:?}");
    let again = world.org.org().requests("*/results*") + pages;
    assert!(again <= pages + pages + 22, "{again}");
    assert_eq!(world.org.org().requests("*/jobs/query"), creations, "no second Bulk job");
    assert!(
        world.org.org().requests("*/results*") <= 20 + 2,
        "at most the pages in flight are downloaded again"
    );
}

#[sqlx::test(migrations = false)]
async fn a_load_whose_process_ended_is_resumed_by_the_next(pool: PgPool) {
    let mut world = slow(pool).await;
    let id = begin(&world).await;
    world.restart().await;
    let jobs = backfills::jobs(&world.engine).await.unwrap();
    assert_eq!(jobs[0].state, JobState::Interrupted, "{jobs:?}");
    world.org.org().withdraw_all();
    let jobs = world.backfill(&["Account"]).await;
    assert_eq!((jobs[0].id.as_str(), jobs[0].state, jobs[0].done), (id.as_str(), JobState::Done, 2_000));
    assert!(world.org.org().requests("*/results*") <= 20 + 2);
}

#[sqlx::test(migrations = false)]
async fn a_paused_object_is_not_loaded_until_it_is_resumed(pool: PgPool) {
    let world = World::start(pool).await;
    objects::pause(&world.engine, names(&["Account"])).await.unwrap();
    let refused = backfills::start(&world.engine, names(&["Account"]), BackfillMode::Auto).await.unwrap_err();
    assert_eq!(refused.code, "SS-4003");
    objects::resume(&world.engine, names(&["Account"])).await.unwrap();
    assert_eq!(world.backfill(&["Account"]).await[0].state, JobState::Done);
}

#[sqlx::test(migrations = false)]
async fn two_processes_do_not_load_one_object_at_once(pool: PgPool) {
    let world = slow(pool).await;
    begin(&world).await;
    let host = engine::Host { name: engine::HostName::CommandLine, config_path: Some(world.config()) };
    let other = engine::Engine::new(host);
    engine::api::environments::open(&other, "demo").await.unwrap();
    engine::api::sign_in::resumed(&other).await;
    let refused = backfills::start(&other, names(&["Account"]), BackfillMode::Auto).await.unwrap_err();
    assert_eq!(refused.code, "SS-4002");
    other.shutdown().await;
}

#[sqlx::test(migrations = false)]
async fn resuming_without_a_name_means_what_can_be_resumed(pool: PgPool) {
    let world = slow(pool).await;
    world.org.org().withdraw_all();
    world.backfill(&["Product2"]).await;
    world.org.org().inject("*/results*", Fault::Slow { delay_ms: 300 }, 10_000);
    let id = begin(&world).await;
    backfills::pause(&world.engine, &id).await.unwrap();
    world.until_ended(std::slice::from_ref(&id)).await;
    world.org.org().withdraw_all();
    let named = backfills::start(&world.engine, names(&["Product2"]), BackfillMode::Resume).await;
    assert_eq!(named.unwrap_err().code, "SS-4001");
    let resumed = backfills::start(&world.engine, Vec::new(), BackfillMode::Resume).await.unwrap();
    assert_eq!(resumed, [id]);
    let jobs = world.until_ended(&resumed).await;
    assert_eq!((jobs[0].state, jobs[0].done), (JobState::Done, 2_000), "{jobs:?}");
}
