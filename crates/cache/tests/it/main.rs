//! The cache against real Redis servers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod cluster;
mod failover;
mod gate;
mod interleaving;
mod secure;
mod servers;
mod single;

use std::time::Duration;

use cache::{Cache, Options};

/// A cache at an address.
fn cache_at(url: &str) -> Cache {
    let url = cache::parse_url(url).expect("the address can be read");
    Cache::new(Options::new(&url, None).expect("the address makes sense"))
}

/// Names of keys.
fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Longer than any test.
const LONG: Duration = Duration::from_mins(5);
