//! The daemon as a process of its own, on the network that a test gives it.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::cli::program;
use crate::world::{PATIENCE, World};

/// Longer than it may take to answer, also while its database does not.
const ANSWER: Duration = Duration::from_secs(20);

/// A running daemon; killed when the test ends.
pub struct Daemon {
    child: Child,
    id: u32,
    url: String,
}

impl Daemon {
    /// Starts it with these variables, and waits until it says where it answers.
    pub async fn start(world: &World, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program());
        command.arg("--config").arg(world.config()).args(["serve", "--json", "--listen", "127.0.0.1:0"]);
        command.env_remove("SHADOW_SYNC_READ_TOKEN").envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("it runs");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("a line in time");
        let said: Value =
            serde_json::from_str(&line.expect("output").expect("a line")).expect("a line of JSON");
        let url = said["listening"].as_str().expect("an address").to_owned();
        let id = child.id().expect("it runs");
        Self { child, id, url }
    }

    /// Waits until it leads.
    pub async fn until_leads(&self, world: &World) {
        let holder = self.mark();
        world
            .until_true("it leads", async || {
                let held: Option<String> =
                    sqlx::query_scalar("select holder from shadow_sync.leases where name = 'stream'")
                        .fetch_optional(&world.pool)
                        .await
                        .expect("a query");
                held.is_some_and(|held| held.ends_with(&holder))
            })
            .await;
    }

    /// How the name ends by which it holds leases and is seen.
    fn mark(&self) -> String {
        format!("({})", self.id)
    }

    /// Waits until it is seen among the workers, in this role.
    pub async fn until_role(&self, world: &World, role: &str) {
        world
            .until_true(&format!("it is a {role}"), async || {
                let query = "select count(*) from shadow_sync.workers
                              where holder like '%' || $1 and role = $2 and seen_at > now() - interval '6 seconds'";
                let seen: i64 = sqlx::query_scalar(query)
                    .bind(self.mark())
                    .bind(role)
                    .fetch_one(&world.pool)
                    .await
                    .expect("a count");
                seen == 1
            })
            .await;
    }

    /// What it answers; none if it does not.
    pub async fn get(&self, path: &str) -> Option<String> {
        let asked = reqwest::Client::new().get(format!("{}{path}", self.url)).timeout(ANSWER).send().await;
        asked.ok()?.text().await.ok()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill").args([name, &self.id.to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits until it has ended; its exit code, none if it was killed.
    pub async fn ended(mut self) -> Option<i32> {
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .expect("an end in time")
            .expect("an end")
            .code()
    }
}
