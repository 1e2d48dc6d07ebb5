//! To whom the access token may be sent: the origin that the token answer named, and nobody else.

use std::fmt;

use url::{Host, Url};

use crate::Error;

/// Domains under which Salesforce serves orgs.
const SALESFORCE_DOMAINS: [&str; 5] =
    ["salesforce.com", "force.com", "cloudforce.com", "salesforce.mil", "sfcrmproducts.cn"];

/// Which instance origins an environment accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPolicy {
    /// The login address that a person configured; its own origin is trusted as far as it was typed.
    pub login_url: Url,
    /// Whether an instance on this machine may be spoken to without TLS: kinds demo and development only.
    pub loopback_allowed: bool,
}

/// The origin of `instance_url`: https under a Salesforce domain, the login host's own, or an allowed loopback.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct InstanceOrigin(Url);

impl InstanceOrigin {
    /// Takes the `instance_url` of a token answer.
    ///
    /// - **Shape:** scheme, host and port remain; a path is dropped.
    /// - **Errors:** [`Error::ForeignOrigin`] when the policy does not admit it.
    /// - **Source:** the token is sent only to this origin; redirects are not followed.
    pub fn parse(instance_url: &str, policy: &OriginPolicy) -> Result<Self, Error> {
        let foreign = |reason| Error::ForeignOrigin { origin: shown(instance_url), reason };
        let url = Url::parse(instance_url).map_err(|_| foreign("it is not a web address"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(foreign("it carries a user name"));
        }
        let mut origin = url.clone();
        origin.set_path("/");
        origin.set_query(None);
        origin.set_fragment(None);

        if is_loopback(&url) {
            if policy.loopback_allowed {
                return Ok(Self(origin));
            }
            return Err(foreign("an org on this machine is accepted in kinds demo and development only"));
        }
        if url.scheme() != "https" {
            return Err(foreign("it is not https"));
        }
        if url.origin() == policy.login_url.origin() || is_salesforce(&url) {
            return Ok(Self(origin));
        }
        Err(foreign("it is neither under a Salesforce domain nor the login host's own origin"))
    }

    /// The address of a path on this origin. A path that names another origin stays on this one.
    pub fn join(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        url.set_path(path);
        url.set_query(query);
        url
    }

    /// Scheme, host and port.
    pub fn as_url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Debug for InstanceOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for InstanceOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// Whether an address is on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// Whether an address lies under one of Salesforce's own domains.
pub(crate) fn is_salesforce(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    SALESFORCE_DOMAINS
        .iter()
        .any(|domain| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1))
}

/// An address as far as it may be shown: no user, no query.
pub(crate) fn shown(address: &str) -> String {
    Url::parse(address)
        .map_or_else(|_| "an unreadable address".to_owned(), |url| url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(login_url: &str, loopback_allowed: bool) -> OriginPolicy {
        OriginPolicy { login_url: Url::parse(login_url).expect("a login URL"), loopback_allowed }
    }

    #[test]
    fn only_salesforce_domains_and_the_login_host_are_accepted() {
        let policy = policy("https://login.salesforce.com", false);
        assert!(InstanceOrigin::parse("https://acme.my.salesforce.com", &policy).is_ok());
        assert!(InstanceOrigin::parse("https://acme--dev.sandbox.my.salesforce.com/x?y", &policy).is_ok());
        for foreign in [
            "https://salesforce.com.evil.example",
            "https://evilsalesforce.com",
            "https://evil.example",
            "http://acme.my.salesforce.com",
            "https://user:pw@acme.my.salesforce.com",
            "http://localhost:8080",
            "ftp://acme.my.salesforce.com",
            "nonsense",
        ] {
            assert!(InstanceOrigin::parse(foreign, &policy).is_err(), "{foreign}");
        }
    }

    #[test]
    fn a_my_domain_behind_a_company_name_counts_as_its_own_origin() {
        let policy = policy("https://sf.acme.example:8443", false);
        assert!(InstanceOrigin::parse("https://sf.acme.example:8443", &policy).is_ok());
        assert!(InstanceOrigin::parse("https://sf.acme.example", &policy).is_err());
    }

    #[test]
    fn this_machine_is_accepted_only_where_the_kind_allows_it() {
        let address = "http://127.0.0.1:9000";
        assert!(InstanceOrigin::parse(address, &policy("http://localhost:9000", true)).is_ok());
        assert!(InstanceOrigin::parse(address, &policy("http://localhost:9000", false)).is_err());
    }

    #[test]
    fn a_path_cannot_leave_the_origin() {
        let policy = policy("https://login.salesforce.com", false);
        let origin = InstanceOrigin::parse("https://acme.my.salesforce.com", &policy).expect("accepted");
        for path in ["//evil.example/x", "https://evil.example/x", "/\\evil.example", "@evil.example/x"] {
            assert_eq!(origin.join(path).host_str(), Some("acme.my.salesforce.com"), "{path}");
        }
    }
}
