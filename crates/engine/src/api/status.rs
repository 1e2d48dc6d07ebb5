//! How things stand: what the overview, the status bar and `shadow-sync status` show.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::backfills::JobView;
use super::backfills::{self, JobState};
use super::counts::CountView;
use super::environments;
use super::environments::EnvironmentView;
use super::sign_in::{ApiUsageView, SignInState};
use crate::clock;
use crate::counting::count_view;
use crate::engine::{Engine, HostName};
use crate::environment::OpenEnvironment;
use crate::problem::Answer;
use crate::problem::Problem;
use crate::statement;
use shadow::{Mapping, ObjectState};
use store::Store;
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
    /// Its last job failed.
    Failing,
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
    let mut objects = Vec::new();
    let mut bound_to = None;
    if let (DatabaseState::Ready { .. }, Some(store)) = (&database, open.database.try_store()) {
        match look(&open, &store).await {
            Ok((found, bound)) => {
                objects = found;
                bound_to = bound;
            }
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
    problems.extend(objects.iter().filter_map(|object| object.problem.clone()));
    let (statement, detail) = statement::statement(&database, &sign_in, &objects);
    let api_usage = open.sign_in.client().ok().and_then(|client| usage(&client));
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
        worker: Some(match open.host.name {
            HostName::Console => "this console".to_owned(),
            HostName::CommandLine | HostName::Daemon => open.host.holder(),
        }),
        at: clock::now(),
    }
}

fn nothing_open() -> StatusView {
    let database = DatabaseState::Closed;
    let sign_in = SignInState::SignedOut;
    let (statement, detail) = statement::statement(&database, &sign_in, &[]);
    StatusView {
        environment: None,
        statement,
        detail,
        database,
        sign_in,
        bound_to: None,
        objects: Vec::new(),
        api_usage: None,
        problems: Vec::new(),
        worker: None,
        at: clock::now(),
    }
}

async fn look(open: &OpenEnvironment, store: &Store) -> Answer<(Vec<ObjectStatus>, Option<String>)> {
    let bound = store::binding::get(store)
        .await?
        .map(|(bound, _)| format!("{} ({}) as {}", bound.org_name, bound.org_id, bound.user_name));
    let rows = store::objects::list(store).await?;
    let counts = store::counts::last(store).await?;
    let jobs = backfills::job_views(open, store).await?;
    let mut objects = Vec::new();
    for mapping in Mapping::built_in() {
        let Some(row) = rows.iter().find(|row| row.object == mapping.object) else { continue };
        let count = count_view(&mapping, counts.iter().find(|count| count.object == mapping.object));
        let job = jobs.iter().find(|job| job.object == mapping.object.as_str()).cloned();
        objects.push(ObjectStatus {
            object: mapping.object.to_string(),
            table: mapping.table.clone(),
            health: health(row, &count, job.as_ref()),
            problem: job
                .as_ref()
                .filter(|job| job.state == JobState::Failed)
                .and_then(|job| job.problem.clone()),
            count,
            ready_at: row.ready_at,
            loaded_at: row.loaded_at,
            job,
        });
    }
    objects.sort_by_key(|object| object.health != ObjectHealth::Failing);
    Ok((objects, bound))
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
        Some(JobState::Paused | JobState::Interrupted) if row.ready_at.is_none() => {
            return ObjectHealth::Paused;
        }
        _ => {}
    }
    match (row.ready_at, count.unexplained) {
        (None, _) => ObjectHealth::NotLoaded,
        (Some(_), Some(0)) => ObjectHealth::CountsAgree,
        (Some(_), Some(_)) => ObjectHealth::Differs,
        (Some(_), None) => ObjectHealth::Loaded,
    }
}

fn usage(client: &salesforce::Client) -> Option<ApiUsageView> {
    let whole = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    client.usage().map(|usage| ApiUsageView {
        used: whole(usage.used),
        max: whole(usage.max),
        ours: whole(client.calls_in_all()),
        at: clock::now(),
    })
}
