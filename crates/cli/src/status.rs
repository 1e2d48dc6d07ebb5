//! `shadow-sync status`: how things stand, in one look, or watched.

mod text;

use std::io::Write;
use std::time::Duration;

use chrono::TimeDelta;
use engine::api::lag;
use engine::api::status::{self, DatabaseState, StatusView};
use engine::{Engine, clock};
use serde::Serialize;
use serde_json::Value;
use tokio::time::MissedTickBehavior;

use crate::context::{Context, Exit};

/// How often a watched status is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Over how long events and failures are summed up.
const FLOW: TimeDelta = TimeDelta::minutes(5);
/// Moments and ages: they are different at every look, and are no change.
const FLEETING: [&str; 6] = ["at", "lagMs", "backlogAgeMs", "oldestMs", "seenAt", "memoryBytes"];

/// Show how things stand
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 1 where something needs a person. --watch goes on until Ctrl-C: on a terminal the picture \
                        is drawn anew in place; elsewhere, and with --json, a change is a new text or line."
)]
pub struct Args {
    /// Keep showing it
    #[arg(long, short)]
    watch: bool,
}

/// What is shown: the console's status, and what went through of late.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// How things stand.
    #[serde(flatten)]
    status: StatusView,
    /// Events and failures of the last minutes; none where the database does not say.
    flow: Option<Flow>,
}

/// What went through in the last minutes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    /// The minutes.
    minutes: i64,
    /// Events stored.
    received: u32,
    /// Events applied.
    applied: u32,
    /// Failures, by stage.
    failures: Vec<StageFailures>,
}

/// Failures of one stage.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StageFailures {
    /// `receive`, `apply`, `fetch`, …
    stage: String,
    /// How many.
    count: u32,
}

/// Runs `status`.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.open().await?;
    if args.watch {
        return watch(&engine, context).await;
    }
    let shown = look(&engine).await;
    context.print(&shown, || text::of(&shown.status, shown.flow.as_ref()))?;
    Ok(exit_of(&shown.status))
}

fn exit_of(status: &StatusView) -> Exit {
    if status.problems.is_empty() { Exit::Done } else { Exit::Finding }
}

async fn look(engine: &Engine) -> Shown {
    let status = status::status(engine).await;
    let flow = match &status.database {
        DatabaseState::Ready { .. } => flow(engine).await,
        DatabaseState::Closed | DatabaseState::Starting | DatabaseState::Failed { .. } => None,
    };
    Shown { status, flow }
}

async fn flow(engine: &Engine) -> Option<Flow> {
    let now = clock::now();
    let series = lag::samples(engine, now - FLOW, now, 5).await.ok()?;
    let sum = |counts: &[Option<u32>]| counts.iter().flatten().sum();
    Some(Flow {
        minutes: FLOW.num_minutes(),
        received: sum(&series.received),
        applied: sum(&series.applied),
        failures: series
            .failures
            .into_iter()
            .map(|failures| StageFailures { stage: failures.stage, count: failures.counts.iter().sum() })
            .filter(|failures| failures.count > 0)
            .collect(),
    })
}

/// Looks again and again until Ctrl-C, or until nobody reads it any more.
async fn watch(engine: &Engine, context: &Context) -> anyhow::Result<Exit> {
    let mut screen = Screen { context, last: None };
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            pressed = tokio::signal::ctrl_c() => {
                pressed?;
                return Ok(Exit::Done);
            }
        }
        let shown = look(engine).await;
        if let Err(error) = screen.show(&shown) {
            // `status --watch | head` has seen enough.
            return if error.kind() == std::io::ErrorKind::BrokenPipe {
                Ok(Exit::Done)
            } else {
                Err(error.into())
            };
        }
    }
}

/// Where a watched status is shown.
struct Screen<'a> {
    context: &'a Context,
    /// What was shown last, without what differs at every look.
    last: Option<Value>,
}

impl Screen<'_> {
    fn show(&mut self, shown: &Shown) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.context.is_terminal && !self.context.args.json {
            // Every line is cleared behind its text instead of the screen before it, so that nothing flickers.
            let text = text::of(&shown.status, shown.flow.as_ref()).replace('\n', "\x1b[K\n");
            write!(out, "\x1b[H{text}\x1b[K\n\x1b[J")?;
            return out.flush();
        }
        let whole = serde_json::to_value(shown)?;
        let lasting = lasting(whole.clone());
        if self.last.as_ref() == Some(&lasting) {
            return Ok(());
        }
        self.last = Some(lasting);
        if self.context.args.json {
            writeln!(out, "{whole}")?;
        } else {
            writeln!(out, "{}\n", text::of(&shown.status, shown.flow.as_ref()))?;
        }
        out.flush()
    }
}

/// A value without what differs at every look.
fn lasting(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(name, _)| !FLEETING.contains(&name.as_str()))
                .map(|(name, value)| (name, lasting(value)))
                .collect(),
        ),
        Value::Array(values) => Value::Array(values.into_iter().map(lasting).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_age_that_grew_is_no_change() {
        let before = json!({ "at": 1, "objects": [{ "lagMs": 5, "holes": 0 }] });
        let later = json!({ "at": 2, "objects": [{ "lagMs": 1005, "holes": 0 }] });
        let other = json!({ "at": 2, "objects": [{ "lagMs": 1005, "holes": 1 }] });
        assert_eq!(lasting(before.clone()), lasting(later));
        assert_ne!(lasting(before), lasting(other));
    }
}
