//! What jobs came to, once each has ended.

use engine::Engine;
use engine::api::backfills::{JobKind, JobState, JobView};

use crate::context::{Context, Exit};
use crate::job_progress;
use crate::words::{count, duration, thousands};

/// Waits for jobs, shows how far they are, and says what each came to.
///
/// - `command`: what takes up a stopped one.
pub async fn wait(engine: &Engine, ids: &[String], command: &str, context: &Context) -> anyhow::Result<Exit> {
    let jobs = job_progress::watch(engine, ids, command, context).await?;
    context.print(&jobs, || jobs.iter().map(|job| sentence(job, command)).collect::<Vec<_>>().join("\n"))?;
    Ok(exit_of(&jobs))
}

/// How a command ends whose jobs ended so.
pub fn exit_of(jobs: &[JobView]) -> Exit {
    if jobs.iter().any(|job| job.state == JobState::Failed) {
        Exit::Failed
    } else if jobs.iter().all(|job| job.state == JobState::Done) {
        if jobs.iter().any(|job| job.removals_waiting > 0) { Exit::Finding } else { Exit::Done }
    } else {
        Exit::Interrupted
    }
}

/// What a job came to, in a sentence or two.
fn sentence(job: &JobView, command: &str) -> String {
    let (object, records) = (&job.object, count(job.done, "record", "records"));
    match job.state {
        JobState::Done => done(job),
        JobState::Failed => format!(
            "{object}: failed after {records}.\n{}",
            job.problem.as_ref().map_or_else(String::new, ToString::to_string)
        ),
        JobState::Cancelled => format!("{object}: cancelled after {records} ({}).", rows(job)),
        JobState::Pending
        | JobState::Running
        | JobState::Pausing
        | JobState::Paused
        | JobState::Cancelling
        | JobState::Interrupted => {
            format!("{object}: stopped after {records} ({}); `{command}` resumes.", rows(job))
        }
    }
}

/// The sentence of a job that ended well, and what it leaves to a person.
fn done(job: &JobView) -> String {
    let (object, records) = (&job.object, count(job.done, "record", "records"));
    let (took, calls) = (duration(u64::from(job.took_ms)), count(job.api_calls, "API call", "API calls"));
    let mut text = match job.kind {
        JobKind::CatchUp => {
            format!("{object}: caught up in {took}, {records} looked at: {}; {calls}.", rows(job))
        }
        JobKind::Backfill | JobKind::Formulas | JobKind::Fields => {
            format!("{object}: {records} in {took} ({}); {calls}.", rows(job))
        }
    };
    if job.removals_waiting > 0 {
        text.push_str(&format!(
            "\n  {} would be removed: more than the guard allows without a person's consent. Look at them with \
             `shadow-sync jobs list`, then run `shadow-sync jobs consent {}`.",
            count(job.removals_waiting, "row", "rows"),
            job.id
        ));
    }
    text
}

/// What happened to the rows. A catch-up is asked what was missing; a load, what became of each record.
fn rows(job: &JobView) -> String {
    let rows = job.rows;
    match job.kind {
        JobKind::CatchUp if rows.new + rows.newer + rows.removed == 0 => "nothing was missing".to_owned(),
        JobKind::CatchUp => format!(
            "{} new, {} newer, {} removed",
            thousands(rows.new),
            thousands(rows.newer),
            thousands(rows.removed)
        ),
        JobKind::Backfill | JobKind::Formulas | JobKind::Fields => format!(
            "{} new, {} newer, {} equal, {} older, {} rejected, {} removed",
            thousands(rows.new),
            thousands(rows.newer),
            thousands(rows.equal),
            thousands(rows.older),
            thousands(rows.rejected),
            thousands(rows.removed)
        ),
    }
}
