//! Whether the cache is still the same one. A server that was started again may hold from disk what was deleted, and
//! one that took over may have missed it.

use std::time::{Duration, Instant};

use cache::Server;
use chrono::{DateTime, TimeDelta, Utc};
use shadow::Mapping;
use store::invalidations::{self, CacheServer, Redelivery};

use super::Term;

/// How often to look while all goes well.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Orders of so long before a server was last seen are delivered again.
const AGAIN: Duration = Duration::from_mins(10);

/// Looks whether the servers are those of before, and lets recent orders wait again if not.
pub(super) async fn look(term: &Term) -> Result<Result<(), cache::Error>, store::Error> {
    let desk = &term.environment.invalidation;
    if desk.looked_within(LOOK_EVERY) {
        return Ok(Ok(()));
    }
    let servers = match term.cache.servers().await {
        Ok(servers) => servers,
        Err(error) => return Ok(Err(error)),
    };
    let known = invalidations::known_servers(&term.store).await?;
    let now: Vec<CacheServer> = servers.iter().map(stored).collect();
    let redelivery = redelivery(&known, &servers, &term.mappings);
    let again = invalidations::note_servers(&term.store, &term.lease, &now, &redelivery).await?;
    match &redelivery {
        Redelivery::Nothing => {}
        Redelivery::Recent(_) => {
            tracing::info!(orders = again, "the cache is another server: recent keys are deleted again");
        }
        Redelivery::Everything(_) => {
            tracing::warn!("the cache came back with data from disk: everything of ours is deleted in it");
        }
    }
    desk.set_looked(Some(Instant::now()));
    term.cache_worked().await;
    Ok(Ok(()))
}

/// What names a server: the numbers that it draws when it starts, and when it becomes a master.
fn identity(server: &Server) -> String {
    format!("{} {}", server.run_id, server.replication_id)
}

/// Whether all of the servers are those of which every order since was delivered or waits.
pub(crate) fn are_known(known: &[CacheServer], servers: &[Server]) -> bool {
    let is_known = |server: &Server| known.iter().any(|known| known.run_id == identity(server));
    servers.iter().all(is_known)
}

fn started_at(server: &Server) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(server.started_at_unix_ms?)
}

fn stored(server: &Server) -> CacheServer {
    CacheServer {
        address: server.address.clone(),
        run_id: identity(server),
        started_at: started_at(server),
        seen_at: DateTime::UNIX_EPOCH,
    }
}

/// What servers that are not those of before must be told again.
///
/// One that started after the servers were last seen and has keys read them from disk, where they may be of any age:
/// then everything of ours goes. Any other may lack what was deleted last.
fn redelivery(known: &[CacheServer], servers: &[Server], mappings: &[Mapping]) -> Redelivery {
    let is_same = |server: &Server| {
        known.iter().any(|known| known.address == server.address && known.run_id == identity(server))
    };
    let others: Vec<&Server> = servers.iter().filter(|server| !is_same(server)).collect();
    if others.is_empty() {
        return Redelivery::Nothing;
    }
    let seen_at = known.iter().map(|known| known.seen_at).min();
    // Clocks of two machines part by seconds.
    let margin = TimeDelta::seconds(10);
    let is_from_disk = |server: &&Server| {
        let started = started_at(server).zip(seen_at);
        server.keys > 0 && started.is_some_and(|(started, seen_at)| started >= seen_at - margin)
    };
    if others.iter().any(is_from_disk) {
        return Redelivery::Everything(mappings.iter().map(|mapping| mapping.object.clone()).collect());
    }
    Redelivery::Recent(AGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(run_id: &str, started_ms: i64, keys: u64) -> Server {
        Server {
            address: "a:1".to_owned(),
            run_id: run_id.to_owned(),
            replication_id: "r".to_owned(),
            version: "7".to_owned(),
            started_at_unix_ms: Some(started_ms),
            keys,
            memory_bytes: 0,
            memory_limit_bytes: 0,
            eviction: String::new(),
        }
    }

    fn known(run_id: &str) -> CacheServer {
        CacheServer { seen_at: DateTime::UNIX_EPOCH + TimeDelta::hours(1), ..stored(&server(run_id, 0, 0)) }
    }

    #[test]
    fn only_another_server_is_told_again() {
        let told = |before: &[CacheServer], now: Server| redelivery(before, &[now], &Mapping::built_in());
        let hour = 3_600_000;
        assert_eq!(told(&[known("1")], server("1", 0, 9)), Redelivery::Nothing);
        assert_eq!(told(&[], server("1", 0, 9)), Redelivery::Recent(AGAIN), "never seen");
        assert_eq!(
            told(&[known("1")], server("2", hour, 0)),
            Redelivery::Recent(AGAIN),
            "started again, empty"
        );
        assert_eq!(
            told(&[known("1")], server("2", 0, 9)),
            Redelivery::Recent(AGAIN),
            "ran before, took over"
        );
        assert!(
            matches!(told(&[known("1")], server("2", hour, 9)), Redelivery::Everything(_)),
            "read from disk"
        );
        let mut promoted = server("1", 0, 9);
        promoted.replication_id = "other".to_owned();
        assert_eq!(told(&[known("1")], promoted), Redelivery::Recent(AGAIN), "became a master");
    }

    #[test]
    fn one_server_that_nobody_knows_is_enough() {
        let (one, two) = (server("1", 0, 0), server("2", 0, 0));
        assert!(are_known(&[known("1")], std::slice::from_ref(&one)));
        assert!(!are_known(&[known("1")], &[one, two.clone()]));
        assert!(!are_known(&[], &[two]));
    }
}
