//! The cache in front of the shadow, filled under a lease.
//!
//! Why nothing is cached after its flush: the lease is taken before the row is read, and every flush, which comes after
//! its commit, takes leases away. A lease that is still there at the end was taken after the flush, and so was the row.
//! Only what the shadow says is cached, because only its changes are flushed.
//!
//! A server that was started again may hold from disk what was deleted. So whenever a connection was made anew, readers
//! go without the cache until its servers are those that the deletion knows and everything is delivered that waited.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cache::{Cache, LeaseToken, Look};
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shadow::keys::{Columns, KeyRules, RowState};
use store::{Store, invalidations};
use tokio::sync::Mutex as Turn;

use super::{Asked, Source, Told};
use crate::invalidate::are_known;
use crate::problem::Answer;

/// So long may a reader take from its look to its fill.
const LEASE: Duration = Duration::from_secs(10);
/// A cache that failed is left alone for so long: readers must not wait for it one by one.
const REST: Duration = Duration::from_secs(1);
/// How often a cache is checked that readers may not use yet.
const CHECK_EVERY: Duration = Duration::from_millis(250);
/// Tells our values from those of shops that use the same keys.
const MADE_BY: &str = "shadow-sync/1";

/// The readers' way to the cache.
#[derive(Debug)]
pub(crate) struct WriteThrough {
    cache: Option<Cache>,
    ttl: Duration,
    rests_until: Mutex<Option<Instant>>,
    /// The generation of connections whose servers hold nothing that should have been deleted.
    checked: Mutex<Option<u64>>,
    /// Whoever has it checks.
    turn: Arc<Turn<Check>>,
}

/// How far the check of a generation has come.
#[derive(Debug, Default)]
struct Check {
    began: Option<Instant>,
    /// The generation, and the newest order at the time when its servers were first found to be known.
    until: Option<(u64, i64)>,
}

/// A value as it stands in the cache.
#[derive(Serialize, Deserialize)]
struct Cached<T> {
    made_by: String,
    as_of: DateTime<Utc>,
    value: T,
}

/// What a look into the cache gave.
pub(super) enum Looked<T> {
    /// The answer.
    Hit(Told<T>),
    /// Nothing, and leave to fill it.
    Leased(Ticket),
    /// Nothing.
    Nothing,
}

/// Leave to fill a key.
pub(super) struct Ticket {
    key: String,
    lease: LeaseToken,
    generation: u64,
}

impl WriteThrough {
    /// - `cache`: none where none is configured.
    /// - `ttl`: zero: answers are not cached.
    pub(super) fn new(cache: Option<Cache>, ttl: Duration) -> Self {
        Self {
            cache: cache.filter(|_| !ttl.is_zero()),
            ttl,
            rests_until: Mutex::default(),
            checked: Mutex::default(),
            turn: Arc::default(),
        }
    }

    /// Whether there is a cache at all.
    pub(super) fn is_there(&self) -> bool {
        self.cache.is_some()
    }

    /// Looks for a key, and takes its lease where nothing is there.
    pub(super) async fn look<T: DeserializeOwned>(
        environment: &Asked,
        store: &Store,
        key: String,
    ) -> Looked<T> {
        let this = &environment.reads.cache;
        let Some(cache) = this.cache.as_ref().filter(|_| !this.rests()) else { return Looked::Nothing };
        let generation = cache.generation();
        if !this.is_checked(generation) {
            this.check_later(environment, store, cache);
            return Looked::Nothing;
        }
        let looked = cache.look(&key, LEASE).await;
        if looked.is_ok() && cache.generation() != generation {
            // It may be another server's. The lease runs out by itself.
            this.check_later(environment, store, cache);
            return Looked::Nothing;
        }
        match looked {
            Ok(Look::Hit(bytes)) => match serde_json::from_slice::<Cached<T>>(&bytes) {
                Ok(cached) if cached.made_by == MADE_BY => Looked::Hit(Told {
                    value: Some(cached.value),
                    source: Source::Cache,
                    as_of: cached.as_of,
                    is_stale: false,
                }),
                // A shop's own value under this key stays as it is.
                Ok(_) | Err(_) => Looked::Nothing,
            },
            Ok(Look::Leased(lease)) => Looked::Leased(Ticket { key, lease, generation }),
            Ok(Look::Busy) => Looked::Nothing,
            Err(error) => {
                this.failed(&error);
                Looked::Nothing
            }
        }
    }

    /// Fills a key if its lease is still there.
    pub(super) fn fill<T: Serialize>(environment: &Asked, ticket: Ticket, value: &T, as_of: DateTime<Utc>) {
        let cached = Cached { made_by: MADE_BY.to_owned(), as_of, value };
        let Ok(bytes) = serde_json::to_vec(&cached) else { return };
        let asked = environment.clone();
        environment.tasks.spawn(async move {
            let this = &asked.reads.cache;
            let Some(cache) = &this.cache else { return };
            if cache.generation() != ticket.generation {
                return;
            }
            let mut filled = cache.fill(&ticket.key, &ticket.lease, &bytes, this.ttl).await.map(|_| ());
            if cache.generation() != ticket.generation {
                // A server that came back from disk may have brought the lease along.
                filled = cache.delete(std::slice::from_ref(&ticket.key)).await.map(|_| ());
            }
            if let Err(error) = filled {
                this.failed(&error);
            }
        });
    }

    fn is_checked(&self, generation: u64) -> bool {
        *self.checked.lock().unwrap_or_else(PoisonError::into_inner) == Some(generation)
    }

    /// Checks the servers in the background, one check at a time.
    fn check_later(&self, environment: &Asked, store: &Store, cache: &Cache) {
        let Ok(mut check) = self.turn.clone().try_lock_owned() else { return };
        if check.began.is_some_and(|began| began.elapsed() < CHECK_EVERY) {
            return;
        }
        check.began = Some(Instant::now());
        let (asked, store, cache) = (environment.clone(), store.clone(), cache.clone());
        environment.tasks.spawn(async move {
            if let Err(problem) = Self::check(&asked, &store, &cache, &mut check).await {
                tracing::debug!(problem.code = problem.code, "readers could not check the cache");
            }
        });
    }

    /// Lets readers use the cache if its servers hold nothing that should have been deleted.
    ///
    /// The servers are noted in the commit that lets their orders wait, so every order that such a server missed waits
    /// or is delivered as soon as it is known.
    async fn check(environment: &Asked, store: &Store, cache: &Cache, check: &mut Check) -> Answer<()> {
        let this = &environment.reads.cache;
        let servers = match cache.connect().await {
            Ok(()) => {
                // Before the servers are asked: a connection that is made meanwhile is checked by itself.
                let generation = cache.generation();
                cache.servers().await.map(|servers| (generation, servers))
            }
            Err(error) => Err(error),
        };
        let (generation, servers) = match servers {
            Ok(servers) => servers,
            Err(error) => {
                this.failed(&error);
                return Ok(());
            }
        };
        if !are_known(&invalidations::known_servers(store).await?, &servers) {
            check.until = None;
            // Whoever deletes may be in this process: it looks at once.
            environment.invalidation.set_looked(None);
            return Ok(());
        }
        let last = match check.until {
            Some((known, last)) if known == generation => last,
            _ => invalidations::last(store).await?,
        };
        check.until = Some((generation, last));
        if invalidations::overdue(store, Some(last)).await?.is_none() {
            *this.checked.lock().unwrap_or_else(PoisonError::into_inner) = Some(generation);
            check.until = None;
        }
        Ok(())
    }

    fn rests(&self) -> bool {
        let until = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn failed(&self, error: &cache::Error) {
        tracing::debug!(%error, "readers go on without the cache");
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + REST);
    }
}

/// The key of a record of which one column is known: that of the first template that needs no more.
pub(super) fn key_of(rules: &KeyRules, column: &str, value: &str) -> Option<String> {
    let own: Columns = BTreeMap::from([(column.to_owned(), Some(value.to_owned()))]);
    let state = RowState { own: &own, parent: None };
    let names = |template: &&shadow::keys::Template| template.own_columns().any(|name| name == column);
    rules.templates.iter().filter(names).find_map(|template| template.key(state))
}

#[cfg(test)]
mod tests {
    use shadow::ObjectName;
    use shadow::keys::Template;

    use super::*;

    fn rules(templates: &[&str]) -> KeyRules {
        let templates = templates.iter().map(|text| Template::parse(text).unwrap()).collect();
        KeyRules { templates, ..KeyRules::built_in(&ObjectName::product()) }
    }

    #[test]
    fn the_first_template_that_needs_no_more_than_what_is_known_names_the_key() {
        let key = |templates: &[&str]| key_of(&rules(templates), "sku", "A-1");
        assert_eq!(key(&["catalog:product:{sku}"]).as_deref(), Some("catalog:product:A-1"));
        assert_eq!(key(&["catalog:{item_class}:{sku}", "p:{sku}"]).as_deref(), Some("p:A-1"));
        assert_eq!(key(&["catalog:{item_class}", "catalog:{product_id}"]), None);
        assert_eq!(key(&[]), None);
    }
}
