//! `shadow-sync`: the command line and the daemon, on the same engine as the console.

mod backfill;
mod cache;
mod catch_up;
mod context;
mod dead_letters;
mod demo_org;
mod doctor;
mod env;
mod flags;
mod flush;
mod http;
mod job_end;
mod job_progress;
mod jobs;
mod login;
mod migrate;
mod moment;
mod rebind;
mod record;
mod rejects;
mod replay;
mod serve;
mod status;
mod verify;
mod words;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use context::{Context, Exit, GlobalArgs, Unread, print_line, problem_of, say};

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
    /// Look at environments, add, remove and choose them
    Env(env::Args),
    /// Sign in to the org
    Login(login::Args),
    /// Sign out of the org, and forget the sign-in on this machine
    Logout(login::LogoutArgs),
    /// Check sign-in, permissions, fields, limits and database, and say how to mend what is wrong
    Doctor(doctor::Args),
    /// Bring the database's schema up to date
    Migrate(migrate::Args),
    /// Take over a refreshed sandbox, or change the sync user
    Rebind(rebind::Args),
    /// Load objects from Salesforce into their shadow tables
    Backfill(backfill::Args),
    /// Read what changed, compare ids, and close the holes that this closes
    CatchUp(catch_up::Args),
    /// Compare the shadow with Salesforce
    Verify(verify::Args),
    /// Look at loads, cancel them
    Jobs(jobs::Args),
    /// Stop all work, or that on the named objects, until it is resumed
    Pause(jobs::PauseArgs),
    /// Let what was paused go on
    Resume(jobs::PauseArgs),
    /// Look through events again, and fetch the records that disagree with them
    Replay(replay::Args),
    /// Look at events that could not be processed, fetch their records
    DeadLetters(dead_letters::Args),
    /// Show the history of a record: its change events, what was done with each, and why
    Record(record::Args),
    /// Look at records that cannot be stored, try them again
    Rejects(rejects::Args),
    /// Delete cache keys: everything of ours, the catalogue, eligibility, one product, one account, or a pattern
    Flush(flush::Args),
    /// Look at the cache, at what waits to be deleted in it, and say how keys are found
    Cache(cache::Args),
    /// Look at the roll-out flags, set them
    Flags(flags::Args),
    /// Keep the shadow tables live: receive, apply, catch up by the clock; serve metrics and health
    Serve(serve::Args),
    /// Show how things stand
    Status(status::Args),
    /// Run a simulated Salesforce org on this machine
    DemoOrg(demo_org::Args),
    /// Print a completion script
    Completions {
        /// The shell to complete in
        shell: clap_complete::Shell,
    },
}

async fn dispatch(command: Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Env(args) => env::run(args, context).await,
        Command::Login(args) => login::run(args, context).await,
        Command::Logout(args) => login::logout(args, context).await,
        Command::Doctor(args) => doctor::run(args, context).await,
        Command::Migrate(args) => migrate::run(args, context).await,
        Command::Rebind(args) => rebind::run(args, context).await,
        Command::Backfill(args) => backfill::run(args, context).await,
        Command::CatchUp(args) => catch_up::run(args, context).await,
        Command::Verify(args) => verify::run(args, context).await,
        Command::Jobs(args) => jobs::run(args, context).await,
        Command::Pause(args) => jobs::pause(args, context).await,
        Command::Resume(args) => jobs::resume(args, context).await,
        Command::Replay(args) => replay::run(args, context).await,
        Command::DeadLetters(args) => dead_letters::run(args, context).await,
        Command::Record(args) => record::run(args, context).await,
        Command::Rejects(args) => rejects::run(args, context).await,
        Command::Flush(args) => flush::run(args, context).await,
        Command::Cache(args) => cache::run(args, context).await,
        Command::Flags(args) => flags::run(args, context).await,
        Command::Serve(args) => serve::run(args, context).await,
        Command::Status(args) => status::run(args, context).await,
        Command::DemoOrg(args) => demo_org::run(args, context).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "shadow-sync", &mut script);
            print_line(String::from_utf8(script)?.trim_end())?;
            Ok(Exit::Done)
        }
    }
}

/// What makes no sense or is not there: an object, a job, a record, an event, a dead letter, a cache, a pattern, an
/// account's id, a confirmation, rules.
const NAMED_WRONGLY: [&str; 11] = [
    "SS-2010", "SS-4004", "SS-7101", "SS-7102", "SS-7103", "SS-8002", "SS-8020", "SS-8021", "SS-8023",
    "SS-8026", "SS-8027",
];

/// A command that was not meant like this is wrong usage; everything else failed.
fn exit_of(error: &anyhow::Error) -> Exit {
    match problem_of(error) {
        Some(problem)
            if problem.code.starts_with("SS-51")
                || problem.code.starts_with("SS-52")
                || NAMED_WRONGLY.contains(&problem.code.as_str()) =>
        {
            Exit::WrongUsage
        }
        _ => Exit::Failed,
    }
}

/// Says what was not understood, or shows the help that was asked for.
fn refused(refusal: &clap::Error) -> ExitCode {
    let code = u8::try_from(refusal.exit_code()).unwrap_or(Exit::WrongUsage.code());
    if !refusal.use_stderr() {
        // Help that nobody reads any more is no failure.
        let _ = refusal.print();
        return ExitCode::from(code);
    }
    let text = refusal.render();
    let text = if std::io::stderr().is_terminal() { text.ansi().to_string() } else { text.to_string() };
    say(&words::harmless(&text));
    ExitCode::from(code)
}

/// Logs go to standard error; `RUST_LOG` overrides `--verbose`. A daemon tells what it does without being asked, and
/// with `--json` for programs.
fn install_log(cli: &Cli) {
    let is_daemon = matches!(cli.command, Command::Serve(_));
    let default = match cli.global.verbose + u8::from(is_daemon) {
        0 => "error",
        1 => "warn,engine=info,store=info,salesforce=info,shadow_sync=info",
        _ => "info,engine=debug,store=debug,salesforce=debug,shadow=debug,shadow_sync=debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| default.into());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if is_daemon && cli.global.json {
        log.json().init();
    } else {
        log.init();
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refusal) => return refused(&refusal),
    };
    install_log(&cli);
    let context = Context::new(cli.global, std::io::stdout().is_terminal());
    // Two TLS providers could be linked in; naming ours makes the choice once for HTTP, PostgreSQL and gRPC.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = dispatch(cli.command, &context).await;
    context.close().await;
    let exit = match outcome {
        Ok(exit) => exit,
        Err(error) if error.is::<Unread>() => Exit::Unread,
        Err(error) => {
            context.tell_error(&error);
            exit_of(&error)
        }
    };
    ExitCode::from(exit.code())
}
