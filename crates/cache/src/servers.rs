//! Which servers hold the keys, and whether they are still the same ones.

use std::collections::HashMap;

use crate::cluster;
use crate::connect::Node;
use crate::error::Place;
use crate::{Cache, Error};

/// A master, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Host and port.
    pub address: String,
    /// Drawn at random when the server starts: another one means that it started anew, or is another server.
    pub run_id: String,
    /// Drawn at random when a server becomes a master: another one means that what was written last may be lost.
    pub replication_id: String,
    /// Of the server's program.
    pub version: String,
    /// When it started, in milliseconds since 1970 by its own clock, to the second; none before Redis 6.2.
    pub started_at_unix_ms: Option<i64>,
    /// How many keys the database holds.
    pub keys: u64,
    /// How much memory the server uses for its data, in bytes.
    pub memory_bytes: u64,
    /// How much it may use, in bytes; 0: as much as there is.
    pub memory_limit_bytes: u64,
    /// What it does when that is used up, such as `noeviction` or `allkeys-lru`.
    pub eviction: String,
}

impl Cache {
    /// Every master.
    ///
    /// - **Errors:** one that does not answer fails all; a user who may not ask `INFO` or `DBSIZE` is told the rule.
    pub async fn servers(&self) -> Result<Vec<Server>, Error> {
        let mut servers = Vec::new();
        for master in cluster::masters(&self.options, &[]).await? {
            let node = Node::open(&self.options, &master.host, master.port).await?;
            servers.push(self.server(node).await?);
        }
        Ok(servers)
    }

    async fn server(&self, mut node: Node) -> Result<Server, Error> {
        let place = Place { address: &node.address, user: self.options.user() };
        let (server, memory, replication, keys): (String, String, String, u64) = redis::pipe()
            .cmd("INFO")
            .arg("server")
            .cmd("INFO")
            .arg("memory")
            .cmd("INFO")
            .arg("replication")
            .cmd("DBSIZE")
            .query_async(&mut node.connection)
            .await
            .map_err(|error| place.asking(&error, "INFO"))?;
        let text = [server, memory, replication].concat();
        let fields: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once(':')).collect();
        let text_of = |name: &str| fields.get(name).copied().unwrap_or_default().to_owned();
        let number_of = |name: &str| fields.get(name).and_then(|text| text.parse::<i64>().ok());
        let bytes_of =
            |name: &str| number_of(name).and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default();
        let started = number_of("server_time_usec")
            .zip(number_of("uptime_in_seconds"))
            .map(|(now, uptime)| now / 1_000 - uptime * 1_000);
        Ok(Server {
            address: node.address.clone(),
            run_id: text_of("run_id"),
            replication_id: text_of("master_replid"),
            version: text_of("redis_version"),
            started_at_unix_ms: started,
            keys,
            memory_bytes: bytes_of("used_memory"),
            memory_limit_bytes: bytes_of("maxmemory"),
            eviction: text_of("maxmemory_policy"),
        })
    }
}
