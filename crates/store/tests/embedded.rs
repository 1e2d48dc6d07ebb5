//! The embedded PostgreSQL with its real programs: sharing, stopping, dying and coming back.
//!
//! As root these tests also show that the server runs as somebody else.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sqlx::{Connection, PgConnection};
use store::embedded::{self, Embedded, EmbeddedOptions, Error};
use tempfile::TempDir;

#[tokio::test]
async fn two_users_share_one_server_and_the_last_one_stops_it() {
    let place = Place::new();
    let first = place.start().await.unwrap();
    let second = place.start().await.unwrap();
    assert!(!first.was_adopted() && second.was_adopted());
    let server = place.server();

    assert!(!first.stop_if_last().await.unwrap());
    assert_eq!(answer(&second, "select 'still here'").await, "still here");
    assert!(second.stop_if_last().await.unwrap());
    assert!(!is_alive(server));
}

#[tokio::test]
async fn each_environment_can_have_a_database_of_its_own() {
    let place = Place::new();
    let user = place.start().await.unwrap();
    let name = "staging \"EU\"";
    let (first, second) = tokio::join!(user.ensure_database(name), user.ensure_database(name));
    second.unwrap();
    let mut connection = PgConnection::connect_with(&first.unwrap()).await.unwrap();
    let current: String =
        sqlx::query_scalar("select current_database()").fetch_one(&mut connection).await.unwrap();
    assert_eq!(current, name);
    drop(connection);
    assert!(user.stop_if_last().await.unwrap());
}

#[tokio::test]
async fn users_that_start_at_the_same_time_get_the_same_server() {
    let place = Place::new();
    let (first, second, third) = tokio::join!(place.start(), place.start(), place.start());
    let users = [first.unwrap(), second.unwrap(), third.unwrap()];
    assert_eq!(users.iter().filter(|user| !user.was_adopted()).count(), 1);
    let mut stopped = 0;
    for user in users {
        stopped += usize::from(user.stop_if_last().await.unwrap());
    }
    assert_eq!(stopped, 1);
}

#[tokio::test]
async fn a_program_that_is_killed_leaves_a_server_that_the_next_one_adopts() {
    let place = Place::new();
    let mut program = OtherProgram::start(&place);
    assert!(program.first_line.starts_with("started"), "{}", program.first_line);
    let server = place.server();
    program.child.kill().unwrap();
    program.child.wait().unwrap();

    let user = place.start().await.unwrap();
    assert!(user.was_adopted());
    assert_eq!(place.server(), server);
    // The dead program no longer counts as a user.
    assert!(user.stop_if_last().await.unwrap());
}

#[tokio::test]
async fn a_server_that_another_program_uses_is_not_stopped() {
    let place = Place::new();
    let user = place.start().await.unwrap();
    let mut program = OtherProgram::start(&place);
    assert!(program.first_line.starts_with("adopted"), "{}", program.first_line);
    assert!(!user.stop_if_last().await.unwrap());
    let server = place.server();
    assert!(is_alive(server));
    assert_eq!(program.finish(), "stopped");
    assert!(!is_alive(server));
}

#[tokio::test]
async fn what_was_committed_survives_a_kill_of_the_server() {
    let place = Place::new();
    let user = place.start().await.unwrap();
    let mut connection = PgConnection::connect_with(&user.connect_options("shadow")).await.unwrap();
    sqlx::raw_sql("create table kept (word text); insert into kept values ('survives')")
        .execute(&mut connection)
        .await
        .unwrap();
    kill_dash_nine(place.server());

    let again = place.start().await.unwrap();
    assert!(!again.was_adopted());
    assert_eq!(answer(&again, "select word from kept").await, "survives");
    drop(user);
    assert!(again.stop_if_last().await.unwrap());
}

#[tokio::test]
async fn a_server_that_died_under_its_user_is_started_again_when_it_is_asked_for_a_database() {
    let place = Place::new();
    let user = place.start().await.unwrap();
    kill_dash_nine(place.server());
    let options = user.ensure_database("again").await.unwrap();
    PgConnection::connect_with(&options).await.unwrap().close().await.unwrap();
    assert!(user.stop_if_last().await.unwrap());
}

#[tokio::test]
async fn a_dead_servers_number_in_another_process_does_not_stop_the_next_server() {
    let place = Place::new();
    let user = place.start().await.unwrap();
    kill_dash_nine(place.server());
    // What a machine looks like after a crash, when the number went to another program: here, to this one.
    let marks = [place.data().join("postmaster.pid"), place.folder.join("run/.s.PGSQL.5432.lock")];
    for mark in &marks {
        let text = std::fs::read_to_string(mark).unwrap();
        let rest = text.split_once('\n').unwrap().1;
        std::fs::write(mark, format!("{}\n{rest}", std::process::id())).unwrap();
    }
    let again = place.start().await.unwrap();
    assert_eq!(answer(&again, "select 'answers'").await, "answers");
    drop(user);
    assert!(again.stop_if_last().await.unwrap());
}

#[tokio::test]
async fn a_server_whose_socket_was_deleted_is_started_anew() {
    let place = Place::new();
    let user = place.start().await.unwrap();
    let server = place.server();
    std::fs::remove_dir_all(place.folder.join("run")).unwrap();
    let again = place.start().await.unwrap();
    assert_ne!(place.server(), server);
    drop(user);
    assert!(again.stop_if_last().await.unwrap());
}

#[tokio::test]
async fn the_server_is_closed_to_others_careful_with_data_and_never_roots() {
    let place = Place::new();
    let user = place.start().await.unwrap();
    for (path, mode) in [("", 0o700), ("password", 0o600), ("cluster", 0o700), ("run", 0o700)] {
        let found = place.folder.join(path).metadata().unwrap();
        assert_eq!(found.mode() & 0o777, mode, "mode of `{path}`");
    }
    let process = Path::new("/proc").join(place.server().to_string()).metadata();
    if let Ok(process) = process {
        assert_ne!(process.uid(), 0, "the server runs as root");
    }
    for (setting, value) in [
        ("listen_addresses", ""),
        ("fsync", "on"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("password_encryption", "scram-sha-256"),
    ] {
        assert_eq!(answer(&user, &format!("select current_setting('{setting}')")).await, value, "{setting}");
    }
    let without = user.connect_options("shadow").password("not the password");
    let refused = PgConnection::connect_with(&without).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "28P01");
    assert!(user.version().starts_with(|first: char| first.is_ascii_digit()), "{}", user.version());
    assert!(user.stop_if_last().await.unwrap());
}

#[tokio::test]
async fn a_lost_or_wrong_password_and_data_of_another_version_are_named() {
    let place = Place::new();
    assert!(place.start().await.unwrap().stop_if_last().await.unwrap());
    let password = place.folder.join("password");
    let right = std::fs::read_to_string(&password).unwrap();

    std::fs::remove_file(&password).unwrap();
    assert!(matches!(place.start().await, Err(Error::PasswordLost { .. })));
    std::fs::write(&password, "wrong").unwrap();
    assert!(matches!(place.start().await, Err(Error::PasswordRefused { .. })));
    assert!(!place.data().join("postmaster.pid").exists(), "a server that refuses us is not left running");
    std::fs::write(&password, right).unwrap();

    std::fs::write(place.data().join("PG_VERSION"), "9\n").unwrap();
    assert!(matches!(place.start().await, Err(Error::OtherMajor { found, .. }) if found == "9"));
}

#[tokio::test]
async fn data_that_was_half_made_when_a_program_died_is_made_anew() {
    let place = Place::new();
    let rubbish = place.folder.join("cluster.new-1234/base");
    std::fs::create_dir_all(&rubbish).unwrap();
    let owner = Path::new("/proc/self").metadata().unwrap().uid();
    give_to_server(&place.folder, owner);
    let user = place.start().await.unwrap();
    assert!(!place.folder.join("cluster.new-1234").exists());
    assert!(user.stop_if_last().await.unwrap());
}

#[tokio::test]
async fn a_data_folder_too_deep_for_a_socket_works_all_the_same() {
    let place = Place::at(&"deep".repeat(25));
    let user = place.start().await.unwrap();
    assert_eq!(answer(&user, "select 'answers'").await, "answers");
    let short = user.connect_options("shadow").get_socket().unwrap().clone();
    assert!(!short.starts_with(&place.folder));
    assert!(user.stop_if_last().await.unwrap());
    std::fs::remove_dir_all(short).unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why_in_postgresqls_words() {
    let place = Place::new();
    assert!(place.start().await.unwrap().stop_if_last().await.unwrap());
    let settings = place.data().join("postgresql.conf");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, format!("{text}\nmax_connections = 'many'\n")).unwrap();
    let Err(Error::StartFailed { detail, .. }) = place.start().await else { panic!("it started") };
    assert!(detail.contains("max_connections"), "{detail}");
}

/// A data folder of a test's own, removed with it.
struct Place {
    _root: TempDir,
    folder: PathBuf,
}

impl Place {
    fn new() -> Self {
        Self::at("data")
    }

    fn at(name: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        // As root the server runs as another user, who must be able to come this far.
        std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let folder = root.path().join(name);
        Self { _root: root, folder }
    }

    async fn start(&self) -> Result<Embedded, Error> {
        embedded::start(EmbeddedOptions { data_dir: self.folder.clone(), binaries: None }).await
    }

    fn data(&self) -> PathBuf {
        self.folder.join("cluster")
    }

    /// The number of the server's main process.
    fn server(&self) -> u32 {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        text.lines().next().unwrap().trim().parse().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A test that failed half way must not leave its server behind.
        if let Ok(text) = std::fs::read_to_string(self.data().join("postmaster.pid"))
            && let Some(server) = text.lines().next()
        {
            let _ = Command::new("kill").args(["-QUIT", server]).status();
        }
    }
}

/// Another program that uses the server: the example `embedded`.
struct OtherProgram {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    first_line: String,
}

impl OtherProgram {
    fn start(place: &Place) -> Self {
        let tests = std::env::current_exe().unwrap();
        let program = tests.ancestors().nth(2).unwrap().join("examples/embedded");
        assert!(program.is_file(), "{} is missing: `cargo test -p store` builds it", program.display());
        let mut child = Command::new(program)
            .arg(&place.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut first_line = String::new();
        lines.read_line(&mut first_line).unwrap();
        Self { child, lines, first_line }
    }

    /// Ends it in good order. Returns the last line it printed.
    fn finish(&mut self) -> String {
        drop(self.child.stdin.take());
        let last = self.lines.by_ref().lines().map(Result::unwrap).last();
        assert!(self.child.wait().unwrap().success());
        last.unwrap_or_default()
    }
}

impl Drop for OtherProgram {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn answer(user: &Embedded, query: &str) -> String {
    let mut connection = PgConnection::connect_with(&user.connect_options("shadow")).await.unwrap();
    sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&mut connection).await.unwrap()
}

fn kill_dash_nine(server: u32) {
    assert!(Command::new("kill").args(["-KILL", &server.to_string()]).status().unwrap().success());
}

/// Whether the process runs; one that is dead and not yet collected does not.
fn is_alive(process: u32) -> bool {
    let state = Command::new("ps").args(["-o", "stat=", "-p", &process.to_string()]).output().unwrap();
    let state = String::from_utf8(state.stdout).unwrap();
    !state.trim().is_empty() && !state.starts_with('Z')
}

/// As root, a folder made by hand must be given to the user that the server runs as.
fn give_to_server(folder: &Path, owner: u32) {
    if owner == 0 {
        let users = std::fs::read_to_string("/etc/passwd").unwrap();
        let name = if users.contains("\npostgres:") { "postgres" } else { "nobody" };
        assert!(Command::new("chown").args(["-R", name]).arg(folder).status().unwrap().success());
    }
}
