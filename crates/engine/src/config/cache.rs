//! The cache: where it is, and how long readers may hold on to what they read.

use std::time::Duration;

use toml_edit::TableLike;

use super::Error;
use super::file::Reader;
use super::reads::span;

/// How long a reader may take from reading a row to caching it, unless told otherwise.
const DEFAULT_DELAY: Duration = Duration::from_secs(2);
/// Longer makes no sense: the cache would be stale for so long.
const LONGEST_DELAY: Duration = Duration::from_hours(1);

impl Reader<'_> {
    /// How long after a change cache keys are deleted a second time.
    pub(super) fn flush_delay(&self, table: &dyn TableLike) -> Result<Duration, Error> {
        let Some(text) = self.value("flush_delay", table)? else { return Ok(DEFAULT_DELAY) };
        span(&text).filter(|delay| *delay <= LONGEST_DELAY).ok_or_else(|| {
            self.wrong_value("flush_delay", table, "a span of time up to 1h such as 500ms or 2s")
        })
    }
}

/// The address of a cache in the form of one with a single host, which keeps further hosts as `?node=`.
///
/// - **Errors:** what is wrong with it and what would be right, in words that follow "expected".
pub(super) fn one_host(text: &str) -> Result<String, String> {
    let url = ::cache::parse_url(text).map_err(|error| format!("the address of a cache: {error}"))?;
    ::cache::Options::new(&url, None).map_err(|error| format!("the address of a cache: {error}"))?;
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_hosts_are_kept() {
        let url = one_host("redis+sentinel://a:26379,b:26379/shop").unwrap();
        assert!(url.starts_with("redis+sentinel://a:26379/shop?node=b"), "{url}");
        assert!(one_host("redis+sentinel://a:26379").unwrap_err().contains("/SERVICE"));
    }
}
