//! Connections, and what every session of ours sets.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgTransaction};

use crate::error::Error;
use crate::tables::quote::ident;

/// A server that took a connection and says nothing for so long is out of reach: without a bound nobody would ever know.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// How to use a database.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Schema of the shadow tables; `None` takes the database's default, the first of `search_path`.
    pub tables_schema: Option<String>,
    /// Most connections of this process.
    pub max_connections: u32,
    /// How long to wait for a connection.
    pub acquire_timeout: Duration,
    /// Whether a pooler in transaction mode stands between: then settings are made per transaction, statements
    /// are not prepared by name, and leases go by time alone.
    pub pooled: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            tables_schema: None,
            max_connections: 8,
            acquire_timeout: Duration::from_secs(10),
            pooled: false,
        }
    }
}

/// A database of ours. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    options: StoreOptions,
    tables_schema: Arc<str>,
    connect: Arc<PgConnectOptions>,
    orders: Arc<Orders>,
}

/// Tells within this process that orders to delete cache keys were committed.
#[derive(Debug, Default)]
struct Orders {
    committed: tokio::sync::Notify,
    any: std::sync::atomic::AtomicBool,
}

/// Made once per session, or per transaction behind a pooler (then with `set local`).
///
/// A transaction of ours that waits for its client is stuck, and would hold its locks for ever; a lock that is not
/// had in time means that somebody else works on the same table.
const SETTINGS: [(&str, &str); 3] =
    [("idle_in_transaction_session_timeout", "5s"), ("lock_timeout", "10s"), ("statement_timeout", "0")];

/// Set where there is a TCP connection; a Unix socket ignores them.
const KEEP_ALIVES: [(&str, &str); 3] =
    [("tcp_keepalives_idle", "30"), ("tcp_keepalives_interval", "10"), ("tcp_keepalives_count", "3")];

impl Store {
    /// Opens a database by its URL, `postgres://user@host/database`.
    ///
    /// - **Errors:** [`Error::InvalidUrl`], [`Error::Unreachable`], [`Error::SignInRefused`],
    ///   [`Error::NoSuchDatabase`].
    pub async fn connect(url: &str, options: StoreOptions) -> Result<Self, Error> {
        let connect: PgConnectOptions = url.parse().map_err(|error: sqlx::Error| match error {
            sqlx::Error::Configuration(reason) => Error::InvalidUrl(reason.to_string()),
            other => other.into(),
        })?;
        Self::connect_with(connect, options).await
    }

    /// Opens a database by parsed options.
    pub async fn connect_with(connect: PgConnectOptions, options: StoreOptions) -> Result<Self, Error> {
        let mut connect = connect.application_name("shadow-sync");
        if options.pooled {
            connect = connect.statement_cache_capacity(0);
        }
        // One connection by hand first: the pool would retry a wrong password until its time is up.
        let tables_schema = in_time(async {
            let mut first = PgConnection::connect_with(&connect).await?;
            let tables_schema = tables_schema(&mut first, &options).await?;
            first.close().await?;
            Ok(tables_schema)
        })
        .await?;
        let pooled = options.pooled;
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(options.acquire_timeout)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if pooled {
                        return Ok(());
                    }
                    sqlx::raw_sql(AssertSqlSafe(settings("set"))).execute(connection).await.map(drop)
                })
            })
            .connect_lazy_with(connect.clone());
        Ok(Self {
            pool,
            options,
            tables_schema: tables_schema.into(),
            connect: Arc::new(connect),
            orders: Arc::default(),
        })
    }

    /// A store on a pool that is already there, as tests have it.
    pub async fn on_pool(pool: PgPool) -> Result<Self, Error> {
        let connect = Arc::new((*pool.connect_options()).clone());
        let options = StoreOptions::default();
        let tables_schema = tables_schema(&mut *pool.acquire().await?, &options).await?.into();
        Ok(Self { pool, options, tables_schema, connect, orders: Arc::default() })
    }

    /// The connection pool.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The schema of the shadow tables.
    pub fn tables_schema(&self) -> &str {
        &self.tables_schema
    }

    /// How the database is used.
    pub fn options(&self) -> &StoreOptions {
        &self.options
    }

    /// Says, after a commit, that it may have ordered the deletion of cache keys.
    pub(crate) fn ordered(&self) {
        self.orders.any.store(true, std::sync::atomic::Ordering::Relaxed);
        self.orders.committed.notify_one();
    }

    /// Waits until this process commits something that orders the deletion of cache keys; what it committed since it
    /// last waited counts. One at a time may wait. Others' orders are found by looking.
    pub async fn until_ordered(&self) {
        self.orders.committed.notified().await;
    }

    /// Whether this process ordered the deletion of cache keys.
    pub fn has_ordered(&self) -> bool {
        self.orders.any.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Whether another store is this one or a clone of it, and not a later connection to the same database.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.connect, &other.connect)
    }

    /// How a connection of the database is made, for who keeps connections of its own.
    pub(crate) fn connect_options(&self) -> Arc<PgConnectOptions> {
        self.connect.clone()
    }

    /// A connection beside the pool, for who must be known by its backend.
    pub(crate) async fn own_connection(&self) -> Result<PgConnection, Error> {
        in_time(async {
            let mut connection = PgConnection::connect_with(&self.connect).await?;
            sqlx::raw_sql(AssertSqlSafe(settings("set"))).execute(&mut connection).await?;
            Ok(connection)
        })
        .await
    }

    /// Begins a transaction with our settings.
    pub(crate) async fn begin(&self) -> Result<PgTransaction<'static>, Error> {
        let mut tx = self.pool.begin().await?;
        if self.options.pooled {
            sqlx::raw_sql(AssertSqlSafe(settings("set local"))).execute(&mut *tx).await?;
        }
        Ok(tx)
    }
}

/// What the server answers, or that it does not.
pub(crate) async fn in_time<T>(asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(ANSWERS_WITHIN, asked).await {
        Ok(answered) => answered,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into()),
    }
}

fn settings(set: &str) -> String {
    let all = SETTINGS.iter().chain(if set == "set" { &KEEP_ALIVES[..] } else { &[] });
    all.map(|(name, value)| format!("{set} {name} = '{value}';")).collect::<Vec<_>>().concat()
}

/// The schema of the shadow tables: made if it is a setting of its own, else the connection's first.
async fn tables_schema(connection: &mut PgConnection, options: &StoreOptions) -> Result<String, Error> {
    if let Some(schema) = &options.tables_schema {
        return Ok(schema.clone());
    }
    let schema = sqlx::query_scalar!("select current_schema()").fetch_one(connection).await?;
    Ok(schema.unwrap_or_else(|| "public".to_owned()))
}

/// `set search_path` for a migration, so that unqualified tables land in the right schema.
pub(crate) fn search_path(schema: &str) -> String {
    format!("set search_path to {}", ident(schema))
}
