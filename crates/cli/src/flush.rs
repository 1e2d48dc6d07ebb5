//! `shadow-sync flush`: deletes cache keys by hand; in production its plan comes first.

use std::io::IsTerminal;
use std::time::Duration;

use engine::Engine;
use engine::api::cache::{self, FlushPlan, FlushScope, FlushState, FlushView};
use indicatif::{ProgressBar, ProgressStyle};

use crate::context::{Context, Exit};
use crate::words::{bytes, duration, keys};

/// How often to look how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Delete cache keys: everything of ours, the catalogue, eligibility, one product, one account, or a pattern
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("scope").required(true).multiple(false),
    after_help = "\
--all is the union of the patterns that `shadow-sync cache show` lists, never the whole server. In production the plan is \
shown first, and the environment's name is asked for (or --confirm NAME); a pattern that may match every key of the \
server asks for it everywhere.

Keys of changed rows are deleted by themselves, by `serve`, the console, or the command that changed them. Ctrl-C stops \
cleanly (exit 130); what was deleted stays deleted, and a flush can be repeated."
)]
pub struct Args {
    /// Everything that the patterns of any object match
    #[arg(long, group = "scope")]
    all: bool,
    /// Everything of products and prices
    #[arg(long, group = "scope")]
    catalog: bool,
    /// Everything of accounts
    #[arg(long, group = "scope")]
    eligibility: bool,
    /// The keys of one product and its prices
    #[arg(long, group = "scope", value_name = "SKU")]
    sku: Option<String>,
    /// The keys of one account
    #[arg(long, group = "scope", value_name = "ID")]
    account: Option<String>,
    /// Everything that a pattern matches, as Redis reads it: * ? [a-z], and \ before what is meant as it is
    #[arg(long, group = "scope", value_name = "PATTERN")]
    pattern: Option<String>,
    /// Only show what would be deleted
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    /// What is meant; one of them was given.
    fn scope(&self) -> FlushScope {
        match self {
            Self { sku: Some(sku), .. } => FlushScope::Sku { sku: sku.clone() },
            Self { account: Some(id), .. } => FlushScope::Account { id: id.clone() },
            Self { pattern: Some(pattern), .. } => FlushScope::Pattern { pattern: pattern.clone() },
            Self { catalog: true, .. } => FlushScope::Catalog,
            Self { eligibility: true, .. } => FlushScope::Eligibility,
            _ => FlushScope::All,
        }
    }
}

/// Runs `flush`.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.open().await?;
    let engine = &engine;
    let scope = args.scope();
    if args.dry_run {
        let Some(plan) = planned(engine, &scope).await? else { return Ok(Exit::Interrupted) };
        context.print(&plan, || text(&plan))?;
        return Ok(Exit::Done);
    }
    if cache::needs_name(engine, &scope)? {
        let Some(plan) = planned(engine, &scope).await? else { return Ok(Exit::Interrupted) };
        context.tell(&text(&plan));
        let what = format!("delete {} of {}", keys(plan.keys), plan.scope.words());
        if let Err(exit) = context.confirm_by_name(engine, &what)? {
            return Ok(exit);
        }
    }
    let environment = engine.environment()?;
    let flush = cache::start(engine, scope, Some(environment.name())).await?;
    let (flush, was_stopped) = watch(engine, flush, context).await?;
    context.print(&flush, || sentence(&flush))?;
    Ok(match flush.state {
        FlushState::Done => Exit::Done,
        FlushState::Failed => Exit::Failed,
        FlushState::Stopped | FlushState::Running if was_stopped => Exit::Interrupted,
        FlushState::Stopped | FlushState::Running => Exit::Finding,
    })
}

/// The plan; none if a person did not wait for it.
async fn planned(engine: &Engine, scope: &FlushScope) -> anyhow::Result<Option<FlushPlan>> {
    tokio::select! {
        plan = cache::preview(engine, scope.clone()) => Ok(Some(plan?)),
        _ = tokio::signal::ctrl_c() => Ok(None),
    }
}

/// Shows how far a flush is until it has ended. Ctrl-C stops it; says whether that was so.
async fn watch(engine: &Engine, flush: FlushView, context: &Context) -> anyhow::Result<(FlushView, bool)> {
    let bar = (!context.args.json && std::io::stderr().is_terminal()).then(|| {
        let style = ProgressStyle::with_template("{spinner} {msg}");
        ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
    });
    let (mut flush, mut was_stopped) = (flush, false);
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    while flush.state == FlushState::Running {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = &mut interrupted, if !was_stopped => {
                was_stopped = true;
                // It may have ended in this moment.
                let _ = cache::stop(engine, &flush.id).await;
            }
        }
        flush = cache::flush(engine, &flush.id).await?;
        if let Some(bar) = &bar {
            bar.set_message(format!("{}: {} deleted", flush.scope, keys(flush.deleted)));
            bar.tick();
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok((flush, was_stopped))
}

fn text(plan: &FlushPlan) -> String {
    let mut lines = vec![format!("Would delete {} of {}.", keys(plan.keys), plan.scope.words())];
    lines.push(format!("  by      {}", listed(&plan.patterns, 8)));
    if let Some(size) = plan.bytes {
        let about = if plan.bytes_exact { "" } else { "about " };
        lines.push(format!("  memory  {about}{}", bytes(size)));
    }
    let examples: Vec<String> = plan.examples.iter().map(|example| example.key.clone()).collect();
    if !examples.is_empty() {
        lines.push(format!("  such as {}", listed(&examples, 5)));
    }
    if plan.stopped {
        lines.push("  Counting took too long and was cut short: there are more.".to_owned());
    }
    lines.join("\n")
}

fn listed(texts: &[String], most: usize) -> String {
    let shown = texts.iter().take(most).cloned().collect::<Vec<_>>().join(", ");
    match texts.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn sentence(flush: &FlushView) -> String {
    let took = flush.ended_at.map_or(0, |ended| (ended - flush.started_at).num_milliseconds().max(0));
    let took = duration(u64::try_from(took).unwrap_or_default());
    let what = format!("{} deleted of {} found in {took}", keys(flush.deleted), flush.seen);
    match flush.state {
        FlushState::Done => format!("Flushed {}: {} deleted in {took}.", flush.scope, keys(flush.deleted)),
        FlushState::Stopped | FlushState::Running => format!("Stopped flushing {}: {what}.", flush.scope),
        FlushState::Failed => {
            let problem = flush.problem.as_ref().map_or_else(String::new, ToString::to_string);
            format!("Flushing {} failed: {what}.\n{problem}", flush.scope)
        }
    }
}
