//! An open environment: its database, its sign-in, the loads that run in this process.

use std::sync::Arc;

use store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::environments::EnvironmentKind;
use crate::backfill::Loads;
use crate::config;
use crate::database::Database;
use crate::engine::Host;
use crate::notice::{Notices, View};
use crate::problem::Answer;
use crate::sign_in::SignIn;

/// An open environment.
#[derive(Debug)]
pub struct OpenEnvironment {
    pub(crate) config: config::Environment,
    pub(crate) host: Host,
    pub(crate) database: Database,
    pub(crate) sign_in: SignIn,
    pub(crate) loads: Loads,
    pub(crate) notices: Notices,
    pub(crate) tasks: TaskTracker,
    pub(crate) cancel: CancellationToken,
    /// Fired once the sign-in that the keychain or the variables hold was tried.
    pub(crate) resumed: CancellationToken,
}

impl OpenEnvironment {
    /// Opens it: the database starts and the sign-in resumes in the background.
    pub(crate) fn open(
        config: config::Environment,
        host: Host,
        notices: Notices,
        cancel: CancellationToken,
    ) -> Arc<Self> {
        let tasks = TaskTracker::new();
        let sign_in = SignIn::new(&config, notices.clone());
        let environment = Arc::new(Self {
            database: Database::open(&config, notices.clone(), &tasks, cancel.clone()),
            sign_in,
            loads: Loads::default(),
            config,
            host,
            notices,
            tasks,
            cancel,
            resumed: CancellationToken::new(),
        });
        let resuming = environment.clone();
        environment.tasks.spawn(async move {
            tokio::select! {
                () = resuming.cancel.cancelled() => {}
                () = resuming.sign_in.resume() => {}
            }
            // Whether it worked or not: who waits for the first answer need not wait any more.
            resuming.resumed.cancel();
            resuming.notices.publish(&[View::Status, View::SignIn]);
        });
        environment
    }

    /// The database, once it answers; waits while it starts.
    pub async fn store(&self) -> Answer<Store> {
        self.database.store().await
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// What it is for.
    pub fn kind(&self) -> EnvironmentKind {
        self.config.kind
    }

    /// Its sign-in.
    pub fn sign_in(&self) -> &SignIn {
        &self.sign_in
    }

    /// Its configuration.
    pub fn config(&self) -> &config::Environment {
        &self.config
    }

    /// Who acts here, for the audit log: the signed-in user, else the operating system's.
    pub(crate) fn actor(&self) -> String {
        self.sign_in.username().unwrap_or_else(system_user)
    }

    pub(crate) async fn close(&self) {
        self.loads.stop_all();
        self.cancel.cancel();
        self.sign_in.shutdown().await;
        self.tasks.close();
        self.tasks.wait().await;
        self.database.close().await;
    }
}

fn system_user() -> String {
    ["USER", "LOGNAME", "USERNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
        .unwrap_or_else(|| "unknown user".to_owned())
}

impl OpenEnvironment {
    /// Records an act in the audit log. The act itself has happened: a log that cannot be written is reported, not
    /// returned.
    pub(crate) async fn record(&self, act: &str, sentence: &str, result: &str, took_ms: Option<i64>) {
        let Some(store) = self.database.try_store() else { return };
        let who = self.actor();
        let entry =
            store::audit::Act { who: &who, host: self.host.name.as_str(), act, sentence, result, took_ms };
        if let Err(error) = store::audit::record(&store, entry).await {
            tracing::error!(%error, act, "the audit log could not be written");
        }
        self.notices.publish(&[View::Audit]);
    }
}
