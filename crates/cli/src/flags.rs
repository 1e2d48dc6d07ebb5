//! `shadow-sync flags`: the roll-out flags, looked at, set, tripped and reset.

use engine::api::flags::{self, FlagName, FlagView, ProcessReads};
use engine::api::reads::{self, ComparisonView};
use serde::Serialize;

use crate::context::{Context, Exit};
use crate::words::table;

/// Look at the roll-out flags, set them, take readers off the shadow and back
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Readers have the shadow where shadow-reads is on (ENABLE_SF_SHADOW_READS overrides it in the process that has it) and \
nothing tripped it. A trip holds in every process, whatever flag and variable say, until `flags reset shadow-reads`.

With compare-reads on, Salesforce answers every reader, and the shadow is held against it; too many differences trip \
shadow-reads by themselves."
)]
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
    /// Take readers off the shadow in every process, at once, whatever flags and variables say
    Trip {
        /// Which: only shadow-reads can be tripped
        #[arg(value_name = "FLAG")]
        flag: Trippable,
        /// Why, for those who find it tripped
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Lift a trip: flag and variable hold again
    Reset {
        /// Which: only shadow-reads can be tripped
        #[arg(value_name = "FLAG")]
        flag: Trippable,
    },
}

/// The flags there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Flag {
    /// Whether stored events are applied; off, they are still received and stored, so that nothing expires
    EventConsumer,
    /// Whether readers are answered from the shadow; off, Salesforce is asked
    ShadowReads,
    /// Whether Salesforce answers every reader and the shadow is held against it
    CompareReads,
}

/// The flags that can be tripped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Trippable {
    /// Whether readers are answered from the shadow
    ShadowReads,
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
            Self::ShadowReads => FlagName::ShadowReads,
            Self::CompareReads => FlagName::CompareReads,
        }
    }

    /// What switching it does to others, for who must agree.
    fn says(self, value: Value) -> &'static str {
        match (self, value) {
            (Self::EventConsumer, Value::On) => "apply the stored events again",
            (Self::EventConsumer, Value::Off) => "stop applying events, so that the tables fall behind,",
            (Self::ShadowReads, Value::On) => "answer readers from the shadow",
            (Self::ShadowReads, Value::Off) => "answer readers from Salesforce, at the price of its calls,",
            (Self::CompareReads, Value::On) => {
                "answer readers from Salesforce, at the price of its calls, and compare"
            }
            (Self::CompareReads, Value::Off) => "stop comparing",
        }
    }
}

fn word(name: FlagName) -> &'static str {
    match name {
        FlagName::EventConsumer => "event-consumer",
        FlagName::ShadowReads => "shadow-reads",
        FlagName::CompareReads => "compare-reads",
    }
}

/// A flag, with `shadow-reads` what each process says of itself, with `compare-reads` how the comparison stands.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    flag: FlagView,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    processes: Vec<ProcessReads>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<ComparisonView>,
}

/// Runs `flags`.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.open().await?;
    let (only, outcome) = match args.act.unwrap_or(Act::Get { flag: None }) {
        Act::Get { flag } => (flag, flags::get(&engine).await),
        Act::Set { flag, value } => {
            if let Err(exit) = context.confirm_in_production(&engine, flag.says(value))? {
                return Ok(exit);
            }
            (Some(flag), flags::set(&engine, flag.name(), value == Value::On).await)
        }
        // Backing out must not wait for a name to be typed.
        Act::Trip { flag: Trippable::ShadowReads, reason } => {
            (Some(Flag::ShadowReads), flags::trip(&engine, &reason).await)
        }
        Act::Reset { flag: Trippable::ShadowReads } => {
            if let Err(exit) = context.confirm_in_production(&engine, "let readers have the shadow again")? {
                return Ok(exit);
            }
            (Some(Flag::ShadowReads), flags::reset(&engine).await)
        }
    };
    let mut flags = outcome?;
    flags.retain(|flag| only.is_none_or(|only| only.name() == flag.name));
    let is_among = |name| flags.iter().any(|flag| flag.name == name);
    let mut comparison =
        if is_among(FlagName::CompareReads) { Some(reads::comparison(&engine).await?) } else { None };
    let mut processes =
        if is_among(FlagName::ShadowReads) { flags::processes(&engine).await? } else { Vec::new() };
    let shown: Vec<Shown> = flags
        .into_iter()
        .map(|flag| {
            let comparison = (flag.name == FlagName::CompareReads).then(|| comparison.take()).flatten();
            let is_reads = flag.name == FlagName::ShadowReads;
            let processes = if is_reads { std::mem::take(&mut processes) } else { Vec::new() };
            Shown { flag, processes, comparison }
        })
        .collect();
    context.print(&shown, || text(&shown))?;
    Ok(Exit::Done)
}

fn text(shown: &[Shown]) -> String {
    let mut rows = vec![["Flag", "Is", "Set", "What it means"].map(str::to_owned).to_vec()];
    rows.extend(shown.iter().map(|Shown { flag, .. }| {
        let set = match (&flag.overridden_by, &flag.set_by, flag.set_at) {
            (Some(variable), _, _) => format!("by {variable}"),
            (None, Some(by), Some(at)) => format!("by {by}, {}", at.format("%Y-%m-%d %H:%M:%SZ")),
            _ => "never".to_owned(),
        };
        let is = match (&flag.trip, flag.is_on) {
            (Some(_), _) => "tripped",
            (None, true) => "on",
            (None, false) => "off",
        };
        vec![word(flag.name).to_owned(), is.to_owned(), set, flag.explanation.clone()]
    }));
    let mut text = table(&rows, &[]);
    for Shown { flag, processes, comparison } in shown {
        let changed = flag.set_at.max(flag.trip.as_ref().map(|trip| trip.at));
        for process in processes {
            let is = if changed.is_some_and(|at| process.seen_at < at) {
                "not heard back yet".to_owned()
            } else {
                format!("{} is {}", word(flag.name), process.shadow_reads)
            };
            text += &format!("\n{}: {is}\n", process.holder);
        }
        if let Some(trip) = &flag.trip {
            text += &format!(
                "\n{} was tripped by {}, {}: {}\n",
                word(flag.name),
                trip.by,
                trip.at.format("%Y-%m-%d %H:%M:%SZ"),
                trip.reason
            );
        }
        if let Some(comparison) = comparison.as_ref().filter(|found| found.compared > 0) {
            text += &format!("\n{}\n", comparison.sentence);
            for example in &comparison.examples {
                text += &format!(
                    "  {}  {} {}: {}\n",
                    example.at.format("%Y-%m-%d %H:%M:%SZ"),
                    example.question,
                    example.key,
                    example.detail
                );
            }
        }
    }
    text
}
