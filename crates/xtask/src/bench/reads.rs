//! Reads over HTTP, measured from outside by `wrk`: the daemon on one core, products from the shadow.

use std::fs::File;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::bench_daemon::BenchDaemon;
use super::bench_org::BenchOrg;
use super::bench_place::Place;
use super::measured;
use super::table::Table;
use crate::plain_http;
use crate::process::{is_on_path, output_of};
use crate::workspace::Workspace;

/// How much to measure.
#[derive(clap::Args)]
pub struct Args {
    /// Seconds of reading
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Connections that read at the same time
    #[arg(long, default_value_t = 32)]
    connections: u32,
    /// Products to read, in turn
    #[arg(long, default_value_t = 10_000)]
    products: u64,
}

const RATE_BAR: f64 = 5_000.0;
const P99_BAR: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_mins(2);
/// The core of the daemon, and that of who reads.
const CORES: [&str; 2] = ["0", "1"];

/// What `wrk` said.
#[derive(Debug, PartialEq)]
struct Wrk {
    rate: f64,
    requests: f64,
    p50: Duration,
    p99: Duration,
    /// Answers other than 2xx and 3xx, and those that never came.
    failed: f64,
}

/// Measures and prints the table.
pub fn run(args: &Args) -> Result<ExitCode> {
    if !is_on_path("wrk") || !is_on_path("taskset") {
        bail!("`wrk` and `taskset` measure this: apt-get install wrk util-linux");
    }
    let workspace = Workspace::find()?;
    let place = Place::make(&workspace)?;
    let mut table = Table::default();
    table.heading(&format!(
        "Products of a simulated org, read over HTTP by {} connections from {}, embedded; `serve` has one core",
        args.connections,
        place.version()
    ));
    let log = File::create(place.folder().join("demo-org.log"))?;
    let mut command = place.program();
    command.args(["demo-org", "--json", "--listen", "127.0.0.1:0", "--accounts", "10", "--keep-alive", "2"]);
    command.args(["--products", &args.products.to_string(), "--prices", &args.products.to_string()]);
    let org = BenchOrg::start(&mut command, &log)?;
    // A cache would answer in the database's stead.
    place.write_environment(&org.environment())?;
    for words in
        [&["migrate", "--yes"][..], &["login"], &["backfill"], &["flags", "set", "shadow-reads", "on"]]
    {
        measured::run(&mut place.shadow_sync(words))?;
    }
    let serve = place.shadow_sync(&["serve", "--listen", "127.0.0.1:0"]);
    let log = File::create(place.folder().join("serve.log"))?;
    let daemon = BenchDaemon::start(&mut pinned(CORES[0], &serve), &log)?;
    daemon.wait_until("no hole is open", PATIENCE, |metrics| {
        metrics.sum("sf_shadow_holes_open") < 1.0 && metrics.sum("sf_shadow_stream_leader") > 0.0
    })?;
    let database = place.database()?;
    let skus = place.sql(&database, "select sku from sf_product_shadow order by product_id")?;
    until_shadow(&daemon, skus.lines().next().context("no product was loaded")?)?;
    let script = place.folder().join("products.lua");
    std::fs::write(&script, lua(&skus))?;

    let read = |seconds: u64| -> Result<Wrk> {
        let mut wrk = Command::new("wrk");
        wrk.args(["--threads", "1", "--latency", "--connections", &args.connections.to_string()]);
        wrk.args(["--duration", &format!("{seconds}s"), "--script"]).arg(&script);
        wrk.arg(format!("http://127.0.0.1:{}", daemon.port()));
        parse(&output_of(&mut pinned(CORES[1], &wrk))?).context("wrk said something that cannot be read")
    };
    // Connections are made and statements prepared once.
    read(3)?;
    let (before, used) = (daemon.metrics()?, daemon.processor_time()?);
    let found = read(args.seconds)?;
    let (after, used) = (daemon.metrics()?, daemon.processor_time()?.saturating_sub(used));
    let grown = |name: &str| after.sum(name) - before.sum(name);

    table.fact("requests answered", &format!("{:.0}", found.requests));
    table.check(
        "reads a second",
        &format!("{:.0}", found.rate),
        found.rate >= RATE_BAR,
        &format!("{RATE_BAR:.0}"),
    );
    table.fact("p50", &in_ms(found.p50));
    table.check("p99", &in_ms(found.p99), found.p99 <= P99_BAR, &in_ms(P99_BAR));
    table.fact("processor time of a read", &format!("{:.0} µs", used.as_secs_f64() * 1e6 / found.requests));
    table.check("other answers than 200", &format!("{:.0}", found.failed), found.failed < 1.0, "0");
    let others = grown("sf_shadow_reads_total") - grown(FROM_SHADOW);
    table.check("answers from elsewhere than the shadow", &format!("{others:.0}"), others < 1.0, "0");
    let calls = after.sum(CALLS) - before.sum(CALLS);
    table.check("calls of Salesforce for readers", &format!("{calls:.0}"), calls < 1.0, "0");
    table.memory("memory of `serve`", daemon.resident()?);
    table.print();
    Ok(if table.is_good() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

const FROM_SHADOW: &str = "sf_shadow_reads_total{question=\"product\",source=\"shadow\",outcome=\"fresh\"}";
const CALLS: &str = "sf_api_requests_total{purpose=\"read\"}";

/// The same command on one core.
fn pinned(core: &str, command: &Command) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.args(["--cpu-list", core]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => pinned.env(name, value),
            None => pinned.env_remove(name),
        };
    }
    pinned
}

/// Waits until readers have the shadow: the daemon looks at the flag once a second.
fn until_shadow(daemon: &BenchDaemon, sku: &str) -> Result<()> {
    let path = format!("/v1/products/{}", encoded(sku));
    let begun = std::time::Instant::now();
    loop {
        let answer = plain_http::ask(daemon.port(), "GET", &path, &[], "", Duration::from_secs(30))?;
        if answer.body.contains("\"source\":\"shadow\"") && answer.body.contains("\"stale\":false") {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "readers do not get the shadow: {}", answer.body);
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// What `wrk` asks for: every product in turn.
fn lua(skus: &str) -> String {
    let paths: Vec<String> = skus.lines().map(|sku| format!("\"/v1/products/{}\"", encoded(sku))).collect();
    format!(
        "local paths = {{ {} }}\nlocal place = 0\n\
         function request()\n  place = place % #paths + 1\n  return wrk.format(\"GET\", paths[place])\nend\n",
        paths.join(", ")
    )
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| encoded + &format!("%{byte:02X}"))
}

fn parse(said: &str) -> Option<Wrk> {
    let after = |label: &str| {
        let line = said.lines().map(str::trim).find_map(|line| line.strip_prefix(label))?;
        Some(line.trim().to_owned())
    };
    let requests = said.lines().find(|line| line.contains(" requests in "))?;
    let broken = after("Socket errors:").map_or(0.0, |line| {
        let digits = |word: &str| word.trim_end_matches(',').parse::<f64>().ok();
        line.split_whitespace().filter_map(digits).sum()
    });
    Some(Wrk {
        rate: after("Requests/sec:")?.parse().ok()?,
        requests: requests.split_whitespace().next()?.parse().ok()?,
        p50: span(&after("50%")?)?,
        p99: span(&after("99%")?)?,
        failed: broken
            + after("Non-2xx or 3xx responses:").map_or(0.0, |text| text.parse().unwrap_or(f64::NAN)),
    })
}

fn span(text: &str) -> Option<Duration> {
    let unit = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

fn in_ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says_is_read() {
        let said = "Running 3s test @ http://127.0.0.1:1\n  1 threads and 32 connections\n  Thread Stats   Avg\n  \
                    Latency Distribution\n     50%    2.10ms\n     75%    2.60ms\n     90%    3.00ms\n     99%    \
                    850.00us\n  45231 requests in 3.00s, 12.34MB read\n  Socket errors: connect 0, read 1, write 0, \
                    timeout 2\n  Non-2xx or 3xx responses: 4\nRequests/sec:  15077.12\nTransfer/sec:      4.11MB\n";
        let found = parse(said).unwrap();
        assert!((found.rate - 15_077.12).abs() < 1e-9 && (found.requests - 45_231.0).abs() < 1e-9);
        assert_eq!((found.p50, found.p99), (Duration::from_micros(2_100), Duration::from_micros(850)));
        assert!((found.failed - 7.0).abs() < 1e-9);
        assert_eq!(parse("nothing"), None);
    }

    #[test]
    fn every_product_is_asked_for_in_turn() {
        assert!(lua("A-1\nB 2").contains("\"/v1/products/%41%2D%31\", \"/v1/products/%42%20%32\""));
    }
}
