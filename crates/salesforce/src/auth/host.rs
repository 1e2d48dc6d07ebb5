//! What follows from the name of a login host.

use url::Url;

use crate::origin::is_loopback;

/// The `aud` of an assertion: `login.salesforce.com` for production, `test.salesforce.com` for sandboxes and scratch
/// orgs, whatever their My Domain; any other host is its own audience.
pub fn jwt_audience(login_url: &Url) -> String {
    let host = login_url.host_str().unwrap_or_default().to_ascii_lowercase();
    if !host.ends_with(".salesforce.com") {
        return login_url.origin().ascii_serialization();
    }
    let sandbox = host == "test.salesforce.com"
        || host.contains("--")
        || host.ends_with(".sandbox.my.salesforce.com")
        || host.ends_with(".scratch.my.salesforce.com");
    if sandbox { "https://test.salesforce.com".to_owned() } else { "https://login.salesforce.com".to_owned() }
}

/// Whether a host offers client credentials: a My Domain does, the shared login hosts do not.
pub fn accepts_client_credentials(login_url: &Url) -> bool {
    let host = login_url.host_str().unwrap_or_default().to_ascii_lowercase();
    is_loopback(login_url) || !matches!(host.as_str(), "login.salesforce.com" | "test.salesforce.com")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audience(login_url: &str) -> String {
        jwt_audience(&Url::parse(login_url).expect("a URL"))
    }

    #[test]
    fn an_assertion_is_addressed_to_the_login_host_of_the_orgs_kind() {
        assert_eq!(audience("https://acme.my.salesforce.com"), "https://login.salesforce.com");
        assert_eq!(audience("https://acme-dev-ed.develop.my.salesforce.com"), "https://login.salesforce.com");
        assert_eq!(audience("https://acme--uat.sandbox.my.salesforce.com"), "https://test.salesforce.com");
        assert_eq!(audience("https://test.salesforce.com"), "https://test.salesforce.com");
        assert_eq!(audience("http://localhost:8040"), "http://localhost:8040");
    }
}
