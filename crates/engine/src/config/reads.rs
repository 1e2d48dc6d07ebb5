//! What readers are given: how old an answer may be, and what asking Salesforce may cost.

use std::time::Duration;

use toml_edit::TableLike;

use super::file::Reader;
use super::{Error, Percent};

/// Settings of readers, with defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Reads {
    /// How old an answer about products and prices may be.
    pub catalogue_max_age: Duration,
    /// How old an answer about an account may be.
    pub eligibility_max_age: Duration,
    /// How long a reader waits for Salesforce.
    pub fallback_timeout: Duration,
    /// The share of the org's daily calls that readers may use.
    pub fallback_share: Percent,
    /// Calls of readers per minute and process.
    pub fallback_per_minute: u32,
    /// Most connections of readers to the database.
    pub connections: u32,
    /// How long an answer stays in the cache; zero: answers are not cached.
    pub cache_ttl: Duration,
    /// The share of differing answers above which readers are taken off the shadow.
    pub compare_share: f64,
    /// Fewer comparisons than these trip nothing.
    pub compare_least: u32,
    /// Comparisons of so long count.
    pub compare_window: Duration,
    /// How long the shadow may be behind an answer without being wrong.
    pub compare_grace: Duration,
}

/// So long do readers wait for a connection to the cache, and for each of its answers.
const CACHE_CONNECT: Duration = Duration::from_millis(500);
const CACHE_COMMAND: Duration = Duration::from_millis(100);

/// The keys of the file for them.
pub(super) const KEYS: [&str; 11] = [
    "catalogue_max_age",
    "eligibility_max_age",
    "fallback_timeout",
    "fallback_share",
    "fallback_per_minute",
    "read_connections",
    "read_cache_ttl",
    "compare_share",
    "compare_least",
    "compare_window",
    "compare_grace",
];

impl Default for Reads {
    fn default() -> Self {
        Self {
            catalogue_max_age: Duration::from_hours(1),
            eligibility_max_age: Duration::from_mins(15),
            fallback_timeout: Duration::from_secs(2),
            fallback_share: Percent(10),
            fallback_per_minute: 300,
            connections: 8,
            cache_ttl: Duration::from_mins(5),
            compare_share: 0.01,
            compare_least: 100,
            compare_window: Duration::from_mins(10),
            compare_grace: Duration::from_secs(5),
        }
    }
}

impl Reader<'_> {
    /// What readers are given.
    pub(super) fn reads(&self, table: &dyn TableLike) -> Result<Reads, Error> {
        let unless = Reads::default();
        let span = |key: &str, default: Duration| match self.value(key, table)? {
            None => Ok(default),
            Some(text) => span(&text)
                .ok_or_else(|| self.wrong_value(key, table, "a span of time such as 500ms, 2s, 15m or 1h")),
        };
        let compare_share = match self.number("compare_share", table)? {
            None => unless.compare_share,
            Some(share) if (0.0..=1.0).contains(&share) => share,
            Some(_) => return Err(self.wrong_value("compare_share", table, "a share such as 0.01")),
        };
        let connections = match self.count("read_connections", table)? {
            Some(0) => return Err(self.wrong_value("read_connections", table, "a whole number from 1 on")),
            connections => connections.unwrap_or(unless.connections),
        };
        Ok(Reads {
            catalogue_max_age: span("catalogue_max_age", unless.catalogue_max_age)?,
            eligibility_max_age: span("eligibility_max_age", unless.eligibility_max_age)?,
            fallback_timeout: span("fallback_timeout", unless.fallback_timeout)?,
            fallback_share: self.share("fallback_share", table)?.unwrap_or(unless.fallback_share),
            fallback_per_minute: self
                .count("fallback_per_minute", table)?
                .unwrap_or(unless.fallback_per_minute),
            connections,
            cache_ttl: span("read_cache_ttl", unless.cache_ttl)?,
            compare_share,
            compare_least: self.count("compare_least", table)?.unwrap_or(unless.compare_least),
            compare_window: span("compare_window", unless.compare_window)?,
            compare_grace: span("compare_grace", unless.compare_grace)?,
        })
    }
}

impl super::Environment {
    /// The cache as readers use it: they do not wait for one that is slow. None where none is configured.
    pub(crate) fn reading_cache(&self) -> Option<::cache::Cache> {
        let address = self.redis.as_ref()?;
        let options = ::cache::Options::new(address.url(), address.password().cloned()).ok()?;
        Some(::cache::Cache::new(options.with_timeouts(CACHE_CONNECT, CACHE_COMMAND)))
    }
}

/// Reads a span of time such as `500ms`, `2s`, `15m`, `2h` or `3d`.
pub(super) fn span(text: &str) -> Option<Duration> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_number_and_its_unit() {
        assert_eq!(span("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(span("15m"), Some(Duration::from_mins(15)));
        assert_eq!(span("0s"), Some(Duration::ZERO));
        for wrong in ["", "15", "m", "1.5h", "-1s", "1w", "99999999999999999999d"] {
            assert_eq!(span(wrong), None, "{wrong}");
        }
    }
}
