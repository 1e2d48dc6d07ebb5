//! How things stand: what the overview, the status bar and `shadow-sync status` show.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::backfills::{self, JobKind, JobState, JobView};
use super::catch_up::{ScheduleKind, ScheduleView};
pub use super::checks::{CheckState, HealthCheck};
use super::checks::{Checked, checks};
use super::counts::CountView;
use super::environments;
use super::environments::EnvironmentView;
use super::quota::QuotaView;
use super::sign_in::{ApiUsageView, SignInState};
use super::stream::{StreamView, WorkerView};
use crate::clock;
use crate::counting::count_view;
use crate::engine::{Engine, HostName};
use crate::environment::OpenEnvironment;
use crate::invalidate;
use crate::live::{self, Freshness};
use crate::problem::Answer;
use crate::problem::Problem;
use crate::statement::{self, Hindrances};
use shadow::lag::Pace;
use shadow::{Mapping, ObjectState};
use store::Store;
use store::flags::{self, Flag};
use store::frozen_fields::FrozenField;
use store::holes::{self, HoleWhy};
use store::live_facts::LiveFacts;
use store::objects::ObjectRow;

/// How an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub enum ObjectHealth {
    /// Never loaded.
    NotLoaded,
    /// A backfill runs.
    Backfilling,
    /// Loaded and the last counts agree; record by record it was not verified.
    CountsAgree,
    /// Loaded; never counted since.
    Loaded,
    /// The last counts disagree.
    Differs,
    /// A person paused it.
    Paused,
    /// The process that loaded it is gone; the load can be resumed.
    Interrupted,
    /// Its last job failed.
    Failing,
    /// Its changes arrive, and nothing is known to be missing; record by record it was not verified.
    Live,
    /// Events may have been missed; what they said is being read.
    CatchingUp,
    /// It trails Salesforce by more than a quiet stream explains.
    Late,
    /// It trails Salesforce by far.
    FarBehind,
}

/// One object on the overview.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStatus {
    /// The object.
    pub object: String,
    /// Its shadow table.
    pub table: String,
    /// How it is.
    pub health: ObjectHealth,
    /// The last counts.
    pub count: CountView,
    /// When its first backfill was complete and counted; not ready before.
    pub ready_at: Option<DateTime<Utc>>,
    /// The end of its last complete load.
    pub loaded_at: Option<DateTime<Utc>>,
    /// The job that runs, or the last one.
    pub job: Option<JobView>,
    /// What is wrong with it.
    pub problem: Option<Problem>,
    /// The Salesforce time up to which the table is known to be complete.
    pub live_through: Option<DateTime<Utc>>,
    /// How far that lies back, in milliseconds; none while never loaded or since a hole since ever.
    pub lag_ms: Option<u32>,
    /// Stored events that wait to be applied.
    pub backlog_events: u32,
    /// Age of the oldest of them, in milliseconds.
    pub backlog_age_ms: Option<u32>,
    /// When its channel was last heard.
    pub heard_at: Option<DateTime<Utc>>,
    /// Whether the stream speaks for it: permitted, and on the channel. Otherwise its catch-up moves it.
    pub is_confirmed: bool,
    /// Open holes.
    pub holes: u32,
    /// Records that must be fetched.
    pub dirty: u32,
    /// Events that could not be processed.
    pub dead_letters: u32,
    /// When its ids and stamps were last compared with all of Salesforce's.
    pub compared_at: Option<DateTime<Utc>>,
    /// The Salesforce time of the formula columns' last refresh.
    pub formula_live_through: Option<DateTime<Utc>>,
    /// When it is caught up next by the clock.
    pub next_catch_up: Option<DateTime<Utc>>,
    /// What its health is judged by, each check by itself.
    pub checks: Vec<HealthCheck>,
}

/// The database of the environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(tag = "state", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum DatabaseState {
    /// No environment is open.
    Closed,
    /// The embedded server is being started, or the address connected to.
    Starting,
    /// Answers.
    Ready {
        /// E.g. `PostgreSQL 18.4, embedded`.
        server: String,
    },
    /// Does not answer or cannot be used.
    Failed {
        /// The cause and its cure.
        problem: Problem,
        /// Since when.
        since: DateTime<Utc>,
    },
}

/// What waits to be deleted in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct CacheWaits {
    /// Changes whose keys are not deleted yet.
    pub waiting: u32,
    /// For how long the oldest of them has waited, in milliseconds.
    pub oldest_ms: Option<u32>,
    /// Who holds deletion back by hand.
    pub held_by: Option<String>,
}

/// A field that the sync user can no longer see: its column keeps the last values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct FrozenView {
    /// The object.
    pub object: String,
    /// The field's API name.
    pub field: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// Everything the frame of the window shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// The open environment; none on the first run.
    pub environment: Option<EnvironmentView>,
    /// The sentence that answers "how do things stand".
    pub statement: String,
    /// The second line.
    pub detail: String,
    /// Its database.
    pub database: DatabaseState,
    /// Its sign-in.
    pub sign_in: SignInState,
    /// The org and user that the database is bound to: `org name (org id) as username`.
    pub bound_to: Option<String>,
    /// Its objects, failing ones first.
    pub objects: Vec<ObjectStatus>,
    /// The org's API quota.
    pub api_usage: Option<ApiUsageView>,
    /// How that is spent, and what stops when.
    pub quota: Option<QuotaView>,
    /// The stream of change events.
    pub stream: Option<StreamView>,
    /// The processes that work on this environment.
    pub workers: Vec<WorkerView>,
    /// What runs by the clock.
    pub schedules: Vec<ScheduleView>,
    /// Open dead letters, those of no known object as well.
    pub dead_letters: u32,
    /// What waits to be deleted in the cache, where one is configured.
    pub cache: Option<CacheWaits>,
    /// Fields that can no longer be seen.
    pub frozen: Vec<FrozenView>,
    /// What needs a person, worst first.
    pub problems: Vec<Problem>,
    /// Which process does the work, e.g. `this console`, `shadow-sync on shop-db-1`.
    pub worker: Option<String>,
    /// When this was put together.
    pub at: DateTime<Utc>,
}

/// How things stand. It always has something to say, whatever is broken.
pub async fn status(engine: &Engine) -> StatusView {
    let Some(open) = engine.try_environment() else { return nothing_open() };
    let database = open.database.state();
    let sign_in = open.sign_in.state();
    let mut problems = Vec::new();
    let mut found = Found::default();
    if let (DatabaseState::Ready { .. }, Some(store)) = (&database, open.database.try_store()) {
        match look(&open, &store).await {
            Ok(seen) => found = seen,
            Err(problem) => {
                // The database went away between two looks: the keeper finds out why.
                open.database.doubt();
                problems.push(*problem);
            }
        }
    }
    if let DatabaseState::Failed { problem, .. } = &database {
        problems.insert(0, problem.clone());
    }
    if let SignInState::Failed { problem } = &sign_in {
        problems.push(problem.clone());
    }
    let Found {
        objects,
        bound_to,
        stream,
        workers,
        schedules,
        quota,
        set_back,
        dead_letters,
        cache,
        frozen,
        is_consumer_off,
    } = found;
    problems.extend(set_back);
    problems.extend(stream.as_ref().and_then(|stream| stream.problem.clone()));
    problems.extend(objects.iter().filter_map(|object| object.problem.clone()));
    let hindrances = Hindrances { is_consumer_off, has_worker: !workers.is_empty(), cache: cache.as_ref() };
    let (statement, detail) =
        statement::statement(&database, &sign_in, &objects, stream.as_ref(), hindrances);
    let api_usage = quota.as_ref().and_then(usage);
    StatusView {
        environment: Some(environments::view(engine, &open.config)),
        statement,
        detail,
        database,
        sign_in,
        bound_to,
        objects,
        api_usage,
        problems,
        worker: stream.as_ref().and_then(|stream| stream.worker.clone()).or_else(|| {
            Some(match open.host.name {
                HostName::Console => "this console".to_owned(),
                HostName::CommandLine | HostName::Daemon => open.host.holder(),
            })
        }),
        quota,
        stream,
        workers,
        schedules,
        dead_letters,
        cache,
        frozen,
        at: clock::now(),
    }
}

fn nothing_open() -> StatusView {
    let database = DatabaseState::Closed;
    let sign_in = SignInState::SignedOut;
    let (statement, detail) = statement::statement(&database, &sign_in, &[], None, Hindrances::default());
    StatusView {
        environment: None,
        statement,
        detail,
        database,
        sign_in,
        bound_to: None,
        objects: Vec::new(),
        api_usage: None,
        quota: None,
        stream: None,
        workers: Vec::new(),
        schedules: Vec::new(),
        dead_letters: 0,
        cache: None,
        frozen: Vec::new(),
        problems: Vec::new(),
        worker: None,
        at: clock::now(),
    }
}

/// What the database says.
#[derive(Default)]
struct Found {
    objects: Vec<ObjectStatus>,
    bound_to: Option<String>,
    stream: Option<StreamView>,
    workers: Vec<WorkerView>,
    schedules: Vec<ScheduleView>,
    quota: Option<QuotaView>,
    /// The database was set back, and what was missed is not caught up yet.
    set_back: Option<Problem>,
    dead_letters: u32,
    cache: Option<CacheWaits>,
    frozen: Vec<FrozenView>,
    is_consumer_off: bool,
}

async fn look(open: &OpenEnvironment, store: &Store) -> Answer<Found> {
    let bound = store::binding::get(store)
        .await?
        .map(|(bound, _)| format!("{} ({}) as {}", bound.org_name, bound.org_id, bound.user_name));
    let rows = store::objects::list(store).await?;
    let counts = store::counts::last(store).await?;
    let jobs = backfills::job_views(open, store).await?;
    let facts = store::live_facts::of_objects(store).await?;
    let schedules = super::catch_up::views(open, store).await?;
    let next_catch_up = schedules
        .iter()
        .find(|schedule| schedule.kind == ScheduleKind::CatchUp)
        .and_then(|schedule| schedule.next_at);
    let stream = super::stream::view(open, store, &facts).await?;
    let open_holes = holes::list_open(store).await?;
    let orders = match &open.cache {
        Some(_) => Some(store::invalidations::standing(store, None).await?),
        None => None,
    };
    let (now, salesforce_now) = (clock::now(), open.calls.salesforce_now());
    let mut objects = Vec::new();
    for mapping in Mapping::built_in() {
        let Some(row) = rows.iter().find(|row| row.object == mapping.object) else { continue };
        let Some(facts) = facts.iter().find(|facts| facts.object == mapping.object) else { continue };
        let count = count_view(&mapping, counts.iter().find(|count| count.object == mapping.object));
        // The load says how an object stands; a catch-up beside it does not change that.
        let of_object = |job: &&JobView| job.object == mapping.object.as_str();
        let job = jobs.iter().find(of_object).cloned();
        let load = jobs.iter().filter(of_object).find(|job| job.kind == JobKind::Backfill && !job.is_partial);
        let fresh = live::freshness(facts, now, salesforce_now);
        let heard_at = facts.stream.as_ref().and_then(|stream| stream.heard_at);
        let base = health(row, &count, load);
        let checks = checks(&Checked { facts, fresh: &fresh, count: &count, load, orders, now });
        objects.push(ObjectStatus {
            object: mapping.object.to_string(),
            table: mapping.table.clone(),
            health: health_live(base, facts, &fresh, &stream, now),
            problem: job
                .as_ref()
                .filter(|job| job.state == JobState::Failed && !job.is_partial)
                .and_then(|job| job.problem.clone()),
            count,
            ready_at: row.ready_at,
            loaded_at: row.loaded_at,
            job,
            live_through: fresh.live_through,
            lag_ms: fresh.lag.map(live::millis),
            backlog_events: small(facts.backlog_events),
            backlog_age_ms: fresh.backlog_age.map(live::millis),
            heard_at,
            is_confirmed: live::is_confirmed(facts, now),
            holes: small(facts.holes),
            dirty: small(facts.dirty),
            dead_letters: small(facts.dead_letters),
            compared_at: facts.compared_at,
            formula_live_through: facts.formula_refreshed_at,
            next_catch_up,
            checks,
        });
    }
    objects.sort_by_key(|object| object.health != ObjectHealth::Failing);
    Ok(Found {
        objects,
        bound_to: bound,
        stream: Some(stream),
        workers: super::stream::workers(open, store).await?,
        schedules,
        quota: Some(super::quota::view(open, store).await?),
        dead_letters: small(store::dead_letters::count_open(store).await?),
        cache: match orders {
            Some(orders) => Some(CacheWaits {
                waiting: small(orders.waiting),
                oldest_ms: orders.oldest.map(|oldest| live::millis(now - oldest)),
                held_by: invalidate::held(store).await?.map(|held| held.by),
            }),
            None => None,
        },
        frozen: store::frozen_fields::list(store).await?.into_iter().map(frozen).collect(),
        is_consumer_off: !flags::get(store, Flag::EventConsumer).await?.on,
        set_back: open_holes.iter().any(|hole| hole.why == HoleWhy::SetBack).then(crate::problem::set_back),
    })
}

fn frozen(field: FrozenField) -> FrozenView {
    FrozenView { object: field.object.to_string(), field: field.field, since: field.since }
}

/// The health of an object that is loaded, by its stream; what a load or a person has to say comes first.
fn health_live(
    base: ObjectHealth,
    facts: &LiveFacts,
    fresh: &Freshness,
    stream: &StreamView,
    now: DateTime<Utc>,
) -> ObjectHealth {
    if !matches!(base, ObjectHealth::CountsAgree | ObjectHealth::Loaded) || stream.worker.is_none() {
        return base;
    }
    let heard_at = facts.stream.as_ref().and_then(|stream| stream.heard_at);
    match fresh.lag.map(shadow::lag::pace) {
        _ if facts.holes > 0 => ObjectHealth::CatchingUp,
        Some(Pace::FarBehind) => ObjectHealth::FarBehind,
        Some(Pace::Late) => ObjectHealth::Late,
        Some(Pace::OnTime) if shadow::lag::is_heard(heard_at, now) => ObjectHealth::Live,
        Some(Pace::OnTime) | None => base,
    }
}

fn small(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

fn health(row: &ObjectRow, count: &CountView, job: Option<&JobView>) -> ObjectHealth {
    if row.state == ObjectState::Paused {
        return ObjectHealth::Paused;
    }
    match job.map(|job| job.state) {
        Some(JobState::Running | JobState::Pausing | JobState::Cancelling | JobState::Pending) => {
            return ObjectHealth::Backfilling;
        }
        Some(JobState::Failed) => return ObjectHealth::Failing,
        Some(JobState::Paused) if row.ready_at.is_none() => return ObjectHealth::Paused,
        Some(JobState::Interrupted) if row.ready_at.is_none() => return ObjectHealth::Interrupted,
        _ => {}
    }
    match (row.ready_at, count.unexplained) {
        (None, _) => ObjectHealth::NotLoaded,
        (Some(_), Some(0)) => ObjectHealth::CountsAgree,
        (Some(_), Some(_)) => ObjectHealth::Differs,
        (Some(_), None) => ObjectHealth::Loaded,
    }
}

/// The org's daily calls, as the quota has them: one figure, wherever it is shown.
fn usage(quota: &QuotaView) -> Option<ApiUsageView> {
    let at = quota.at.filter(|_| quota.max > 0)?;
    Some(ApiUsageView { used: quota.used, max: quota.max, ours: quota.ours, at })
}
