//! Configuration: environments in one TOML file, overridden by `SHADOW_SYNC_*`, strict about what it reads.
//!
//! The file holds no secret. Addresses may name a user; a password in one is used, reported and never printed.

mod address;
mod cache;
mod complaint;
mod edit;
mod file;
mod reads;
mod value;

use std::path::PathBuf;

pub use address::Address;
pub use edit::{add, remove, use_environment, use_flow};
pub use file::{default_path, load, load_with};
pub use reads::Reads;
use serde::{Deserialize, Serialize};
use shadow::{Mapping, ObjectName};

use crate::api::environments::{EnvironmentKind, SignInFlow};

/// The callback that we register and listen on, unless told otherwise.
pub const DEFAULT_REDIRECT: &str = "http://localhost:8717/oauth/callback";
/// The API version that we speak, unless told otherwise.
pub const DEFAULT_API_VERSION: &str = "67.0";
/// The Pub/Sub endpoint, unless told otherwise.
pub const DEFAULT_PUBSUB: &str = "https://api.pubsub.salesforce.com:7443";
/// When the catch-up runs, unless told otherwise.
pub const DEFAULT_CATCH_UP: &str = "30 2 * * *";
/// When formula columns are refreshed, unless told otherwise.
pub const DEFAULT_FORMULAS: &str = "0 3 * * 0";
/// The consumer key that every simulated org knows.
pub const DEMO_CLIENT_ID: &str = "3MVG9simulatedOrgShadowSyncDemoApp.0000000000000000000000000";
/// The secret that every simulated org knows; it opens nothing else.
pub const DEMO_CLIENT_SECRET: &str = "simulated-org-demo-secret-opens-nothing-else";

/// All environments of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file, whether or not it exists yet.
    pub path: PathBuf,
    /// The environment chosen by `env use`, for interactive hosts only.
    pub chosen: Option<String>,
    /// The environments, in the order of the file.
    pub environments: Vec<Environment>,
}

/// One environment, with defaults filled in and overrides applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: EnvironmentKind,
    /// The login address, without a trailing slash.
    pub login_url: url::Url,
    /// The consumer key.
    pub client_id: String,
    /// How it signs in.
    pub sign_in: SignInFlow,
    /// The registered callback.
    pub redirect_url: url::Url,
    /// The version in every path, e.g. `67.0`.
    pub api_version: String,
    /// The Pub/Sub endpoint.
    pub pubsub_endpoint: url::Url,
    /// The custom channel, where there is one.
    pub channel: Option<String>,
    /// The database.
    pub database: Database,
    /// A direct way to the database past a pooler.
    pub database_direct: Option<Address>,
    /// The cache, where there is one.
    pub redis: Option<Address>,
    /// The currency, where the org does not say.
    pub currency: Option<String>,
    /// The schema of the shadow tables; the database's default where absent.
    pub schema: Option<String>,
    /// Whether staging and production migrate on start.
    pub auto_migrate: bool,
    /// When the catch-up runs with its id comparison: a cron expression in `time_zone`.
    pub catch_up_schedule: String,
    /// When formula columns are refreshed.
    pub formula_schedule: String,
    /// The time zone of the schedules, by its IANA name.
    pub time_zone: String,
    /// The share of the org's daily calls that is ours at most.
    pub quota_share: Percent,
    /// The share of the org's daily calls, whoever used them, at which background work has stopped.
    pub quota_stop: Percent,
    /// How long after a change cache keys are deleted a second time.
    pub flush_delay: std::time::Duration,
    /// Whether an active record comes before an inactive one where both claim a unique value, as a SKU.
    pub active_first: bool,
    /// How long what is kept.
    pub retention: store::retention::Policy,
    /// What readers are given.
    pub reads: Reads,
    /// What a reader should know: a password in the file, for one.
    pub findings: Vec<Finding>,
}

/// A share in whole percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(pub u8);

impl Percent {
    /// The share as a part of one.
    pub fn of_one(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

/// Where the shadow tables are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// The PostgreSQL that comes with this program.
    Embedded,
    /// A server by its address.
    Url(Address),
}

/// Something about the configuration that works, but should be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The key it is about.
    pub key: String,
    /// What was found.
    pub finding: String,
    /// What to do.
    pub cure: String,
}

impl Config {
    /// The environment of this name.
    pub fn environment(&self, name: &str) -> Result<&Environment, Error> {
        self.environments
            .iter()
            .find(|environment| environment.name == name)
            .ok_or_else(|| Error::UnknownEnvironment { name: name.to_owned(), known: self.names() })
    }

    /// Which environment is meant: the named one; else the only one; else the chosen one where a person sits
    /// before the screen and it is not production. Production is never implied among several.
    pub fn meant(&self, named: Option<&str>) -> Result<&Environment, Error> {
        if let Some(name) = named {
            return self.environment(name);
        }
        match self.environments.as_slice() {
            [] => Err(Error::NoEnvironment { path: self.path.clone() }),
            [only] => Ok(only),
            _ => match self.chosen.as_deref().map(|name| self.environment(name)) {
                Some(Ok(chosen)) if chosen.kind != EnvironmentKind::Production => Ok(chosen),
                _ => Err(Error::SeveralEnvironments { known: self.names() }),
            },
        }
    }

    fn names(&self) -> String {
        self.environments.iter().map(|environment| environment.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl Environment {
    /// A way to its cache, which connects when it is first used. None where there is no cache.
    pub fn cache(&self) -> Option<::cache::Cache> {
        let address = self.redis.as_ref()?;
        // The address was checked when the configuration was read.
        let options = ::cache::Options::new(address.url(), address.password().cloned()).ok()?;
        Some(::cache::Cache::new(options))
    }

    /// The mappings of its objects, parents before their children.
    pub fn mappings(&self) -> Vec<Mapping> {
        let configured = |mapping: Mapping| Mapping {
            active_first: mapping.active_first
                || self.active_first && mapping.object == ObjectName::product(),
            ..mapping
        };
        Mapping::built_in().into_iter().map(configured).collect()
    }

    /// Whether its database and sign-in are those of a simulated org.
    pub fn is_demo(&self) -> bool {
        self.kind == EnvironmentKind::Demo
    }
}

/// Why a configuration cannot be used. Every message names the file, and where it can the line and the key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is there but could not be read or written.
    #[error("{path} could not be {doing}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        doing: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what we expect.
    #[error("{path}, line {line}: `{key}` {found}; expected {expected}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// What is there.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// A variable overrides a key with something that cannot be used.
    #[error("{variable} {found}; expected {expected}")]
    Variable {
        /// The variable's name.
        variable: String,
        /// What is there, never its value.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// No platform folder for configuration; `--config` names a file.
    #[error("this machine has no configuration folder for the current user; name a file with --config")]
    NoFolder,
    /// There is no environment yet.
    #[error("no environment is configured in {path}; add one with `shadow-sync env add`", path = path.display())]
    NoEnvironment {
        /// The file.
        path: PathBuf,
    },
    /// Several, and none was named.
    #[error("several environments are configured ({known}); name one with --env")]
    SeveralEnvironments {
        /// Their names.
        known: String,
    },
    /// None of this name.
    #[error("there is no environment `{name}`; there are: {known}")]
    UnknownEnvironment {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// What was given as a name cannot be one.
    #[error(
        "`{name}` cannot be an environment's name; a name has 1 to 60 letters, digits, `-` and `_`, and no blank"
    )]
    BadName {
        /// What was given.
        name: String,
    },
    /// There is one of this name already.
    #[error("there is an environment `{name}` already; choose another name or remove it first")]
    NameTaken {
        /// The name.
        name: String,
    },
}
