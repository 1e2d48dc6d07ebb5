//! How things stand: what the overview, the status bar and `shadow-sync status` show.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::backfills::JobView;
use super::counts::CountView;
use super::environments::EnvironmentView;
use super::sign_in::{ApiUsageView, SignInState};
use crate::problem::Problem;

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
