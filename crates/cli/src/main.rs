//! `shadow-sync`: the command line and the daemon, on the same engine as the console.

mod context;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use context::{Context, Exit, GlobalArgs};

/// Keeps an exact, fresh copy of the hot part of a Salesforce org in PostgreSQL, and proves that it is right.
#[derive(Debug, Parser)]
#[command(name = "shadow-sync", version, propagate_version = true, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a completion script
    Completions {
        /// The shell to complete in
        shell: clap_complete::Shell,
    },
}

async fn dispatch(command: Command, _context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "shadow-sync", &mut std::io::stdout());
            Ok(Exit::Done)
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let context = Context { args: cli.global, is_terminal: std::io::stdout().is_terminal() };
    // Two TLS providers could be linked in; naming ours makes the choice once for HTTP, PostgreSQL and gRPC.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exit = match dispatch(cli.command, &context).await {
        Ok(exit) => exit,
        Err(error) => {
            context.tell(&format!("error: {error:#}"));
            Exit::Failed
        }
    };
    ExitCode::from(exit.code())
}
