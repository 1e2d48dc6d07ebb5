//! `shadow-sync replay`: what stored events would have changed, and the records that disagree fetched.

use engine::api::replay::{self, ReplayRequest, ReplayView};
use engine::clock;

use crate::context::{Context, Exit};
use crate::moment::From;
use crate::words::{count, table, thousands};

/// Look through events again, and fetch the records that disagree with them
#[derive(Debug, clap::Args)]
#[command(
    after_help = "An old value is never written: a record that disagrees is fetched whole. The running `serve` or \
                        console does the fetching. With --dry-run the exit code is 1 where something disagrees."
)]
pub struct Args {
    /// From when: 2026-05-04T09:15:00Z, 2h, 3d, or `earliest`
    #[arg(long, value_name = "TIME|earliest")]
    from: From,
    /// Only events of this object
    #[arg(long, value_name = "O")]
    object: Option<String>,
    /// Ask Salesforce for its events of the last three days again, instead of our change log; each counts against the
    /// org's allocation of delivered events
    #[arg(long)]
    from_salesforce: bool,
    /// Only list what disagrees
    #[arg(long)]
    dry_run: bool,
}

/// Runs `replay`.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let now = clock::now();
    let from = match args.from {
        From::Earliest => None,
        From::Moment(moment) => Some(moment.before(now)),
    };
    if from.is_some_and(|from| from > now) {
        context.tell("error: --from is in the future, where no event was stored yet. Nothing was done.");
        return Ok(Exit::WrongUsage);
    }
    let request = ReplayRequest { from, object: args.object, from_salesforce: args.from_salesforce };
    // Stored events are read with schemas that Salesforce keeps.
    let engine = context.open_signed_in().await?;
    let view = if args.dry_run {
        replay::plan(&engine, request).await?
    } else {
        replay::run(&engine, request).await?
    };
    context.print(&view, || text(&view, args.dry_run))?;
    Ok(if args.dry_run && view.differing > 0 { Exit::Finding } else { Exit::Done })
}

fn text(view: &ReplayView, is_plan: bool) -> String {
    let mut lines = vec![view.explanation.clone()];
    if !view.differences.is_empty() {
        let mut rows = vec![["Object", "Record", "Position", "What disagrees"].map(str::to_owned).to_vec()];
        rows.extend(view.differences.iter().map(|difference| {
            vec![
                difference.object.clone(),
                difference.record.clone(),
                difference.position.map_or_else(|| "not stored".to_owned(), thousands),
                difference.what.clone(),
            ]
        }));
        lines.push(table(&rows, &[2]));
    }
    let shown = u32::try_from(view.differences.len()).unwrap_or(u32::MAX);
    if view.differing > shown {
        lines.push(format!("{shown} of {} shown.", thousands(view.differing)));
    }
    let mut sum = format!(
        "{} about {}: {} disagree.",
        count(view.events, "event", "events"),
        count(view.records, "record", "records"),
        thousands(view.differing)
    );
    if view.unknown_events > 0 {
        sum.push_str(&format!(" {} had never arrived here.", count(view.unknown_events, "event", "events")));
    }
    if is_plan && view.differing > 0 {
        sum.push_str(&format!(
            " Fetching them takes {}; run this without --dry-run.",
            count(view.api_calls, "API call", "API calls")
        ));
    } else if view.marked > 0 {
        sum.push_str(&format!(" {} marked to be fetched.", count(view.marked, "record is", "records are")));
    }
    lines.push(sum);
    lines.join("\n")
}
