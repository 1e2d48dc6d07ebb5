//! What every command is given: where the configuration is, which environment is meant, how to print.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::Context as _;
use engine::api::cache::{self, Drained};
use engine::api::environments::{self, EnvironmentKind};
use engine::api::sign_in::{self, SignInState};
use engine::{Engine, Host, HostName, Problem};
use serde::Serialize;
use serde_json::json;

use crate::words::{count, harmless};

/// How a command ended; the process's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for is done.
    Done,
    /// A negative finding: counts differ, a check is red.
    Finding,
    /// The command was not understood, or a needed confirmation is missing.
    WrongUsage,
    /// It did not work.
    Failed,
    /// A person stopped it with Ctrl-C.
    Interrupted,
    /// Nobody reads what it prints any more.
    Unread,
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Finding => 1,
            Self::WrongUsage => 2,
            Self::Failed => 3,
            Self::Interrupted => 130,
            // What SIGPIPE would have made of it.
            Self::Unread => 141,
        }
    }
}

/// Whoever read standard output does not any more: there is nobody to print for, and nothing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread;

impl std::error::Error for Unread {}

impl std::fmt::Display for Unread {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("nobody reads standard output any more")
    }
}

/// Prints a line to standard output.
///
/// - **Errors:** [`Unread`] where its reader went away; whatever else is in the way.
pub fn print_line(text: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    match writeln!(output, "{text}").and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Unread.into()),
        done => done.context("Standard output cannot be written"),
    }
}

/// Writes to standard error, where that is read; there is nowhere else to say that it is not.
pub fn say(text: &str) {
    let mut output = std::io::stderr().lock();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

/// The problem that an error is, if it is one.
pub fn problem_of(error: &anyhow::Error) -> Option<&Problem> {
    let boxed = || error.downcast_ref::<Box<Problem>>().map(AsRef::as_ref);
    error.downcast_ref::<Problem>().or_else(boxed)
}

/// The options that every command shares.
#[derive(Debug, Clone, clap::Args)]
pub struct GlobalArgs {
    /// The configuration file [default: shadow-sync/config.toml in the platform's configuration folder]
    #[arg(long, global = true, value_name = "FILE", env = "SHADOW_SYNC_CONFIG")]
    pub config: Option<PathBuf>,
    /// The environment; may be left out where there is only one
    #[arg(long, global = true, value_name = "NAME", env = "SHADOW_SYNC_ENV")]
    pub env: Option<String>,
    /// Print JSON instead of text for people
    #[arg(long, global = true)]
    pub json: bool,
    /// Go on without asking, except in production
    #[arg(long, short = 'y', global = true)]
    pub yes: bool,
    /// Go on in production: its name
    #[arg(long, global = true, value_name = "NAME")]
    pub confirm: Option<String>,
    /// Tell more of what is done, on standard error; twice tells all
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What every command is given.
#[derive(Debug)]
pub struct Context {
    /// The shared options.
    pub args: GlobalArgs,
    /// Whether standard output is a terminal that shows colours and redraws.
    pub is_terminal: bool,
    /// The engine that the command was given, to be ended whichever way the command ends.
    engine: OnceLock<Engine>,
}

impl Context {
    /// With these options.
    pub fn new(args: GlobalArgs, is_terminal: bool) -> Self {
        Self { args, is_terminal, engine: OnceLock::new() }
    }

    /// Ends what the command opened, also after it failed: an embedded database does not stay behind.
    pub async fn close(&self) {
        if let Some(engine) = self.engine.get() {
            if engine.host().name == HostName::CommandLine {
                self.drain(engine).await;
            }
            engine.shutdown().await;
        }
    }

    /// Waits until the cache keys of what the command changed are deleted, and says what is left. Ctrl-C does not wait.
    async fn drain(&self, engine: &Engine) {
        let left = tokio::select! {
            left = cache::drain(engine) => left,
            _ = tokio::signal::ctrl_c() => return,
        };
        match left {
            Ok(None) => {}
            Ok(Some(left)) => self.tell(&left_over(&left)),
            Err(problem) => self.tell(&format!("What became of the cache's keys is not known: {problem}")),
        }
    }

    /// Prints `value` as JSON, or `text` for people.
    pub fn print<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        if self.args.json {
            return print_line(&serde_json::to_string_pretty(value)?);
        }
        match harmless(&text()) {
            text if text.is_empty() => Ok(()),
            text => print_line(&text),
        }
    }

    /// Tells a person something beside the result; goes to standard error, so that results can be piped.
    #[expect(clippy::unused_self, reason = "with the context at hand")]
    pub fn tell(&self, text: &str) {
        say(&format!("{}\n", harmless(text)));
    }

    /// Tells why a command failed: text for people, or one JSON object on one line.
    pub fn tell_error(&self, error: &anyhow::Error) {
        if self.args.json {
            say(&format!("{}\n", error_json(error)));
        } else {
            self.tell(&format!("error: {error:#}"));
        }
    }

    /// The engine with nothing open.
    pub fn engine(&self) -> Engine {
        self.engine_of(HostName::CommandLine)
    }

    /// The same for another kind of program.
    pub fn engine_of(&self, name: HostName) -> Engine {
        let host = Host { name, config_path: self.args.config.clone() };
        self.engine.get_or_init(|| Engine::new(host)).clone()
    }

    /// The engine with the meant environment open and its database answering.
    pub async fn open(&self) -> anyhow::Result<Engine> {
        let engine = self.engine();
        environments::open_meant(&engine, self.args.env.as_deref()).await?;
        engine.environment()?.store().await?;
        Ok(engine)
    }

    /// The same whatever the schema, for `migrate`.
    pub async fn open_unmigrated(&self) -> anyhow::Result<Engine> {
        let engine = self.engine();
        environments::open_meant(&engine, self.args.env.as_deref()).await?;
        Ok(engine)
    }

    /// The same, and somebody is signed in: by the keychain, a key or a secret. A person signs in by `login`.
    pub async fn open_signed_in(&self) -> anyhow::Result<Engine> {
        let engine = self.open().await?;
        match sign_in::resumed(&engine).await {
            SignInState::SignedIn { .. } => Ok(engine),
            SignInState::Failed { problem } => Err(problem.into()),
            _ => Err(Problem::from(salesforce::Error::SignInNeeded).into()),
        }
    }

    /// Asks a person before something of weight: production wants its name, elsewhere `--yes` or a `y`.
    pub fn confirm(&self, engine: &Engine, what: &str) -> anyhow::Result<Result<(), Exit>> {
        let environment = engine.environment()?;
        let name = environment.name().to_owned();
        if environment.kind() == EnvironmentKind::Production {
            return self.confirm_by_name(engine, what);
        }
        if self.args.yes || self.args.confirm.as_deref() == Some(name.as_str()) {
            return Ok(Ok(()));
        }
        if !self.can_ask() {
            self.tell(&format!("This would {what} in {name}. Nothing was done. Add --yes to go on."));
            return Ok(Err(Exit::WrongUsage));
        }
        let typed = ask(&format!("This would {what} in {name}. Go on? [y/N] "))?;
        Ok(if matches!(typed.as_str(), "y" | "yes") { Ok(()) } else { Err(self.given_up()) })
    }

    /// The same for what is of the greatest weight: the name is asked for in every environment.
    pub fn confirm_by_name(&self, engine: &Engine, what: &str) -> anyhow::Result<Result<(), Exit>> {
        let environment = engine.environment()?;
        let name = environment.name();
        let place = match environment.kind() {
            EnvironmentKind::Production => "production",
            EnvironmentKind::Demo | EnvironmentKind::Development | EnvironmentKind::Staging => name,
        };
        if self.args.confirm.as_deref() == Some(name) {
            return Ok(Ok(()));
        }
        if !self.can_ask() {
            self.tell(&format!(
                "This would {what} in {place}. Nothing was done. Add --confirm {name} to go on."
            ));
            return Ok(Err(Exit::WrongUsage));
        }
        let typed = ask(&format!("This would {what} in {place}. Type the environment's name to go on: "))?;
        Ok(if typed == name { Ok(()) } else { Err(self.given_up()) })
    }

    /// The same for what is of weight only in production: its name is asked for there, elsewhere nothing.
    pub fn confirm_in_production(&self, engine: &Engine, what: &str) -> anyhow::Result<Result<(), Exit>> {
        match engine.environment()?.kind() {
            EnvironmentKind::Production => self.confirm(engine, what),
            EnvironmentKind::Demo | EnvironmentKind::Development | EnvironmentKind::Staging => Ok(Ok(())),
        }
    }

    fn can_ask(&self) -> bool {
        self.is_terminal && std::io::stdin().is_terminal() && !self.args.json
    }

    fn given_up(&self) -> Exit {
        self.tell("Nothing was done.");
        Exit::WrongUsage
    }
}

/// What is left to be deleted in the cache, and who does it.
fn left_over(left: &Drained) -> String {
    let changes = count(left.waiting, "change waits", "changes wait");
    let text = format!("The cache keys of {changes} to be deleted");
    match left {
        Drained { held_by: Some(who), .. } => {
            format!("{text}: held back by {who}; `shadow-sync cache release` lets it go on.")
        }
        Drained { problem: Some(problem), .. } => {
            format!("{text}; `shadow-sync serve`, the console or the next command does it. {problem}")
        }
        Drained { deleted_by: Some(worker), .. } => format!("{text} by {worker}."),
        _ => format!("{text}; `shadow-sync serve`, the console or the next command does it."),
    }
}

/// Why a command failed, for programs. What is not in the catalogue of problems has no code.
fn error_json(error: &anyhow::Error) -> serde_json::Value {
    match problem_of(error) {
        Some(problem) => json!({ "error": {
            "code": problem.code,
            "title": problem.title,
            "detail": problem.cause,
            "steps": problem.steps,
        } }),
        None => json!({ "error": {
            "code": null,
            "title": error.to_string(),
            "detail": format!("{error:#}"),
            "steps": [],
        } }),
    }
}

/// Asks beside the result, on standard error.
fn ask(question: &str) -> anyhow::Result<String> {
    say(&harmless(question));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}
