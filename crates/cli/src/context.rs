//! What every command is given: where the configuration is, which environment is meant, how to print.

use std::path::PathBuf;

use serde::Serialize;

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
        }
    }
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
    /// Tell more of what is done, on standard error; twice tells all
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What every command is given.
#[derive(Debug, Clone)]
pub struct Context {
    /// The shared options.
    pub args: GlobalArgs,
    /// Whether standard output is a terminal that shows colours and redraws.
    pub is_terminal: bool,
}

impl Context {
    /// Prints `value` as JSON, or `text` for people.
    #[expect(clippy::print_stdout, reason = "printing is what the command line does")]
    pub fn print<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        if self.args.json {
            println!("{}", serde_json::to_string_pretty(value)?);
        } else {
            let text = text();
            if !text.is_empty() {
                println!("{text}");
            }
        }
        Ok(())
    }

    /// Tells a person something beside the result; goes to standard error, so that results can be piped.
    #[expect(clippy::print_stderr, reason = "printing is what the command line does")]
    pub fn tell(&self, text: &str) {
        eprintln!("{text}");
    }
}
