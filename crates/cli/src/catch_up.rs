//! `shadow-sync catch-up`: the delta now, with the comparison of ids that finds what left without a trace.

use engine::api::backfills::{JobState, JobView};
use engine::api::catch_up;
use engine::clock;

use crate::context::{Context, Exit};
use crate::job_progress;
use crate::moment::Moment;
use crate::words::{count, duration, thousands};

/// Read what changed, compare ids, and close the holes that this closes
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The stream and the nightly catch-up do this by themselves; a person needs it after something went \
                        wrong in between, or to see at once that nothing is missing. Rows that are right are not written."
)]
pub struct Args {
    /// The objects; all mapped ones where none is named
    #[arg(value_name = "OBJECT")]
    objects: Vec<String>,
    /// Read changes since then instead of since the last catch-up: 2026-05-04T09:15:00Z, 2h, 3d
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
}

/// Runs the catch-ups and waits for them.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let now = clock::now();
    let since = args.since.map(|since| since.before(now));
    if since.is_some_and(|since| since > now) {
        context.tell("error: --since is in the future, where nothing changed yet. Nothing was done.");
        return Ok(Exit::WrongUsage);
    }
    let engine = context.open_signed_in().await?;
    let ids = match catch_up::start(&engine, args.objects, since).await {
        Ok(ids) => ids,
        Err(problem) => {
            engine.shutdown().await;
            return Err(problem.into());
        }
    };
    let jobs = job_progress::watch(&engine, &ids, "shadow-sync catch-up", context).await;
    engine.shutdown().await;
    let jobs = jobs?;
    context.print(&jobs, || jobs.iter().map(sentence).collect::<Vec<_>>().join("\n"))?;
    Ok(job_progress::exit_of(&jobs))
}

/// What a catch-up came to, in a sentence or two.
fn sentence(job: &JobView) -> String {
    let rows = job.rows;
    let changed = rows.new + rows.newer + rows.removed;
    let took = duration(u64::from(job.took_ms));
    match job.state {
        JobState::Done => {
            let found = if changed == 0 {
                "nothing was missing".to_owned()
            } else {
                format!(
                    "{} new, {} newer, {} removed",
                    thousands(rows.new),
                    thousands(rows.newer),
                    thousands(rows.removed)
                )
            };
            let mut text = format!(
                "{}: caught up in {took}, {} looked at: {found}; {} API calls.",
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
            format!("{}: cancelled after {}.", job.object, count(job.done, "record", "records"))
        }
        _ => format!(
            "{}: stopped after {}; `shadow-sync catch-up` resumes.",
            job.object,
            count(job.done, "record", "records")
        ),
    }
}
