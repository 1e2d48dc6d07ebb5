//! The database of an open environment: started or connected to, watched, and given to whoever needs it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::ExposeSecret;
use shadow::Mapping;
use store::audit::{self, Act};
use store::embedded::{self, Embedded, EmbeddedOptions};
use store::{SchemaState, ServerChange, Store, StoreOptions};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::environments::EnvironmentKind;
use crate::api::status::DatabaseState;
use crate::clock;
use crate::config::{self, Environment};
use crate::engine::Host;
use crate::live::SYSTEM;
use crate::notice::{Notices, View};
use crate::problem::{Answer, Problem};
use crate::seen_server::SeenServer;

/// How long to wait before a database that does not answer is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// How long the last look before closing may take.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// The setting that marks a database as one for demos: made by a demo environment, out of an empty database, for good.
/// No shop reads from it, so demo prices may enter it; and real prices may not.
const DEMO_MARK: &str = "is-for-demos";

/// Whether a database carries the demo mark.
pub(crate) async fn is_for_demos(store: &Store) -> Answer<bool> {
    Ok(store::settings::get(store, DEMO_MARK).await?.unwrap_or(false))
}

/// The database of an open environment.
#[derive(Debug)]
pub struct Database {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    environment: Environment,
    notices: Notices,
    slot: watch::Sender<Slot>,
    server: Mutex<Option<Embedded>>,
    again: tokio::sync::Notify,
    /// Which server it was on when it was last looked at.
    seen: SeenServer,
    /// How often that changed under this process.
    changes: watch::Sender<u32>,
    /// How often it was connected to anew because it did not answer any more.
    anew: watch::Sender<u32>,
    /// One look at a time takes another server on.
    recognising: tokio::sync::Mutex<()>,
    /// From where this process acts, for the audit log.
    host: &'static str,
}

#[derive(Debug, Clone)]
struct Slot {
    state: DatabaseState,
    store: Option<Store>,
    /// A store whose schema is not current: for `migrate`, and for nobody else.
    unmigrated: Option<Store>,
}

impl Database {
    /// Begins to open it; says by a notice when it answers or fails, and keeps trying.
    pub(crate) fn open(
        environment: &Environment,
        host: &Host,
        notices: Notices,
        tasks: &TaskTracker,
        cancel: CancellationToken,
    ) -> Self {
        let config_path = host.config_path.clone().or_else(|| config::default_path().ok());
        let slot = Slot { state: DatabaseState::Starting, store: None, unmigrated: None };
        let shared = Arc::new(Shared {
            environment: environment.clone(),
            notices,
            slot: watch::Sender::new(slot),
            server: Mutex::new(None),
            again: tokio::sync::Notify::new(),
            seen: SeenServer::of(config_path.as_deref(), &environment.name),
            changes: watch::Sender::new(0),
            anew: watch::Sender::new(0),
            recognising: tokio::sync::Mutex::default(),
            host: host.name.as_str(),
        });
        let keeper = shared.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = keeper.keep_open() => {}
            }
        });
        Self { shared }
    }

    /// How it stands.
    pub fn state(&self) -> DatabaseState {
        self.shared.slot.borrow().state.clone()
    }

    /// The database, once it answers and its schema is current; waits while it starts.
    pub async fn store(&self) -> Answer<Store> {
        let slot = self.settled().await;
        match (slot.store, slot.state) {
            (Some(store), _) => Ok(store),
            (None, DatabaseState::Failed { problem, .. }) => Err(Box::new(problem)),
            (None, _) => Err(Box::new(closed())),
        }
    }

    /// The same without waiting and without a reason.
    pub fn try_store(&self) -> Option<Store> {
        self.shared.slot.borrow().store.clone()
    }

    /// The database whatever its schema, for who migrates it.
    pub async fn unmigrated(&self) -> Answer<Store> {
        let slot = self.settled().await;
        match (slot.store.or(slot.unmigrated), slot.state) {
            (Some(store), _) => Ok(store),
            (None, DatabaseState::Failed { problem, .. }) => Err(Box::new(problem)),
            (None, _) => Err(Box::new(closed())),
        }
    }

    /// Tries again now.
    pub fn try_again(&self) {
        self.shared.again.notify_one();
    }

    /// Tells that the database failed under somebody's hands: it is looked at again at once.
    pub(crate) fn doubt(&self) {
        self.shared.again.notify_one();
    }

    /// Hears of changes of server from now on: whatever was read and planned before one is void.
    pub(crate) fn changes(&self) -> watch::Receiver<u32> {
        self.shared.changes.subscribe()
    }

    /// Notes that the change log was seen to end here.
    pub(crate) fn saw(&self, log_position: i64) {
        self.shared.seen.saw(log_position);
    }

    /// Whether the server is another one than when `changes` was asked for or looked at; looks now.
    pub(crate) async fn has_changed(&self, changes: &mut watch::Receiver<u32>) -> bool {
        if let Some(store) = self.try_store()
            && let Err(problem) = self.shared.recognise(&store).await
        {
            tracing::debug!(problem.code = problem.code, "which server the database is on is not known");
        }
        let has_changed = changes.has_changed().unwrap_or(false);
        changes.mark_unchanged();
        has_changed
    }

    /// Does something that asks the database, unless it is connected to anew meanwhile: what waits on a connection of
    /// before, which the network has lost, waits for ever.
    pub(crate) async fn unless_lost<T>(&self, work: impl Future<Output = Answer<T>>) -> Answer<T> {
        let mut anew = self.shared.anew.subscribe();
        tokio::select! {
            done = work => done,
            _ = anew.changed() => Err(Box::new(out_of_reach())),
        }
    }

    async fn settled(&self) -> Slot {
        let mut slot = self.shared.slot.subscribe();
        let settled = slot.wait_for(|slot| slot.state != DatabaseState::Starting).await;
        settled.map_or_else(
            |_| Slot { state: DatabaseState::Closed, store: None, unmigrated: None },
            |slot| slot.clone(),
        )
    }

    /// Lets go of it; an embedded server stops if no other program uses it.
    pub(crate) async fn close(&self) {
        let store = self.shared.slot.borrow().store.clone();
        if let Some(store) = store {
            // Whoever comes next compares with what was there at the end.
            let _ = tokio::time::timeout(LAST_LOOK, self.shared.recognise(&store)).await;
            store.close().await;
        }
        self.shared.slot.send_replace(Slot { state: DatabaseState::Closed, store: None, unmigrated: None });
        let server = self.shared.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server
            && let Err(error) = server.stop_if_last().await
        {
            tracing::warn!(%error, "the embedded database could not be stopped");
        }
    }
}

impl Shared {
    async fn keep_open(&self) {
        loop {
            let is_open = self.slot.borrow().store.is_some();
            let outcome = if is_open { self.look().await } else { self.connect().await };
            if let Err(problem) = outcome {
                self.fail(&problem);
            }
            let is_open = self.slot.borrow().store.is_some();
            tokio::select! {
                () = tokio::time::sleep(TRY_AGAIN) => {}
                () = self.again.notified() => {}
            }
            tracing::trace!(is_open, "looking at the database");
        }
    }

    /// Whether the open database still answers. An embedded server that died is started again.
    async fn look(&self) -> Answer<()> {
        let store = self.slot.borrow().store.clone();
        if let Some(store) = store {
            if let Err(error) = store.server_facts().await {
                // Connections of before may wait for ever for a network that has forgotten them, and hold every place
                // in the pool: whether the server answers is asked by new ones.
                tracing::debug!(%error, "the database is connected to anew");
                self.connect().await?;
                self.anew.send_modify(|times| *times += 1);
                return Ok(());
            }
            let was_failing = matches!(self.slot.borrow().state, DatabaseState::Failed { .. });
            if was_failing {
                self.connect().await?;
            } else {
                self.recognise(&store).await?;
            }
        }
        Ok(())
    }

    async fn connect(&self) -> Answer<()> {
        let (store, name) = self.reach().await?;
        let facts = store.server_facts().await?;
        self.migrate_if_allowed(&store).await?;
        store::objects::register(&store, &Mapping::built_in()).await?;
        self.recognise(&store).await?;
        let server = format!("PostgreSQL {}{name}", facts.version);
        self.slot.send_replace(Slot {
            state: DatabaseState::Ready { server },
            store: Some(store),
            unmigrated: None,
        });
        self.notices.publish(&[View::Status, View::Jobs, View::Counts, View::Rejects, View::Audit]);
        Ok(())
    }

    /// Compares the server with the one that was seen last. Another one is taken on before anybody is given its store
    /// anew: everything of this process that stands on the one before is told to end.
    async fn recognise(&self, store: &Store) -> Answer<()> {
        let _one = self.recognising.lock().await;
        let now = store.server_identity().await?;
        let Some((change, before)) = self.seen.change_to(&now) else {
            self.seen.keep(now);
            return Ok(());
        };
        self.changes.send_modify(|changes| *changes += 1);
        let taken_on = store.take_on(&before).await?;
        self.seen.keep(store.server_identity().await?);
        let sentence = words_of(change, taken_on.is_set_back);
        tracing::warn!(
            log.seen = before.log_position,
            log.found = now.log_position,
            holes = taken_on.holes.len(),
            "{sentence}"
        );
        let act = Act {
            who: SYSTEM,
            host: self.host,
            act: "database.change",
            sentence: &sentence,
            result: "done",
            took_ms: None,
        };
        audit::record(store, act).await?;
        self.notices.publish(&[View::Status, View::Stream, View::Jobs, View::Holes, View::Audit]);
        Ok(())
    }

    async fn reach(&self) -> Answer<(Store, &'static str)> {
        let options =
            StoreOptions { tables_schema: self.environment.schema.clone(), ..StoreOptions::default() };
        match &self.environment.database {
            config::Database::Embedded => {
                let running = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
                let server = match running {
                    Some(server) => server,
                    None => embedded::start(EmbeddedOptions::of_this_user()?).await?,
                };
                let connect = server.ensure_database(&database_name(&self.environment.name)).await;
                *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
                Ok((Store::connect_with(connect?, options).await?, ", embedded"))
            }
            config::Database::Url(address) => {
                let mut url = address.url().clone();
                if let Some(password) = address.password() {
                    // An address with a host can carry a password; one without was refused when it was read.
                    let _ = url.set_password(Some(password.expose_secret()));
                }
                Ok((Store::connect(url.as_str(), options).await?, ""))
            }
        }
    }

    async fn migrate_if_allowed(&self, store: &Store) -> Answer<()> {
        let pending = match store.schema_state().await? {
            SchemaState::Current => return Ok(()),
            SchemaState::Behind { pending } => pending,
            SchemaState::Ahead { found, known } => {
                return Err(store::Error::SchemaAhead { found, known }.into());
            }
        };
        let kind = self.environment.kind;
        let may = self.environment.auto_migrate
            || self.environment.database == config::Database::Embedded
            || matches!(kind, EnvironmentKind::Demo | EnvironmentKind::Development);
        if may {
            let is_new = pending.len() == store::MIGRATOR.iter().count();
            store.migrate().await?;
            if is_new && kind == EnvironmentKind::Demo {
                store::settings::set(store, DEMO_MARK, &true).await?;
            }
            return Ok(());
        }
        self.slot.send_modify(|slot| slot.unmigrated = Some(store.clone()));
        Err(store::Error::SchemaBehind { pending }.into())
    }

    fn fail(&self, problem: &Problem) {
        let changed = self.slot.send_if_modified(|slot| {
            let since = match &slot.state {
                DatabaseState::Failed { problem: before, since } if before.code == problem.code => {
                    let since = *since;
                    slot.state = DatabaseState::Failed { problem: problem.clone(), since };
                    return false;
                }
                DatabaseState::Failed { since, .. } => *since,
                _ => clock::now(),
            };
            slot.state = DatabaseState::Failed { problem: problem.clone(), since };
            true
        });
        if changed {
            tracing::warn!(problem.code = problem.code, "the database cannot be used");
            self.notices.publish(&[View::Status]);
        }
    }
}

/// Each environment has a database of its own on the embedded server.
fn database_name(environment: &str) -> String {
    format!("shadow_{}", environment.to_ascii_lowercase().replace('-', "_"))
}

/// What happened to the server, and what was done about it, in a sentence.
fn words_of(change: ServerChange, is_set_back: bool) -> String {
    let found = match change {
        ServerChange::OtherServer => "The database is on another server than before",
        ServerChange::Promoted => "Another server took over the database",
        ServerChange::SetBack => "The database was set back to an earlier state",
    };
    let done = match (change, is_set_back) {
        (ServerChange::SetBack, _) => "; what may be missing since then is caught up",
        (_, true) => ", and lacks what was stored last; what may be missing since then is caught up",
        (_, false) => "; what was being read and written began anew",
    };
    format!("{found}{done}")
}

fn out_of_reach() -> Problem {
    Problem::new(
        "SS-3002",
        "The database does not answer",
        "Connections to it were lost on the way, and new ones were made. What was committed stays.",
    )
    .step("It goes on by itself.")
}

fn closed() -> Problem {
    Problem::new("SS-3000", "The environment is closed", "Its database is not connected to any more.")
        .step("Open the environment again.")
}
