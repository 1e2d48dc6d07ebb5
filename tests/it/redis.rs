//! A real Redis for a test: started on a free port, stopped, frozen, started again.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

use crate::world::World;

/// How long a key may wait for its second deletion in tests.
pub const DELAY: Duration = Duration::from_millis(400);

/// A Redis server of a test's own.
pub struct Redis {
    pub port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl Redis {
    /// Starts an empty one that keeps nothing on disk by itself.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let mut redis = Self { port, folder: tempfile::tempdir().expect("a folder"), child: None };
        redis.start_again().await;
        redis
    }

    /// Starts it at the same place, with what it kept on disk.
    pub async fn start_again(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        self.child = Some(child);
        let ends = Instant::now() + Duration::from_secs(10);
        while self.try_connect().await.is_none() {
            assert!(Instant::now() < ends, "Redis does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    async fn try_connect(&self) -> Option<MultiplexedConnection> {
        let client = redis::Client::open(self.url()).expect("an address");
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        redis::cmd("PING").query_async::<String>(&mut connection).await.ok()?;
        Some(connection)
    }

    pub async fn connection(&self) -> MultiplexedConnection {
        self.try_connect().await.expect("Redis answers")
    }

    /// Fills keys as a shop does.
    pub async fn fill(&self, keys: &[&str]) {
        let mut connection = self.connection().await;
        for key in keys {
            connection.set::<_, _, ()>(*key, "cached").await.expect("a set");
        }
    }

    /// Fills so many keys, `catalog:1` and so on, a piece at a time: a client waits for no answer for long.
    pub async fn fill_catalogue(&self, count: usize) {
        let piece = 10_000;
        for first in (1..=count).step_by(piece) {
            let last = (first + piece - 1).min(count);
            let script = format!("for i = {first}, {last} do redis.call('SET', 'catalog:' .. i, 'x') end");
            self.run(&["EVAL", &script, "0"]).await;
        }
    }

    /// How many keys there are.
    pub async fn size(&self) -> usize {
        redis::cmd("DBSIZE").query_async(&mut self.connection().await).await.expect("a number")
    }

    pub async fn has(&self, key: &str) -> bool {
        self.connection().await.exists(key).await.expect("an answer")
    }

    /// Every key, in order.
    pub async fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.connection().await.keys("*").await.expect("keys");
        keys.sort_unstable();
        keys
    }

    /// Runs any command.
    pub async fn run(&self, command: &[&str]) {
        let mut all = redis::cmd(command[0]);
        all.arg(&command[1..]);
        all.query_async::<redis::Value>(&mut self.connection().await).await.expect("an answer");
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it ran");
            child.wait().expect("an end");
        }
    }

    /// Sends a signal: `STOP` freezes it, `CONT` lets it go on.
    pub fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &id]).status().expect("kill runs");
        assert!(sent.success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Gives the world's environment this cache, for every process that starts from now on.
pub fn configure(world: &World, redis: &Redis) {
    let mut text = std::fs::read_to_string(world.config()).expect("the configuration");
    text += &format!("redis_url = \"{}\"\nflush_delay = \"{}ms\"\n", redis.url(), DELAY.as_millis());
    std::fs::write(world.config(), text).expect("the configuration");
}

/// Waits until every order to delete keys is done.
pub async fn until_flushed(world: &World) {
    world
        .until_true("every order to delete keys is done", async || {
            world.number("select count(*) from shadow_sync.invalidations where done_at is null").await == 0
        })
        .await;
}
