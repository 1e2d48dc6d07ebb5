//! A cluster of three masters.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use cache::{Look, Progress, lease_key};
use redis::cluster_routing::Slot;
use tokio_util::sync::CancellationToken;

use crate::servers::{Cluster, Server, cli, until};
use crate::{LONG, cache_at};

/// Puts keys on whichever master is theirs.
fn fill(cluster: &Cluster, prefix: &str, count: usize) {
    let masters = cluster.masters();
    let mut pipes: Vec<redis::Pipeline> = masters.iter().map(|_| redis::pipe()).collect();
    let owned: Vec<BTreeSet<String>> = masters.iter().map(|master| slots_of(master)).collect();
    for number in 0..count {
        let key = format!("{prefix}{number}");
        let slot = slot_of(&key);
        let at = owned.iter().position(|slots| slots.contains(&slot)).expect("a master for every slot");
        pipes[at].cmd("SET").arg(&key).arg("v").ignore();
    }
    for (master, pipe) in masters.iter().zip(&pipes) {
        let mut connection = redis::Client::open(master.url().as_str()).unwrap().get_connection().unwrap();
        pipe.exec(&mut connection).unwrap();
    }
}

fn slot_of(key: &str) -> String {
    let text = format!("{:?}", Slot::for_key(key));
    text.chars().filter(char::is_ascii_digit).collect()
}

fn slots_of(master: &Server) -> BTreeSet<String> {
    let nodes = master.cli(&["CLUSTER", "NODES"]);
    let line = nodes.lines().find(|line| line.contains("myself")).expect("a node knows itself");
    line.split(' ')
        .skip(8)
        .filter(|word| !word.starts_with('['))
        .flat_map(|range| {
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            from.parse::<u16>().unwrap()..=to.parse::<u16>().unwrap()
        })
        .map(|slot| slot.to_string())
        .collect()
}

fn keys_left(cluster: &Cluster) -> usize {
    cluster.masters().iter().map(|master| master.cli(&["DBSIZE"]).parse::<usize>().unwrap()).sum()
}

#[tokio::test]
async fn all_masters_are_flushed_deleted_from_read_and_measured() {
    let cluster = Cluster::start(0);
    let cache = cache_at(&cluster.url());
    fill(&cluster, "catalog:", 20_000);
    fill(&cluster, "other:", 3_000);
    let servers = cache.servers().await.unwrap();
    assert_eq!(servers.len(), 3);
    assert_eq!(servers.iter().map(|server| server.keys).sum::<u64>(), 23_000);
    assert!(servers.iter().all(|server| server.keys > 5_000));
    let preview = cache.preview("catalog:*", 5, &CancellationToken::new()).await.unwrap();
    assert_eq!(preview.keys, 20_000);
    assert!(preview.examples.iter().all(|example| example.bytes.is_some()), "{preview:?}");
    let mut seen = BTreeSet::new();
    let mut visit = |keys: &[String]| {
        seen.extend(keys.to_vec());
        ControlFlow::Continue(())
    };
    assert!(cache.keys("other:*", &mut visit, &CancellationToken::new()).await.unwrap());
    assert_eq!(seen.len(), 3_000);
    let some: Vec<String> = (0..1_500).map(|number| format!("other:{number}")).collect();
    assert!(cache.get_many(&some).await.unwrap().iter().all(Option::is_some));
    assert_eq!(cache.delete(&some).await.unwrap(), 1_500);
    let flushed = cache.flush("catalog:*", &|_| (), &CancellationToken::new()).await.unwrap();
    assert_eq!((flushed.deleted, flushed.stopped), (20_000, false));
    assert_eq!(keys_left(&cluster), 1_500);
}

#[tokio::test]
async fn leases_live_beside_their_keys_and_go_with_every_delete_and_flush() {
    let cluster = Cluster::start(0);
    let cache = cache_at(&cluster.url());
    let keys: Vec<String> = (0..200).map(|number| format!("catalog:product:{number}")).collect();
    let mut tokens = Vec::new();
    for key in &keys {
        let Look::Leased(token) = cache.look(key, LONG).await.unwrap() else { panic!("nobody holds it") };
        tokens.push(token);
    }
    assert_eq!(keys_left(&cluster), 200);
    cache.delete(&keys[..100]).await.unwrap();
    assert_eq!(keys_left(&cluster), 100);
    let flushed = cache.flush("catalog:*", &|_| (), &CancellationToken::new()).await.unwrap();
    assert_eq!((flushed.seen, flushed.deleted), (0, 0));
    assert_eq!(keys_left(&cluster), 0);
    for (key, token) in keys.iter().zip(&tokens) {
        assert!(!cache.fill(key, token, b"old", LONG).await.unwrap(), "{key}");
    }
    for key in &keys {
        let Look::Leased(token) = cache.look(key, LONG).await.unwrap() else { panic!("nobody holds it") };
        assert!(cache.fill(key, &token, b"new", LONG).await.unwrap());
        assert_eq!(cache.look(key, LONG).await.unwrap(), Look::Hit(b"new".to_vec()));
    }
    assert_eq!(keys_left(&cluster), 200);
}

#[tokio::test]
async fn a_key_with_braces_is_read_and_deleted_but_never_filled() {
    let cluster = Cluster::start(0);
    let cache = cache_at(&cluster.url());
    for key in ["a}b", "{tag}:a", "{"] {
        assert_eq!(cache.look(key, LONG).await.unwrap(), Look::Busy, "{key}");
    }
    cli(cluster.servers[0].port(), &["-c", "SET", "{tag}:a", "v"]);
    assert_eq!(cache.look("{tag}:a", LONG).await.unwrap(), Look::Hit(b"v".to_vec()));
    assert_eq!(cache.delete(&["{tag}:a".to_owned(), "a}b".to_owned()]).await.unwrap(), 1);
    assert_eq!(lease_key("a"), "{a}:lease");
}

#[tokio::test]
async fn another_kind_of_server_than_the_address_says_is_recognised() {
    let cluster = Cluster::start(0);
    let node = cache_at(&cluster.servers[0].url());
    let stop = CancellationToken::new();
    let mut errors = vec![
        node.flush("catalog:*", &|_| (), &stop).await.unwrap_err(),
        node.servers().await.unwrap_err(),
        node.delete(&["a".to_owned(), "b".to_owned(), "c".to_owned()]).await.unwrap_err(),
    ];
    for number in 0..20 {
        errors.extend(node.get(&format!("k:{number}")).await.err());
    }
    assert!(errors.len() > 3);
    for error in errors {
        assert!(error.to_string().contains("redis-cluster://") && !error.is_transient(), "{error}");
    }
    let single = Server::start();
    let cache = cache_at(&single.url().replace("redis://", "redis-cluster://"));
    for error in [cache.get("a").await.unwrap_err(), cache.servers().await.unwrap_err()] {
        assert!(error.to_string().contains("no cluster; write redis://127.0.0.1"), "{error}");
    }
    let cache = cache_at(&format!("redis+sentinel://127.0.0.1:{}/shop", single.port()));
    let error = cache.get("a").await.unwrap_err();
    assert!(error.to_string().contains("no Sentinel; write redis://127.0.0.1"), "{error}");
}

/// A master is killed in the middle of a flush, and its replica takes over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_survives_the_death_of_a_master() {
    let mut cluster = Cluster::start(1);
    let cache = cache_at(&cluster.url());
    fill(&cluster, "catalog:", 60_000);
    fill(&cluster, "other:", 3_000);
    until("the replicas have the keys", || {
        let all = cluster.servers.iter().map(|server| server.cli(&["DBSIZE"]).parse::<usize>().unwrap());
        all.sum::<usize>() == 2 * 63_000
    });
    let victim = cluster.masters()[0].port();
    let at = cluster.servers.iter().position(|server| server.port() == victim).unwrap();
    let victim = Mutex::new(cluster.servers.remove(at));
    let is_killed = AtomicBool::new(false);
    let progress = |progress: Progress| {
        if progress.deleted > 5_000 && !is_killed.swap(true, Ordering::Relaxed) {
            victim.lock().unwrap().kill();
        }
    };
    let flushed = cache.flush("catalog:*", &progress, &CancellationToken::new()).await.unwrap();
    assert!(is_killed.into_inner() && !flushed.stopped);
    until("there are three masters again", || cluster.masters().len() == 3);
    assert_eq!(keys_left(&cluster), 3_000, "{flushed:?}");
    assert_eq!(cache.servers().await.unwrap().len(), 3);
}

/// Slots are handed from the master that is walked last to the one that was walked first, in the middle of the walk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_moved_during_a_flush_are_found() {
    let cluster = Cluster::start(0);
    let cache = cache_at(&cluster.url());
    fill(&cluster, "catalog:", 30_000);
    let masters = cluster.masters();
    let first = masters.iter().find(|master| slots_of(master).contains("0")).unwrap();
    let last = masters.iter().find(|master| slots_of(master).contains("16383")).unwrap();
    let is_moved = AtomicBool::new(false);
    let progress = |progress: Progress| {
        // Two thirds are gone: the first master has been walked.
        if progress.deleted > 20_500 && !is_moved.swap(true, Ordering::Relaxed) {
            for slot in 16_300..16_384_u16 {
                move_slot(&cluster, last, first, slot);
            }
        }
    };
    let flushed = cache.flush("catalog:*", &progress, &CancellationToken::new()).await.unwrap();
    assert!(is_moved.into_inner());
    assert_eq!(keys_left(&cluster), 0, "{flushed:?}");
}

/// A slot's keys are on their way from the master that is walked last to the one that was walked first, and the slot
/// is not handed over before the flush ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_a_slot_that_stays_on_the_move_are_found() {
    let cluster = Cluster::start(0);
    let cache = cache_at(&cluster.url());
    fill(&cluster, "catalog:", 30_000);
    let masters = cluster.masters();
    let first = masters.iter().find(|master| slots_of(master).contains("0")).unwrap();
    let last = masters.iter().find(|master| slots_of(master).contains("16383")).unwrap();
    let is_moved = AtomicBool::new(false);
    let progress = |progress: Progress| {
        if progress.deleted > 20_500 && !is_moved.swap(true, Ordering::Relaxed) {
            for slot in 16_300..16_384_u16 {
                open_slot(last, first, slot);
                send_keys(last, first, slot, 10_000);
            }
            let moved: usize = first.cli(&["DBSIZE"]).parse().unwrap();
            assert!(moved > 0, "the walk over the last master had met them already");
        }
    };
    let flushed = cache.flush("catalog:*", &progress, &CancellationToken::new()).await.unwrap();
    assert!(is_moved.into_inner());
    assert_eq!(keys_left(&cluster), 0, "{flushed:?}");
    assert_eq!(flushed.deleted, 30_000);
}

#[tokio::test]
async fn keys_of_a_half_moved_slot_are_deleted_by_name() {
    let cluster = Cluster::start(0);
    let cache = cache_at(&cluster.url());
    let keys: Vec<String> = (0..20).map(|number| format!("{{catalog}}:{number}")).collect();
    for key in &keys {
        cli(cluster.servers[0].port(), &["-c", "SET", key, "v"]);
    }
    let slot: u16 = slot_of("{catalog}:0").parse().unwrap();
    let masters = cluster.masters();
    let from = masters.iter().find(|master| slots_of(master).contains(&slot.to_string())).unwrap();
    let to = masters.iter().find(|master| master.port() != from.port()).unwrap();
    open_slot(from, to, slot);
    send_keys(from, to, slot, 10);
    assert_eq!(to.cli(&["DBSIZE"]), "10");
    assert_eq!(cache.delete(&keys).await.unwrap(), 20);
    assert_eq!(keys_left(&cluster), 0);
}

fn node_id(server: &Server) -> String {
    server.cli(&["CLUSTER", "MYID"])
}

/// Moves one slot as the manual describes it.
fn move_slot(cluster: &Cluster, from: &Server, to: &Server, slot: u16) {
    open_slot(from, to, slot);
    send_keys(from, to, slot, 10_000);
    for server in [to, from].into_iter().chain(&cluster.servers) {
        server.cli(&["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &node_id(to)]);
    }
}

fn open_slot(from: &Server, to: &Server, slot: u16) {
    let slot = slot.to_string();
    to.cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &node_id(from)]);
    from.cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &node_id(to)]);
}

fn send_keys(from: &Server, to: &Server, slot: u16, most: usize) {
    let keys = from.cli(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), &most.to_string()]);
    let port = to.port().to_string();
    let keys: Vec<&str> = keys.lines().filter(|line| !line.is_empty()).collect();
    if !keys.is_empty() {
        let words = [&["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"], keys.as_slice()].concat();
        assert_eq!(from.cli(&words), "OK");
    }
}
