//! `shadow-sync dead-letters`: events that could not be processed, looked at, tried again, discarded.

use engine::api::dead_letters::{self, DeadLetterGroup, DeadLettersView};

use crate::context::{Context, Exit};
use crate::words::{count, table};

/// Look at events that could not be processed, fetch their records
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// List open dead letters by cause, with what mends each
    List {
        /// Only those of this object
        #[arg(long)]
        object: Option<String>,
        /// At most so many of each cause
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        limit: u32,
    },
    /// Fetch their records whole now; an old payload is never written
    Retry {
        /// Their ids, from `dead-letters list`; all open ones where none is named
        #[arg(value_name = "ID")]
        ids: Vec<String>,
    },
    /// Close them without another try of the event; their records are fetched, not forgotten
    #[command(group = clap::ArgGroup::new("which").required(true).multiple(false))]
    Discard {
        /// Their ids, from `dead-letters list`; or --all
        #[arg(value_name = "ID", group = "which")]
        ids: Vec<String>,
        /// All open ones
        #[arg(long, group = "which")]
        all: bool,
    },
}

/// Runs `dead-letters`.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.open().await?;
    act(args.act, &engine, context).await
}

async fn act(act: Act, engine: &engine::Engine, context: &Context) -> anyhow::Result<Exit> {
    match act {
        Act::List { object, limit } => {
            let view = dead_letters::list(engine, object, limit).await?;
            context.print(&view, || text(&view))?;
        }
        Act::Retry { ids } => {
            let fetched = dead_letters::retry(engine, ids).await?;
            context
                .print(&fetched, || format!("{} fetched by the running `serve` or console.", are(fetched)))?;
        }
        Act::Discard { ids, all } => {
            let what = if all {
                "discard every open dead letter".to_owned()
            } else {
                let number = u32::try_from(ids.len()).unwrap_or(u32::MAX);
                format!("discard {}", count(number, "dead letter", "dead letters"))
            };
            if let Err(exit) = context.confirm(engine, &what)? {
                return Ok(exit);
            }
            let fetched = dead_letters::discard(engine, ids).await?;
            context.print(&fetched, || {
                format!("Discarded; {} fetched by the running `serve` or console.", are(fetched))
            })?;
        }
    }
    Ok(Exit::Done)
}

fn are(records: u32) -> String {
    format!("{} {}", count(records, "record", "records"), if records == 1 { "is" } else { "are" })
}

fn text(view: &DeadLettersView) -> String {
    if view.total == 0 {
        return "No dead letters.".to_owned();
    }
    let mut text: Vec<String> = view.groups.iter().map(group_text).collect();
    text.push(format!("{} in all.", count(view.total, "open dead letter", "open dead letters")));
    text.join("\n\n")
}

/// One cause: its heading, what mends it, the letters.
fn group_text(group: &DeadLetterGroup) -> String {
    let mut rows =
        vec![["Id", "Received", "Object", "Record", "Tries", "Explanation"].map(str::to_owned).to_vec()];
    rows.extend(group.letters.iter().map(|letter| {
        let record = match (&letter.record_id, letter.records) {
            (Some(id), 0 | 1) => id.clone(),
            (Some(id), more) => format!("{id} and {} more", more - 1),
            (None, _) => "unknown".to_owned(),
        };
        vec![
            letter.id.clone(),
            letter.received_at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
            letter.object.clone().unwrap_or_else(|| "unknown".to_owned()),
            record,
            letter.attempts.to_string(),
            letter.explanation.clone(),
        ]
    }));
    let shown = u32::try_from(group.letters.len()).unwrap_or(u32::MAX);
    let more =
        if group.total > shown { format!("\n  {shown} of {} shown", group.total) } else { String::new() };
    let letters = table(&rows, &[4]).replace('\n', "\n  ");
    format!("{} ({})\n  {}\n  {letters}{more}", group.title, group.total, group.cure)
}
