//! A real Redis for the window's environment: started on a free port, emptied by nobody but the test, ended with it.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::window::free_port;

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Redis {
    server: Child,
    port: u16,
    _folder: TempDir,
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Redis {
    /// Starts a server that keeps nothing on disk.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let server = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--enable-debug-command", "local", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is there (Debian: redis-server)");
        let redis = Self { server, port, _folder: folder };
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(begun.elapsed() < PATIENCE, "redis-server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        redis
    }

    /// What the environment names it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Makes keys `PREFIX:0` to `PREFIX:COUNT-1`.
    pub fn populate(&self, prefix: &str, count: usize) {
        assert_eq!(self.ask(&format!("DEBUG POPULATE {count} {prefix} 16")), "+OK");
    }

    pub fn set(&self, key: &str) {
        assert_eq!(self.ask(&format!("SET {key} 1")), "+OK");
    }

    /// How many keys there are in all.
    pub fn size(&self) -> usize {
        let answer = self.ask("DBSIZE");
        answer.strip_prefix(':').and_then(|size| size.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
    }

    /// The first line of the answer to a command.
    fn ask(&self, command: &str) -> String {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("Redis listens");
        connection.write_all(format!("{command}\r\n").as_bytes()).expect("Redis hears");
        let mut line = String::new();
        BufReader::new(connection).read_line(&mut line).expect("Redis answers");
        line.trim_end().to_owned()
    }
}
