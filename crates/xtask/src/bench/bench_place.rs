//! Where a measurement runs: a folder, an embedded PostgreSQL with all its safety on, and a simulated org beside it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::process::{Background, output_of, run_shown};
use crate::workspace::Workspace;

/// A folder with a running server; all of it is gone when this is dropped.
pub struct Place {
    folder: PathBuf,
    programs: PathBuf,
    postgres: PathBuf,
    holder: Child,
    /// Open as long as the holder may print.
    _output: BufReader<ChildStdout>,
    connection: String,
    version: String,
}

impl Place {
    /// Builds the programs with optimisation and starts the server.
    pub fn make(workspace: &Workspace) -> Result<Self> {
        run_shown(&mut workspace.cargo(&[
            "build",
            "--release",
            "--package",
            "shadow-sync",
            "--package",
            "store",
            "--bin",
            "shadow-sync",
            "--example",
            "embedded",
        ]))?;
        let programs = workspace.optimised();
        let folder = std::env::temp_dir().join(format!("shadow-sync-bench-{}", std::process::id()));
        std::fs::create_dir(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let postgres = workspace.embedded_postgres();
        let mut holder = Command::new(programs.join("examples/embedded"))
            .arg(folder.join("postgres"))
            .env("SHADOW_SYNC_POSTGRES_DIR", &postgres)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the embedded PostgreSQL could not be started")?;
        let mut output = BufReader::new(holder.stdout.take().context("it has no output")?);
        let lines: Vec<String> = output.by_ref().lines().take(2).collect::<Result<_, _>>()?;
        let [first, second] = lines.as_slice() else {
            anyhow::bail!("the embedded PostgreSQL did not start")
        };
        let connection = second.trim_start_matches("psql ").trim_matches('\'').to_owned();
        let version = first.trim_start_matches("started ").to_owned();
        Ok(Self { folder, programs, postgres, holder, _output: output, connection, version })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The server's name and version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Starts a simulated org with so many price book entries, and writes the environment that signs in to it.
    pub fn start_org(&self, entries: u64) -> Result<Background> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let log = File::create(self.folder.join("demo-org.log"))?;
        let mut command = self.program();
        command.args([
            "demo-org",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--prices",
            &entries.to_string(),
        ]);
        command
            .args(["--products", &(entries / 20).to_string(), "--accounts", "10"])
            .stdout(log.try_clone()?);
        let mut org = Background::start(&mut command, &log)?;
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            ensure!(
                !org.has_ended() && begun.elapsed() < Duration::from_mins(2),
                "the simulated org did not start"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        self.write_environment(&format!(
            "[environments.bench]\nkind = \"demo\"\nlogin_url = \"http://127.0.0.1:{port}\"\n\
             sign_in = \"client-credentials\"\ndatabase_url = \"embedded\"\n"
        ))?;
        Ok(org)
    }

    /// Writes the configuration.
    pub fn write_environment(&self, text: &str) -> Result<()> {
        Ok(std::fs::write(self.folder.join("config.toml"), text)?)
    }

    /// The program, without any words.
    pub fn program(&self) -> Command {
        Command::new(self.programs.join("shadow-sync"))
    }

    /// The command line in this place.
    pub fn shadow_sync(&self, words: &[&str]) -> Command {
        let mut command = self.program();
        command.args(words).args(["--json", "--config"]).arg(self.folder.join("config.toml"));
        command.env("SHADOW_SYNC_DATA_DIR", &self.folder).env("SHADOW_SYNC_POSTGRES_DIR", &self.postgres);
        command
    }

    /// The database that the environment made for itself.
    pub fn database(&self) -> Result<String> {
        let names =
            self.sql("postgres", "select datname from pg_database where not datistemplate order by 1")?;
        for name in names.lines() {
            if self.sql(name, "select to_regclass('sf_pricebook_shadow') is not null")? == "t" {
                return Ok(name.to_owned());
            }
        }
        anyhow::bail!("no database has the shadow tables")
    }

    /// Runs SQL in a database of the server. Returns what psql prints, bare.
    pub fn sql(&self, database: &str, text: &str) -> Result<String> {
        let mut command = self.psql(database)?;
        Ok(output_of(command.args(["--command", text]))?.trim().to_owned())
    }

    /// Runs a file of SQL and psql's own commands.
    pub fn script(&self, database: &str, file: &Path) -> Result<String> {
        output_of(self.psql(database)?.arg("--file").arg(file))
    }

    /// psql, connected to a database of the server.
    pub fn psql(&self, database: &str) -> Result<Command> {
        let password = std::fs::read_to_string(self.folder.join("postgres/password"))?;
        let mut command = Command::new("psql");
        command.arg(self.connection.replace("dbname=shadow", &format!("dbname={database}")));
        command.env("PGPASSWORD", password.trim()).current_dir(&self.folder);
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        Ok(command)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The end of its input is what it waits for; then it stops the server.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
