//! `shadow-sync backfill`: loads objects whole, shows how far each is, stops cleanly on Ctrl-C.

use engine::api::backfills::{self, BackfillMode, JobState, JobView};

use crate::context::{Context, Exit};
use crate::job_progress;
use crate::words::{count, duration, thousands};

/// Load objects from Salesforce into their shadow tables
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The objects; all mapped ones where none is named
    #[arg(value_name = "OBJECT")]
    objects: Vec<String>,
    /// Resume an interrupted or paused load, and fail where there is none
    #[arg(long, conflicts_with = "restart")]
    resume: bool,
    /// Begin anew and read every record whole
    #[arg(long)]
    restart: bool,
    /// Load only the records that this SOQL condition names; never makes an object ready
    #[arg(long = "where", value_name = "SOQL")]
    condition: Option<String>,
}

/// Runs the loads and waits for them.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.open_signed_in().await?;
    let mode = match (args.resume, args.restart) {
        (true, _) => BackfillMode::Resume,
        (_, true) => BackfillMode::Restart,
        _ => BackfillMode::Auto,
    };
    let ids = backfills::start_where(&engine, args.objects, mode, args.condition).await?;
    let jobs = job_progress::watch(&engine, &ids, "shadow-sync backfill", context).await;
    engine.shutdown().await;
    let jobs = jobs?;
    let exit = job_progress::exit_of(&jobs);
    context.print(&jobs, || jobs.iter().map(sentence).collect::<Vec<_>>().join("\n"))?;
    Ok(exit)
}

/// What a job came to, in a sentence or two.
fn sentence(job: &JobView) -> String {
    let rows = job.rows;
    let what = format!(
        "{} new, {} newer, {} equal, {} older, {} rejected, {} removed",
        thousands(rows.new),
        thousands(rows.newer),
        thousands(rows.equal),
        thousands(rows.older),
        thousands(rows.rejected),
        thousands(rows.removed)
    );
    let took = duration(u64::from(job.took_ms));
    match job.state {
        JobState::Done => {
            let mut text = format!(
                "{}: {} in {took} ({what}); {} API calls.",
                job.object,
                count(job.done, "record", "records"),
                job.api_calls
            );
            if job.removals_waiting > 0 {
                text.push_str(&format!(
                    "\n  {} would be removed: more than the guard allows without a person's consent. \
                     Look at them with `shadow-sync jobs list`, then run `shadow-sync jobs consent {}`.",
                    count(job.removals_waiting, "row", "rows"),
                    job.id
                ));
            }
            text
        }
        JobState::Failed => format!(
            "{}: failed after {}.\n{}",
            job.object,
            count(job.done, "record", "records"),
            job.problem.as_ref().map_or_else(String::new, ToString::to_string)
        ),
        JobState::Cancelled => {
            format!("{}: cancelled after {} ({what}).", job.object, count(job.done, "record", "records"))
        }
        _ => format!(
            "{}: stopped after {} ({what}); `shadow-sync backfill` resumes.",
            job.object,
            count(job.done, "record", "records")
        ),
    }
}
