//! How soon cache keys of changed rows are deleted, and what waits.

use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use store::{Store, invalidations};

use super::Decimal;
use crate::clock;
use crate::invalidate;

/// What is measured of the deletion of cache keys.
#[derive(Debug)]
pub(crate) struct CacheMetrics {
    seconds: Histogram,
    waiting: Gauge,
    age: Decimal,
    second: Gauge,
    failing: Gauge,
}

impl Default for CacheMetrics {
    fn default() -> Self {
        Self {
            seconds: Histogram::new(exponential_buckets(0.000_5, 2.0, 17)),
            waiting: Gauge::default(),
            age: Decimal::default(),
            second: Gauge::default(),
            failing: Gauge::default(),
        }
    }
}

impl CacheMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "sf_shadow_invalidate",
            "From an event received (or a read committed) to the keys deleted that templates name",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register(
            "sf_shadow_invalidations_waiting",
            "Changes whose cache keys wait to be deleted",
            self.waiting.clone(),
        );
        registry.register_with_unit(
            "sf_shadow_invalidations_age",
            "Age of the oldest change whose cache keys wait to be deleted",
            Unit::Seconds,
            self.age.clone(),
        );
        registry.register(
            "sf_shadow_invalidations_second",
            "Changes whose cache keys wait for their second deletion",
            self.second.clone(),
        );
        registry.register(
            "sf_shadow_invalidations_failed",
            "Changes that wait because the cache did not do what it was asked",
            self.failing.clone(),
        );
    }

    /// Keys were deleted so long after the change arrived.
    pub(crate) fn took(&self, received_to_deleted: Duration) {
        self.seconds.observe(received_to_deleted.as_secs_f64());
    }

    /// Looks up how the orders stand. Without a cache nothing waits for one.
    pub(super) async fn look(&self, has_cache: bool, store: &Store) -> Result<(), store::Error> {
        if !has_cache {
            return Ok(());
        }
        let standing = invalidations::standing(store, None).await?;
        let trouble = invalidate::trouble(store).await?;
        self.waiting.set(standing.waiting);
        self.age.set(standing.oldest.map_or(0.0, |oldest| (clock::now() - oldest).as_seconds_f64().max(0.0)));
        self.second.set(standing.second);
        self.failing.set(if trouble.is_some() { standing.waiting } else { 0 });
        Ok(())
    }
}
