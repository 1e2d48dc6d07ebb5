//! `shadow-sync status`: how things stand, in one look.

use engine::api::status::{self, DatabaseState, ObjectHealth, StatusView};

use crate::context::{Context, Exit};
use crate::words::{table, thousands};

/// Show how things stand
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `status`; exit 1 where something needs a person.
pub async fn run(_args: Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.open().await?;
    let status = status::status(&engine).await;
    engine.shutdown().await;
    context.print(&status, || text(&status))?;
    Ok(if status.problems.is_empty() { Exit::Done } else { Exit::Finding })
}

fn text(status: &StatusView) -> String {
    let mut lines = vec![status.statement.clone()];
    if !status.detail.is_empty() {
        lines.push(status.detail.clone());
    }
    if let Some(environment) = &status.environment {
        let simulated = if environment.is_simulated { ", simulated org" } else { "" };
        lines.push(
            format!("Environment {} ({:?}{simulated})", environment.name, environment.kind).to_lowercase(),
        );
    }
    if let Some(bound) = &status.bound_to {
        lines.push(format!("Bound to {bound}"));
    }
    lines.push(match &status.database {
        DatabaseState::Closed => "Database: closed".to_owned(),
        DatabaseState::Starting => "Database: starting".to_owned(),
        DatabaseState::Ready { server } => format!("Database: {server}"),
        DatabaseState::Failed { problem, .. } => format!("Database: {}", problem.title),
    });
    if let Some(usage) = status.api_usage {
        lines.push(format!("API calls: {} of {} today", thousands(usage.used), thousands(usage.max)));
    }
    let mut rows = vec![
        ["Object", "Health", "Salesforce", "", "Shadow", "Rejected", "Counted"].map(str::to_owned).to_vec(),
    ];
    for object in &status.objects {
        let number = |value: Option<u32>| value.map_or_else(|| "not counted".to_owned(), thousands);
        rows.push(vec![
            object.object.clone(),
            health(object.health).to_owned(),
            number(object.count.salesforce),
            match object.count.unexplained {
                Some(0) => "=".to_owned(),
                Some(_) => "≠".to_owned(),
                None => "?".to_owned(),
            },
            number(object.count.shadow),
            thousands(object.count.rejected),
            object
                .count
                .salesforce_at
                .map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M:%SZ").to_string()),
        ]);
    }
    lines.push(table(&rows, &[2, 4, 5]));
    lines.extend(status.problems.iter().map(ToString::to_string));
    lines.join("\n")
}

fn health(health: ObjectHealth) -> &'static str {
    match health {
        ObjectHealth::NotLoaded => "not loaded",
        ObjectHealth::Backfilling => "backfilling",
        ObjectHealth::CountsAgree => "counts agree",
        ObjectHealth::Loaded => "loaded, not counted",
        ObjectHealth::Differs => "differs",
        ObjectHealth::Paused => "paused",
        ObjectHealth::Failing => "failing",
    }
}
