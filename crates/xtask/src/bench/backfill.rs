//! The backfill, measured from outside: the command line against a simulated org in another process.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::bench_place::Place;
use super::measured::{self, Measured};
use super::table::Table;
use crate::packages::{self, Purpose};
use crate::workspace::Workspace;

/// How much to load.
#[derive(clap::Args)]
pub struct Args {
    /// Price book entries
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// The same once more with so many, for the memory only; 0 leaves it out
    #[arg(long, default_value_t = 3_000_000)]
    also: u64,
}

/// The bars, from the design: a ratio to a plain load, and how much faster a second run is.
const WALL_BAR: f64 = 1.2;
const AGAIN_BAR: f64 = 2.5;

/// Measures and prints the table.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    packages::ensure(&workspace, Purpose::Test)?;
    let mut table = Table::default();
    {
        let place = Place::make(&workspace)?;
        table.heading(&format!(
            "Backfill of {} price book entries of a simulated org into {}, embedded; a synced write of 8 kB takes {:.2} ms",
            args.records,
            place.version(),
            measured::fsync_time(place.folder())?.as_secs_f64() * 1000.0
        ));
        measure_load(&place, args.records, &mut table)?;
    }
    if args.also > 0 {
        let place = Place::make(&workspace)?;
        let (_org, load) = first_load(&place, args.also)?;
        table.memory(&format!("peak memory, {} records", args.also), load.peak_bytes);
    }
    table.print();
    Ok(if table.is_good() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn measure_load(place: &Place, records: u64, table: &mut Table) -> Result<()> {
    let (_org, first) = first_load(place, records)?;
    let database = place.database()?;
    let rows: u64 = place.sql(&database, "select count(*) from sf_pricebook_shadow")?.parse()?;
    let bytes =
        place.sql(&database, "select avg(pg_column_size(raw_payload))::int from sf_pricebook_shadow")?;
    table.fact("rows loaded", &format!("{rows} of {records}, raw_payload {bytes} bytes on average"));

    place.sql(&database, "create table bench_before as select pricebook_entry_id, xmin::text as written from sf_pricebook_shadow")?;
    let again = measured::run(&mut place.shadow_sync(&["backfill", "PricebookEntry"]))?;
    let rewritten = place.sql(
        &database,
        "select count(*) from sf_pricebook_shadow now left join bench_before before using (pricebook_entry_id)
          where before.written is distinct from now.xmin::text",
    )?;
    let plain = plain_load(place, &database)?;

    let wall = first.wall.as_secs_f64();
    table.fact("rows per second", &format!("{:.0}", rows as f64 / wall));
    table.fact("plain COPY and merge of the same rows", &seconds(plain));
    table.bar(
        "first load, wall",
        &seconds(first.wall),
        wall / plain.as_secs_f64(),
        WALL_BAR,
        |ratio, bar| ratio <= bar,
    );
    table.bar(
        "second load, nothing changed",
        &seconds(again.wall),
        wall / again.wall.as_secs_f64(),
        AGAIN_BAR,
        |faster, bar| faster >= bar,
    );
    table.check("rows written by the second load", &rewritten, rewritten == "0", "0");
    table.memory("peak memory, first load", first.peak_bytes);
    table.memory("peak memory, second load", again.peak_bytes);
    Ok(())
}

/// Signs in, loads the products, and measures the load of the entries.
fn first_load(place: &Place, records: u64) -> Result<(crate::process::Background, Measured)> {
    let org = place.start_org(records)?;
    for words in [&["migrate", "--yes"][..], &["login"], &["backfill", "Product2"]] {
        measured::run(&mut place.shadow_sync(words))?;
    }
    let load = measured::run(&mut place.shadow_sync(&["backfill", "PricebookEntry"]))?;
    let jobs: Value = serde_json::from_str(&load.output).context("the command's JSON cannot be read")?;
    ensure!(jobs[0]["state"] == "done", "the load ended as {}", jobs[0]["state"]);
    Ok((org, load))
}

/// What the load is compared with: the same parsed rows from a file, by COPY into an unlogged copy, merged with one
/// statement into a table with the same constraints and indexes.
fn plain_load(place: &Place, database: &str) -> Result<Duration> {
    let columns = place.sql(
        database,
        "select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
          where attrelid = 'sf_pricebook_shadow'::regclass and attnum > 0 and not attisdropped and attgenerated = ''",
    )?;
    let mut sets = String::new();
    for column in columns.split(", ").filter(|column| *column != "pricebook_entry_id") {
        write!(sets, "{}{column} = excluded.{column}", if sets.is_empty() { "" } else { ", " })?;
    }
    place.sql(
        database,
        "create table bench_target (like sf_pricebook_shadow including all);
         alter table bench_target add foreign key (product_id) references sf_product_shadow on delete cascade;
         create unlogged table bench_copy (like sf_pricebook_shadow)",
    )?;
    let script = place.folder().join("plain.sql");
    std::fs::write(&script, format!("\\copy (select {columns} from sf_pricebook_shadow) to 'rows.copy'\n"))?;
    place.script(database, &script)?;
    std::fs::write(
        &script,
        format!(
            "\\copy bench_copy ({columns}) from 'rows.copy'\n\
             insert into bench_target ({columns}) select {columns} from bench_copy\n\
             on conflict (pricebook_entry_id) do update set {sets};\n"
        ),
    )?;
    // What the load left to be written must not be paid for here.
    place.sql(database, "checkpoint")?;
    let begun = Instant::now();
    place.script(database, &script)?;
    Ok(begun.elapsed())
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
