//! `shadow-sync verify`: both sides compared; exit 0 where they agree, 1 where they do not.

use engine::api::counts::{self, CountView};

use crate::context::{Context, Exit};
use crate::words::{table, thousands};

/// Compare the shadow with Salesforce
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The objects; all mapped ones where none is named
    #[arg(value_name = "OBJECT")]
    objects: Vec<String>,
    /// How deep to look
    #[arg(long, value_enum, default_value_t = Depth::Counts)]
    depth: Depth,
}

/// How deep a verification looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Depth {
    /// Counts side by side: one API call per object
    Counts,
}

/// Runs the comparison.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.open_signed_in().await?;
    let counted = match args.depth {
        Depth::Counts => counts::count(&engine, args.objects).await?,
    };
    context.print(&counted, || {
        let mut rows = vec![
            ["Object", "Salesforce", "", "Shadow", "Rejected", "Unexplained", "Counted"]
                .map(str::to_owned)
                .to_vec(),
        ];
        rows.extend(counted.counts.iter().map(row));
        let mut text = table(&rows, &[1, 3, 4, 5]);
        for problem in counted.counts.iter().filter_map(|count| count.problem.as_ref()) {
            text.push('\n');
            text.push_str(&problem.to_text());
        }
        let verdict = if counted.agrees {
            "Every record is accounted for."
        } else {
            "Not every record is accounted for; `shadow-sync backfill` loads what is missing."
        };
        format!("{text}\n{verdict} {} API calls.", counted.api_calls)
    })?;
    if counted.counts.iter().any(|count| count.problem.is_some()) {
        return Ok(Exit::Failed);
    }
    Ok(if counted.agrees { Exit::Done } else { Exit::Finding })
}

/// One object as an equation: Salesforce, the mark, shadow.
fn row(count: &CountView) -> Vec<String> {
    let number = |value: Option<u32>| value.map_or_else(|| "not counted".to_owned(), thousands);
    let mark = match count.unexplained {
        Some(0) => "=",
        Some(_) => "≠",
        None => "?",
    };
    vec![
        count.object.clone(),
        number(count.salesforce),
        mark.to_owned(),
        number(count.shadow),
        thousands(count.rejected),
        count.unexplained.map_or_else(|| "unknown".to_owned(), thousands),
        count.salesforce_at.map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M:%SZ").to_string()),
    ]
}
