//! Servers that go away, come back, load, freeze, or hand over to another.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cache::{Cache, Error, Options, Progress};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::cache_at;
use crate::servers::{DEADLINE, Server, Watched, until};

#[tokio::test]
async fn a_server_that_was_started_again_is_found_without_an_error() {
    let mut server = Server::start();
    let cache = cache_at(&server.url());
    server.cli(&["SET", "a", "v"]);
    assert!(cache.get("a").await.unwrap().is_some());
    server.kill();
    server.start_again();
    assert_eq!(cache.get("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_dead_server_is_told_at_once_and_found_again_when_it_is_back() {
    let mut server = Server::start();
    let cache = cache_at(&server.url());
    cache.get("a").await.unwrap();
    server.kill();
    let begun = Instant::now();
    for _ in 0..100 {
        let error = cache.get("a").await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }) && error.is_transient(), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "a hundred readers queued up: {:?}", begun.elapsed());
    let error = cache.flush("*", &|_| (), &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    server.start_again();
    while cache.get("a").await.is_err() {
        assert!(begun.elapsed() < DEADLINE, "it was not found again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_frozen_server_costs_no_more_than_the_time_a_command_may_take() {
    let server = Server::start();
    let url = cache::parse_url(&server.url()).unwrap();
    let short = Duration::from_millis(300);
    let cache = Cache::new(Options::new(&url, None).unwrap().with_timeouts(short, short));
    cache.get("a").await.unwrap();
    signal(&server, "STOP");
    let begun = Instant::now();
    let error = cache.get("a").await.unwrap_err();
    assert!(matches!(&error, Error::Timeout { command, .. } if command == "GET"), "{error}");
    assert!(error.is_transient() && begun.elapsed() < 4 * short, "{:?}", begun.elapsed());
    signal(&server, "CONT");
    let begun = Instant::now();
    while cache.get("a").await.is_err() {
        assert!(begun.elapsed() < DEADLINE, "it was not found again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn signal(server: &Server, signal: &str) {
    assert!(
        Command::new("kill")
            .args([&format!("-{signal}"), &server.pid().to_string()])
            .status()
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn a_replica_says_that_it_takes_no_writes_and_no_flush_waits_for_it() {
    let master = Server::start();
    let replica = Server::with(&["--replicaof", "127.0.0.1", &master.port().to_string()]);
    until("the replica follows", || replica.cli(&["ROLE"]).contains("connected"));
    master.fill("catalog:", 100);
    until("the replica has the keys", || replica.cli(&["DBSIZE"]) == "100");
    let cache = cache_at(&replica.url());
    let begun = Instant::now();
    let error = cache.flush("catalog:*", &|_| (), &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_server_that_loads_its_data_says_so() {
    // Half a millisecond per key, and an ear for clients now and then.
    let slowly = ["--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024"];
    let mut server = Server::with(&slowly);
    server.fill("catalog:", 3_000);
    assert_eq!(server.cli(&["SAVE"]), "OK");
    server.kill();
    server.spawn_again();
    let cache = cache_at(&server.url());
    let begun = Instant::now();
    let mut has_said_so = false;
    loop {
        match cache.get("catalog:1").await {
            Ok(value) => {
                assert!(value.is_some());
                break;
            }
            Err(Error::Loading { .. }) => has_said_so = true,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        assert!(begun.elapsed() < DEADLINE, "it never came to an end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(has_said_so, "it was ready before it could be asked");
}

/// The master is killed in the middle of a flush; the flush goes on with its successor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_survives_the_death_of_its_master_behind_sentinels() {
    let watched = Watched::start();
    watched.master.fill("catalog:", 60_000);
    watched.master.fill("other:", 1_000);
    until("the replica has the keys", || watched.replica.cli(&["DBSIZE"]) == "61000");
    let cache = cache_at(&watched.url());
    assert_eq!(cache.servers().await.unwrap()[0].address, format!("127.0.0.1:{}", watched.master.port()));
    let before = cache.servers().await.unwrap();
    let Watched { master, replica, sentinels } = watched;
    let master = Mutex::new(master);
    let is_killed = AtomicBool::new(false);
    let progress = |progress: Progress| {
        if progress.deleted > 10_000 && !is_killed.swap(true, Ordering::Relaxed) {
            master.lock().unwrap().kill();
        }
    };
    let flushed = cache.flush("catalog:*", &progress, &CancellationToken::new()).await.unwrap();
    assert!(is_killed.into_inner() && !flushed.stopped);
    assert_eq!(replica.cli(&["DBSIZE"]), "1000", "{flushed:?}");
    // Keyed commands find the new master too, and who asks learns that it is another server.
    assert_eq!(cache.delete(&["other:1".to_owned()]).await.unwrap(), 1);
    let after = cache.servers().await.unwrap();
    assert_eq!(after[0].address, format!("127.0.0.1:{}", replica.port()));
    assert_ne!(after[0].run_id, before[0].run_id);
    drop(sentinels);
}

/// Keys deleted one batch after the other, while the master is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletes_by_name_that_failed_succeed_when_repeated_after_the_failover() {
    let mut watched = Watched::start();
    watched.master.fill("k:", 5_000);
    until("the replica has the keys", || watched.replica.cli(&["DBSIZE"]) == "5000");
    let cache = cache_at(&watched.url());
    let keys: Vec<String> = (0..5_000).map(|number| format!("k:{number}")).collect();
    cache.delete(&keys[..1_000]).await.unwrap();
    watched.master.kill();
    let begun = Instant::now();
    let mut failures = 0;
    for batch in keys.chunks(100) {
        while let Err(error) = cache.delete(batch).await {
            assert!(error.is_transient() && begun.elapsed() < DEADLINE, "{error}");
            failures += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert!(failures > 0);
    assert_eq!(watched.replica.cli(&["DBSIZE"]), "0");
}

#[tokio::test]
async fn a_service_that_no_sentinel_watches_is_named() {
    let watched = Watched::start();
    let cache = cache_at(&watched.url().replace("/shop", "/other"));
    let error = cache.get("a").await.unwrap_err();
    assert!(matches!(&error, Error::NoMaster { service, .. } if service == "other"), "{error}");
}

#[tokio::test]
async fn sentinels_that_ask_for_a_password_get_theirs_and_not_the_masters() {
    let watched = Watched::guarded();
    watched.master.cli(&["SET", "a", "v"]);
    let url = cache::parse_url(&watched.url()).unwrap();
    let options = Options::new(&url, None).unwrap();
    let error = Cache::new(options.clone()).get("a").await.unwrap_err();
    assert!(matches!(error, Error::SignIn { .. }), "{error}");
    let cache = Cache::new(options.with_sentinel_password(SecretString::from("secret")));
    assert_eq!(cache.get("a").await.unwrap().as_deref(), Some(&b"v"[..]));
}
