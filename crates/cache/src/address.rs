//! Addresses of caches, as people write them.
//!
//! | what | address |
//! | --- | --- |
//! | one server | `redis://[user@]host[:6379][/db]` |
//! | Sentinel | `redis+sentinel://[user@]host[:26379],host[:26379]/service[/db]` |
//! | cluster | `redis-cluster://[user@]host[:6379],host[:6379]` |
//!
//! With TLS: `rediss`, `rediss+sentinel`, `rediss-cluster`, or `?tls=true`. A [`Url`] has one host: further ones are
//! kept as `?node=host:port`, which may also be written so. The user of the Sentinels themselves is
//! `?sentinel_user=name`; passwords are given apart.

use url::Url;

use crate::Error;

/// Reads an address that may name several hosts, and gives the form with one host that [`Options::new`] takes.
///
/// - **Shape:** `redis+sentinel://a:26379,b:26379/shop` becomes `redis+sentinel://a:26379/shop?node=b%3A26379`.
/// - **Errors:** what is wrong with it, and what would be right; the text itself is not repeated, because it may hold
///   a password.
///
/// [`Options::new`]: crate::Options::new
pub fn parse_url(text: &str) -> Result<Url, Error> {
    let malformed = |problem: &str| Error::Address { problem: problem.to_owned() };
    let (scheme, rest) = text
        .split_once("://")
        .ok_or_else(|| malformed("it has no scheme such as redis:// or redis-cluster://"))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    // A password may hold an @ of its own; the hosts come after the last one.
    let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
    let mut hosts = hosts.split(',');
    let first = hosts.next().unwrap_or_default();
    let at = if authority.contains('@') { "@" } else { "" };
    let mut url = Url::parse(&format!("{scheme}://{user}{at}{first}{tail}"))
        .map_err(|error| malformed(&format!("it cannot be read ({error})")))?;
    for host in hosts {
        if host.is_empty() {
            return Err(malformed("a host between two commas is empty"));
        }
        url.query_pairs_mut().append_pair("node", host);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_hosts_become_nodes_and_everything_else_stays() {
        let url = parse_url("redis+sentinel://shop:p%40ss@a:26379,b:26380,c/prices/2?tls=true").unwrap();
        assert_eq!(
            url.as_str(),
            "redis+sentinel://shop:p%40ss@a:26379/prices/2?tls=true&node=b%3A26380&node=c"
        );
        assert_eq!(parse_url("redis://127.0.0.1:6379/1").unwrap().as_str(), "redis://127.0.0.1:6379/1");
    }

    #[test]
    fn what_cannot_be_an_address_is_refused_without_repeating_it() {
        for text in ["secret", "redis-cluster://u:secret@a:1,,b:2", "redis://u:secret@a:99999"] {
            let error = parse_url(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
