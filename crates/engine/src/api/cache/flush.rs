//! Flushing keys by hand: the plan, the act with its progress, stopping it, and what was done before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cache::Cache;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use store::Store;
use store::flushes::{self as stored, Flush};
use tokio_util::sync::CancellationToken;

use super::scope::Target;
use super::{FlushScope, cache_of};
use crate::api::environments::EnvironmentKind;
use crate::engine::Engine;
use crate::environment::OpenEnvironment;
use crate::notice::View;
use crate::problem::{Answer, Problem};

/// Examples of a plan.
const EXAMPLES: usize = 5;
/// A plan that takes longer is cut short, and says so.
const LONGEST_PLAN: Duration = Duration::from_mins(2);
/// How often progress is written down and told.
const BEAT: Duration = Duration::from_millis(300);
/// Flushes that are listed.
const LISTED: i64 = 100;

/// What a flush would delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct FlushPlan {
    /// What is flushed.
    pub scope: FlushScope,
    /// The patterns, and the keys that are named.
    pub patterns: Vec<String>,
    /// How many keys; exact while nobody writes.
    #[specta(type = u32)]
    pub keys: u64,
    /// Some of them.
    pub examples: Vec<KeyExample>,
    /// How much memory they take; none if the cache's user may not ask.
    #[specta(type = Option<u32>)]
    pub bytes: Option<u64>,
    /// Whether every key was measured, or some and the rest like them.
    pub bytes_exact: bool,
    /// Whether the environment's name must be given.
    pub needs_name: bool,
    /// Whether it took too long and is not complete.
    pub stopped: bool,
    /// How long counting took.
    pub took_ms: u32,
}

/// A key that would be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct KeyExample {
    /// Its name.
    pub key: String,
    /// How much memory it takes.
    #[specta(type = Option<u32>)]
    pub bytes: Option<u64>,
    /// When it goes by itself; none if it does not, or is not known.
    #[specta(type = Option<u32>)]
    pub expires_in_ms: Option<u64>,
}

/// A flush by a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct FlushView {
    /// Its number.
    pub id: String,
    /// The kind of scope: `all`, `catalog`, `eligibility`, `sku`, `account`, `pattern`.
    pub kind: String,
    /// The scope in words.
    pub scope: String,
    /// How it stands.
    pub state: FlushState,
    /// Keys found so far.
    #[specta(type = u32)]
    pub seen: u64,
    /// Keys deleted so far.
    #[specta(type = u32)]
    pub deleted: u64,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Who started it.
    pub by: String,
    /// What went wrong.
    pub problem: Option<Problem>,
}

/// How a flush stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub enum FlushState {
    /// Under way.
    Running,
    /// Everything was deleted.
    Done,
    /// A person stopped it.
    Stopped,
    /// It came to a problem.
    Failed,
}

/// What a flush would delete; deletes nothing.
///
/// - **Errors:** SS-8020 without a cache, those of a scope that makes no sense, those of the cache.
pub async fn preview(engine: &Engine, scope: FlushScope) -> Answer<FlushPlan> {
    let open = engine.environment()?;
    let cache = cache_of(&open)?;
    let target = scope.target(&open.store().await?).await?;
    let (began, stop) = (Instant::now(), open.cancel.child_token());
    let mut plan = FlushPlan {
        needs_name: asks_for_name(&open, &scope),
        patterns: target.texts(),
        scope,
        keys: 0,
        examples: Vec::new(),
        bytes: Some(0),
        bytes_exact: true,
        stopped: false,
        took_ms: 0,
    };
    let names: Vec<String> = target.keys.iter().cloned().collect();
    let values = cache.get_many(&names).await?;
    for (key, value) in names.into_iter().zip(values) {
        let Some(value) = value else { continue };
        plan.keys += 1;
        plan.bytes_exact = false;
        plan.bytes = plan.bytes.map(|bytes| bytes + value.len() as u64);
        if plan.examples.len() < EXAMPLES {
            plan.examples.push(KeyExample { key, bytes: Some(value.len() as u64), expires_in_ms: None });
        }
    }
    for pattern in &target.patterns {
        let counting = cache.preview(pattern.as_str(), EXAMPLES, &stop);
        let counted = cut_short(counting, &stop, LONGEST_PLAN.saturating_sub(began.elapsed())).await?;
        plan.keys += counted.keys;
        plan.bytes = plan.bytes.zip(counted.bytes).map(|(bytes, more)| bytes + more);
        plan.bytes_exact &= counted.bytes_exact;
        plan.stopped |= counted.stopped;
        let left = EXAMPLES.saturating_sub(plan.examples.len());
        plan.examples.extend(counted.examples.into_iter().take(left).map(|example| KeyExample {
            key: example.key,
            bytes: example.bytes,
            expires_in_ms: example.expires_in.and_then(|span| u64::try_from(span.as_millis()).ok()),
        }));
    }
    plan.took_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
    Ok(plan)
}

/// Tells some work to stop after a while, and waits for its end.
async fn cut_short<T>(work: impl Future<Output = T>, stop: &CancellationToken, after: Duration) -> T {
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = tokio::time::sleep(after) => stop.cancel(),
    }
    work.await
}

/// Whether a flush of this scope asks for the environment's name: then its plan comes first.
pub fn needs_name(engine: &Engine, scope: &FlushScope) -> Answer<bool> {
    let open = engine.environment()?;
    cache_of(&open)?;
    Ok(asks_for_name(&open, scope))
}

/// Whether a flush asks for the environment's name: in production, and for what may reach every key anywhere.
fn asks_for_name(open: &OpenEnvironment, scope: &FlushScope) -> bool {
    open.kind() == EnvironmentKind::Production || scope.is_everything()
}

/// Begins a flush, and answers at once; it goes on in this process and tells how far it is.
///
/// - **`confirm`:** the environment's name, where [`FlushPlan::needs_name`].
/// - **Errors:** SS-8023 without that name: nothing was done. Those of [`preview`].
pub async fn start(engine: &Engine, scope: FlushScope, confirm: Option<&str>) -> Answer<FlushView> {
    let open = engine.environment()?;
    let cache = cache_of(&open)?.clone();
    let store = open.store().await?;
    if asks_for_name(&open, &scope) && confirm != Some(open.name()) {
        return Err(Box::new(name_missing(&open, &scope)));
    }
    let target = scope.target(&store).await?;
    let id =
        stored::begin(&store, scope.kind(), &scope.words(), &open.actor(), open.host.name.as_str()).await?;
    let stop = open.cancel.child_token();
    open.invalidation.flush_begins(id, &stop);
    let running = Running { open: open.clone(), store: store.clone(), cache, id, scope, target, stop };
    open.tasks.spawn(running.run());
    engine.publish(&[View::Cache]);
    one(&store, id).await
}

fn name_missing(open: &OpenEnvironment, scope: &FlushScope) -> Problem {
    let why = if scope.is_everything() {
        "The pattern may match every key of the server, whoever's they are."
    } else {
        "In production a flush is confirmed by the environment's name."
    };
    Problem::new("SS-8023", "The environment's name is missing", format!("{why} Nothing was done."))
        .step("Look at the plan first, then give the name.")
        .paste(open.name())
}

/// Stops a running flush, whichever process runs it. What was deleted stays deleted.
///
/// - **Errors:** SS-8024 where it does not run.
pub async fn stop(engine: &Engine, id: &str) -> Answer<FlushView> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let number: i64 = id.parse().map_err(|_| Box::new(not_running(id)))?;
    if !stored::request_stop(&store, number).await? {
        return Err(Box::new(not_running(id)));
    }
    open.invalidation.stop_flush(number);
    engine.publish(&[View::Cache]);
    one(&store, number).await
}

fn not_running(id: &str) -> Problem {
    let shown: String = id.chars().filter(|letter| !letter.is_control()).take(20).collect();
    Problem::new(
        "SS-8024",
        format!("No flush {shown} runs"),
        "It has ended, or there never was one of this number.",
    )
}

/// The latest flushes, newest first.
pub async fn flushes(engine: &Engine) -> Answer<Vec<FlushView>> {
    let store = engine.environment()?.store().await?;
    Ok(stored::list(&store, None, LISTED).await?.into_iter().map(flush_view).collect())
}

/// One flush.
///
/// - **Errors:** SS-8024 where there never was one of this number.
pub async fn flush(engine: &Engine, id: &str) -> Answer<FlushView> {
    let store = engine.environment()?.store().await?;
    one(&store, id.parse().map_err(|_| Box::new(not_running(id)))?).await
}

async fn one(store: &Store, id: i64) -> Answer<FlushView> {
    let found = stored::list(store, Some(id), 1).await?.pop();
    found.map(flush_view).ok_or_else(|| Box::new(not_running(&id.to_string())))
}

fn flush_view(flush: Flush) -> FlushView {
    let lost = flush.is_lost.then(|| {
        Problem::new(
            "SS-8025",
            "The process that flushed ended",
            "It was not heard any more before the flush came to its end. What it deleted stays deleted.",
        )
        .step("Flush again.")
    });
    let problem = flush.problem.and_then(|problem| serde_json::from_value(problem).ok());
    FlushView {
        id: flush.id.to_string(),
        kind: flush.kind,
        scope: flush.scope,
        state: match flush.state.as_str() {
            "running" if !flush.is_lost => FlushState::Running,
            "done" => FlushState::Done,
            "stopped" => FlushState::Stopped,
            _ => FlushState::Failed,
        },
        seen: u64::try_from(flush.seen).unwrap_or_default(),
        deleted: u64::try_from(flush.deleted).unwrap_or_default(),
        started_at: flush.started_at,
        ended_at: flush.ended_at,
        by: flush.started_by,
        problem: problem.or(lost),
    }
}

/// A flush under way.
struct Running {
    open: Arc<OpenEnvironment>,
    store: Store,
    cache: Cache,
    id: i64,
    scope: FlushScope,
    target: Target,
    stop: CancellationToken,
}

/// How far it is.
#[derive(Default)]
struct Tally {
    seen: AtomicU64,
    deleted: AtomicU64,
}

impl Tally {
    fn now(&self) -> (i64, i64) {
        let number = |count: &AtomicU64| i64::try_from(count.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        (number(&self.seen), number(&self.deleted))
    }
}

impl Running {
    async fn run(self) {
        let (began, tally) = (Instant::now(), Tally::default());
        let outcome = {
            let flushing = self.flush(&tally);
            tokio::pin!(flushing);
            loop {
                tokio::select! {
                    outcome = &mut flushing => break outcome,
                    () = tokio::time::sleep(BEAT) => self.beat(&tally).await,
                }
            }
        };
        let (state, problem) = match &outcome {
            Ok(false) => ("done", None),
            Ok(true) => ("stopped", None),
            Err(error) => ("failed", Some(Problem::from(error))),
        };
        let (seen, deleted) = tally.now();
        let told = problem.as_ref().and_then(|problem| serde_json::to_value(problem).ok());
        if let Err(error) = stored::end(&self.store, self.id, state, seen, deleted, told.as_ref()).await {
            tracing::warn!(%error, "the end of a flush could not be written down");
        }
        self.open.invalidation.flush_ends(self.id);
        let sentence = format!("Flushed {}: {deleted} keys deleted", self.scope.words());
        let took = i64::try_from(began.elapsed().as_millis()).ok();
        let result = if state == "stopped" { "cancelled" } else { state };
        let act = format!("flush.{}", self.scope.kind());
        self.open.record(&act, &sentence, result, took).await;
        self.open.notices.publish(&[View::Cache]);
    }

    /// Deletes; answers whether it was stopped.
    async fn flush(&self, tally: &Tally) -> Result<bool, cache::Error> {
        let names: Vec<String> = self.target.keys.iter().cloned().collect();
        for some in names.chunks(1_000) {
            if self.stop.is_cancelled() {
                return Ok(true);
            }
            let deleted = self.cache.delete(some).await?;
            tally.seen.fetch_add(deleted, Ordering::Relaxed);
            tally.deleted.fetch_add(deleted, Ordering::Relaxed);
        }
        for pattern in &self.target.patterns {
            let (seen, deleted) = (tally.seen.load(Ordering::Relaxed), tally.deleted.load(Ordering::Relaxed));
            let progress = |so_far: cache::Progress| {
                tally.seen.store(seen + so_far.seen, Ordering::Relaxed);
                tally.deleted.store(deleted + so_far.deleted, Ordering::Relaxed);
            };
            let flushed = self.cache.flush(pattern.as_str(), &progress, &self.stop).await?;
            progress(cache::Progress { seen: flushed.seen, deleted: flushed.deleted });
            if flushed.stopped {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes down how far it is, and hears whether it is to stop.
    async fn beat(&self, tally: &Tally) {
        let (seen, deleted) = tally.now();
        match stored::beat(&self.store, self.id, seen, deleted).await {
            Ok(true) => self.stop.cancel(),
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "how far a flush is could not be written down"),
        }
        self.open.notices.publish(&[View::Cache]);
    }
}
