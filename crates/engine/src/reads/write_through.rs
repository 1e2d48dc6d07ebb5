//! The cache in front of the shadow, filled under a lease.
//!
//! Why nothing is cached after its flush: the lease is taken before the row is read, and every flush, which comes after
//! its commit, takes leases away. A lease that is still there at the end was taken after the flush, and so was the row.
//! Only what the shadow says is cached, because only its changes are flushed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cache::{Cache, LeaseToken, Look};
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shadow::keys::{Columns, KeyRules, RowState};

use super::{Asked, Source, Told};

/// So long may a reader take from its look to its fill.
const LEASE: Duration = Duration::from_secs(10);
/// A cache that failed is left alone for so long: readers must not wait for it one by one.
const REST: Duration = Duration::from_secs(1);
/// Tells our values from those of shops that use the same keys.
const MADE_BY: &str = "shadow-sync/1";

/// The readers' way to the cache.
#[derive(Debug)]
pub(crate) struct WriteThrough {
    cache: Option<Cache>,
    ttl: Duration,
    rests_until: Mutex<Option<Instant>>,
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
}

impl WriteThrough {
    /// - `cache`: none where none is configured.
    /// - `ttl`: zero: answers are not cached.
    pub(super) fn new(cache: Option<Cache>, ttl: Duration) -> Self {
        Self { cache: cache.filter(|_| !ttl.is_zero()), ttl, rests_until: Mutex::default() }
    }

    /// Whether there is a cache at all.
    pub(super) fn is_there(&self) -> bool {
        self.cache.is_some()
    }

    /// Looks for a key, and takes its lease where nothing is there.
    pub(super) async fn look<T: DeserializeOwned>(&self, key: String) -> Looked<T> {
        let Some(cache) = self.cache.as_ref().filter(|_| !self.rests()) else { return Looked::Nothing };
        match cache.look(&key, LEASE).await {
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
            Ok(Look::Leased(lease)) => Looked::Leased(Ticket { key, lease }),
            Ok(Look::Busy) => Looked::Nothing,
            Err(error) => {
                self.failed(&error);
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
            if let Err(error) = cache.fill(&ticket.key, &ticket.lease, &bytes, this.ttl).await {
                this.failed(&error);
            }
        });
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
        assert_eq!(key(&["catalog:all", "catalog:{product_id}"]), None);
        assert_eq!(key(&[]), None);
    }
}
