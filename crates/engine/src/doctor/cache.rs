//! Checks of the cache: it answers, it lets us do what we need, its version and its servers are fine.

use std::collections::BTreeSet;
use std::time::Duration;

use ::cache::{Cache, Error, Look, Server};
use shadow::keys::{KeyRules, Pattern};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Subject,
    sheet::{CACHE, Outcome, Sheet},
};
use crate::invalidate;
use crate::problem::Problem;

/// Redis before this has no `UNLINK`.
const OLDEST: u32 = 4;
/// Redis before this does not say when it started, so that data from disk is not known for what it is.
const TELLS_START: (u32, u32) = (6, 2);

/// How long keys are walked to see whether that is allowed.
const WALK: Duration = Duration::from_millis(500);

/// All checks of the cache; none where there is none.
pub(super) async fn checks(sheet: &mut Sheet<'_>, subject: &Subject<'_>) {
    let Some(cache) = subject.environment.cache() else {
        let outcome = Outcome::grey("No cache is configured (redis_url), so no keys are deleted.");
        sheet.note("cache", CACHE, "The cache answers", outcome);
        return;
    };
    let servers = match cache.servers().await {
        Ok(servers) => servers,
        Err(error) => {
            sheet.note("cache", CACHE, "The cache answers", Outcome::problem(&Problem::from(&error)));
            return;
        }
    };
    sheet.note("cache", CACHE, "The cache answers", answers(&servers));
    sheet.note("cache.version", CACHE, "Its version is known to work", version(&servers));
    sheet.note("cache.memory", CACHE, "It makes room when it is full", memory(&servers));
    let rights = rights(&cache, &patterns(subject).await).await;
    sheet.note("cache.rights", CACHE, "Its user may do what is needed", rights);
}

fn answers(servers: &[Server]) -> Outcome {
    let keys: u64 = servers.iter().map(|server| server.keys).sum();
    let names: Vec<&str> = servers.iter().map(|server| server.address.as_str()).collect();
    let what = if servers.len() == 1 { "master" } else { "masters" };
    Outcome::green(format!("{} {what} ({}), {keys} keys.", servers.len(), names.join(", ")))
}

fn version(servers: &[Server]) -> Outcome {
    let read = |server: &Server| {
        let mut parts = server.version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    };
    let Some(oldest) = servers.iter().min_by_key(|server| read(server)) else {
        return Outcome::grey("No server said its version.");
    };
    let found = format!("Redis {}.", oldest.version);
    match read(oldest) {
        (major, _) if major < OLDEST => {
            Outcome::red(format!("{found} It cannot free keys without blocking others.")).cure("Update Redis to 6.2 or newer.")
        }
        known if known < TELLS_START => {
            Outcome::yellow(format!("{found} It does not say when it started: data that it reads from disk after a crash is not known as such."))
                .cure("Update Redis to 6.2 or newer.")
        }
        _ => Outcome::green(found),
    }
}

/// A server that is full and makes no room refuses to store; deleting goes on.
fn memory(servers: &[Server]) -> Outcome {
    let refuses = |server: &&Server| server.memory_limit_bytes > 0 && server.eviction == "noeviction";
    if let Some(server) = servers.iter().find(refuses) {
        let found = format!(
            "{} stores nothing more once it has {} bytes.",
            server.address, server.memory_limit_bytes
        );
        return Outcome::yellow(format!(
            "{found} Keys are still deleted; readers are answered without the cache."
        ))
        .cure("Let it make room: CONFIG SET maxmemory-policy allkeys-lru, and the same in redis.conf.")
        .paste("maxmemory-policy allkeys-lru");
    }
    let limited: Vec<&str> = servers
        .iter()
        .filter(|server| server.memory_limit_bytes > 0)
        .map(|server| server.eviction.as_str())
        .collect();
    Outcome::green(match limited.first() {
        Some(policy) => format!("Its policy is {policy}."),
        None => "No memory limit is set.".to_owned(),
    })
}

/// Does what flushes and reads do, on a key of its own under every pattern: a user may be bound to those.
async fn rights(cache: &Cache, patterns: &BTreeSet<Pattern>) -> Outcome {
    let mut tried = Vec::new();
    for pattern in patterns {
        let Some(key) = key_under(pattern) else { continue };
        if let Err(error) = rehearse(cache, &key).await {
            return Outcome::problem(&Problem::from(&error));
        }
        tried.push(pattern.to_string());
    }
    if tried.is_empty() {
        return Outcome::grey("No pattern says where our keys are.");
    }
    Outcome::green(format!(
        "Keys of {} can be found, read, filled under a lease and deleted.",
        tried.join(" and ")
    ))
}

/// A key that a pattern matches and nobody else uses; none where that cannot be made up.
fn key_under(pattern: &Pattern) -> Option<String> {
    let text = pattern.as_str();
    let plain = text.find(['*', '?', '[', '\\']).unwrap_or(text.len());
    let key = format!("{}shadow-sync-doctor-{}", &text[..plain], Uuid::new_v4());
    pattern.matches(&key).then_some(key)
}

async fn rehearse(cache: &Cache, key: &str) -> Result<(), Error> {
    let names = [key.to_owned()];
    if let Look::Leased(token) = cache.look(key, Duration::from_secs(5)).await? {
        cache.fill(key, &token, b"doctor", Duration::from_secs(5)).await?;
    }
    cache.get_many(&names).await?;
    // A pattern that only this key matches: nobody else's is touched. A large cache is not walked to its end for it.
    let (stop, nothing) = (CancellationToken::new(), |_| {});
    let only = Pattern::exactly(key);
    let walk = cache.flush(only.as_str(), &nothing, &stop);
    tokio::pin!(walk);
    tokio::select! {
        walked = &mut walk => walked.map(drop)?,
        () = tokio::time::sleep(WALK) => {
            stop.cancel();
            walk.await.map(drop)?;
        }
    }
    cache.delete(&names).await.map(drop)
}

/// The patterns of every object, as people set them where the database can be asked.
async fn patterns(subject: &Subject<'_>) -> BTreeSet<Pattern> {
    let stored = match &subject.store {
        Ok(store) => invalidate::rules(store, subject.mappings).await.ok(),
        Err(_) => None,
    };
    match stored {
        Some(rules) => rules.all().flat_map(|stored| stored.rules.patterns.iter().cloned()).collect(),
        None => {
            subject.mappings.iter().flat_map(|mapping| KeyRules::built_in(&mapping.object).patterns).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_our_own_lies_under_the_pattern() {
        let key = |text: &str| key_under(&Pattern::parse(text).unwrap());
        assert!(key("catalog:*").unwrap().starts_with("catalog:shadow-sync-doctor-"));
        assert!(key("*").is_some());
        assert_eq!(key("catalog:*:v1"), None);
    }

    #[test]
    fn an_old_server_is_named_with_its_cure() {
        let server = |version: &str| Server {
            address: "a:1".to_owned(),
            run_id: String::new(),
            replication_id: String::new(),
            version: version.to_owned(),
            started_at_unix_ms: None,
            keys: 0,
            memory_bytes: 0,
            memory_limit_bytes: 0,
            eviction: String::new(),
        };
        let all = [server("7.0.15"), server("3.2.0")];
        assert!(version(&all).finding().contains("without blocking"));
        assert!(version(&all[..1]).finding().contains("7.0.15"));
    }
}
