//! `shadow-sync cache`: how the cache stands, what waits to be deleted in it, and by which rules keys are found.

use engine::api::cache::{self, CacheState, CacheView, FlushState, FlushView, Probe, RulesView, TriedKeys};

use crate::context::{Context, Exit};
use crate::words::{bytes, count, duration, keys, table, thousands};

/// Look at the cache, at what waits to be deleted in it and why, and say how keys are found
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
When a row changes, the keys that templates name are deleted at once, of its old and its new values; until the templates \
are declared complete, everything that the object's patterns match goes, too. Templates name columns in braces: \
catalog:product:{sku}, catalog:price:{parent.sku}:{currency_iso_code}; double a brace that is meant as it is."
)]
pub struct Args {
    #[command(subcommand)]
    act: Option<Act>,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// Show servers, what waits, and the rules
    Show,
    /// Set the patterns and templates of an object
    Rules {
        /// The object
        #[arg(value_name = "OBJECT")]
        object: String,
        /// Everything that is cached of it matches one of these
        #[arg(long = "pattern", value_name = "PATTERN", required = true)]
        patterns: Vec<String>,
        /// The keys of single records
        #[arg(long = "template", value_name = "TEMPLATE")]
        templates: Vec<String>,
    },
    /// Declare that the templates of an object name every key that is cached of it
    Declare {
        /// The object
        #[arg(value_name = "OBJECT")]
        object: String,
        /// Take it back
        #[arg(long)]
        incomplete: bool,
    },
    /// Show the keys of a record, and whether the cache holds them
    Try {
        /// The object
        #[arg(value_name = "OBJECT")]
        object: String,
        /// Its id, or its SKU
        #[arg(value_name = "RECORD")]
        record: String,
    },
    /// Look for keys under the patterns that no template names: exit 1 if there are any
    Probe,
    /// Hold the deletion of changed rows' keys back
    Hold,
    /// Let it go on
    Release,
    /// Show what was flushed by hand
    Flushes,
}

/// Runs `cache`.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.open().await?;
    match args.act.unwrap_or(Act::Show) {
        Act::Show => {
            let view = cache::view(&engine).await?;
            context.print(&view, || text(&view))?;
            let is_red =
                matches!(view.state, CacheState::Down | CacheState::Denied) || view.failed.orders > 0;
            return Ok(if is_red { Exit::Finding } else { Exit::Done });
        }
        Act::Rules { object, patterns, templates } => {
            let what = format!("change by which rules cache keys of {object} are deleted");
            if let Err(exit) = context.confirm_in_production(&engine, &what)? {
                return Ok(exit);
            }
            let rules = cache::set_rules(&engine, &object, patterns, templates).await?;
            context.print(&rules, || rules_text(&rules))?;
        }
        Act::Declare { object, incomplete } => {
            let what = if incomplete {
                format!("delete everything that patterns match whenever a row of {object} changes")
            } else {
                format!("delete nothing but what templates name when a row of {object} changes")
            };
            if let Err(exit) = context.confirm_in_production(&engine, &what)? {
                return Ok(exit);
            }
            let rules = cache::declare_complete(&engine, &object, !incomplete).await?;
            context.print(&rules, || rules_text(&rules))?;
        }
        Act::Try { object, record } => {
            let tried = cache::try_keys(&engine, &object, &record).await?;
            context.print(&tried, || tried_text(&tried))?;
        }
        Act::Probe => {
            let probe = cache::probe(&engine).await?;
            context.print(&probe, || probe_text(&probe))?;
            return Ok(if probe.unknown > 0 { Exit::Finding } else { Exit::Done });
        }
        Act::Hold => {
            if let Err(exit) = context.confirm_in_production(&engine, "leave stale keys in the cache")? {
                return Ok(exit);
            }
            let view = cache::hold(&engine, true).await?;
            context.print(&view, || {
                format!("Held back. {} waiting; `shadow-sync cache release` lets them go on.", waiting(&view))
            })?;
        }
        Act::Release => {
            let view = cache::hold(&engine, false).await?;
            context.print(&view, || format!("Released. {} waiting.", waiting(&view)))?;
        }
        Act::Flushes => {
            let flushes = cache::flushes(&engine).await?;
            context.print(&flushes, || flushes_text(&flushes))?;
        }
    }
    Ok(Exit::Done)
}

fn waiting(view: &CacheView) -> String {
    count(view.waiting.orders, "change", "changes")
}

fn text(view: &CacheView) -> String {
    let mut lines = Vec::new();
    match (view.state, &view.address) {
        (CacheState::None, _) | (_, None) => lines.push("No cache is configured (redis_url).".to_owned()),
        (CacheState::Ok, Some(address)) => lines.push(format!("Cache {address} answers.")),
        (CacheState::Down | CacheState::Denied, Some(address)) => {
            lines.push(format!("Cache {address} cannot be used."));
        }
    }
    lines.extend(view.problem.iter().map(ToString::to_string));
    for server in &view.servers {
        lines.push(format!(
            "  {}  Redis {}, {}, {}",
            server.address,
            server.version,
            keys(server.keys),
            bytes(server.memory_bytes)
        ));
    }
    if view.state != CacheState::None {
        let oldest = view.waiting.oldest_seconds.map_or_else(String::new, |seconds| {
            format!(", the oldest for {}", duration(u64::from(seconds) * 1_000))
        });
        lines.push(format!(
            "Waiting to be deleted: {}{oldest}; {} for the second time.",
            waiting(view),
            thousands(view.second_pass)
        ));
        if let Some(held) = &view.held_by {
            lines.push(format!("Held back by {} since {}.", held.who, held.at.format("%Y-%m-%d %H:%M:%SZ")));
        }
        match &view.worker {
            Some(worker) => lines.push(format!("Deleted by: {worker}")),
            None => lines.push("Nobody deletes: start `shadow-sync serve` or the console.".to_owned()),
        }
        if let Some(problem) = view.failed.problem.as_ref().filter(|_| view.problem.is_none()) {
            lines.push(problem.to_string());
        }
    }
    lines.push(rules_text(&view.rules));
    lines.join("\n")
}

fn rules_text(rules: &[RulesView]) -> String {
    let mut rows = vec![["Object", "Patterns", "Templates", "Complete"].map(str::to_owned).to_vec()];
    rows.extend(rules.iter().map(|rules| {
        let complete = match (&rules.complete_by, rules.complete_at) {
            (Some(by), Some(at)) if rules.is_complete => format!("by {by}, {}", at.format("%Y-%m-%d")),
            _ => "no: patterns go with every change".to_owned(),
        };
        vec![rules.object.clone(), rules.patterns.join(" "), rules.templates.join(" "), complete]
    }));
    table(&rows, &[])
}

fn tried_text(tried: &[TriedKeys]) -> String {
    let mut rows = vec![["Template", "Key", "In the cache"].map(str::to_owned).to_vec()];
    for tried in tried {
        if let Some(problem) = &tried.problem {
            rows.push(vec![tried.template.clone(), "none".to_owned(), problem.clone()]);
        }
        rows.extend(tried.keys.iter().map(|key| {
            let exists = match key.exists {
                Some(true) => "yes",
                Some(false) => "no",
                None => "not known",
            };
            vec![tried.template.clone(), key.key.clone(), exists.to_owned()]
        }));
    }
    table(&rows, &[])
}

fn probe_text(probe: &Probe) -> String {
    let mut lines =
        vec![format!("{} looked at, {} that no template names.", keys(probe.seen), keys(probe.unknown))];
    lines.extend(
        probe
            .per_pattern
            .iter()
            .map(|found| format!("  {}: {} of {}", found.pattern, found.unknown, keys(found.seen))),
    );
    lines.extend(probe.examples.iter().map(|key| format!("  such as {key}")));
    if probe.stopped {
        lines.push("There are more keys than were looked at.".to_owned());
    }
    lines.join("\n")
}

fn flushes_text(flushes: &[FlushView]) -> String {
    let mut rows = vec![["Started", "By", "Flushed", "Result", "Deleted"].map(str::to_owned).to_vec()];
    rows.extend(flushes.iter().map(|flush| {
        let state = match flush.state {
            FlushState::Running => "running",
            FlushState::Done => "done",
            FlushState::Stopped => "stopped",
            FlushState::Failed => "failed",
        };
        vec![
            flush.started_at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
            flush.by.clone(),
            flush.scope.clone(),
            state.to_owned(),
            thousands(i64::try_from(flush.deleted).unwrap_or(i64::MAX)),
        ]
    }));
    table(&rows, &[4])
}
