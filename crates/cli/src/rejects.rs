//! `shadow-sync rejects`: records that cannot be stored, with their reasons.

use engine::api::rejects;

use crate::context::{Context, Exit};
use crate::words::{count, table};

/// Look at records that cannot be stored, try them again
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// List rejected records with their reasons
    List {
        /// Only those of this object
        #[arg(long)]
        object: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Store those whose cause has gone away
    Retry,
}

/// Runs `rejects`.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.open().await?;
    match args.act {
        Act::List { object, limit } => {
            let page = rejects::list(&engine, object, None, limit).await?;
            context.print(&page, || {
                if page.total == 0 {
                    return "No rejected records.".to_owned();
                }
                let mut rows =
                    vec![["Object", "Record", "Reason", "Explanation"].map(str::to_owned).to_vec()];
                rows.extend(page.rejects.iter().map(|reject| {
                    vec![
                        reject.object.clone(),
                        reject.record_id.clone(),
                        reject.reason.clone(),
                        reject.explanation.clone(),
                    ]
                }));
                let shown = u32::try_from(page.rejects.len()).unwrap_or(u32::MAX);
                format!(
                    "{}\n{} of {}",
                    table(&rows, &[]),
                    shown,
                    count(page.total, "rejected record", "rejected records")
                )
            })?;
        }
        Act::Retry => {
            let entered = rejects::retry(&engine).await?;
            context
                .print(&entered, || format!("{} entered the shadow.", count(entered, "record", "records")))?;
        }
    }
    Ok(Exit::Done)
}
