//! What a developer and the build machine run: `cargo xtask <command>`.
//!
//! Every command runs other programs as child processes; nothing of the product is linked in, so that this
//! binary compiles in seconds and can report on a product that does not compile.

#![expect(clippy::print_stdout, reason = "a developer's tool: its output is its product")]

mod process;
mod stages;
mod test;
mod workspace;

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
    /// Runs every check, stage by stage, and stops at the first that fails
    Test(test::Args),
}

fn main() -> std::process::ExitCode {
    let outcome = match Cli::parse().command {
        Command::Test(args) => test::run(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            println!("{error:#}");
            std::process::ExitCode::from(3)
        }
    }
}
