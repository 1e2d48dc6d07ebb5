//! `shadow-sync record`: what came about one record, what was done with it, and why.

use engine::api::events::{self, EventFilter, EventOutcome, EventRow};

use crate::context::{Context, Exit};
use crate::words::{duration, table, thousands};

/// Show the history of a record: its change events, what was done with each, and why
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The object
    #[arg(value_name = "OBJECT")]
    object: String,
    /// The record's id, of 15 or 18 letters
    #[arg(value_name = "ID")]
    id: String,
    /// At most so many events, newest first
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
}

/// Runs `record`.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    if args.id.is_empty() {
        context.tell("error: an empty text is no record's id; an id has 15 or 18 letters and digits.");
        return Ok(Exit::WrongUsage);
    }
    let engine = context.open().await?;
    let filter = EventFilter {
        object: Some(args.object.clone()),
        record: Some(args.id.clone()),
        limit: args.limit,
        ..EventFilter::default()
    };
    let view = events::list(&engine, filter).await?;
    context.print(&view, || {
        if view.events.is_empty() {
            return format!("No stored change event is about {} {}.", args.object, args.id);
        }
        let mut rows = vec![
            ["Position", "Received", "Committed", "Change", "Outcome", "Took", "Why"]
                .map(str::to_owned)
                .to_vec(),
        ];
        rows.extend(view.events.iter().map(row));
        table(&rows, &[0, 5])
    })?;
    Ok(Exit::Done)
}

fn row(event: &EventRow) -> Vec<String> {
    vec![
        thousands(event.position),
        event.received_at.format("%Y-%m-%d %H:%M:%S%.3fZ").to_string(),
        event.committed_at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
        event.kind.as_str().to_owned(),
        event.outcome.map_or_else(|| "waits".to_owned(), outcome),
        event.took_ms.map_or_else(String::new, |took| duration(u64::from(took))),
        event.why.clone().unwrap_or_default(),
    ]
}

/// The word of the database and of the metrics.
fn outcome(outcome: EventOutcome) -> String {
    match outcome {
        EventOutcome::Skipped => "skipped",
        EventOutcome::Unmapped => "unmapped",
        EventOutcome::Applied => "applied",
        EventOutcome::Deleted => "deleted",
        EventOutcome::Rejected => "rejected",
        EventOutcome::Dirty => "dirty",
        EventOutcome::Hole => "hole",
        EventOutcome::DeadLetter => "dead-letter",
    }
    .to_owned()
}
