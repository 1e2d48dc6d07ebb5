//! What can go wrong with the database, and what follows from it.

use std::fmt;

use shadow::{ObjectName, OrgId, UnreadableChunk};
use sqlx::postgres::PgDatabaseError;

/// Everything that the store may answer instead of a value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is no PostgreSQL URL.
    #[error("the database URL cannot be read: {0}")]
    InvalidUrl(String),
    /// Nothing answers, or the connection was lost.
    #[error("the database cannot be reached")]
    Unreachable(#[source] sqlx::Error),
    /// Name or password are wrong.
    #[error("the database refuses this user: {0}")]
    SignInRefused(String),
    /// The server is there, the database is not.
    #[error("the database does not exist: {0}")]
    NoSuchDatabase(String),
    /// Older or newer than what we know to work.
    #[error("PostgreSQL {found} is not supported: Shadow Sync works with 14 to 18")]
    UnsupportedServer {
        /// The server's version.
        found: String,
    },
    /// A standby, or a database set to read-only.
    #[error("the database can only be read: it is a standby or set to read-only")]
    ReadOnly,
    /// No space left, or a quota reached.
    #[error("the database has no space left")]
    DiskFull(String),
    /// The role lacks a right.
    #[error("the database role may not do this: {0}")]
    PermissionDenied(String),
    /// All connections of the server are in use.
    #[error("the database has no connection left")]
    TooManyConnections(String),
    /// The schema was never made, or is behind this program.
    #[error("the database's schema is behind this program: {} migrations are to be run", .pending.len())]
    SchemaBehind {
        /// Their names, oldest first.
        pending: Vec<String>,
    },
    /// A newer program has migrated it.
    #[error(
        "the database's schema is newer than this program: it knows migration {found}, this program {known}"
    )]
    SchemaAhead {
        /// The newest migration of the database.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// A migration failed, or one that was run has been changed since.
    #[error("the schema could not be migrated: {0}")]
    Migration(String),
    /// Another process took the lease, or it ran out.
    #[error("the lease `{name}` is no longer held by this process")]
    LeaseLost {
        /// The lease.
        name: String,
    },
    /// The database belongs to another org.
    #[error("the database is bound to the org {bound} and cannot be used with {found}")]
    OtherOrg {
        /// The org whose copy it holds.
        bound: OrgId,
        /// The org signed in to.
        found: OrgId,
    },
    /// The database belongs to another sync user.
    #[error("the database is bound to the sync user {bound} and cannot be loaded as {found}")]
    OtherUser {
        /// The user's name whose eyes the copy has.
        bound: String,
        /// The user's name signed in as.
        found: String,
    },
    /// The object has no row in `shadow_sync.objects`.
    #[error("{0} is not registered")]
    UnknownObject(ObjectName),
    /// There is no such job.
    #[error("there is no job {0}")]
    UnknownJob(String),
    /// An open job of the same object is in the way.
    #[error("{0} has a job that is not ended yet")]
    JobOpen(ObjectName),
    /// What Salesforce sent is not what was asked for.
    #[error(transparent)]
    Unreadable(#[from] UnreadableChunk),
    /// Others held a lock for too long, or changed the same rows; to be tried again.
    #[error("another writer was in the way ({state})")]
    Contention {
        /// SQLSTATE, or what was found changed.
        state: String,
    },
    /// The database refuses a value.
    #[error("the database refuses a record's value ({state})")]
    Data {
        /// SQLSTATE.
        state: String,
        /// The server's answer. It may hold record content: never shown.
        #[source]
        source: Box<sqlx::Error>,
    },
    /// Anything else, which is a fault of ours.
    #[error("the database answered with an error ({})", .state.as_deref().unwrap_or("no SQLSTATE"))]
    Unexpected {
        /// SQLSTATE, if the server gave one.
        state: Option<String>,
        /// What was answered.
        #[source]
        source: Box<sqlx::Error>,
    },
}

/// What the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Try the same again after a while.
    Retry,
    /// Plan anew with the records as they are now, at once.
    Replan,
    /// Find the records that are refused and reject them.
    Park,
    /// Stop; what was committed stays, and the job can be resumed once a person mended the cause.
    Stop,
}

impl Error {
    /// What the caller does next. No wildcard arm: a new variant must choose.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Unreachable(_) | Self::TooManyConnections(_) => Disposition::Retry,
            Self::Contention { .. } => Disposition::Replan,
            Self::Data { .. } => Disposition::Park,
            Self::InvalidUrl(_)
            | Self::SignInRefused(_)
            | Self::NoSuchDatabase(_)
            | Self::UnsupportedServer { .. }
            | Self::ReadOnly
            | Self::DiskFull(_)
            | Self::PermissionDenied(_)
            | Self::SchemaBehind { .. }
            | Self::SchemaAhead { .. }
            | Self::Migration(_)
            | Self::LeaseLost { .. }
            | Self::OtherOrg { .. }
            | Self::OtherUser { .. }
            | Self::UnknownObject(_)
            | Self::UnknownJob(_)
            | Self::JobOpen(_)
            | Self::Unreadable(_)
            | Self::Unexpected { .. } => Disposition::Stop,
        }
    }

    /// The SQLSTATE that the server gave, for who looks closer.
    pub fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Data { state, .. } | Self::Contention { state } => Some(state.clone()),
            Self::Unexpected { state, .. } => state.clone(),
            Self::DiskFull(_) => Some("53100".to_owned()),
            Self::Unreachable(source) => source.as_database_error()?.code().map(std::borrow::Cow::into_owned),
            _ => None,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let server = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
        if let Some((state, message)) =
            server.map(|error| (error.code().to_owned(), error.message().to_owned()))
        {
            return of_server(&state, message, error);
        }
        match &error {
            // A connection that breaks off in the middle of an answer shows itself as a protocol error.
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unreachable(error),
            sqlx::Error::Configuration(reason) => Self::InvalidUrl(reason.to_string()),
            _ => Self::Unexpected { state: None, source: Box::new(error) },
        }
    }
}

/// What a SQLSTATE means to us. Messages that name rights, roles or databases are kept; those that could hold
/// record content are not.
///
/// - **Source:** PostgreSQL's list of error codes; classes 08, 22, 23, 25, 28, 40, 42, 53, 54, 55, 57.
fn of_server(state: &str, message: String, error: sqlx::Error) -> Error {
    match state {
        "28000" | "28P01" => Error::SignInRefused(message),
        "3D000" => Error::NoSuchDatabase(message),
        "25006" => Error::ReadOnly,
        "53100" | "53400" => Error::DiskFull(message),
        "53300" => Error::TooManyConnections(message),
        "42501" => Error::PermissionDenied(message),
        // Serialisation, deadlock, lock not available; unique or foreign key met by somebody else's write.
        "40001" | "40P01" | "55P03" | "23505" | "23503" => Error::Contention { state: state.to_owned() },
        // The server ends the session: shutdown, crash, restart, idle in a transaction. Out of memory passes.
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "53000" | "53200" => Error::Unreachable(error),
        _ if state.starts_with("08") => Error::Unreachable(error),
        // Data, a constraint on a value, a limit on a value's size.
        _ if state.starts_with("22") || state.starts_with("23") || state.starts_with("54") => {
            Error::Data { state: state.to_owned(), source: Box::new(error) }
        }
        _ => Error::Unexpected { state: Some(state.to_owned()), source: Box::new(error) },
    }
}

/// A value of our own schema that no version of ours writes.
pub(crate) fn corrupt(what: &'static str, value: impl fmt::Display) -> Error {
    Error::Unexpected {
        state: None,
        source: Box::new(sqlx::Error::Decode(format!("`{value}` is no {what}").into())),
    }
}
