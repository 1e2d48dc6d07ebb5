//! Where the server listens: a Unix socket in a closed folder; on Windows a loopback port.

use std::path::{Path, PathBuf};

use sqlx::postgres::PgConnectOptions;

use super::Error;
use super::account::Account;

/// The port in a socket's file name. Each server has a folder of its own, so they never meet.
const SOCKET_PORT: u16 = 5432;

/// The longest path of a socket: 108 bytes on Linux and 104 on macOS, with the closing zero.
const LONGEST_SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// An address of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// A folder with the socket `.s.PGSQL.<port>`.
    Socket {
        /// The folder.
        folder: PathBuf,
        /// The port in the socket's name.
        port: u16,
    },
    /// A port on 127.0.0.1.
    Loopback {
        /// The port.
        port: u16,
    },
}

impl Endpoint {
    /// Chooses where a new server of this data folder listens, and makes the socket's folder.
    pub(super) fn choose(data_dir: &Path, account: &Account) -> Result<Self, Error> {
        if cfg!(windows) {
            return Self::free_port();
        }
        let folder = socket_folder(data_dir, account.uid());
        make_private(&folder, account)?;
        Ok(Self::Socket { folder, port: SOCKET_PORT })
    }

    /// The address that a running server wrote into `postmaster.pid`.
    pub(super) fn of_running(folder: &str, port: u16) -> Self {
        if folder.is_empty() { Self::Loopback { port } } else { Self::Socket { folder: folder.into(), port } }
    }

    fn free_port() -> Result<Self, Error> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr());
        let port = listener
            .map_err(|why| Error::Address { address: "127.0.0.1".to_owned(), detail: why.to_string() })?
            .port();
        Ok(Self::Loopback { port })
    }

    /// The lines of the server's configuration that make it listen here, and nowhere else.
    pub(super) fn configuration(&self) -> String {
        match self {
            Self::Socket { folder, port } => format!(
                "listen_addresses = ''\nport = {port}\nunix_socket_directories = {}\nunix_socket_permissions = 0700\n",
                quoted_folder(&folder.to_string_lossy())
            ),
            Self::Loopback { port } => {
                format!("listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\n")
            }
        }
    }

    /// Points `options` here.
    pub(super) fn apply(&self, options: PgConnectOptions) -> PgConnectOptions {
        match self {
            Self::Socket { folder, port } => options.socket(folder).port(*port),
            Self::Loopback { port } => options.host("127.0.0.1").port(*port),
        }
    }

    /// Removes what a killed server left of its socket, so that its number, if another process has it now, does not
    /// stop the next server.
    pub(super) fn remove_leftovers(&self) {
        if let Self::Socket { folder, port } = self {
            for name in [format!(".s.PGSQL.{port}"), format!(".s.PGSQL.{port}.lock")] {
                // Whatever cannot be removed is reported by the server when it starts.
                let _ = std::fs::remove_file(folder.join(name));
            }
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket { folder, .. } => write!(formatter, "the socket in {}", folder.display()),
            Self::Loopback { port } => write!(formatter, "127.0.0.1:{port}"),
        }
    }
}

/// `run` in the data folder; where that makes the socket's path too long, a short folder of this user.
fn socket_folder(data_dir: &Path, uid: u32) -> PathBuf {
    let usual = data_dir.join("run");
    if fits(&usual) {
        return usual;
    }
    let name = format!("shadow-sync-{uid}-{:08x}", short_hash(data_dir.as_os_str().as_encoded_bytes()));
    // The server may run as another user than this program: a runtime folder is closed to everybody but its owner.
    let runtime =
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| is_owned_by(folder, uid));
    runtime.map(|folder| folder.join(&name)).filter(|folder| fits(folder)).unwrap_or_else(|| {
        // Not the variable TMPDIR: that can be as long as the folder that did not fit.
        Path::new("/tmp").join(&name)
    })
}

#[cfg(unix)]
fn is_owned_by(folder: &Path, uid: u32) -> bool {
    use std::os::unix::fs::MetadataExt;
    folder.metadata().is_ok_and(|found| found.is_dir() && found.uid() == uid)
}

#[cfg(not(unix))]
fn is_owned_by(folder: &Path, _uid: u32) -> bool {
    folder.is_dir()
}

fn fits(folder: &Path) -> bool {
    folder.join(format!(".s.PGSQL.{SOCKET_PORT}")).as_os_str().len() <= LONGEST_SOCKET_PATH
}

/// FNV-1a: the same in every version of this program, which the standard hasher does not promise.
pub(super) fn short_hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Makes a folder of mode 0700, or checks that the one that is there is closed and the account's own.
pub(super) fn make_private(folder: &Path, account: &Account) -> Result<(), Error> {
    match std::fs::create_dir(folder) {
        Ok(()) => account.own(folder)?,
        Err(why) if why.kind() == std::io::ErrorKind::AlreadyExists => {
            let found = folder.symlink_metadata().map_err(Error::file(folder, "read"))?;
            if !found.is_dir() {
                let source = std::io::Error::from(std::io::ErrorKind::NotADirectory);
                return Err(Error::file(folder, "used as a folder")(source));
            }
            account.owns(folder)?;
        }
        Err(why) => return Err(Error::file(folder, "made")(why)),
    }
    close_to_others(folder)
}

#[cfg(unix)]
fn close_to_others(folder: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    let closed = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(folder, closed).map_err(Error::file(folder, "closed to other users"))
}

#[cfg(not(unix))]
fn close_to_others(_folder: &Path) -> Result<(), Error> {
    // A folder in the user's profile is closed to other users already.
    Ok(())
}

/// A folder as a value of `postgresql.conf`: the setting is a list, whose items have quotes of their own.
fn quoted_folder(folder: &str) -> String {
    let item = folder.replace('"', "\"\"");
    format!("'\"{}\"'", item.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_too_deep_for_a_socket_gets_a_short_one_that_stays_the_same() {
        let deep = PathBuf::from("/").join("d".repeat(90));
        let first = socket_folder(&deep, 7);
        assert!(fits(&first), "{}", first.display());
        assert_eq!(first, socket_folder(&deep, 7));
        assert_ne!(first, socket_folder(&deep.join("x"), 7));
        assert_eq!(socket_folder(Path::new("/var/lib/x"), 7), Path::new("/var/lib/x/run"));
    }

    #[test]
    fn a_quote_or_comma_in_a_folder_name_stays_inside_its_setting() {
        let endpoint = Endpoint::Socket { folder: "/home/o'neil, jr/run".into(), port: 5432 };
        assert!(endpoint.configuration().contains(r#"unix_socket_directories = '"/home/o''neil, jr/run"'"#));
    }
}
