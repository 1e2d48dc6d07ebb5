//! Readers, a writer and the lease in every order that can happen, command by command.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use cache::{Cache, LeaseToken, Look, lease_key};
use tokio_util::sync::CancellationToken;

use crate::gate::Gate;
use crate::servers::Server;
use crate::{LONG, cache_at};

/// The steps of one party, of which each is one command or one read of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A reader looks; it goes on only with a lease.
    Look(usize),
    /// A reader reads the source.
    Read(usize),
    /// A reader fills the key with what it read.
    Fill(usize),
    /// The writer commits a new value to the source.
    Commit,
    /// A command of the writer's delete reaches the server.
    Delete,
}

use Step::{Commit, Delete, Fill, Look as LookUp, Read};

/// How many commands a delete is made of.
const COMMANDS: usize = 2;

/// Every order in which the parties' steps can follow each other, each party's own in their order.
fn interleavings(parties: &[&[Step]]) -> Vec<Vec<Step>> {
    if parties.iter().all(|steps| steps.is_empty()) {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (at, steps) in parties.iter().enumerate() {
        let Some((first, rest)) = steps.split_first() else { continue };
        let mut others = parties.to_vec();
        others[at] = rest;
        for mut tail in interleavings(&others) {
            tail.insert(0, *first);
            all.push(tail);
        }
    }
    all
}

#[derive(Default, Clone)]
struct Reader {
    token: Option<LeaseToken>,
    read: Vec<u8>,
}

/// Runs one order; returns what the key holds after each step that follows the whole delete.
///
/// - `writer`: the same cache by a way on which each command of a delete waits for its step.
async fn run(
    cache: &Cache,
    (writer, gate): (&Cache, &mut Gate),
    key: &str,
    order: &[Step],
) -> Vec<Option<Vec<u8>>> {
    let mut source = b"old".to_vec();
    let mut readers = [Reader::default(), Reader::default()];
    let mut deleting = None;
    let mut left = COMMANDS;
    let mut after = Vec::new();
    for step in order {
        match *step {
            LookUp(reader) => {
                readers[reader].token = match cache.look(key, LONG).await.unwrap() {
                    Look::Leased(token) => Some(token),
                    Look::Hit(_) | Look::Busy => None,
                };
            }
            Read(reader) => readers[reader].read.clone_from(&source),
            Fill(reader) => {
                if let Some(token) = &readers[reader].token {
                    cache.fill(key, token, &readers[reader].read, LONG).await.unwrap();
                }
            }
            Commit => source = b"new".to_vec(),
            Delete => {
                let (writer, keys) = (writer.clone(), vec![key.to_owned()]);
                let task = deleting
                    .take()
                    .unwrap_or_else(|| tokio::spawn(async move { writer.delete(&keys).await }));
                gate.let_through().await;
                left -= 1;
                if left == 0 {
                    task.await.unwrap().unwrap();
                } else {
                    deleting = Some(task);
                }
            }
        }
        if left == 0 {
            after.push(cache.get(key).await.unwrap());
        }
    }
    after
}

#[tokio::test]
async fn in_no_order_does_a_stale_value_outlive_the_delete() {
    let server = Server::start();
    let cache = cache_at(&server.url());
    let mut gate = Gate::to(server.port()).await;
    let writer = cache_at(&gate.url());
    let orders = interleavings(&[
        &[LookUp(0), Read(0), Fill(0)],
        &[LookUp(1), Read(1), Fill(1)],
        &[Commit, Delete, Delete],
    ]);
    assert_eq!(orders.len(), 1_680);
    let mut ends = BTreeSet::new();
    for (number, order) in orders.iter().enumerate() {
        // Cold, or with the old value in the cache.
        for warm in [false, true] {
            let key = format!("catalog:product:{number}:{warm}");
            if warm {
                server_set(&server, &key, "old");
            }
            let after = run(&cache, (&writer, &mut gate), &key, order).await;
            assert!(
                !after.contains(&Some(b"old".to_vec())),
                "stale after the delete, warm {warm}: {order:?}"
            );
            ends.insert(after.last().cloned().flatten());
        }
    }
    // Both happen: somebody could fill the key again, and nobody could.
    assert_eq!(ends, BTreeSet::from([None, Some(b"new".to_vec())]));
}

fn server_set(server: &Server, key: &str, value: &str) {
    let mut connection =
        redis::Client::open(server.url().as_str()).unwrap().get_connection().expect("redis-server answers");
    redis::cmd("SET").arg(key).arg(value).exec(&mut connection).unwrap();
}

/// A reader that took its lease before a flush began, and fills its key behind any page of the flush.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_no_page_of_a_flush_is_a_stale_value_stored() {
    let server = Server::start();
    let cache = cache_at(&server.url());
    let keys: Vec<String> = (0..40).map(|number| format!("catalog:leased:{number}")).collect();
    for page in 0..40 {
        server.fill("catalog:filled:", 3_000);
        server.fill("other:", 3_000);
        let mut tokens = Vec::new();
        for key in &keys {
            let Look::Leased(token) = cache.look(key, LONG).await.unwrap() else {
                panic!("the flush before left a lease or a value of {key}")
            };
            tokens.push(token);
        }
        let pages = AtomicUsize::new(0);
        let progress = |_| {
            if pages.fetch_add(1, Ordering::Relaxed) == page {
                tokio::task::block_in_place(|| {
                    tokio::runtime::Handle::current().block_on(async {
                        for (key, token) in keys.iter().zip(&tokens) {
                            cache.fill(key, token, b"old", LONG).await.unwrap();
                        }
                    });
                });
            }
        };
        cache.flush("catalog:*", &progress, &CancellationToken::new()).await.unwrap();
        let left = cache.get_many(&keys).await.unwrap();
        assert!(left.iter().all(Option::is_none), "stored behind page {page}: {left:?}");
        if pages.into_inner() <= page {
            assert!(page > 4, "the flush had only {page} pages");
            return;
        }
    }
    panic!("a flush of 9,000 keys had more than 40 pages");
}

#[tokio::test]
async fn a_lease_is_one_readers_alone_and_ends() {
    let server = Server::start();
    let cache = cache_at(&server.url());
    let Look::Leased(first) = cache.look("k", LONG).await.unwrap() else { panic!("nobody holds it") };
    assert_eq!(cache.look("k", LONG).await.unwrap(), Look::Busy);
    // It expires, and the next reader gets its own.
    server.cli(&["PEXPIRE", &lease_key("k"), "0"]);
    let Look::Leased(second) = cache.look("k", LONG).await.unwrap() else { panic!("it has expired") };
    assert!(!cache.fill("k", &first, b"late", LONG).await.unwrap());
    assert_eq!(cache.get("k").await.unwrap(), None);
    assert!(cache.fill("k", &second, b"\0binary\xff", LONG).await.unwrap());
    assert!(!cache.fill("k", &second, b"twice", LONG).await.unwrap());
    assert_eq!(cache.look("k", LONG).await.unwrap(), Look::Hit(b"\0binary\xff".to_vec()));
    assert_eq!(server.cli(&["EXISTS", &lease_key("k")]), "0");
    let left: i64 = server.cli(&["PTTL", "k"]).parse().unwrap();
    assert!(left > 0 && i128::from(left) <= i128::try_from(LONG.as_millis()).unwrap());
}

/// Many readers of one key that is not there, all at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_readers_one_gets_the_lease() {
    let server = Server::start();
    let cache = cache_at(&server.url());
    for number in 0..20 {
        let key = format!("k:{number}");
        let looks = (0..50).map(|_| {
            let (cache, key) = (cache.clone(), key.clone());
            tokio::spawn(async move { cache.look(&key, LONG).await.unwrap() })
        });
        let mut leases = 0;
        for look in looks.collect::<Vec<_>>() {
            match look.await.unwrap() {
                Look::Leased(_) => leases += 1,
                Look::Busy => {}
                Look::Hit(_) => panic!("nobody filled it"),
            }
        }
        assert_eq!(leases, 1);
    }
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_told_them_again() {
    let server = Server::start();
    let cache = cache_at(&server.url());
    for _ in 0..3 {
        server.cli(&["SCRIPT", "FLUSH"]);
        let Look::Leased(token) = cache.look("k", LONG).await.unwrap() else { panic!("nobody holds it") };
        server.cli(&["SCRIPT", "FLUSH"]);
        assert!(cache.fill("k", &token, b"v", LONG).await.unwrap());
        cache.delete(&["k".to_owned()]).await.unwrap();
    }
}
