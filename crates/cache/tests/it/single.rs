//! One server: deleting, flushing, measuring, walking.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use cache::{Error, Flushed, Look, Progress, lease_key};
use tokio_util::sync::CancellationToken;

use crate::servers::Server;
use crate::{LONG, cache_at, names};

const fn unheard(_: Progress) {}

#[tokio::test]
async fn deleting_counts_the_keys_that_were_there_and_takes_their_leases() {
    let server = Server::start();
    let cache = cache_at(&server.url());
    server.cli(&["MSET", "a", "1", "b", "2", "other", "3"]);
    assert!(matches!(cache.look("gone", LONG).await.unwrap(), Look::Leased(_)));
    let deleted = cache.delete(&names(&["a", "b", "gone", "a", "never"])).await.unwrap();
    assert_eq!(deleted, 2);
    assert_eq!(server.cli(&["KEYS", "*"]), "other");
    assert_eq!(cache.delete(&[]).await.unwrap(), 0);
}

#[tokio::test]
async fn more_keys_than_one_command_names_are_deleted_and_read_in_order() {
    let server = Server::start();
    let cache = cache_at(&server.url());
    server.fill("k:", 2_000);
    let keys: Vec<String> = (0..2_000).map(|number| format!("k:{number}")).collect();
    let mut asked = keys.clone();
    asked.insert(1, "absent".to_owned());
    let values = cache.get_many(&asked).await.unwrap();
    assert_eq!(values.len(), 2_001);
    assert_eq!(values[0].as_deref(), Some(&b"v"[..]));
    assert_eq!(values[1], None);
    assert_eq!(cache.delete(&keys).await.unwrap(), 2_000);
    assert_eq!(server.cli(&["DBSIZE"]), "0");
}

#[tokio::test]
async fn a_flush_takes_what_matches_and_nothing_else() {
    let server = Server::start();
    let cache = cache_at(&server.url());
    server.fill("catalog:", 25_000);
    server.fill("other:", 5_000);
    assert!(matches!(cache.look("catalog:missed", LONG).await.unwrap(), Look::Leased(_)));
    assert!(matches!(cache.look("other:missed", LONG).await.unwrap(), Look::Leased(_)));
    let heard = Mutex::new(Vec::new());
    let progress = |progress: Progress| heard.lock().unwrap().push(progress);
    let flushed = cache.flush("catalog:*", &progress, &CancellationToken::new()).await.unwrap();
    assert_eq!(flushed.deleted, 25_000);
    assert!(flushed.seen >= 25_000 && !flushed.stopped, "{flushed:?}");
    // The other keys, and the lease of the other key.
    assert_eq!(server.cli(&["DBSIZE"]), "5001");
    assert_eq!(server.cli(&["EXISTS", &lease_key("other:missed")]), "1");
    let heard = heard.into_inner().unwrap();
    assert!(heard.len() > 10 && heard.windows(2).all(|two| two[0].deleted <= two[1].deleted));
}

#[tokio::test]
async fn a_flush_stops_when_told_to_and_says_so() {
    let server = Server::start();
    let cache = cache_at(&server.url());
    server.fill("catalog:", 50_000);
    let stop = CancellationToken::new();
    let progress = |progress: Progress| {
        if progress.deleted > 1_000 {
            stop.cancel();
        }
    };
    let flushed = cache.flush("catalog:*", &progress, &stop).await.unwrap();
    assert!(flushed.stopped && flushed.deleted > 1_000, "{flushed:?}");
    let left: u64 = server.cli(&["DBSIZE"]).parse().unwrap();
    assert!(left > 0, "it went on to the end");
    let stop = CancellationToken::new();
    stop.cancel();
    let flushed = cache.flush("catalog:*", &unheard, &stop).await.unwrap();
    assert_eq!(flushed, Flushed { seen: 0, deleted: 0, stopped: true });
}

#[tokio::test]
async fn patterns_with_classes_and_escapes_find_keys_and_their_leases() {
    let server = Server::start();
    let cache = cache_at(&server.url());
    let cases: [(&str, &[&str], &[&str]); 5] = [
        ("catalog:[ab]?", &["catalog:a1", "catalog:b2"], &["catalog:c1", "catalog:a"]),
        ("a\\*b", &["a*b"], &["axb", "a**b"]),
        ("x\\[1]", &["x[1]"], &["x1"]),
        ("{braces}:*", &["{braces}:1", "{braces}:}"], &["braces:1"]),
        ("key:exact", &["key:exact"], &["key:exact:not"]),
    ];
    for (pattern, matching, others) in cases {
        server.cli(&["FLUSHALL"]);
        for key in matching.iter().chain(others) {
            assert!(matches!(cache.look(key, LONG).await.unwrap(), Look::Leased(_)), "{key}");
            server.cli(&["SET", key, "v"]);
        }
        let flushed = cache.flush(pattern, &unheard, &CancellationToken::new()).await.unwrap();
        assert_eq!(flushed.deleted, matching.len() as u64, "{pattern}");
        let left: BTreeSet<String> = server.cli(&["KEYS", "*"]).lines().map(str::to_owned).collect();
        let expected: BTreeSet<String> =
            others.iter().flat_map(|key| [(*key).to_owned(), lease_key(key)]).collect();
        assert_eq!(left, expected, "{pattern}");
    }
}

#[tokio::test]
async fn a_pattern_that_makes_no_sense_is_refused_before_anything_is_asked() {
    let cache = cache_at("redis://127.0.0.1:1");
    for pattern in ["", "catalog:[", "catalog:\\"] {
        let error = cache.flush(pattern, &unheard, &CancellationToken::new()).await.unwrap_err();
        assert!(matches!(error, Error::Pattern { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_preview_of_a_key_space_that_stands_still_is_exact_and_deletes_nothing() {
    let server = Server::start();
    let cache = cache_at(&server.url());
    server.fill("catalog:", 30_000);
    server.fill("other:", 10_000);
    // The table shrinks while it is walked over, which shows keys twice.
    server.cli(&["CONFIG", "SET", "activerehashing", "yes"]);
    assert!(matches!(cache.look("catalog:missed", LONG).await.unwrap(), Look::Leased(_)));
    let preview = cache.preview("catalog:*", 5, &CancellationToken::new()).await.unwrap();
    assert_eq!(preview.keys, 30_000);
    assert_eq!(preview.examples.len(), 5);
    assert!(preview.examples.iter().all(|example| {
        example.key.starts_with("catalog:") && example.bytes > Some(0) && example.expires_in.is_none()
    }));
    let one: u64 = server.cli(&["MEMORY", "USAGE", "catalog:12345"]).parse().unwrap();
    let bytes = preview.bytes.unwrap();
    assert!(bytes.abs_diff(one * 30_000) < one * 3_000, "{bytes} of {one} each");
    assert!(!preview.bytes_exact && !preview.stopped);
    assert_eq!(server.cli(&["DBSIZE"]), "40001");
}

#[tokio::test]
async fn a_small_preview_measures_every_key() {
    let server = Server::start();
    let cache = cache_at(&server.url());
    server.cli(&["SET", "catalog:small", "v", "PX", "600000"]);
    server.cli(&["SET", "catalog:large", &"v".repeat(5_000)]);
    let of = |key: &str| server.cli(&["MEMORY", "USAGE", key]).parse::<u64>().unwrap();
    let preview = cache.preview("catalog:*", 10, &CancellationToken::new()).await.unwrap();
    assert_eq!(preview.bytes, Some(of("catalog:small") + of("catalog:large")));
    assert!(preview.bytes_exact);
    assert_eq!(preview.examples[0].key, "catalog:large");
    assert!(preview.examples[1].expires_in.is_some());
    let nothing = cache.preview("eligibility:*", 10, &CancellationToken::new()).await.unwrap();
    assert_eq!((nothing.keys, nothing.bytes, nothing.bytes_exact), (0, Some(0), true));
}

#[tokio::test]
async fn a_walk_over_keys_leaves_leases_out_and_breaks_off_when_told_to() {
    let server = Server::start();
    let cache = cache_at(&server.url());
    server.fill("k:", 5_000);
    assert!(matches!(cache.look("k:missed", LONG).await.unwrap(), Look::Leased(_)));
    let mut seen = BTreeSet::new();
    let mut visit = |keys: &[String]| {
        seen.extend(keys.to_vec());
        ControlFlow::Continue(())
    };
    assert!(cache.keys("*", &mut visit, &CancellationToken::new()).await.unwrap());
    assert_eq!(seen.len(), 5_000);
    let pages = AtomicU64::new(0);
    let mut once = |_: &[String]| {
        pages.fetch_add(1, Ordering::Relaxed);
        ControlFlow::Break(())
    };
    assert!(!cache.keys("*", &mut once, &CancellationToken::new()).await.unwrap());
    assert_eq!(pages.into_inner(), 1);
}

#[tokio::test]
async fn another_database_of_the_server_is_left_alone() {
    let server = Server::start();
    server.cli(&["-n", "1", "SET", "catalog:a", "v"]);
    server.cli(&["SET", "catalog:a", "v"]);
    let cache = cache_at(&format!("{}/1", server.url()));
    assert_eq!(cache.servers().await.unwrap()[0].keys, 1);
    let flushed = cache.flush("catalog:*", &unheard, &CancellationToken::new()).await.unwrap();
    assert_eq!(flushed.deleted, 1);
    assert_eq!(server.cli(&["GET", "catalog:a"]), "v");
}

#[tokio::test]
async fn the_server_says_who_it_is_and_another_one_says_another_name() {
    let mut server = Server::start();
    let cache = cache_at(&server.url());
    server.fill("k:", 10);
    let before = cache.servers().await.unwrap().remove(0);
    assert_eq!(before.address, format!("127.0.0.1:{}", server.port()));
    assert_eq!(before.keys, 10);
    assert!(before.memory_bytes > 100_000);
    assert_eq!((before.memory_limit_bytes, before.eviction.as_str()), (0, "noeviction"));
    assert_eq!(before.run_id.len(), 40);
    assert!(before.started_at_unix_ms.is_some() && !before.version.is_empty());
    assert_eq!(cache.servers().await.unwrap().remove(0).run_id, before.run_id);
    server.cli(&["CONFIG", "SET", "maxmemory", "200mb"]);
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let limited = cache.servers().await.unwrap().remove(0);
    assert_eq!((limited.memory_limit_bytes, limited.eviction.as_str()), (200 * 1024 * 1024, "allkeys-lru"));
    server.kill();
    server.start_again();
    let after = cache.servers().await.unwrap().remove(0);
    assert_ne!(after.run_id, before.run_id);
    assert_ne!(after.replication_id, before.replication_id);
}
