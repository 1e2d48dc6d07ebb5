//! The live stream, measured from outside: the daemon against a simulated org in another process.

use std::fs::File;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::bench_daemon::BenchDaemon;
use super::bench_org::{BenchOrg, Load};
use super::bench_place::Place;
use super::measured;
use super::probes::{Probes, percentile};
use super::table::Table;
use crate::packages::{self, Purpose};
use crate::workspace::Workspace;

/// How much to measure.
#[derive(clap::Args)]
pub struct Args {
    /// Seconds of a steady stream
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Events a second meanwhile
    #[arg(long, default_value_t = 1_000)]
    per_second: u32,
    /// Stored events that are then applied at once
    #[arg(long, default_value_t = 100_000)]
    backlog: u64,
    /// Events over which the memory must stay flat; 0 leaves it out
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Seconds of idling
    #[arg(long, default_value_t = 30)]
    idle: u64,
    /// Products, whose rows the events change in turn
    #[arg(long, default_value_t = 10_000)]
    products: u64,
}

/// A transaction is closed by 20 ms of silence; the bars of waiting stand beyond that.
const CLOSING: Duration = Duration::from_millis(20);
const COMMITTED_P50: Duration = Duration::from_millis(10).saturating_add(CLOSING);
const COMMITTED_P99: Duration = Duration::from_millis(50).saturating_add(CLOSING);
const VISIBLE_P99: Duration = Duration::from_millis(300);
const BACKLOG_BAR: f64 = 10_000.0;
/// How much more memory the last event may find in use than the hundred-thousandth.
const FLAT_BAR: f64 = 1.15;
const IDLE_BAR: f64 = 1.0;

/// Text of an event of about 500 bytes, and of a row of about 5 kB.
const SMALL: usize = 250;
const LARGE: usize = 4_700;

/// The longest that a phase may take beyond what was planned.
const PATIENCE: Duration = Duration::from_mins(5);

const APPLY_SECONDS: &str = "sf_shadow_apply_seconds";
const BACKLOG: &str = "sf_shadow_backlog_events";

/// Measures and prints the table.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    packages::ensure(&workspace, Purpose::Test)?;
    let place = Place::make(&workspace)?;
    let mut table = Table::default();
    table.heading(&format!(
        "Change events of {} products of a simulated org into {}, embedded; a synced write of 8 kB takes {:.2} ms",
        args.products,
        place.version(),
        measured::fsync_time(place.folder())?.as_secs_f64() * 1000.0
    ));
    let bench = Bench::start(&place, args.products)?;
    table.heading("Rows as they are made up, events of about 500 bytes");
    bench.steady(args, &mut table, true)?;
    bench.backlog(args.backlog, &mut table, true)?;
    if args.events > 0 {
        bench.memory(args.events, &mut table)?;
    }
    bench.idle(Duration::from_secs(args.idle), &mut table)?;
    let bytes = bench.enlarge(args.products)?;
    table.heading(&format!("Rows of {bytes} bytes, events of about 500 bytes"));
    bench.steady(args, &mut table, false)?;
    bench.backlog(args.backlog, &mut table, false)?;
    table.print();
    Ok(if table.is_good() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// An org, a daemon that streams from it, and their database.
struct Bench<'a> {
    place: &'a Place,
    database: String,
    daemon: BenchDaemon,
    org: BenchOrg,
}

impl<'a> Bench<'a> {
    /// Loads everything, starts the daemon, and waits until it streams and nothing waits any more.
    fn start(place: &'a Place, products: u64) -> Result<Self> {
        let log = File::create(place.folder().join("demo-org.log"))?;
        let numbers = [products.to_string(), (products / 10).to_string(), u32::MAX.to_string()];
        let [products, prices, daily] = &numbers;
        let mut command = place.program();
        command.args(["demo-org", "--json", "--listen", "127.0.0.1:0", "--accounts", "10"]);
        command.args(["--products", products, "--prices", prices, "--daily-events", daily]);
        // The first keep-alive brings the first position, and with it the hole that is closed before anything counts.
        command.args(["--keep-alive", "2"]);
        let org = BenchOrg::start(&mut command, &log)?;
        place.write_environment(&org.environment())?;
        for words in [&["migrate", "--yes"][..], &["login"], &["backfill"]] {
            measured::run(&mut place.shadow_sync(words))?;
        }
        let log = File::create(place.folder().join("serve.log"))?;
        let mut command = place.shadow_sync(&["serve", "--listen", "127.0.0.1:0"]);
        let daemon = BenchDaemon::start(&mut command, &log)?;
        let database = place.database()?;
        let begun = Instant::now();
        while place
            .sql(&database, "select count(*) from shadow_sync.checkpoints where replay_id is not null")?
            != "3"
        {
            ensure!(begun.elapsed() < PATIENCE, "not every channel was heard in time; see serve.log");
            thread::sleep(Duration::from_millis(200));
        }
        daemon.wait_until("no hole is open", PATIENCE, |metrics| {
            metrics.sum("sf_shadow_holes_open") < 1.0 && metrics.sum("sf_shadow_dirty_records") < 1.0
        })?;
        // An event within seconds of its record's read is doubted, and fetched whole: that is not what is measured.
        thread::sleep(Duration::from_secs(8));
        Ok(Self { place, database, daemon, org })
    }

    /// A steady stream, with single changes that are waited for in between.
    fn steady(&self, args: &Args, table: &mut Table, has_bars: bool) -> Result<()> {
        let before = self.daemon.metrics()?;
        let from = self.last_position()?;
        let how_long = Duration::from_secs(args.seconds);
        let load = Load {
            field: "Description",
            changes: args.seconds * u64::from(args.per_second),
            per_second: Some(args.per_second),
            characters: SMALL,
        };
        // A product whose code nobody else claims: others are fetched together with their rivals whenever one changes.
        let id = self.sql(
            "select min(product_id) from sf_product_shadow
              where sku not in (select claim from shadow_sync.rejects where claim is not null)",
        )?;
        let mut probes = Probes::start(&mut self.place.psql(&self.database)?)?;
        self.org.control().start_load(load)?;
        let pause = Duration::from_millis(150);
        let mut visible = probes.run(self.org.control(), &id, how_long, pause)?;
        self.drain(from + load.changes + visible.len() as u64)?;

        let after = self.daemon.metrics()?;
        let span = self.sql(&format!(
            "select extract(epoch from max(received_at) - min(received_at)) from shadow_sync.change_log
              where position > {from}"
        ))?;
        let span: f64 = span.parse().context("no event was stored")?;
        let rate = (load.changes as f64 + visible.len() as f64) / span;
        table.fact("events stored a second", &format!("{rate:.0} over {span:.0} s"));
        for (name, share, bar) in [("p50", 0.5, COMMITTED_P50), ("p99", 0.99, COMMITTED_P99)] {
            let took = after.quantile_since(&before, APPLY_SECONDS, share);
            let took = Duration::try_from_secs_f64(took.context("the daemon measured nothing")?)?;
            measure(table, &format!("stored to committed, {name}"), took, bar, has_bars);
        }
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let took = self.sql(&format!(
                "select percentile_cont({share}) within group (
                            order by extract(epoch from outcome.applied_at - event.received_at))
                   from shadow_sync.event_outcomes outcome
                   join shadow_sync.change_log event using (position, received_at)
                  where position > {from}"
            ))?;
            let took = Duration::try_from_secs_f64(took.parse().context("no event was applied")?)?;
            table.fact(&format!("  by the database, before the commit, {name}"), &in_ms(took));
        }
        let number = visible.len();
        let p50 = percentile(&mut visible, 50).context("no change was made")?;
        let p99 = percentile(&mut visible, 99).context("no change was made")?;
        table.fact(&format!("change in the org to visible, p50 of {number}"), &in_ms(p50));
        measure(table, "change in the org to visible, p99", p99, VISIBLE_P99, has_bars);
        Ok(())
    }

    /// Stored events, applied at once.
    fn backlog(&self, events: u64, table: &mut Table, has_bars: bool) -> Result<()> {
        measured::run(&mut self.place.shadow_sync(&["flags", "set", "event-consumer", "off"]))?;
        let from = self.last_position()?;
        let load = Load { field: "Description", changes: events, per_second: None, characters: SMALL };
        let begun = Instant::now();
        self.org.control().start_load(load)?;
        self.daemon
            .wait_until("every event is stored", PATIENCE, |metrics| metrics.sum(BACKLOG) >= events as f64)?;
        table.fact(
            "events stored a second meanwhile",
            &format!("{:.0}", events as f64 / begun.elapsed().as_secs_f64()),
        );
        let begun = Instant::now();
        measured::run(&mut self.place.shadow_sync(&["flags", "set", "event-consumer", "on"]))?;
        self.drain(from + events)?;
        let wall = begun.elapsed();
        let span: f64 = self
            .sql(&format!(
                "select extract(epoch from max(applied_at) - min(applied_at))
                   from shadow_sync.event_outcomes where position > {from}"
            ))?
            .parse()
            .context("no event was applied")?;
        let rate = events as f64 / span.max(0.001);
        let value = format!("{rate:.0}");
        if has_bars {
            table.check(
                "backlog applied, events a second",
                &value,
                rate >= BACKLOG_BAR,
                &format!("{BACKLOG_BAR:.0}"),
            );
        } else {
            table.fact("backlog applied, events a second", &value);
        }
        table.fact("  from the flag to the last", &format!("{:.1} s", wall.as_secs_f64()));
        Ok(())
    }

    /// Memory while many events pass.
    fn memory(&self, events: u64, table: &mut Table) -> Result<()> {
        let from = self.last_position()?;
        let load = Load { field: "Description", changes: events, per_second: None, characters: SMALL };
        self.org.control().start_load(load)?;
        let begun = Instant::now();
        let (mut early, mut most) = (0, 0);
        loop {
            let passed = self.applied_position()?.saturating_sub(from);
            let resident = self.daemon.resident()?;
            // What fills once is filled after the first tenth.
            if passed < events / 10 {
                early = resident.max(early);
            } else {
                most = resident.max(most);
            }
            if passed >= events {
                break;
            }
            ensure!(begun.elapsed() < PATIENCE * 4, "{passed} of {events} events were applied in time");
            thread::sleep(Duration::from_millis(250));
        }
        table.fact(
            "events received and applied a second",
            &format!("{:.0}", events as f64 / begun.elapsed().as_secs_f64()),
        );
        ensure!(early > 0 && most > 0, "the events passed before anybody looked");
        let value = format!("{} to {} MB", early / 1024 / 1024, most / 1024 / 1024);
        let name = format!("memory over {events} events");
        table.bar(&name, &value, most as f64 / early as f64, FLAT_BAR, |ratio, bar| ratio <= bar);
        Ok(())
    }

    /// Processor time while nothing happens.
    fn idle(&self, how_long: Duration, table: &mut Table) -> Result<()> {
        let before = self.daemon.processor_time()?;
        thread::sleep(how_long);
        let used = self.daemon.processor_time()?.saturating_sub(before);
        let percent = used.as_secs_f64() / how_long.as_secs_f64() * 100.0;
        let name = format!("processor while idle for {} s", how_long.as_secs());
        table.check(&name, &format!("{percent:.2} %"), percent < IDLE_BAR, "1 %");
        Ok(())
    }

    /// Makes every row large. Returns their bytes on average.
    fn enlarge(&self, products: u64) -> Result<String> {
        let load = Load { field: "Notes__c", changes: products, per_second: None, characters: LARGE };
        let from = self.last_position()?;
        self.org.control().start_load(load)?;
        self.drain(from + products)?;
        self.daemon.wait_until("the larger rows are there", PATIENCE, |metrics| {
            metrics.sum("sf_shadow_dirty_records") < 1.0
        })?;
        self.sql("select avg(length(raw_payload::text))::int from sf_product_shadow")
    }

    /// Waits until every event up to a position is stored and applied.
    fn drain(&self, position: u64) -> Result<()> {
        let begun = Instant::now();
        loop {
            let applied = self.applied_position()?;
            if applied >= position {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "events up to {applied} of {position} were applied in time");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Up to where the change log is applied; only one channel has events here.
    fn applied_position(&self) -> Result<u64> {
        Ok(self.sql("select coalesce(max(applied_position), 0) from shadow_sync.checkpoints")?.parse()?)
    }

    fn last_position(&self) -> Result<u64> {
        Ok(self.sql("select position from shadow_sync.log_head")?.parse()?)
    }

    fn sql(&self, text: &str) -> Result<String> {
        self.place.sql(&self.database, text)
    }
}

fn measure(table: &mut Table, what: &str, took: Duration, bar: Duration, has_bar: bool) {
    if has_bar {
        table.check(what, &in_ms(took), took <= bar, &in_ms(bar));
    } else {
        table.fact(what, &in_ms(took));
    }
}

fn in_ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
