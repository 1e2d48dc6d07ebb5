//! `shadow-sync backfill`: loads objects whole, shows how far each is, stops cleanly on Ctrl-C.

use engine::api::backfills::{self, BackfillMode};

use crate::context::{Context, Exit};
use crate::job_end;

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
    job_end::wait(&engine, &ids, "shadow-sync backfill", context).await
}
