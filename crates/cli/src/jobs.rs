//! `shadow-sync jobs`, `pause`, `resume`: look at loads and steer them, from any terminal.

use engine::api::{backfills, objects};

use crate::context::{Context, Exit};
use crate::job_progress::word_of;
use crate::words::{duration, table, thousands};

/// Look at loads, cancel them
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// List the loads of the last seven days
    List,
    /// Stop a load for good, after the rows in flight
    Cancel {
        /// The job's id, from `jobs list`
        id: String,
    },
    /// Allow the removals that a load held back, because there were more than the guard allows
    Consent {
        /// The job's id, from `jobs list`
        id: String,
    },
}

/// Which objects to pause or to resume.
#[derive(Debug, clap::Args)]
pub struct PauseArgs {
    /// The objects; all mapped ones where none is named
    #[arg(value_name = "OBJECT")]
    objects: Vec<String>,
}

/// Runs `jobs`.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.open().await?;
    match args.act {
        Act::List => {
            let jobs = backfills::jobs(&engine).await?;
            context.print(&jobs, || {
                if jobs.is_empty() {
                    return "Nothing loaded yet. `shadow-sync backfill` loads.".to_owned();
                }
                let mut rows = vec![
                    ["Job", "Object", "State", "Records", "Rejected", "Took", "By", "Started"]
                        .map(str::to_owned)
                        .to_vec(),
                ];
                rows.extend(jobs.iter().map(|job| {
                    vec![
                        job.id.clone(),
                        job.object.clone(),
                        word_of(job.state).to_owned(),
                        thousands(job.done),
                        thousands(job.rows.rejected),
                        duration(u64::from(job.took_ms)),
                        job.started_by.clone(),
                        job.started_at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
                    ]
                }));
                table(&rows, &[3, 4, 5])
            })?;
        }
        Act::Cancel { id } => {
            backfills::cancel(&engine, &id).await?;
            context.print(&id, || format!("Job {id} stops after the rows in flight."))?;
        }
        Act::Consent { id } => {
            backfills::consent_removals(&engine, &id).await?;
            context.print(&id, || format!("The removals of job {id} are done."))?;
        }
    }
    Ok(Exit::Done)
}

/// Runs `pause`: running loads stop after the rows in flight, new ones wait, and events are not applied. Without
/// objects the stream stops too.
pub async fn pause(args: PauseArgs, context: &Context) -> anyhow::Result<Exit> {
    let is_all = args.objects.is_empty();
    let engine = context.open().await?;
    let paused = objects::pause(&engine, args.objects).await?;
    context.print(&paused, || {
        let stream = if is_all { " The stream stops too." } else { "" };
        format!("Paused: {}.{stream} `shadow-sync resume` goes on.", paused.join(", "))
    })?;
    Ok(Exit::Done)
}

/// Runs `resume`: the stream goes on, loads may run again; `backfill` takes up what was interrupted.
pub async fn resume(args: PauseArgs, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.open().await?;
    let resumed = objects::resume(&engine, args.objects).await?;
    context.print(&resumed, || {
        format!("Resumed: {}. `shadow-sync backfill` takes up an interrupted load.", resumed.join(", "))
    })?;
    Ok(Exit::Done)
}
