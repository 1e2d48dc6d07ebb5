//! The PostgreSQL that comes with Shadow Sync: found, initialised, started, shared and stopped here.
//!
//! One server belongs to one data folder. Every program of one user that wants it calls [`start`]: the first
//! starts the server, the others adopt the one that runs, and the last that calls [`Embedded::stop_if_last`] stops
//! it. Two OS locks in the data folder keep order: `start.lock` is held while a server is started or stopped,
//! `users.lock` is held shared by every program that uses it. The system releases both when a program dies, so a
//! killed program leaves a running server behind, which the next one adopts.
//!
//! The server listens on a Unix socket in a folder that only its owner can enter (on Windows: on a loopback port),
//! asks for a password, and never runs as root.

mod account;
mod binaries;
mod cluster;
mod endpoint;
mod error;
mod locks;
mod postmaster;

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection};

use account::Account;
use cluster::Cluster;
use endpoint::Endpoint;
pub use error::Error;
use locks::{StartLock, UserLock};

/// The database that [`start`] makes for the environment that uses the embedded server.
pub const DEFAULT_DATABASE: &str = "shadow";

/// The role that owns everything in an embedded server.
const ROLE: &str = "shadow";

/// Where an embedded server keeps its data, and which programs it runs.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// The folder of this server: its data, password, locks and log. Made if missing, closed to everybody else.
    pub data_dir: PathBuf,
    /// The folder with `bin`, `lib` and `share`; `None` looks where they are usually found.
    pub binaries: Option<PathBuf>,
}

impl EmbeddedOptions {
    /// The folder that all programs of this user share, and binaries from the usual places.
    ///
    /// For root it is `/var/lib/shadow-sync/postgres`, because the server runs as another user who must be able to
    /// reach it; for everybody else it is in the platform's data folder. `SHADOW_SYNC_DATA_DIR` names another
    /// folder for all of Shadow Sync's data; the server's is `postgres` in it.
    pub fn of_this_user() -> Result<Self, Error> {
        Ok(Self { data_dir: cluster::default_data_dir()?, binaries: None })
    }
}

/// A running embedded server, used by this program until it is dropped or stopped.
///
/// Dropping it ends the use but leaves the server running for the next program.
pub struct Embedded {
    cluster: Cluster,
    /// Changes when a server that died is started again on a platform without sockets.
    endpoint: RwLock<Endpoint>,
    password: String,
    version: String,
    adopted: bool,
    user: UserLock,
}

/// Starts the server of `options.data_dir`, or adopts the one that runs there already.
///
/// - **Shape:** returns when the server answers and the database [`DEFAULT_DATABASE`] exists.
/// - **Time:** about three seconds the first time, a third of a second later, less when it runs already. After a
///   crash it waits for PostgreSQL's recovery.
/// - **Errors:** each variant of [`Error`] says what happened, why, and what to do; nothing half made is left.
pub async fn start(options: EmbeddedOptions) -> Result<Embedded, Error> {
    let account = Account::of_the_server()?;
    let cluster = Cluster::open(&options.data_dir, account)?;
    let guard = StartLock::acquire(cluster.folder()).await?;
    let user = UserLock::share(cluster.folder()).await?;
    let cluster = cluster.with_binaries(options.binaries.as_deref()).await?;
    let password = cluster.ensure_initialised().await?;
    let credentials = Credentials { password: &password };

    let (endpoint, adopted) = adopt_or_start(&cluster, &credentials).await?;
    let version = prepare(&endpoint, &credentials).await?;
    drop(guard);
    tracing::info!(
        postgres.version = %version,
        postgres.adopted = adopted,
        postgres.folder = %cluster.folder().display(),
        "the embedded PostgreSQL answers"
    );
    Ok(Embedded { cluster, endpoint: RwLock::new(endpoint), password, version, adopted, user })
}

/// Returns where the server listens, and whether it ran already. Call it with the start lock held.
async fn adopt_or_start(cluster: &Cluster, credentials: &Credentials<'_>) -> Result<(Endpoint, bool), Error> {
    match postmaster::adopt(cluster, credentials).await? {
        Some(endpoint) => Ok((endpoint, true)),
        None => Ok((postmaster::start(cluster, credentials).await?, false)),
    }
}

impl Embedded {
    /// How to connect to one of the server's databases.
    pub fn connect_options(&self, database: &str) -> PgConnectOptions {
        self.credentials().options(&self.endpoint(), database)
    }

    /// Makes a database if it is missing. Returns how to connect to it.
    ///
    /// A server that died is started again first.
    pub async fn ensure_database(&self, database: &str) -> Result<PgConnectOptions, Error> {
        let mut connection = match self.credentials().connect(&self.endpoint()).await {
            Err(error) if error.as_database_error().is_none() => self.revive().await?,
            connected => connected.map_err(Error::Connect)?,
        };
        make_database(&mut connection, database).await.map_err(Error::Connect)?;
        connection.close().await.map_err(Error::Connect)?;
        Ok(self.connect_options(database))
    }

    /// Starts the server again, unless another of its users was faster.
    async fn revive(&self) -> Result<PgConnection, Error> {
        let _guard = StartLock::acquire(self.cluster.folder()).await?;
        let (endpoint, _) = adopt_or_start(&self.cluster, &self.credentials()).await?;
        *self.endpoint.write().unwrap_or_else(PoisonError::into_inner) = endpoint.clone();
        self.credentials().connect(&endpoint).await.map_err(Error::Connect)
    }

    fn credentials(&self) -> Credentials<'_> {
        Credentials { password: &self.password }
    }

    fn endpoint(&self) -> Endpoint {
        self.endpoint.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The server's own version, as in `18.4`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether the server was running before [`start`] was called.
    pub fn was_adopted(&self) -> bool {
        self.adopted
    }

    /// The folder of this server.
    pub fn data_dir(&self) -> &Path {
        self.cluster.folder()
    }

    /// Stops the server if no other program uses it. Returns whether it was stopped.
    pub async fn stop_if_last(self) -> Result<bool, Error> {
        let _guard = StartLock::acquire(self.cluster.folder()).await?;
        if !self.user.leave()? {
            return Ok(false);
        }
        postmaster::stop(&self.cluster).await?;
        Ok(true)
    }
}

impl std::fmt::Debug for Embedded {
    /// Leaves the password out.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Embedded")
            .field("folder", &self.cluster.folder())
            .field("version", &self.version)
            .field("adopted", &self.adopted)
            .finish_non_exhaustive()
    }
}

/// What a connection to the embedded server needs beside the address.
struct Credentials<'a> {
    password: &'a str,
}

impl Credentials<'_> {
    fn options(&self, endpoint: &Endpoint, database: &str) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass()
            .username(ROLE)
            .password(self.password)
            .database(database)
            .ssl_mode(PgSslMode::Disable);
        endpoint.apply(options)
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect_with(&self.options(endpoint, "postgres")).await
    }
}

/// Makes the default database if it is missing. Returns the server's version.
async fn prepare(endpoint: &Endpoint, credentials: &Credentials<'_>) -> Result<String, Error> {
    let mut connection = credentials.connect(endpoint).await.map_err(Error::Connect)?;
    let version: String = sqlx::query_scalar("select current_setting('server_version')")
        .fetch_one(&mut connection)
        .await
        .map_err(Error::Connect)?;
    make_database(&mut connection, DEFAULT_DATABASE).await.map_err(Error::Connect)?;
    connection.close().await.map_err(Error::Connect)?;
    // Distributions add their own words behind the number.
    Ok(version.split_whitespace().next().unwrap_or_default().to_owned())
}

async fn make_database(connection: &mut PgConnection, database: &str) -> Result<(), sqlx::Error> {
    let exists: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(database)
        .fetch_one(&mut *connection)
        .await?;
    if exists {
        return Ok(());
    }
    let quoted = database.replace('"', "\"\"");
    let made = sqlx::query(AssertSqlSafe(format!("create database \"{quoted}\""))).execute(connection).await;
    match made {
        // duplicate_database, or its row in the catalogue: another program was faster.
        Err(error)
            if error
                .as_database_error()
                .and_then(DatabaseError::code)
                .is_some_and(|code| code == "42P04" || code == "23505") =>
        {
            Ok(())
        }
        made => made.map(drop),
    }
}
