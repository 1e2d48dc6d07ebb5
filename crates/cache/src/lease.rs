//! Filling keys under a lease, so that no value outlives the flush that followed its change.
//!
//! A reader that misses takes a lease, reads the source, and fills the key only if its lease is still there. Every
//! delete and every flush takes the leases away, so whoever read before the change cannot store what it read.
//!
//! The lease of `catalog:product:A` is the key `{catalog:product:A}:lease`. The braces put it on the same hash slot as
//! its key, so that one script sees both in a cluster, and the lease of every key that matches `P` matches
//! `{P}:lease`. A key with braces of its own would break both in a cluster: such a key is read there, never filled.
//!
//! Leases last for seconds. What a failover brings back of deleted leases and values is the concern of whoever
//! delivers invalidations: deliver the recent ones again when a server's run id has changed.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use redis::{Cmd, FromRedisValue, Script, Value};
use uuid::Uuid;

use crate::options::Topology;
use crate::{Cache, Error};

/// Behind the braces around the key.
const SUFFIX: &str = "}:lease";

/// The value, or a lease if there is none and nobody else holds one: 1, else 0.
static LOOK: LazyLock<Lua> = LazyLock::new(|| {
    Lua::new(
        "local value = redis.call('GET', KEYS[1])
         if value then return value end
         if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
         return 0",
    )
});

/// Stores the value if the lease is still this one, and gives the lease back.
static FILL: LazyLock<Lua> = LazyLock::new(|| {
    Lua::new(
        "if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
         redis.call('DEL', KEYS[2])
         redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
         return 1",
    )
});

struct Lua {
    text: &'static str,
    hash: String,
}

impl Lua {
    fn new(text: &'static str) -> Self {
        Self { text, hash: Script::new(text).get_hash().to_owned() }
    }
}

/// The permission to fill one key once.
#[derive(Clone, PartialEq, Eq)]
pub struct LeaseToken(Uuid);

impl fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseToken")
    }
}

/// What a reader found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The value.
    Hit(Vec<u8>),
    /// Nothing; read the source and fill the key with this lease.
    Leased(LeaseToken),
    /// Nothing, and another reader is at it, or the key cannot be leased: read the source and fill nothing.
    Busy,
}

/// The key that holds the lease of `key`.
pub fn lease_key(key: &str) -> String {
    format!("{{{key}{SUFFIX}")
}

/// What finds the leases of every key that `pattern` finds.
pub(crate) fn lease_pattern(pattern: &str) -> String {
    lease_key(pattern)
}

/// Whether a key is a lease.
pub(crate) fn is_lease(key: &[u8]) -> bool {
    key.starts_with(b"{") && key.ends_with(SUFFIX.as_bytes())
}

impl Cache {
    /// Reads a key, and takes the lease to fill it when it is not there. One round trip.
    ///
    /// - **Shape:** `lease` is how long the caller may take from here to [`fill`](Self::fill).
    /// - **Errors:** a user without the permission to run scripts gets [`Error::Forbidden`] with the rule that gives it.
    pub async fn look(&self, key: &str, lease: Duration) -> Result<Look, Error> {
        if self.options.topology == Topology::Cluster && key.contains(['{', '}']) {
            return Ok(self.get(key).await?.map_or(Look::Busy, Look::Hit));
        }
        let token = LeaseToken(Uuid::new_v4());
        let answer: Value = self
            .script(&LOOK, key, |command| {
                command.arg(token.0.as_bytes().as_slice()).arg(milliseconds(lease));
            })
            .await?;
        Ok(match answer {
            Value::BulkString(value) => Look::Hit(value),
            Value::Int(1) => Look::Leased(token),
            _ => Look::Busy,
        })
    }

    /// Stores a value under a lease. One round trip.
    ///
    /// - **Shape:** whether it was stored: not if the lease ended, was taken away by a delete or a flush, or was used.
    /// - **Units:** `ttl` in milliseconds, at least one.
    pub async fn fill(
        &self,
        key: &str,
        token: &LeaseToken,
        value: &[u8],
        ttl: Duration,
    ) -> Result<bool, Error> {
        self.script(&FILL, key, |command| {
            command.arg(token.0.as_bytes().as_slice()).arg(value).arg(milliseconds(ttl));
        })
        .await
    }

    /// Runs a script by its hash, and with its text where the server does not know it yet.
    async fn script<T: FromRedisValue>(
        &self,
        lua: &Lua,
        key: &str,
        arguments: impl Fn(&mut Cmd),
    ) -> Result<T, Error> {
        let command = |name: &str, what: &str| {
            let mut command = redis::cmd(name);
            command.arg(what).arg(2).arg(key).arg(lease_key(key));
            arguments(&mut command);
            command
        };
        match self.keyed.ask("EVALSHA", &command("EVALSHA", &lua.hash)).await {
            Err(Error::UnknownScript { .. }) => self.keyed.ask("EVAL", &command("EVAL", lua.text)).await,
            answer => answer,
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use redis::cluster_routing::Slot;

    use super::*;

    #[test]
    fn a_lease_shares_the_slot_of_its_key_and_is_told_from_keys() {
        for key in ["catalog:product:A-1", "eligibility:001000000000001AAA", "x"] {
            let lease = lease_key(key);
            assert_eq!(Slot::for_key(&lease), Slot::for_key(key), "{key}");
            assert!(is_lease(lease.as_bytes()) && !is_lease(key.as_bytes()));
        }
        assert!(!is_lease(b"vehicle:lease"));
    }
}
