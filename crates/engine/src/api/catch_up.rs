//! Catch-ups: the delta now, and what runs by the clock.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shadow::ObjectState;
use store::Store;
use store::jobs::{self, NewCatchUp};

use super::backfills::{begin, refuse_paused};
use crate::backfill::{Turn, volatile};
use crate::clock;
use crate::clockwork::Clockwork;
use crate::engine::Engine;
use crate::environment::OpenEnvironment;
use crate::live::{CATCH_UP, FORMULAS, RETENTION, RETENTION_CRON};
use crate::mapped::mapped;
use crate::notice::View;
use crate::problem::{Answer, Problem};
use crate::resolving::resolve_object;

/// What runs by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// The catch-up with its id comparison.
    CatchUp,
    /// The refresh of formula columns.
    Formulas,
    /// Removing what is older than its retention.
    Retention,
}

/// One schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleView {
    /// Which.
    pub kind: ScheduleKind,
    /// Its name for people.
    pub title: String,
    /// When, as a cron expression of five fields.
    pub cron: String,
    /// In which time zone, by its IANA name.
    pub time_zone: String,
    /// The next run.
    pub next_at: Option<DateTime<Utc>>,
    /// When the last run began.
    pub last_at: Option<DateTime<Utc>>,
    /// How the last run ended, in a sentence.
    pub last_result: Option<String>,
}

/// Begins catch-ups of the named objects, or of all loaded ones; answers the ids of their jobs. They compare ids when
/// the window is read.
///
/// - `since`: from which stamp on to read; none: from where the last one ended.
pub async fn start(
    engine: &Engine,
    objects: Vec<String>,
    since: Option<DateTime<Utc>>,
) -> Answer<Vec<String>> {
    let open = engine.environment()?;
    let store = open.store().await?;
    open.sign_in.client()?;
    crate::binding::refuse_others(&open, &store).await?;
    let mut turns = Vec::new();
    for mapping in mapped(&objects)? {
        let row = store::objects::get(&store, &mapping.object).await?;
        // Who names no object means those that are loaded.
        if objects.is_empty() && row.loaded_at.is_none() {
            continue;
        }
        refuse_paused(&store, &mapping.object).await?;
        let started_by = open.actor();
        let new =
            NewCatchUp { object: &mapping.object, from: since, with_ids: true, started_by: &started_by };
        let job = jobs::create_catch_up(&store, new).await?;
        open.record("catch-up.start", &format!("Began to catch up {}", mapping.object), "done", None).await;
        turns.push(Turn { id: job.id, whole: false });
    }
    if turns.is_empty() {
        return Err(Box::new(nothing_loaded()));
    }
    let ids = turns.iter().map(|turn| turn.id.to_string()).collect();
    begin(&open, turns);
    engine.publish(&[View::Jobs, View::Status]);
    Ok(ids)
}

/// Begins to refresh the columns that no event carries, of the named objects or of all that have some; answers the ids
/// of their jobs.
pub async fn refresh_formulas(engine: &Engine, objects: Vec<String>) -> Answer<Vec<String>> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let started_by = open.actor();
    let begun = begin_formulas(&open, &store, &objects, &started_by).await?;
    for id in &begun {
        open.record("formulas.start", &format!("Began to refresh formulas (job {id})"), "done", None).await;
    }
    engine.publish(&[View::Jobs, View::Status]);
    Ok(begun)
}

/// Begins the jobs; objects without such columns, never loaded or busy are left out.
pub(crate) async fn begin_formulas(
    open: &Arc<OpenEnvironment>,
    store: &Store,
    objects: &[String],
    started_by: &str,
) -> Answer<Vec<String>> {
    let client = open.sign_in.client()?;
    let mut turns = Vec::new();
    for mapping in mapped(objects)? {
        let row = store::objects::get(store, &mapping.object).await?;
        if row.loaded_at.is_none() || row.state == ObjectState::Paused {
            continue;
        }
        let resolved = resolve_object(open, &client, &mapping.object).await?;
        if volatile(&resolved).is_empty() {
            continue;
        }
        match jobs::create_formulas(store, &mapping.object, started_by).await {
            Ok(job) => turns.push(Turn { id: job.id, whole: true }),
            Err(store::Error::JobOpen(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let ids = turns.iter().map(|turn| turn.id.to_string()).collect();
    begin(open, turns);
    Ok(ids)
}

/// What runs by the clock, with its last and next run.
pub async fn schedules(engine: &Engine) -> Answer<Vec<ScheduleView>> {
    let open = engine.environment()?;
    let store = open.store().await?;
    views(&open, &store).await
}

pub(crate) async fn views(open: &OpenEnvironment, store: &Store) -> Answer<Vec<ScheduleView>> {
    let known = store::schedules::list(store).await?;
    let config = &open.config;
    let all = [
        (ScheduleKind::CatchUp, CATCH_UP, config.catch_up_schedule.as_str(), "Catch-up and id comparison"),
        (ScheduleKind::Formulas, FORMULAS, config.formula_schedule.as_str(), "Formula columns"),
        (ScheduleKind::Retention, RETENTION, RETENTION_CRON, "Retention"),
    ];
    Ok(all
        .into_iter()
        .map(|(kind, name, cron, title)| {
            let known = known.iter().find(|schedule| schedule.name == name);
            let by_clock = || Clockwork::parse(cron, &config.time_zone).ok()?.next_after(clock::now());
            let detail = known
                .and_then(|schedule| schedule.last_detail.as_ref())
                .and_then(|detail| detail.as_str().map(str::to_owned));
            ScheduleView {
                kind,
                title: title.to_owned(),
                cron: cron.to_owned(),
                time_zone: config.time_zone.clone(),
                next_at: known.and_then(|schedule| schedule.next_run).or_else(by_clock),
                last_at: known.and_then(|schedule| schedule.last_run),
                last_result: detail.or_else(|| known.and_then(|schedule| schedule.last_result.clone())),
            }
        })
        .collect())
}

fn nothing_loaded() -> Problem {
    Problem::new(
        "SS-4007",
        "Nothing is loaded yet",
        "A catch-up finds what changed since a load, so there must be one first.",
    )
    .step("Load everything: shadow-sync backfill")
}
