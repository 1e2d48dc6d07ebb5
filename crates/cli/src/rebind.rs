//! `shadow-sync rebind`: takes over a refreshed sandbox, or changes the sync user, after showing what that does.

use engine::api::backfills::{self, BackfillMode, JobView};
use engine::api::rebind::{self, ObjectDifference, RebindKind, RebindPlan};
use serde::Serialize;

use crate::context::{Context, Exit};
use crate::words::{count, table, thousands};
use crate::{job_end, job_progress};

/// Take over a refreshed sandbox, or change the sync user
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A database holds the copy of one org, seen by one user. When a sandbox was refreshed its org id is a \
                        new one: sign in, look at what `rebind --dry-run` would empty, and run it. With --user the org \
                        stays, nothing is emptied, and everything is read again with the new user's eyes.\n\nThe \
                        environment's name is asked for; without a terminal --confirm NAME gives it. With --dry-run the exit code \
                        is 1 where the org does not look like the same sandbox refreshed."
)]
pub struct Args {
    /// Change only the sync user, of the same org
    #[arg(long)]
    user: bool,
    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,
}

/// What was done: the plan, and the loads that followed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rebound {
    #[serde(flatten)]
    plan: RebindPlan,
    jobs: Vec<JobView>,
}

/// Runs `rebind`.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.open_signed_in().await?;
    act(&args, &engine, context).await
}

async fn act(args: &Args, engine: &engine::Engine, context: &Context) -> anyhow::Result<Exit> {
    let kind = if args.user { RebindKind::User } else { RebindKind::Org };
    let plan = rebind::plan(engine, kind).await?;
    if args.dry_run {
        context.print(&plan, || text(&plan))?;
        return Ok(if plan.warning.is_some() { Exit::Finding } else { Exit::Done });
    }
    context.tell(&text(&plan));
    let what = match kind {
        RebindKind::Org => "empty the copy and bind it to another org",
        RebindKind::User => "change the sync user and read everything again",
    };
    if let Err(exit) = context.confirm_by_name(engine, what)? {
        return Ok(exit);
    }
    let plan = rebind::run(engine, kind).await?;
    let jobs = match kind {
        RebindKind::Org => Vec::new(),
        // What the new eyes see is known only when everything was read with them, and its ids compared.
        RebindKind::User => {
            let ids = backfills::start(engine, Vec::new(), BackfillMode::Restart).await?;
            job_progress::watch(engine, &ids, "shadow-sync backfill", context).await?
        }
    };
    let exit = job_end::exit_of(&jobs);
    let rebound = Rebound { plan, jobs };
    context.print(&rebound, || match kind {
        RebindKind::Org => {
            format!("Bound to {}. `shadow-sync backfill` fills the tables.", rebound.plan.to)
        }
        RebindKind::User => {
            let records = rebound.jobs.iter().map(|job| job.done).sum();
            format!(
                "Bound to {}; {} read with the new user's eyes.",
                rebound.plan.to,
                count(records, "record was", "records were")
            )
        }
    })?;
    Ok(exit)
}

fn text(plan: &RebindPlan) -> String {
    let mut lines = vec![format!("Bound to  {}", plan.from), format!("Signed in {}", plan.to)];
    lines.extend(plan.warning.clone());
    if !plan.emptied.is_empty() {
        let mut rows = vec![["Emptied", "Rows"].map(str::to_owned).to_vec()];
        rows.extend(plan.emptied.iter().map(|table| vec![table.table.clone(), thousands(table.rows)]));
        lines.push(table(&rows, &[1]));
    } else if plan.kind == RebindKind::User {
        lines.push("Nothing is emptied.".to_owned());
    }
    let differences: Vec<String> = plan.objects.iter().filter_map(difference).collect();
    if differences.is_empty() {
        lines.push("The same objects and fields are visible.".to_owned());
    }
    lines.extend(differences);
    lines.join("\n")
}

/// How an object looks to the new eyes; none where nothing differs.
fn difference(object: &ObjectDifference) -> Option<String> {
    if let Some(problem) = &object.problem {
        return Some(format!("{}: cannot be read any more. {problem}", object.object));
    }
    let mut parts = Vec::new();
    if !object.gained.is_empty() {
        parts.push(format!("visible now: {}", object.gained.join(", ")));
    }
    if !object.lost.is_empty() {
        parts.push(format!("not visible any more: {}", object.lost.join(", ")));
    }
    (!parts.is_empty()).then(|| format!("{}: {}", object.object, parts.join("; ")))
}
