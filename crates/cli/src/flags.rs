//! `shadow-sync flags`: the roll-out flags, looked at and set.

use engine::api::flags::{self, FlagName, FlagView};

use crate::context::{Context, Exit};
use crate::words::table;

/// Look at the roll-out flags, set them
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    act: Option<Act>,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// Show the flags, who set them and when
    Get {
        /// Only this one
        #[arg(value_name = "FLAG")]
        flag: Option<Flag>,
    },
    /// Turn a flag on or off, for every process of the environment
    Set {
        /// Which
        #[arg(value_name = "FLAG")]
        flag: Flag,
        /// What it becomes
        #[arg(value_name = "on|off")]
        value: Value,
    },
}

/// The flags that do something today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Flag {
    /// Whether stored events are applied; off, they are still received and stored, so that nothing expires
    EventConsumer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Value {
    On,
    Off,
}

impl Flag {
    fn name(self) -> FlagName {
        match self {
            Self::EventConsumer => FlagName::EventConsumer,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::EventConsumer => "event-consumer",
        }
    }

    /// The one of this name; none where the command knows no such flag.
    fn of(name: FlagName) -> Option<Self> {
        match name {
            FlagName::EventConsumer => Some(Self::EventConsumer),
            FlagName::ShadowReads => None,
        }
    }
}

/// Runs `flags`.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.open().await?;
    let (only, outcome) = match args.act.unwrap_or(Act::Get { flag: None }) {
        Act::Get { flag } => (flag, flags::get(&engine).await),
        Act::Set { flag, value } => {
            let what = match value {
                Value::On => "apply the stored events again",
                Value::Off => "stop applying events, so that the tables fall behind,",
            };
            if let Err(exit) = context.confirm_in_production(&engine, what)? {
                engine.shutdown().await;
                return Ok(exit);
            }
            (Some(flag), flags::set(&engine, flag.name(), value == Value::On).await)
        }
    };
    engine.shutdown().await;
    let mut flags = outcome?;
    flags.retain(|flag| Flag::of(flag.name).is_some_and(|known| only.is_none_or(|only| only == known)));
    context.print(&flags, || text(&flags))?;
    Ok(Exit::Done)
}

fn text(flags: &[FlagView]) -> String {
    let mut rows = vec![["Flag", "Is", "Set", "What it means"].map(str::to_owned).to_vec()];
    rows.extend(flags.iter().map(|flag| {
        let set = match (&flag.overridden_by, &flag.set_by, flag.set_at) {
            (Some(variable), _, _) => format!("by {variable}"),
            (None, Some(by), Some(at)) => format!("by {by}, {}", at.format("%Y-%m-%d %H:%M:%SZ")),
            _ => "never".to_owned(),
        };
        vec![
            Flag::of(flag.name).map_or("", Flag::word).to_owned(),
            if flag.is_on { "on" } else { "off" }.to_owned(),
            set,
            flag.explanation.clone(),
        ]
    }));
    table(&rows, &[])
}
