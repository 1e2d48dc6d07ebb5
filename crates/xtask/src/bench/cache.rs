//! Cache keys, measured from outside: a pattern flushed among many others, and the time from an event to its keys' end.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::bench_daemon::BenchDaemon;
use super::bench_org::{BenchOrg, Load};
use super::bench_place::Place;
use super::bench_redis::BenchRedis;
use super::measured;
use super::probes::percentile;
use super::table::Table;
use crate::packages::{self, Purpose};
use crate::workspace::Workspace;

/// How much to measure.
#[derive(clap::Args)]
pub struct Args {
    /// Keys in the cache, of which every tenth matches the pattern that is flushed
    #[arg(long, default_value_t = 10_000_000)]
    keys: u64,
    /// Seconds after which a key expires, as most keys of caches do; 0: never. Where any key does, a flush walks twice
    #[arg(long, default_value_t = 86_400)]
    expires: u64,
    /// Seconds of a steady stream; 0 leaves it out
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Events a second meanwhile
    #[arg(long, default_value_t = 1_000)]
    per_second: u32,
    /// Products, whose rows the events change in turn
    #[arg(long, default_value_t = 10_000)]
    products: u64,
}

/// The longest that a command of ours may keep the server from the others, in 99.9 % of all.
const COMMAND_BAR: Duration = Duration::from_millis(10);
/// From an event's arrival until its keys are gone.
const GONE_P99: Duration = Duration::from_millis(100);

const PATTERN: &str = "catalog:*";
/// A key that was deleted is stored again after this long: after the second deletion of the same change.
const AGAIN: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_mins(5);

/// Measures and prints the table.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    packages::ensure(&workspace, Purpose::Test)?;
    ensure!(
        args.products >= 8 * u64::from(args.per_second),
        "--products must be eight times --per-second or more: a key has to be back before its record changes again"
    );
    let place = Place::make(&workspace)?;
    let redis = BenchRedis::start(place.folder())?;
    let mut table = Table::default();
    let expiry = match args.expires {
        0 => "none of them expires".to_owned(),
        seconds => format!("each expires after {seconds} s"),
    };
    table.heading(&format!("{} keys in Redis, every tenth matches {PATTERN}, {expiry}", args.keys));
    let org = start_org(&place, &redis, args.products)?;
    redis.fill((0..args.keys).map(name), args.expires)?;
    flush(&place, &redis, args, &mut table)?;
    if args.seconds > 0 {
        table.heading(&format!(
            "Events of {} products of a simulated org into {}, embedded; a synced write of 8 kB takes {:.2} ms",
            args.products,
            place.version(),
            measured::fsync_time(place.folder())?.as_secs_f64() * 1000.0
        ));
        invalidate(&place, &redis, &org, args, &mut table)?;
    }
    table.print();
    Ok(if table.is_good() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn name(number: u64) -> String {
    if number.is_multiple_of(10) { format!("catalog:product:{number}") } else { format!("session:{number}") }
}

/// An org, and an environment with the cache; nothing is loaded, so that nothing orders keys to be deleted.
fn start_org(place: &Place, redis: &BenchRedis, products: u64) -> Result<BenchOrg> {
    let log = File::create(place.folder().join("demo-org.log"))?;
    let numbers = [products.to_string(), (products / 10).to_string(), u32::MAX.to_string()];
    let [products, prices, daily] = &numbers;
    let mut command = place.program();
    command.args(["demo-org", "--json", "--listen", "127.0.0.1:0", "--accounts", "10", "--keep-alive", "2"]);
    command.args(["--products", products, "--prices", prices, "--daily-events", daily]);
    let org = BenchOrg::start(&mut command, &log)?;
    place.write_environment(&format!("{}redis_url = \"{}\"\n", org.environment(), redis.url()))?;
    for words in [&["migrate", "--yes"][..], &["login"]] {
        measured::run(&mut place.shadow_sync(words))?;
    }
    Ok(org)
}

/// One pattern among many other keys: by redis-cli, and by us.
fn flush(place: &Place, redis: &BenchRedis, args: &Args, table: &mut Table) -> Result<()> {
    let keys = args.keys;
    let matching = keys.div_ceil(10);
    let begun = Instant::now();
    let plan = measured::run(&mut place.shadow_sync(&["flush", "--pattern", PATTERN, "--dry-run"]))?;
    let plan: Value = serde_json::from_str(&plan.output).context("the plan is no JSON")?;
    let counted = plan["keys"].as_u64().context("the plan names no keys")?;
    let value = format!("{counted} in {}", in_seconds(begun.elapsed()));
    table.check("preview", &value, counted == matching, &format!("exactly {matching}"));

    let words = format!(
        "redis-cli -p {port} --scan --pattern '{PATTERN}' | xargs redis-cli -p {port} unlink > /dev/null",
        port = redis.port()
    );
    let by_hand = measured::run(Command::new("sh").args(["-c", &words]))?.wall;
    ensure!(redis.keys()? == keys - matching, "redis-cli left keys behind");
    table.fact("redis-cli --scan | xargs redis-cli unlink", &in_seconds(by_hand));

    redis.fill((0..keys).step_by(10).map(name), args.expires)?;
    redis.forget_latencies()?;
    let is_over = AtomicBool::new(false);
    let (ours, pings) = thread::scope(|scope| {
        let pings = scope.spawn(|| redis.ping(&is_over));
        let ours = measured::run(&mut place.shadow_sync(&["flush", "--pattern", PATTERN]));
        is_over.store(true, Ordering::Relaxed);
        (ours, pings.join())
    });
    let ours = ours?;
    ensure!(redis.keys()? == keys - matching, "our flush left keys behind");
    let ratio = by_hand.as_secs_f64() / ours.wall.as_secs_f64();
    let flushed = in_seconds(ours.wall);
    table.bar("shadow-sync flush, the whole program", &flushed, ratio, 1.0, |ratio, bar| ratio > bar);
    for command in ["scan", "unlink"] {
        let measured = redis.latencies()?.remove(command);
        let measured = measured.with_context(|| format!("the server measured no {command}"))?;
        table.check(
            &format!("  {command} on the server, 99.9 %"),
            &in_ms(measured.nearly_all),
            measured.nearly_all <= COMMAND_BAR,
            &in_ms(COMMAND_BAR),
        );
        table.fact("    the longest", &in_ms(measured.longest));
    }
    let mut pings = pings.map_err(|_| anyhow::anyhow!("the pings ended"))??;
    pings.sort_unstable();
    let at = |per_mille: usize| pings.get(pings.len() * per_mille / 1_000).copied().unwrap_or_default();
    table.fact(&format!("  another client's {} pings, 99.9 %", pings.len()), &in_ms(at(999)));
    table.fact("    the longest", &in_ms(pings.last().copied().unwrap_or_default()));
    Ok(())
}

/// Keys of changed rows, deleted by the daemon while events stream in.
fn invalidate(
    place: &Place,
    redis: &BenchRedis,
    org: &BenchOrg,
    args: &Args,
    table: &mut Table,
) -> Result<()> {
    for object in ["Product2", "PricebookEntry"] {
        measured::run(&mut place.shadow_sync(&["cache", "declare", object]))?;
    }
    measured::run(&mut place.shadow_sync(&["backfill"]))?;
    let database = place.database()?;
    let sql = |text: &str| place.sql(&database, text);
    let log = File::create(place.folder().join("serve.log"))?;
    let mut command = place.shadow_sync(&["serve", "--listen", "127.0.0.1:0"]);
    let daemon = BenchDaemon::start(&mut command, &log)?;
    let begun = Instant::now();
    while sql("select count(*) from shadow_sync.checkpoints where replay_id is not null")? != "3" {
        ensure!(begun.elapsed() < PATIENCE, "not every channel was heard in time; see serve.log");
        thread::sleep(Duration::from_millis(200));
    }
    daemon.wait_until("nothing is open", PATIENCE, |metrics| {
        ["sf_shadow_holes_open", "sf_shadow_dirty_records"].iter().all(|name| metrics.sum(name) < 1.0)
    })?;
    while sql("select count(*) from shadow_sync.invalidations where done_at is null")? != "0" {
        ensure!(begun.elapsed() < PATIENCE, "the orders of the load were not done in time");
        thread::sleep(Duration::from_millis(200));
    }
    // An event within seconds of its record's read is doubted, and fetched whole: that is not what is measured.
    thread::sleep(Duration::from_secs(8));

    let skus = sql("select sku from sf_product_shadow")?;
    redis.fill(skus.lines().map(key_of), args.expires)?;
    let from: u64 = sql("select position from shadow_sync.log_head")?.parse()?;
    let changes = args.seconds * u64::from(args.per_second);
    let is_over = AtomicBool::new(false);
    let deletions = thread::scope(|scope| -> Result<_> {
        let watching = scope.spawn(|| watch(redis, &is_over));
        let load = Load { field: "Description", changes, per_second: Some(args.per_second), characters: 250 };
        let drained = org.control().start_load(load).and_then(|()| drain(&daemon, &sql, from + changes));
        is_over.store(true, Ordering::Relaxed);
        let deletions = watching.join().map_err(|_| anyhow::anyhow!("nobody watched the keys"))?;
        drained.and(deletions)
    })?;
    let events = sql(&format!(
        "select product.sku, extract(epoch from event.received_at)
           from shadow_sync.change_log event join sf_product_shadow product on product.product_id = any(event.record_ids)
          where event.position > {from} order by event.position"
    ))?;
    let mut took = gone_after(&events, &deletions)?;
    let share = took.len() as f64 / changes as f64;
    table.fact("events whose keys were seen to go", &format!("{} of {changes}", took.len()));
    ensure!(share > 0.9, "too few keys were seen to go");
    let p50 = percentile(&mut took, 50).context("no key went")?;
    let p99 = percentile(&mut took, 99).context("no key went")?;
    table.fact("received to its template's key gone, p50", &in_ms(p50));
    table.check("received to its template's key gone, p99", &in_ms(p99), p99 <= GONE_P99, &in_ms(GONE_P99));
    table.fact("  the longest", &in_ms(took.last().copied().unwrap_or_default()));
    Ok(())
}

fn key_of(sku: &str) -> String {
    format!("catalog:product:{sku}")
}

/// Waits until every event is applied and no deletion is left, not even the second one.
fn drain(daemon: &BenchDaemon, sql: &dyn Fn(&str) -> Result<String>, position: u64) -> Result<()> {
    let begun = Instant::now();
    let applied = "select coalesce(max(applied_position), 0) from shadow_sync.checkpoints";
    while sql(applied)?.parse::<u64>()? < position {
        ensure!(begun.elapsed() < PATIENCE, "not every event was applied in time");
        thread::sleep(Duration::from_millis(100));
    }
    daemon.wait_until("every key is gone", PATIENCE, |metrics| {
        metrics.sum("sf_shadow_invalidations_waiting") < 1.0
    })
}

/// When each key went, by its name. Keys are stored again a while after they went.
fn watch(redis: &BenchRedis, is_over: &AtomicBool) -> Result<BTreeMap<String, Vec<SystemTime>>> {
    let mut storing = redis.connect()?;
    let mut due: std::collections::VecDeque<(Instant, String)> = std::collections::VecDeque::new();
    let mut gone: BTreeMap<String, Vec<SystemTime>> = BTreeMap::new();
    let mut refused = None;
    redis.connect()?.watch_deletions(|event| {
        if let Some((at, key)) = event {
            due.push_back((Instant::now() + AGAIN, key.clone()));
            gone.entry(key).or_default().push(at);
        }
        while due.front().is_some_and(|(at, _)| *at <= Instant::now()) {
            let Some((_, key)) = due.pop_front() else { break };
            if let Err(error) = storing.ask(&["SET", &key, "v"]) {
                refused = Some(error);
                return false;
            }
        }
        !is_over.load(Ordering::Relaxed)
    })?;
    refused.map_or(Ok(gone), Err)
}

/// How long after an event its key went; events whose key was not there are left out.
///
/// - `events`: lines of SKU and seconds since 1970, in the order of arrival.
fn gone_after(events: &str, gone: &BTreeMap<String, Vec<SystemTime>>) -> Result<Vec<Duration>> {
    let mut of_key: BTreeMap<String, Vec<SystemTime>> = BTreeMap::new();
    for line in events.lines() {
        let (sku, seconds) = line.rsplit_once('|').context("an event has no time")?;
        let at = UNIX_EPOCH + Duration::try_from_secs_f64(seconds.parse()?)?;
        of_key.entry(key_of(sku)).or_default().push(at);
    }
    let mut took = Vec::new();
    for (key, received) in of_key {
        let Some(gone) = gone.get(&key) else { continue };
        for (number, at) in received.iter().enumerate() {
            let next = received.get(number + 1);
            let first = gone.iter().find(|gone| *gone >= at && next.is_none_or(|next| *gone < next));
            took.extend(first.and_then(|gone| gone.duration_since(*at).ok()));
        }
    }
    Ok(took)
}

fn in_ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

fn in_seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_events_key_goes_between_it_and_the_next_event_of_its_record() {
        let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
        let gone = BTreeMap::from([(key_of("A|1"), vec![at(1_040), at(3_000), at(20_050)])]);
        let events = "A|1|1.0\nB|1.5\nA|1|11.0\nA|1|20.0\n";
        let took = gone_after(events, &gone).unwrap();
        // The second event of A found no key; nobody looked for B's.
        assert_eq!(took, [Duration::from_millis(40), Duration::from_millis(50)]);
    }
}
