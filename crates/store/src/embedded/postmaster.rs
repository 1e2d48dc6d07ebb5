//! The server's main process: found by its file, adopted when it answers, started, stopped.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::error::DatabaseError;
use tokio::sync::oneshot;

use super::cluster::Cluster;
use super::endpoint::Endpoint;
use super::{Credentials, Error};

/// How long a server that runs but does not answer is waited for.
const SILENCE: Duration = Duration::from_mins(1);
/// How long a server that says it is recovering is waited for.
const RECOVERY: Duration = Duration::from_mins(15);
/// How long processes of a killed server may hold its memory before a new one can start.
const ORPHANS: Duration = Duration::from_mins(1);
/// How long between two looks.
const LOOK: Duration = Duration::from_millis(30);

/// What a running server writes about itself into `postmaster.pid`.
#[derive(Debug, PartialEq, Eq)]
struct PidFile {
    pid: u32,
    endpoint: Endpoint,
    ready: bool,
}

impl PidFile {
    fn read(cluster: &Cluster) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(cluster.data().join("postmaster.pid")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let port = lines.get(3)?.parse().ok()?;
        let endpoint = Endpoint::of_running(lines.get(4)?, port);
        let ready = lines.get(7).is_some_and(|status| *status == "ready");
        Some(Self { pid: lines.first()?.parse().ok()?, endpoint, ready })
    }
}

/// Returns where the server of this folder listens, if one runs and answers.
///
/// A running server that says it is ready but whose socket is gone is stopped, so that a new one can be started.
pub(super) async fn adopt(
    cluster: &Cluster,
    credentials: &Credentials<'_>,
) -> Result<Option<Endpoint>, Error> {
    let mut waiting = Waiting::new(cluster);
    loop {
        let Some(found) = PidFile::read(cluster) else { return Ok(None) };
        if !runs(found.pid, &cluster.data()) {
            return Ok(None);
        }
        match attempt(&found.endpoint, credentials, cluster).await? {
            Answer::Yes => return Ok(Some(found.endpoint)),
            Answer::NotYet => waiting.recovering(),
            Answer::Nothing if found.ready && waiting.lasted(Duration::from_secs(3)) => {
                tracing::warn!("the embedded PostgreSQL runs but its socket is gone: it is started anew");
                stop(cluster).await?;
                return Ok(None);
            }
            Answer::Nothing => {}
        }
        waiting.pause().await?;
    }
}

/// Starts the server and waits until it answers.
pub(super) async fn start(cluster: &Cluster, credentials: &Credentials<'_>) -> Result<Endpoint, Error> {
    let endpoint = Endpoint::choose(cluster.folder(), cluster.account())?;
    cluster.configure(&endpoint)?;
    remove_leftovers(cluster, &endpoint)?;
    let begun = Instant::now();
    loop {
        match start_once(cluster, &endpoint, credentials).await? {
            Started::Answers => return Ok(endpoint),
            // Processes of a killed server end as soon as they notice; until then its memory is theirs.
            Started::Refused(words) if words.contains("is still in use") && begun.elapsed() < ORPHANS => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Started::Refused(words) => {
                let log = cluster.log();
                return Err(cluster.explain(&words, |_, detail| Error::StartFailed { detail, log }));
            }
        }
    }
}

/// How one attempt to start ended.
enum Started {
    Answers,
    /// The process ended by itself; what it wrote.
    Refused(String),
}

async fn start_once(
    cluster: &Cluster,
    endpoint: &Endpoint,
    credentials: &Credentials<'_>,
) -> Result<Started, Error> {
    let log = cluster.log();
    let length_before = log.metadata().map_or(0, |found| found.len());
    let mut ended = spawn(cluster)?;
    let mut waiting = Waiting::new(cluster);
    loop {
        if ended.try_recv().is_ok() {
            return Ok(Started::Refused(read_from(&log, length_before)));
        }
        match attempt(endpoint, credentials, cluster).await {
            Ok(Answer::Yes) => return Ok(Started::Answers),
            Ok(Answer::NotYet) => waiting.recovering(),
            Ok(Answer::Nothing) => {}
            Err(error) => {
                stop(cluster).await?;
                return Err(error);
            }
        }
        if let Err(error) = waiting.pause().await {
            stop(cluster).await?;
            return Err(error);
        }
    }
}

/// Starts the process in a group of its own, so that Ctrl-C in our terminal does not reach it.
fn spawn(cluster: &Cluster) -> Result<oneshot::Receiver<Option<ExitStatus>>, Error> {
    let path = cluster.binaries().program("postgres");
    let log = cluster.log();
    let output =
        OpenOptions::new().create(true).append(true).open(&log).map_err(Error::file(&log, "opened"))?;
    let errors = output.try_clone().map_err(Error::file(&log, "opened"))?;
    let mut command = cluster.account().command(&path, cluster.folder());
    command.arg("-D").arg(cluster.data()).stdin(Stdio::null()).stdout(output).stderr(errors);
    let mut child = command.spawn().map_err(|why| Error::BinariesBroken { path, detail: why.to_string() })?;
    let (tell, ended) = oneshot::channel();
    // The server outlives this program, but while both live somebody must collect a server that died: its number
    // would stay taken, and the next server would believe it still runs. The thread holds nothing else.
    std::thread::spawn(move || {
        let status = child.wait().ok();
        // Nobody listens any more once the server answers.
        let _ = tell.send(status);
    });
    Ok(ended)
}

/// Stops the server, if one runs; its sessions are ended.
pub(super) async fn stop(cluster: &Cluster) -> Result<(), Error> {
    let Some(found) = PidFile::read(cluster).filter(|found| runs(found.pid, &cluster.data())) else {
        return Ok(());
    };
    let path = cluster.binaries().program("pg_ctl");
    let mut command = tokio::process::Command::from(cluster.account().command(&path, cluster.folder()));
    command.args(["stop", "--silent", "--mode", "fast", "--timeout", "60", "--pgdata"]).arg(cluster.data());
    let answer =
        command.output().await.map_err(|why| Error::BinariesBroken { path, detail: why.to_string() })?;
    if answer.status.success() || !runs(found.pid, &cluster.data()) {
        return Ok(());
    }
    Err(Error::StopFailed { detail: String::from_utf8_lossy(&answer.stderr).trim().to_owned() })
}

/// What a server says when it is asked for a connection.
enum Answer {
    Yes,
    /// It is there, and starting, recovering or full.
    NotYet,
    /// Nobody listens.
    Nothing,
}

async fn attempt(
    endpoint: &Endpoint,
    credentials: &Credentials<'_>,
    cluster: &Cluster,
) -> Result<Answer, Error> {
    let connecting = tokio::time::timeout(Duration::from_secs(10), credentials.connect(endpoint));
    let error = match connecting.await {
        Ok(Ok(connection)) => {
            // A connection that closes badly was still a connection.
            let _ = connection.close().await;
            return Ok(Answer::Yes);
        }
        Ok(Err(error)) => error,
        Err(_elapsed) => return Ok(Answer::Nothing),
    };
    match error.as_database_error().and_then(DatabaseError::code).as_deref() {
        // cannot_connect_now, too_many_connections
        Some("57P03" | "53300") => Ok(Answer::NotYet),
        // invalid_password, invalid_authorization_specification
        Some("28P01" | "28000") => Err(Error::PasswordRefused { path: cluster.password_file() }),
        Some(_) => Err(Error::Connect(error)),
        None => Ok(Answer::Nothing),
    }
}

/// Keeps the time while a server is waited for.
struct Waiting {
    begun: Instant,
    patience: Duration,
    log: PathBuf,
}

impl Waiting {
    fn new(cluster: &Cluster) -> Self {
        Self { begun: Instant::now(), patience: SILENCE, log: cluster.log() }
    }

    fn recovering(&mut self) {
        self.patience = RECOVERY;
    }

    fn lasted(&self, time: Duration) -> bool {
        self.begun.elapsed() > time
    }

    async fn pause(&self) -> Result<(), Error> {
        if self.lasted(self.patience) {
            return Err(Error::Silent { seconds: self.patience.as_secs(), log: self.log.clone() });
        }
        tokio::time::sleep(LOOK).await;
        Ok(())
    }
}

/// Removes a killed server's marks when its number has passed to another process.
///
/// PostgreSQL takes such a number for a running server and refuses to start. That no process of the old server works
/// on the data any more is checked by PostgreSQL itself, by the memory that they share.
fn remove_leftovers(cluster: &Cluster, endpoint: &Endpoint) -> Result<(), Error> {
    let Some(left) = PidFile::read(cluster).filter(|left| exists(left.pid)) else {
        return Ok(());
    };
    let path = cluster.data().join("postmaster.pid");
    std::fs::remove_file(&path).map_err(Error::file(&path, "removed"))?;
    left.endpoint.remove_leftovers();
    endpoint.remove_leftovers();
    Ok(())
}

/// Whether process `pid` is a server that works in `data`.
#[cfg(target_os = "linux")]
fn runs(pid: u32, data: &Path) -> bool {
    // A dead process that nobody collected has no folder any more.
    std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == data)
}

#[cfg(target_os = "linux")]
fn exists(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(all(unix, not(target_os = "linux")))]
fn runs(pid: u32, data: &Path) -> bool {
    let asked =
        std::process::Command::new("ps").args(["-o", "stat=,command=", "-p", &pid.to_string()]).output();
    asked.is_ok_and(|answer| {
        let line = String::from_utf8_lossy(&answer.stdout).into_owned();
        !line.starts_with('Z') && line.contains("postgres") && line.contains(&*data.to_string_lossy())
    })
}

#[cfg(all(unix, not(target_os = "linux")))]
fn exists(pid: u32) -> bool {
    let asked = std::process::Command::new("ps").args(["-p", &pid.to_string()]).output();
    asked.is_ok_and(|answer| answer.status.success())
}

#[cfg(windows)]
fn runs(_pid: u32, data: &Path) -> bool {
    // Windows removes nothing for us; whether the server lives shows when it is asked for a connection.
    data.join("postmaster.pid").is_file()
}

#[cfg(windows)]
fn exists(_pid: u32) -> bool {
    false
}

fn read_from(log: &Path, position: u64) -> String {
    let mut text = Vec::new();
    let read = std::fs::File::open(log).and_then(|mut file| {
        file.seek(SeekFrom::Start(position))?;
        file.read_to_end(&mut text)
    });
    match read {
        Ok(_) => String::from_utf8_lossy(&text).into_owned(),
        Err(why) => format!("its log cannot be read: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_own_file_tells_its_number_and_address() {
        let text = "4711\n/data/cluster\n1790000000\n5432\n/data/run\n\n   98765   32\nready   \n";
        let endpoint = Endpoint::Socket { folder: "/data/run".into(), port: 5432 };
        assert_eq!(PidFile::parse(text), Some(PidFile { pid: 4711, endpoint, ready: true }));
    }

    #[test]
    fn a_file_that_is_being_written_is_no_server_yet() {
        assert_eq!(PidFile::parse(""), None);
        assert_eq!(PidFile::parse("4711\n/data/cluster\n179"), None);
    }
}
