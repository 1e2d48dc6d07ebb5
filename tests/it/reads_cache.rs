//! Nothing stale is cached after its flush: in every interleaving of readers, writer, flush and fill, and with the whole
//! program under load.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::redis::AsyncCommands;
use ::redis::aio::MultiplexedConnection;
use cache::{Cache, LeaseToken, Look, Options};
use engine::HostName;
use engine::api::flags::{self, FlagName};
use futures::future::join_all;
use serde_json::json;
use sqlx::PgPool;

use crate::reads::{an_account, ask, encoded, until_source};
use crate::redis::{Redis, configure, until_flushed};
use crate::serve::{Daemon, project_file};
use crate::world::World;

const LEASE: Duration = Duration::from_mins(1);

/// What somebody does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The writer's commit: the source says `new` from here on.
    Commit,
    /// The pass that follows the commit.
    Flush,
    /// The pass that follows after the delay.
    FlushAgain,
    /// A reader looks into the cache.
    Look(usize),
    /// It reads the source.
    Read(usize),
    /// It fills the cache with what it read.
    Fill(usize),
}

/// How a reader fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// As ours do: under the lease.
    Leased,
    /// As most shops do: a plain set.
    Plain,
    /// Broken: it takes the lease and fills without looking whether it is still there.
    Careless,
}

/// What a reader has in its hands.
#[derive(Default)]
struct Hand {
    lease: Option<LeaseToken>,
    may_fill: bool,
    value: &'static str,
}

/// One key in a real Redis, and the source behind it.
struct Race {
    cache: Cache,
    connection: MultiplexedConnection,
    key: String,
    source: &'static str,
    hands: Vec<Hand>,
    readers: Vec<Reader>,
}

impl Race {
    async fn step(&mut self, step: Step) {
        match step {
            Step::Commit => self.source = "new",
            Step::Flush | Step::FlushAgain => {
                self.cache.delete(std::slice::from_ref(&self.key)).await.expect("a flush");
            }
            Step::Look(reader) => {
                let plain = self.readers[reader] == Reader::Plain;
                let hand = &mut self.hands[reader];
                if plain {
                    hand.may_fill = self.cache.get(&self.key).await.expect("a look").is_none();
                    return;
                }
                if let Look::Leased(lease) = self.cache.look(&self.key, LEASE).await.expect("a look") {
                    (hand.lease, hand.may_fill) = (Some(lease), true);
                }
            }
            Step::Read(reader) => self.hands[reader].value = self.source,
            Step::Fill(reader) => {
                let hand = &mut self.hands[reader];
                if !hand.may_fill {
                    return;
                }
                match (self.readers[reader], hand.lease.take()) {
                    (Reader::Leased, Some(lease)) => {
                        let value = hand.value.as_bytes();
                        self.cache.fill(&self.key, &lease, value, LEASE).await.expect("a fill");
                    }
                    (Reader::Leased, None) => {}
                    (Reader::Plain | Reader::Careless, _) => {
                        let value = hand.value;
                        self.set(value).await;
                    }
                }
            }
        }
    }

    async fn set(&mut self, value: &str) {
        self.connection.set::<_, _, ()>(&self.key, value).await.expect("a set");
    }

    async fn holds_old(&self) -> bool {
        self.cache.get(&self.key).await.expect("a get").as_deref() == Some(b"old")
    }
}

/// Every order of some sequences, each kept in its own order.
fn interleavings(sequences: &[Vec<Step>]) -> Vec<Vec<Step>> {
    if sequences.iter().all(Vec::is_empty) {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for place in 0..sequences.len() {
        if sequences[place].is_empty() {
            continue;
        }
        let mut rest = sequences.to_vec();
        let first = rest[place].remove(0);
        all.extend(interleavings(&rest).into_iter().map(|mut order| {
            order.insert(0, first);
            order
        }));
    }
    all
}

/// Runs every interleaving of a writer with some readers; answers those after which `is_wrong` says so.
async fn race(
    redis: &Redis,
    writer: &[Step],
    readers: &[Reader],
    keeps_rules: impl Fn(&[Step]) -> bool,
    counts_from: Step,
) -> Vec<Vec<Step>> {
    let cache = Cache::new(Options::new(&redis.url().parse().unwrap(), None).unwrap());
    let mut sequences = vec![writer.to_vec()];
    sequences.extend(
        (0..readers.len()).map(|reader| vec![Step::Look(reader), Step::Read(reader), Step::Fill(reader)]),
    );
    let orders: Vec<Vec<Step>> =
        interleavings(&sequences).into_iter().filter(|order| keeps_rules(order)).collect();
    assert!(!orders.is_empty());
    let connection = redis.connection().await;
    let run = |(number, order): (usize, Vec<Step>)| {
        let (cache, connection) = (cache.clone(), connection.clone());
        async move {
            let mut race = Race {
                cache,
                connection,
                key: format!("race:{number}"),
                source: "old",
                hands: readers.iter().map(|_| Hand::default()).collect(),
                readers: readers.to_vec(),
            };
            let (mut is_flushed, mut is_wrong) = (false, false);
            for step in &order {
                race.step(*step).await;
                is_flushed |= *step == counts_from;
                is_wrong |= is_flushed && race.holds_old().await;
            }
            race.cache.delete(std::slice::from_ref(&race.key)).await.expect("a delete");
            is_wrong.then_some(order)
        }
    };
    let mut wrong = Vec::new();
    let mut numbered = orders.into_iter().enumerate();
    loop {
        let batch: Vec<_> = numbered.by_ref().take(64).map(run).collect();
        if batch.is_empty() {
            return wrong;
        }
        wrong.extend(join_all(batch).await.into_iter().flatten());
    }
}

const WRITER: [Step; 3] = [Step::Commit, Step::Flush, Step::FlushAgain];

#[tokio::test]
async fn with_a_lease_nothing_stale_is_cached_after_its_flush_in_any_interleaving() {
    let redis = Redis::start().await;
    let leased = [Reader::Leased, Reader::Leased];
    let wrong = race(&redis, &WRITER, &leased, |_| true, Step::Flush).await;
    assert!(wrong.is_empty(), "{wrong:#?}");

    // And the race is one: whoever skips a rule loses it.
    let careless = [Reader::Careless, Reader::Leased];
    assert!(
        !race(&redis, &WRITER, &careless, |_| true, Step::Flush).await.is_empty(),
        "a fill without its lease"
    );
    let too_early = [Step::Flush, Step::Commit, Step::FlushAgain];
    assert!(
        !race(&redis, &too_early, &leased, |_| true, Step::Commit).await.is_empty(),
        "a flush before its commit"
    );
}

#[tokio::test]
async fn a_row_that_was_read_before_the_look_may_be_cached_stale() {
    let redis = Redis::start().await;
    let cache = Cache::new(Options::new(&redis.url().parse().unwrap(), None).unwrap());
    let mut race = Race {
        cache,
        connection: redis.connection().await,
        key: "race:order".to_owned(),
        source: "old",
        hands: vec![Hand::default()],
        readers: vec![Reader::Leased],
    };
    for step in [Step::Read(0), Step::Commit, Step::Flush, Step::Look(0), Step::Fill(0)] {
        race.step(step).await;
    }
    assert!(race.holds_old().await, "the order look, read, fill is what the lease rests on");
}

#[tokio::test]
async fn no_plain_reader_outlives_the_delay() {
    let redis = Redis::start().await;
    // The second pass is counted from the end of the first, so a reader that takes less than the delay from read to set
    // and read before the commit has set before the second pass.
    let takes_less_than_the_delay = |order: &[Step]| {
        let place = |step| order.iter().position(|known| *known == step).unwrap();
        (0..2).all(|reader| {
            place(Step::Read(reader)) > place(Step::Commit)
                || place(Step::Fill(reader)) < place(Step::FlushAgain)
        })
    };
    let plain = [Reader::Plain, Reader::Plain];
    let wrong = race(&redis, &WRITER, &plain, takes_less_than_the_delay, Step::FlushAgain).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(!race(&redis, &WRITER, &plain, |_| true, Step::FlushAgain).await.is_empty(), "a slower one may");
    let one_pass = [Step::Commit, Step::Flush];
    assert!(
        !race(&redis, &one_pass, &plain, |_| true, Step::Flush).await.is_empty(),
        "one pass is not enough"
    );
}

#[tokio::test]
async fn the_recipe_for_shops_works_with_our_flushes() {
    let redis = Redis::start().await;
    let guide = project_file("docs/read-api.md");
    let scripts: Vec<::redis::Script> = guide
        .split("```lua\n")
        .skip(1)
        .map(|part| ::redis::Script::new(part.split("```").next().unwrap()))
        .collect();
    let [look, fill] = &scripts[..] else { panic!("two scripts are documented") };
    let mut connection = redis.connection().await;
    let cache = Cache::new(Options::new(&redis.url().parse().unwrap(), None).unwrap());
    let key = "catalog:product:A".to_owned();
    let lease = format!("{{{key}}}:lease");
    assert_eq!(lease, cache::lease_key(&key));
    for is_flushed in [false, true] {
        let first: i64 =
            look.key(&key).key(&lease).arg("mine").arg(10_000).invoke_async(&mut connection).await.unwrap();
        let second: i64 =
            look.key(&key).key(&lease).arg("other").arg(10_000).invoke_async(&mut connection).await.unwrap();
        assert_eq!((first, second), (1, 0));
        if is_flushed {
            cache.delete(std::slice::from_ref(&key)).await.unwrap();
        }
        let done: i64 = fill
            .key(&key)
            .key(&lease)
            .arg("mine")
            .arg("value")
            .arg(10_000)
            .invoke_async(&mut connection)
            .await
            .unwrap();
        assert_eq!((done == 1, redis.has(&key).await), (!is_flushed, !is_flushed));
        cache.delete(std::slice::from_ref(&key)).await.unwrap();
    }
    assert!(redis.keys().await.is_empty(), "neither values nor leases stay behind");
}

/// Everything loaded, readers that have the shadow, and a cache before it.
async fn cached(pool: PgPool) -> (World, Redis, Daemon) {
    let mut world = World::start(pool).await;
    world.backfill(&["Product2", "PricebookEntry", "Account"]).await;
    let redis = Redis::start().await;
    configure(&world, &redis);
    world.restart_as(HostName::CommandLine).await;
    let daemon = Daemon::start(&world).await;
    world.until_streaming().await;
    world.until_settled().await;
    flags::set(&world.engine, FlagName::ShadowReads, true).await.unwrap();
    world
        .until_true("the second answer comes from the cache", async || {
            ask(&daemon, &format!("/v1/accounts/{}/eligibility", an_account(&world))).await.1["source"]
                == "cache"
        })
        .await;
    (world, redis, daemon)
}

#[sqlx::test(migrations = false)]
async fn the_second_answer_comes_from_the_cache_until_the_record_changes(pool: PgPool) {
    let (world, redis, daemon) = cached(pool).await;
    let (_, sku) = crate::reads::a_product(&world).await;
    let path = format!("/v1/products/{}", encoded(&sku));
    world.until_true("it is cached", async || ask(&daemon, &path).await.1["source"] == "cache").await;
    let (_, hit) = ask(&daemon, &path).await;
    assert!(redis.has(&format!("catalog:product:{sku}")).await);
    let (_, shadow) = ask(&daemon, &format!("{path}?max_age=0")).await;
    assert_eq!(hit["product"], shadow["product"]);
    assert_eq!(shadow["source"], "salesforce", "too old for this reader: {shadow}");

    // What a shop keeps under the same key is not ours to read, nor to overwrite.
    let account = an_account(&world);
    let key = format!("eligibility:{account}");
    redis.fill(&[&key]).await;
    let (_, body) = ask(&daemon, &format!("/v1/accounts/{account}/eligibility")).await;
    assert_eq!(body["source"], "shadow", "{body}");
    assert_eq!(redis.keys().await.iter().filter(|known| **known == key).count(), 1);

    // A cache that dies is nobody's problem.
    let mut redis = redis;
    redis.kill();
    until_source(&world, &daemon, "shadow").await;
}

#[sqlx::test(migrations = false)]
async fn no_reader_goes_back_in_time_while_a_record_changes_under_it(pool: PgPool) {
    let (world, _redis, daemon) = cached(pool).await;
    world.age_reads().await;
    let account = an_account(&world);
    let path = format!("/v1/accounts/{account}/eligibility");
    let is_over = AtomicBool::new(false);
    let number = |body: &serde_json::Value| {
        let text = body["eligibility"]["internet_eligibility"].as_str().unwrap_or_default();
        text.strip_prefix("Number ").and_then(|number| number.parse::<u32>().ok()).unwrap_or_default()
    };
    let reader = async || {
        let (mut last, mut by_source) = (0, HashMap::<String, u32>::new());
        while !is_over.load(Ordering::Relaxed) {
            let (_, body) = ask(&daemon, &path).await;
            let now = number(&body);
            assert!(now >= last, "{now} after {last}: {body}");
            last = now;
            *by_source.entry(body["source"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        by_source
    };
    let writer = async {
        for number in 1..=25 {
            let value = format!("Number {number}");
            world
                .org
                .org()
                .update("Account", &account, &json!({ "Internet_Eligibility__c": value }))
                .unwrap();
            world
                .until_value(
                    "sf_account_eligibility_shadow",
                    "account_id",
                    &account,
                    "internet_eligibility",
                    Some(&value),
                )
                .await;
        }
        until_flushed(&world).await;
        is_over.store(true, Ordering::Relaxed);
    };
    let (a, b, c, ()) = tokio::join!(reader(), reader(), reader(), writer);
    let (_, body) = ask(&daemon, &path).await;
    assert_eq!(number(&body), 25, "{body}");
    let hits: u32 = [a, b, c].iter().filter_map(|sources| sources.get("cache")).sum();
    assert!(hits > 0, "the cache answered nobody");
}

#[sqlx::test(migrations = false)]
async fn a_cache_that_comes_back_with_old_data_answers_nobody_before_it_is_deleted(pool: PgPool) {
    let (world, mut redis, daemon) = cached(pool).await;
    world.age_reads().await;
    let (product, sku) = crate::reads::a_product(&world).await;
    let path = format!("/v1/products/{}", encoded(&sku));
    world.until_true("it is cached", async || ask(&daemon, &path).await.1["source"] == "cache").await;
    redis.run(&["SAVE"]).await;
    redis.kill();

    let name = "Renamed while the cache was away";
    world.org.org().update("Product2", &product, &json!({ "Name": name })).unwrap();
    world.until_value("sf_product_shadow", "product_id", &product, "name", Some(name)).await;
    // Whoever deletes cannot note another server meanwhile, so nothing is deleted on it.
    let mut holds = world.pool.begin().await.unwrap();
    let lock = "lock table shadow_sync.cache_servers in exclusive mode";
    ::sqlx::query(lock).execute(&mut *holds).await.unwrap();
    redis.start_again().await;
    assert!(redis.size().await > 0, "it has its data from disk");
    for _ in 0..20 {
        let (_, body) = ask(&daemon, &path).await;
        assert_eq!(body["product"]["name"], name, "{body}");
    }
    holds.rollback().await.unwrap();
    world
        .until_true("the cache answers again, and never what it was", async || {
            let (_, body) = ask(&daemon, &path).await;
            assert_eq!(body["product"]["name"], name, "{body}");
            body["source"] == "cache"
        })
        .await;
}

#[sqlx::test(migrations = false)]
async fn while_deletion_is_held_by_hand_readers_go_without_the_cache(pool: PgPool) {
    let (world, _redis, daemon) = cached(pool).await;
    engine::api::cache::hold(&world.engine, true).await.unwrap();
    until_source(&world, &daemon, "shadow").await;
    engine::api::cache::hold(&world.engine, false).await.unwrap();
    until_source(&world, &daemon, "cache").await;
}
