//! `shadow-sync migrate`: brings the database's schema up to what this program knows.

use engine::api::schema;

use crate::context::{Context, Exit};

/// Bring the database's schema up to date
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only list what would be applied
    #[arg(long)]
    dry_run: bool,
}

/// Runs `migrate`.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.open_unmigrated().await?;
    let applied = if args.dry_run {
        schema::plan(&engine).await?
    } else {
        if let Err(exit) = context.confirm(&engine, "change the database's schema")? {
            return Ok(exit);
        }
        schema::migrate(&engine).await?
    };
    context.print(&applied, || {
        let verb = if args.dry_run { "Would apply" } else { "Applied" };
        if applied.is_empty() {
            "The schema is up to date.".to_owned()
        } else {
            applied.iter().map(|name| format!("{verb} {name}")).collect::<Vec<_>>().join("\n")
        }
    })?;
    Ok(Exit::Done)
}
