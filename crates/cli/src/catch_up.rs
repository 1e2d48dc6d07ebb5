//! `shadow-sync catch-up`: the delta now, with the comparison of ids that finds what left without a trace.

use engine::api::catch_up;
use engine::clock;

use crate::context::{Context, Exit};
use crate::job_end;
use crate::moment::Moment;

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
    let ids = catch_up::start(&engine, args.objects, since).await?;
    job_end::wait(&engine, &ids, "shadow-sync catch-up", context).await
}
