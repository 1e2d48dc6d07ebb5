//! Real Redis servers on free ports, in folders that go away with them.
//!
//! They come from `redis-server` and `redis-cli` of the search path (Debian: redis-server, redis-tools).

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything here may take before a test fails.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    folder: TempDir,
    port: u16,
    words: Vec<String>,
    /// What `redis-cli` needs to reach it.
    reach: &'static [&'static str],
}

/// For a server that speaks TLS.
const TLS: &[&str] = &["--tls", "--insecure"];

impl Server {
    /// One server that keeps nothing on disk.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// One server with further words of its command line, such as `--requirepass`.
    pub fn with(words: &[&str]) -> Self {
        for _ in 0..20 {
            let folder = tempfile::tempdir().expect("a folder for redis-server");
            let port = free_port();
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let child = spawn(folder.path(), port, &words);
            let mut server = Self { child, folder, port, words, reach: &[] };
            // Another program may have taken the port meanwhile: then the server ends at once.
            if server.answers() {
                return server;
            }
        }
        panic!("redis-server did not start on any of 20 free ports");
    }

    /// One server that speaks TLS only.
    pub fn with_tls(words: &[&str]) -> Self {
        // Its plain port is switched off by what comes later on the command line.
        let with_port = |port: u16| {
            let port = port.to_string();
            [&["--port", "0", "--tls-port", &port], words]
                .concat()
                .iter()
                .map(|word| (*word).to_owned())
                .collect()
        };
        for _ in 0..20 {
            let folder = tempfile::tempdir().expect("a folder for redis-server");
            let port = free_port();
            let words: Vec<String> = with_port(port);
            let child = spawn(folder.path(), port, &words);
            let mut server = Self { child, folder, port, words, reach: TLS };
            if server.answers() {
                return server;
            }
        }
        panic!("redis-server did not start on any of 20 free ports");
    }

    /// Its port on this machine.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again after a kill, on the same port and with what it kept on disk.
    pub fn start_again(&mut self) {
        self.child = spawn(self.folder.path(), self.port, &self.words);
        assert!(self.answers(), "redis-server did not start again on port {}", self.port);
    }

    /// Starts it again after a kill, without waiting until it answers.
    pub fn spawn_again(&mut self) {
        self.child = spawn(self.folder.path(), self.port, &self.words);
    }

    /// What `redis-cli` prints for a command.
    pub fn cli(&self, words: &[&str]) -> String {
        cli(self.port, &[self.reach, words].concat())
    }

    /// Fills it: `{prefix}0` up to `{prefix}{count - 1}`, each with a small value.
    pub fn fill(&self, prefix: &str, count: usize) {
        let mut load = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "--pipe"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-cli starts");
        let mut pipe = load.stdin.take().expect("a pipe to redis-cli");
        for number in 0..count {
            let key = format!("{prefix}{number}");
            write!(pipe, "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n$1\r\nv\r\n", key.len())
                .expect("redis-cli reads");
        }
        drop(pipe);
        assert!(load.wait().expect("redis-cli ends").success());
    }

    fn answers(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < DEADLINE {
            if self.child.try_wait().expect("redis-server can be waited for").is_some() {
                return false;
            }
            if says_something(self.port) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server on port {} did not answer in {DEADLINE:?}", self.port);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A cluster of three masters with `replicas` replicas each.
pub struct Cluster {
    /// Masters and replicas in the order of their start.
    pub servers: Vec<Server>,
}

impl Cluster {
    /// Starts it and waits until every node agrees.
    pub fn start(replicas: usize) -> Self {
        let words = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
        Self::of((0..3 * (1 + replicas)).map(|_| Server::with(&words)).collect(), replicas)
    }

    /// Starts one whose nodes speak nothing but TLS, with the words that say how.
    pub fn secure(words: &[&str]) -> Self {
        let cluster = ["--cluster-enabled", "yes", "--tls-cluster", "yes", "--tls-replication", "yes"];
        Self::of((0..3).map(|_| Server::with_tls(&[&cluster, words].concat())).collect(), 0)
    }

    fn of(servers: Vec<Server>, replicas: usize) -> Self {
        let mut create = Command::new("redis-cli");
        create.args(servers[0].reach).args(["--cluster", "create"]);
        create.args(servers.iter().map(|server| format!("127.0.0.1:{}", server.port)));
        create.args(["--cluster-replicas", &replicas.to_string(), "--cluster-yes"]);
        let output = create.output().expect("redis-cli starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let cluster = Self { servers };
        cluster.until("every node sees the whole cluster", |server| {
            server.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
                && server.cli(&["CLUSTER", "NODES"]).matches(" connected").count() == 3 * (1 + replicas)
        });
        cluster
    }

    /// Its address, with every node in it.
    pub fn url(&self) -> String {
        let hosts: Vec<String> =
            self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        format!("redis-cluster://{}", hosts.join(","))
    }

    /// The masters, as the first node that answers sees them: those that are reachable and hold slots.
    pub fn masters(&self) -> Vec<&Server> {
        let is_master = |server: &&Server| {
            let role = server.cli(&["ROLE"]);
            role.starts_with("master")
        };
        self.servers.iter().filter(is_master).collect()
    }

    /// Waits until something holds for every node.
    pub fn until(&self, what: &str, holds: impl Fn(&Server) -> bool) {
        until(what, || self.servers.iter().all(&holds));
    }
}

/// A master, its replica, and three Sentinels that watch them as `shop`.
pub struct Watched {
    /// The first master.
    pub master: Server,
    /// Its replica.
    pub replica: Server,
    /// The three.
    pub sentinels: Vec<Server>,
}

impl Watched {
    /// Starts them and waits until the Sentinels know each other and the replica.
    pub fn start() -> Self {
        Self::of("", &[])
    }

    /// The same, where the Sentinels ask for the password `secret`.
    pub fn guarded() -> Self {
        Self::of("requirepass secret\n", &["-a", "secret", "--no-auth-warning"])
    }

    fn of(settings: &str, reach: &'static [&'static str]) -> Self {
        let master = Server::start();
        let replica = Server::with(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
        let sentinels: Vec<Server> = (0..3).map(|_| sentinel(master.port, settings, reach)).collect();
        let watched = Self { master, replica, sentinels };
        until("the Sentinels know each other and the replica", || {
            watched.sentinels.iter().all(|sentinel| {
                let says = sentinel.cli(&["SENTINEL", "MASTER", "shop"]);
                let fields: Vec<&str> = says.lines().collect();
                let field = |name: &str| {
                    fields.iter().position(|line| *line == name).and_then(|at| fields.get(at + 1))
                };
                field("num-slaves") == Some(&"1") && field("num-other-sentinels") == Some(&"2")
            })
        });
        until("the replica follows", || watched.replica.cli(&["ROLE"]).contains("connected"));
        watched
    }

    /// Their address.
    pub fn url(&self) -> String {
        let hosts: Vec<String> =
            self.sentinels.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        format!("redis+sentinel://{}/shop", hosts.join(","))
    }
}

fn sentinel(master: u16, further: &str, reach: &'static [&'static str]) -> Server {
    for _ in 0..20 {
        let folder = tempfile::tempdir().expect("a folder for a Sentinel");
        let port = free_port();
        let settings = folder.path().join("sentinel.conf");
        let text = format!(
            "sentinel monitor shop 127.0.0.1 {master} 2\nsentinel down-after-milliseconds shop 500\n\
             sentinel failover-timeout shop 5000\nsentinel parallel-syncs shop 1\n{further}"
        );
        std::fs::write(&settings, text).expect("a Sentinel's settings can be written");
        let words = vec!["--sentinel".to_owned()];
        let child = Command::new("redis-server")
            .arg(&settings)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--sentinel"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server (Debian: redis-server) is on the search path");
        let mut server = Server { child, folder, port, words, reach };
        if server.answers() {
            return server;
        }
    }
    panic!("no Sentinel started on any of 20 free ports");
}

/// Waits until something holds.
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What `redis-cli` prints for a command to the server on a port of this machine.
pub fn cli(port: u16, words: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-p", &port.to_string()])
        .args(words)
        .output()
        .expect("redis-cli (Debian: redis-tools) is on the search path");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn spawn(folder: &Path, port: u16, words: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"])
        .args(words)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server (Debian: redis-server) is on the search path")
}

/// A server answers a PING with something, be it a refusal; one that speaks TLS closes the connection.
fn says_something(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let answer = stream.write_all(b"PING\r\n").and_then(|()| stream.read(&mut [0]));
    !answer.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

/// A port that is free now, and the one that a cluster's bus adds to it: 10,000 above.
fn free_port() -> u16 {
    for _ in 0..1_000 {
        let port = TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let Some(bus) = port.checked_add(10_000) else { continue };
        if TcpListener::bind(("127.0.0.1", bus)).is_ok() {
            return port;
        }
    }
    panic!("no free port with a free one 10,000 above it");
}
