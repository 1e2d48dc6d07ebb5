//! What a developer and the build machine run: `cargo xtask <command>`.
//!
//! Every command runs other programs as child processes; nothing of the product is linked in, so that this
//! binary compiles in seconds and can report on a product that does not compile.

#![expect(clippy::print_stdout, reason = "a developer's tool: its output is its product")]

mod alerts;
mod bench;
mod bindings;
mod console;
mod display;
mod keychain;
mod packages;
mod plain_http;
mod postgres;
mod prepare;
mod process;
mod run;
mod stages;
mod test;
mod walk;
mod webdriver;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Shadow Sync's developer commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Installs what is missing, builds, and opens the console
    ///
    /// Without a display it walks through the demo org in the real window, says what it did, and ends.
    Run(run::Args),
    /// Runs every check, stage by stage, and stops at the first that fails
    Test(test::Args),
    /// Measures, and prints a table with the bars
    Bench(bench::Args),
    /// Writes the TypeScript of the window's commands anew from the Rust types
    Bindings(bindings::Args),
    /// Writes `.sqlx` anew from the queries and a fresh database
    Prepare(prepare::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Bindings(args) => bindings::run(&args),
        Command::Prepare(args) => prepare::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        println!("{error:#}");
        ExitCode::from(exit_code(&error))
    })
}

/// 2 when a person must do something first, 3 when something failed.
fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<packages::NotInstalled>() { 2 } else { 3 }
}
