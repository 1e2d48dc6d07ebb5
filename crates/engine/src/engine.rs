//! The engine: one per process, holding at most one open environment.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config};
use crate::environment::OpenEnvironment;
use crate::live::Timing;
use crate::notice::{Notice, Notices, View};
use crate::problem::{Answer, MendAct, Problem};

/// Which program the engine runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostName {
    /// The desktop console.
    Console,
    /// A command that ends by itself.
    CommandLine,
    /// `shadow-sync serve`.
    Daemon,
}

impl HostName {
    /// The word in the audit log and among the workers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::CommandLine => "command line",
            Self::Daemon => "daemon",
        }
    }
}

/// What a host says of itself.
#[derive(Debug, Clone)]
pub struct Host {
    /// Which program it is.
    pub name: HostName,
    /// The configuration file; the platform's own where absent.
    pub config_path: Option<PathBuf>,
}

impl Host {
    /// How others name this process: program, machine and process id.
    pub fn holder(&self) -> String {
        let machine =
            std::env::var("HOSTNAME").ok().or_else(machine_name).unwrap_or_else(|| "this machine".to_owned());
        format!("{} on {machine} ({})", self.name.as_str(), std::process::id())
    }
}

fn machine_name() -> Option<String> {
    let name = std::fs::read_to_string("/etc/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// One per process. Cheap to clone; all clones are the same engine.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    host: Host,
    timing: Timing,
    notices: Notices,
    open: RwLock<Option<Arc<OpenEnvironment>>>,
    shutdown: CancellationToken,
}

impl Engine {
    /// An engine with nothing open; touches neither disk nor network.
    pub fn new(host: Host) -> Self {
        Self::with_timing(host, Timing::default())
    }

    /// The same with times of one's own.
    pub fn with_timing(host: Host, timing: Timing) -> Self {
        Self(Arc::new(Inner {
            host,
            timing,
            notices: Notices::new(),
            open: RwLock::new(None),
            shutdown: CancellationToken::new(),
        }))
    }

    /// Which program this is.
    pub fn host(&self) -> &Host {
        &self.0.host
    }

    /// Hears which views are stale, from now on.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.0.notices.listen()
    }

    pub(crate) fn publish(&self, views: &[View]) {
        self.0.notices.publish(views);
    }

    /// Reads the configuration afresh: another program may have changed it.
    pub fn config(&self) -> Answer<Config> {
        Ok(config::load(self.0.host.config_path.as_deref())?)
    }

    /// The open environment, if there is one.
    pub fn try_environment(&self) -> Option<Arc<OpenEnvironment>> {
        self.0.open.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The open environment.
    ///
    /// - **Errors:** SS-5201 where none is open.
    pub fn environment(&self) -> Answer<Arc<OpenEnvironment>> {
        self.try_environment().ok_or_else(|| {
            Box::new(
                Problem::new(
                    "SS-5201",
                    "No environment is open",
                    "This needs an org and a database, and neither was chosen yet.",
                )
                .step("Choose an environment, or add one in Settings.")
                .act(MendAct::OpenSettings),
            )
        })
    }

    /// Opens an environment: starts its database and resumes its sign-in in the background. Another one that is
    /// open is closed first.
    pub async fn open(&self, environment: config::Environment) -> Arc<OpenEnvironment> {
        self.close().await;
        let opened = OpenEnvironment::open(
            environment,
            self.0.host.clone(),
            self.0.notices.clone(),
            self.0.shutdown.child_token(),
            self.0.timing,
        );
        *self.0.open.write().unwrap_or_else(PoisonError::into_inner) = Some(opened.clone());
        self.publish(&[View::Status, View::Environments, View::SignIn]);
        opened
    }

    /// Closes the open environment: running loads stop after the rows in flight, the embedded database stops if no
    /// other program uses it.
    pub async fn close(&self) {
        let open = self.0.open.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(environment) = open {
            environment.close().await;
            self.publish(&[View::Status, View::Environments, View::SignIn, View::Jobs]);
        }
    }

    /// Ends everything in order. A load that runs here can be resumed.
    pub async fn shutdown(&self) {
        self.close().await;
        self.0.shutdown.cancel();
    }
}
