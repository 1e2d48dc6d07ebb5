//! Two daemons: one dies, is frozen or cut off; the other streams within ten seconds.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use engine::HostName;
use engine::api::status::status;
use engine::api::stream::WorkerRole;
use serde_json::json;
use sqlx::PgPool;

use crate::cli::command;
use crate::world::World;

const ACCOUNTS: &str = "sf_account_eligibility_shadow";
/// Within this time the other one streams.
const WITHIN: Duration = Duration::from_secs(10);

/// A daemon in a process of its own, killed when the test ends.
struct Daemon(Child);

impl Daemon {
    fn start(world: &World) -> Self {
        let mut command = command(world);
        command.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("it runs"))
    }

    /// Sends a signal by its name.
    fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill").args([name, &self.0.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Everything loaded, one daemon that leads and one that stands by.
async fn two(pool: PgPool) -> (World, Daemon, Daemon) {
    let world = World::start(pool).await;
    world.backfill(&["Product2", "PricebookEntry", "Account"]).await;
    let first = Daemon::start(&world);
    world.until_streaming().await;
    until_leads(&world, &first).await;
    let second = Daemon::start(&world);
    world
        .until_true("the other stands by", async || {
            world.number("select count(*) from shadow_sync.workers where host_kind = 'daemon'").await == 2
        })
        .await;
    world.until_settled().await;
    (world, first, second)
}

async fn until_leads(world: &World, daemon: &Daemon) {
    let holder = format!("({})", daemon.0.id());
    world
        .until_true("it leads", async || {
            let held: Option<String> =
                sqlx::query_scalar("select holder from shadow_sync.leases where name = 'stream'")
                    .fetch_optional(&world.pool)
                    .await
                    .unwrap();
            held.is_some_and(|held| held.ends_with(&holder))
        })
        .await;
}

/// A change arrives by the other one within the time.
async fn assert_taken_over(world: &World, other: &Daemon, value: &str) {
    let began = Instant::now();
    let id = world.org.org().ids("Account", 1, 1)[0].to_string();
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": value })).unwrap();
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some(value)).await;
    assert!(began.elapsed() < WITHIN, "{value} took {:?}", began.elapsed());
    until_leads(world, other).await;
}

#[sqlx::test(migrations = false)]
async fn a_leader_that_dies_is_followed(pool: PgPool) {
    let (world, first, second) = two(pool).await;
    first.signal("-KILL");
    assert_taken_over(&world, &second, "killed").await;
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn a_leader_that_is_frozen_is_followed_and_writes_nothing_when_it_wakes(pool: PgPool) {
    let (world, first, second) = two(pool).await;
    first.signal("-STOP");
    assert_taken_over(&world, &second, "frozen").await;
    let written = "select max(position) from shadow_sync.change_log";
    let before = world.number(written).await;
    first.signal("-CONT");
    let id = world.org.org().ids("Account", 2, 1)[0].to_string();
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "awake" })).unwrap();
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("awake")).await;
    until_leads(&world, &second).await;
    assert_eq!(world.number(written).await, before + 1, "one process stored it, once");
    world.until_true("only the leader subscribes", async || world.org.org().subscribers().len() == 3).await;
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn a_leader_that_is_cut_off_from_the_database_is_followed(pool: PgPool) {
    let (world, _first, second) = two(pool).await;
    // Its connections end, and it may not make new ones before the other has taken over.
    let cut = "select count(pg_terminate_backend(a.pid)) from pg_stat_activity a
                where a.datname = current_database() and a.pid <> pg_backend_pid()
                  and a.pid in (select backend_pid from shadow_sync.leases where name = 'stream')";
    assert_eq!(world.number(cut).await, 1);
    let began = Instant::now();
    let id = world.org.org().ids("Account", 1, 1)[0].to_string();
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "cut off" })).unwrap();
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("cut off")).await;
    assert!(began.elapsed() < WITHIN, "{:?}", began.elapsed());
    let _ = second;
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn a_console_leads_only_where_no_daemon_is_and_hands_back(pool: PgPool) {
    let world = World::start(pool).await;
    world.backfill(&["Product2", "PricebookEntry", "Account"]).await;
    let console = world.another(HostName::Console).await;
    world.until_streaming().await;
    let led = status(&console).await;
    assert!(led.stream.as_ref().is_some_and(|stream| stream.is_here), "{:?}", led.stream);
    let daemon = Daemon::start(&world);
    until_leads(&world, &daemon).await;
    let standing_by = status(&console).await;
    let mine = standing_by.workers.iter().find(|worker| worker.is_this).expect("the console is there");
    assert_eq!((mine.role, mine.streaming), (WorkerRole::Standby, false));
    let id = world.org.org().ids("Account", 1, 1)[0].to_string();
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": "handed back" })).unwrap();
    world.until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("handed back")).await;
    console.shutdown().await;
}

#[sqlx::test(migrations = false)]
async fn another_user_may_look_but_does_not_stream(pool: PgPool) {
    let world = World::live(pool).await;
    let bound = "update shadow_sync.binding set user_id = '005000000000001AAA'";
    sqlx::query(bound).execute(&world.pool).await.unwrap();
    let other = world.another(HostName::Daemon).await;
    world.engine.shutdown().await;
    world
        .until_true("it says why it does not stream", async || {
            let stream = status(&other).await.stream;
            stream.is_some_and(|stream| stream.problem.is_some() && stream.worker.is_none())
        })
        .await;
    assert_eq!(world.org.org().subscribers().len(), 0);
    other.shutdown().await;
}
