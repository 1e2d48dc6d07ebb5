//! An open environment: its database, its sign-in, the loads that run in this process.

use std::sync::Arc;
use std::time::Duration;

use cache::Cache;
use salesforce::ClientOptions;
use salesforce::pubsub::PubSub;
use store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::environments::EnvironmentKind;
use crate::backfill::Loads;
use crate::config;
use crate::database::Database;
use crate::engine::{Host, HostName};
use crate::invalidate;
use crate::live::{self, Timing};
use crate::notice::{Notices, View};
use crate::problem::Answer;
use crate::quota::{self, Calls, Governor};
use crate::reads::{self, Reads};
use crate::session::SessionOptions;
use crate::sign_in::SignIn;
use crate::supervisor::Supervisor;

/// How long the tasks of an environment may take to end softly.
const PATIENCE: Duration = Duration::from_secs(5);

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
    /// Long-lived tasks: the stream where this process may run it, heartbeats, counts.
    pub(crate) supervisor: Supervisor,
    pub(crate) live: live::Desk,
    pub(crate) calls: Arc<Calls>,
    pub(crate) quota: Governor,
    pub(crate) timing: Timing,
    /// The cache, where one is configured.
    pub(crate) cache: Option<Cache>,
    pub(crate) invalidation: invalidate::Desk,
    /// What readers share.
    pub(crate) reads: Reads,
    /// By which other processes know this one.
    pub(crate) worker_id: uuid::Uuid,
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
        timing: Timing,
    ) -> Arc<Self> {
        let tasks = TaskTracker::new();
        let calls = Arc::new(Calls::default());
        let client_options = ClientOptions { observer: Some(calls.observer()), ..ClientOptions::default() };
        let session_options = SessionOptions::for_environment(&config);
        let sign_in = SignIn::with_options(&config, session_options, client_options, notices.clone());
        let environment = Arc::new(Self {
            database: Database::open(&config, &host, notices.clone(), &tasks, cancel.clone()),
            sign_in,
            loads: Loads::default(),
            supervisor: Supervisor::new(cancel.child_token()),
            live: live::Desk::default(),
            quota: Governor::new(&config, calls.clone()),
            cache: config.cache(),
            invalidation: invalidate::Desk::default(),
            reads: Reads::new(&config),
            calls,
            timing,
            worker_id: uuid::Uuid::new_v4(),
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
        environment.start_tasks();
        environment
    }

    /// Starts what runs as long as the environment is open. A command that ends by itself does not stream.
    fn start_tasks(self: &Arc<Self>) {
        let (leader, loads) = (self.clone(), self.clone());
        self.supervisor.run("leave loads", move |stop| leave_on_change(loads.clone(), stop));
        self.run("count calls", quota::keep_count);
        self.run("invalidate", invalidate::invalidate);
        self.run("compare", reads::keep_tally);
        if self.host.name != HostName::CommandLine {
            self.run("announce", live::announce);
            // It lets go by itself of what it cannot keep, and tells where it stands.
            self.supervisor.run("lead", move |stop| live::lead(leader.clone(), stop));
        }
    }

    /// Runs a task that asks the database, and begins it anew when the database was connected to anew.
    fn run<F>(
        self: &Arc<Self>,
        name: &'static str,
        task: impl Fn(Arc<Self>, CancellationToken) -> F + Send + 'static,
    ) where
        F: Future<Output = Answer<()>> + Send + 'static,
    {
        let environment = self.clone();
        self.supervisor.run(name, move |stop| {
            let (database, work) = (environment.clone(), task(environment.clone(), stop));
            async move { database.database.unless_lost(work).await }
        });
    }

    /// The database, once it answers; waits while it starts.
    pub async fn store(&self) -> Answer<Store> {
        self.database.store().await
    }

    /// The way to Salesforce's events: that of the stream where this process runs it.
    pub(crate) fn pubsub(&self) -> Answer<PubSub> {
        if let Some(pubsub) = self.live.pubsub() {
            return Ok(pubsub);
        }
        let pubsub = self.new_pubsub()?;
        self.live.keep_pubsub(&pubsub);
        Ok(pubsub)
    }

    /// A new way to Salesforce's events, as who is signed in now.
    ///
    /// - **Errors:** SS-7013 where a simulated org's token would go to Salesforce.
    pub(crate) fn new_pubsub(&self) -> Answer<PubSub> {
        live::event_service(&self.config, &self.sign_in, self.timing.silence)
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
        self.supervisor.stop(PATIENCE).await;
        if let Some(store) = self.database.try_store() {
            live::say_goodbye(self, &store).await;
        }
        self.cancel.cancel();
        self.sign_in.shutdown().await;
        self.tasks.close();
        self.tasks.wait().await;
        self.reads.close().await;
        self.database.close().await;
    }
}

/// Lets loads end where they stand when the database's server changed: what they had read and planned is of the server
/// before. They begin again from what the store has of them.
async fn leave_on_change(environment: Arc<OpenEnvironment>, stop: CancellationToken) -> Answer<()> {
    let mut changes = environment.database.changes();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            heard = changes.changed() => if heard.is_err() { return Ok(()) },
        }
        environment.loads.leave_all();
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
