//! The server's data folder: its layout, its password, its configuration, and how it is initialised.
//!
//! ```text
//! start.lock users.lock   see `locks`
//! password                of the role `shadow`, mode 0600
//! cluster/                PostgreSQL's own data
//! run/                    the socket
//! server.log              the server's words; the one before is server.log.1
//! binaries-*/             a copy of the programs, where the account cannot reach the original
//! ```

use std::io::Write;
use std::path::{Path, PathBuf};

use rand::Rng;
use rand::distr::Alphanumeric;

use super::account::Account;
use super::binaries::Binaries;
use super::endpoint::{Endpoint, make_private};
use super::{Error, ROLE};

/// The file of our own settings, read after PostgreSQL's.
const SETTINGS_FILE: &str = "shadow-sync.conf";

/// How the folder of data that is being made begins.
const UNFINISHED: &str = "cluster.new-";

/// Only the socket (on Windows: loopback), and only with the password.
const ACCESS: &str =
    if cfg!(windows) { "host all all 127.0.0.1/32 scram-sha-256\n" } else { "local all all scram-sha-256\n" };

/// What suits one busy program, and keeps the content of records out of the log.
const SETTINGS: &str = "\
password_encryption = 'scram-sha-256'
max_connections = 100
shared_buffers = '128MB'
max_wal_size = '2GB'
checkpoint_timeout = '15min'
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
log_checkpoints = off
log_error_verbosity = terse
log_min_error_statement = panic
cluster_name = 'shadow-sync'
";

/// The log is begun anew when it is larger than this.
const LARGEST_LOG_BYTES: u64 = 5 * 1024 * 1024;

/// The folder of one embedded server, and the programs that work on it.
#[derive(Debug, Clone)]
pub(super) struct Cluster<B = Binaries> {
    folder: PathBuf,
    account: Account,
    binaries: B,
}

/// The folder that all programs of this user share.
pub(super) fn default_data_dir() -> Result<PathBuf, Error> {
    if let Some(named) = std::env::var_os("SHADOW_SYNC_DATA_DIR").filter(|value| !value.is_empty()) {
        return Ok(PathBuf::from(named).join("postgres"));
    }
    if Account::of_the_server()?.switches() {
        return Ok(PathBuf::from("/var/lib/shadow-sync/postgres"));
    }
    let folders = directories::ProjectDirs::from("", "", "shadow-sync").ok_or(Error::NoHome)?;
    Ok(folders.data_local_dir().join("postgres"))
}

impl Cluster<()> {
    /// Makes the data folder, or checks that the one that is there is the account's own; closes it to others.
    pub(super) fn open(folder: &Path, account: Account) -> Result<Self, Error> {
        let folder = std::path::absolute(folder).map_err(Error::file(folder, "found"))?;
        if let Some(parent) = folder.parent() {
            std::fs::create_dir_all(parent).map_err(Error::file(parent, "made"))?;
            if let Some(blocked_at) = account.blocked_at(parent) {
                return Err(Error::Unreachable { blocked_at, account: account.name().to_owned() });
            }
        }
        make_private(&folder, &account)?;
        let folder = folder.canonicalize().map_err(Error::file(&folder, "found"))?;
        Ok(Self { folder, account, binaries: () })
    }

    /// Adds the programs. It may copy them, so call it with the start lock held.
    pub(super) async fn with_binaries(self, given: Option<&Path>) -> Result<Cluster, Error> {
        let given = given.map(Path::to_owned);
        let found = tokio::task::spawn_blocking(move || {
            let binaries = Binaries::find(given.as_deref(), &self.folder, &self.account)?;
            Ok(Cluster { folder: self.folder, account: self.account, binaries })
        });
        found.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }
}

impl<B> Cluster<B> {
    /// The data folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// PostgreSQL's own data.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("cluster")
    }

    /// The server's log.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// The file with the password.
    pub(super) fn password_file(&self) -> PathBuf {
        self.folder.join("password")
    }

    /// The user that the server runs as.
    pub(super) fn account(&self) -> &Account {
        &self.account
    }
}

impl Cluster {
    /// The programs.
    pub(super) fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Returns the password; initialises the data first if there is none.
    ///
    /// The data appears under its name only when it is complete, so a kill in between leaves nothing half made.
    pub(super) async fn ensure_initialised(&self) -> Result<String, Error> {
        if self.data().join("PG_VERSION").is_file() {
            self.check_major()?;
            return self.read_password();
        }
        self.remove_unfinished();
        // A name of its own: after a kill an older initdb may still be writing.
        let unfinished = self.folder.join(format!("{UNFINISHED}{:08x}", rand::random::<u32>()));
        let password_file = self.password_file();
        let password: String = rand::rng().sample_iter(Alphanumeric).take(40).map(char::from).collect();
        self.write_password(&password_file, &password)?;
        if let Err(error) = self.initialise(&unfinished, &password_file).await {
            // The failure is what matters; what initdb left is removed by the next start at the latest.
            let _ = std::fs::remove_dir_all(&unfinished);
            return Err(error);
        }
        std::fs::rename(&unfinished, self.data()).map_err(Error::file(self.data(), "made"))?;
        Ok(password)
    }

    /// Removes what killed programs left; what resists is in nobody's way and is tried again next time.
    fn remove_unfinished(&self) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    async fn initialise(&self, data: &Path, password_file: &Path) -> Result<(), Error> {
        let initdb = self.binaries.program("initdb");
        let mut command = tokio::process::Command::from(self.account.command(&initdb, &self.folder));
        command.arg("--pgdata").arg(data).arg("--pwfile").arg(password_file).args([
            "--username",
            ROLE,
            "--auth",
            "scram-sha-256",
            "--encoding",
            "UTF8",
            "--locale",
            "C",
            "--data-checksums",
        ]);
        let answer = command
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|why| Error::BinariesBroken { path: initdb, detail: why.to_string() })?;
        if !answer.status.success() {
            return Err(self.explain(&String::from_utf8_lossy(&answer.stderr), |path, detail| {
                Error::InitFailed { path, detail }
            }));
        }
        self.write_owned(&data.join("pg_hba.conf"), ACCESS)?;
        self.write_owned(&data.join(SETTINGS_FILE), SETTINGS)?;
        let main = data.join("postgresql.conf");
        let mut settings =
            std::fs::OpenOptions::new().append(true).open(&main).map_err(Error::file(&main, "written"))?;
        writeln!(settings, "\ninclude_if_exists '{SETTINGS_FILE}'").map_err(Error::file(&main, "written"))
    }

    /// Writes our settings for a server that listens at `endpoint`, and turns a large log over.
    pub(super) fn configure(&self, endpoint: &Endpoint) -> Result<(), Error> {
        let text = format!("{SETTINGS}{}", endpoint.configuration());
        self.write_owned(&self.data().join(SETTINGS_FILE), &text)?;
        let log = self.log();
        if log.metadata().is_ok_and(|found| found.len() > LARGEST_LOG_BYTES) {
            std::fs::rename(&log, self.folder.join("server.log.1")).map_err(Error::file(&log, "renamed"))?;
        }
        Ok(())
    }

    fn check_major(&self) -> Result<(), Error> {
        let path = self.data().join("PG_VERSION");
        let found = std::fs::read_to_string(&path).map_err(Error::file(&path, "read"))?.trim().to_owned();
        let have = self.binaries.major().to_owned();
        if found == have { Ok(()) } else { Err(Error::OtherMajor { path: self.folder.clone(), found, have }) }
    }

    fn read_password(&self) -> Result<String, Error> {
        let path = self.password_file();
        let text = match std::fs::read_to_string(&path) {
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::PasswordLost { path });
            }
            read => read.map_err(Error::file(&path, "read"))?,
        };
        match text.trim() {
            "" => Err(Error::PasswordLost { path }),
            password => Ok(password.to_owned()),
        }
    }

    fn write_password(&self, path: &Path, password: &str) -> Result<(), Error> {
        // Removed first: an older file would keep its mode.
        match std::fs::remove_file(path) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => Err(Error::file(path, "replaced")(why)),
            _ => self.write_owned(path, password),
        }
    }

    /// Writes a file that only the account can read.
    fn write_owned(&self, path: &Path, text: &str) -> Result<(), Error> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(Error::file(path, "written"))?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(Error::file(path, "written"))?;
        self.account.own(path)
    }

    /// Turns what a program of PostgreSQL wrote before it gave up into the error that says what to do.
    pub(super) fn explain(&self, written: &str, otherwise: impl FnOnce(PathBuf, String) -> Error) -> Error {
        let detail = last_lines(written);
        let says = |words: &str| written.contains(words);
        if says("No space left on device") || says("Disk quota exceeded") {
            Error::DiskFull { path: self.folder.clone() }
        } else if says("could not create any Unix-domain sockets")
            || says("could not create any TCP/IP sockets")
        {
            Error::Address { address: self.folder.join("run").display().to_string(), detail }
        } else if says("Permission denied") || says("has invalid permissions") || says("has wrong ownership")
        {
            Error::NoPermission { path: self.folder.clone(), detail }
        } else {
            otherwise(self.folder.clone(), detail)
        }
    }
}

/// The last few lines, as one.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines.len() {
        0 => "it wrote nothing".to_owned(),
        count => lines[count.saturating_sub(4)..].join("; "),
    }
}
