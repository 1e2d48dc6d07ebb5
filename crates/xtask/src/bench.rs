//! `cargo xtask bench`: the numbers that anybody can measure again.

mod backfill;
mod bench_daemon;
mod bench_org;
mod bench_place;
mod bench_redis;
mod cache;
mod live;
mod measured;
mod probes;
mod reads;
mod table;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// What to measure.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// A backfill of price book entries from the simulated org, beside a plain COPY and merge of the same rows
    Backfill(backfill::Args),
    /// Change events from the simulated org into the tables: how long each takes, how many a second, memory, idling
    Live(live::Args),
    /// Cache keys: a pattern flushed among ten million keys, and how soon the keys of changed rows are gone
    Cache(cache::Args),
    /// Products read over HTTP from the shadow, by `wrk`: reads a second on one core, and how long each takes
    Reads(reads::Args),
}

/// Measures. Exit code 0 when every bar is met, 1 when one is missed.
pub fn run(args: &Args) -> Result<ExitCode> {
    match &args.what {
        What::Backfill(args) => backfill::run(args),
        What::Live(args) => live::run(args),
        What::Cache(args) => cache::run(args),
        What::Reads(args) => reads::run(args),
    }
}
