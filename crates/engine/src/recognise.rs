//! Any pasted org address becomes the login address that works, and shows what it became.

use url::Url;

use crate::api::environments::{EnvironmentKind, RecognisedOrg};
use crate::problem::{Answer, MendAct, Problem};

/// Reads what a person pasted: a Setup page, a Lightning address, a bare host, a short name such as `test`.
///
/// - **Source:** R 0.1. Lightning, Setup and Visualforce hosts do not sign anybody in; their My Domain does.
/// - **Errors:** SS-5101 for what is no address of an org, with examples.
pub fn recognise(pasted: &str) -> Answer<RecognisedOrg> {
    let pasted = pasted.trim();
    let url = match pasted {
        "login" | "production" => Url::parse("https://login.salesforce.com"),
        "test" | "sandbox" => Url::parse("https://test.salesforce.com"),
        _ if pasted.contains("://") => Url::parse(pasted),
        _ => Url::parse(&format!("https://{pasted}")),
    };
    let url = url.map_err(|_| not_an_org(pasted))?;
    let host = url.host_str().ok_or_else(|| not_an_org(pasted))?.to_ascii_lowercase();
    if matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]") {
        let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
        return Ok(RecognisedOrg {
            login_url: format!(
                "{}://{host}{port}",
                if pasted.contains("://") { url.scheme() } else { "http" }
            ),
            recognised_as: "A simulated org on this machine".to_owned(),
            proposed_kind: EnvironmentKind::Demo,
        });
    }
    of_host(&host).ok_or_else(|| not_an_org(pasted))
}

fn of_host(host: &str) -> Option<RecognisedOrg> {
    match host {
        "login.salesforce.com" => {
            return Some(recognised(
                host,
                "Any production or Developer Edition org",
                EnvironmentKind::Production,
            ));
        }
        "test.salesforce.com" => return Some(recognised(host, "Any sandbox", EnvironmentKind::Staging)),
        _ => {}
    }
    let (name, partition) = my_domain(host)?;
    if !is_domain_name(name) {
        return None;
    }
    let login = match partition {
        None => format!("{name}.my.salesforce.com"),
        Some(partition) => format!("{name}.{partition}.my.salesforce.com"),
    };
    Some(match (partition, name.rsplit_once("--")) {
        (Some("sandbox") | None, Some((org, sandbox))) => {
            recognised(&login, &format!("Sandbox {sandbox} of {org}"), EnvironmentKind::Staging)
        }
        (Some("develop"), _) => {
            recognised(&login, &format!("Developer Edition org {name}"), EnvironmentKind::Development)
        }
        (Some("scratch"), _) => {
            recognised(&login, &format!("Scratch org {name}"), EnvironmentKind::Development)
        }
        (Some(partition), _) => {
            recognised(&login, &format!("Org {name} ({partition})"), EnvironmentKind::Development)
        }
        (None, None) if name.ends_with("-dev-ed") => {
            recognised(&login, &format!("Developer Edition org {name}"), EnvironmentKind::Development)
        }
        (None, None) => recognised(&login, &format!("Production org {name}"), EnvironmentKind::Production),
    })
}

/// Splits a host of an org into My Domain name and partition (`sandbox`, `develop`, …).
fn my_domain(host: &str) -> Option<(&str, Option<&str>)> {
    let stem = [
        ".my.salesforce.com",
        ".my.salesforce-setup.com",
        ".lightning.force.com",
        ".my.site.com",
        ".vf.force.com",
        ".file.force.com",
    ]
    .iter()
    .find_map(|suffix| host.strip_suffix(suffix))?;
    Some(match stem.rsplit_once('.') {
        Some((name, partition)) => (name, Some(partition)),
        None => (stem, None),
    })
}

fn is_domain_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn recognised(host: &str, recognised_as: &str, proposed_kind: EnvironmentKind) -> RecognisedOrg {
    RecognisedOrg {
        login_url: format!("https://{host}"),
        recognised_as: recognised_as.to_owned(),
        proposed_kind,
    }
}

fn not_an_org(pasted: &str) -> Box<Problem> {
    let shown: String = pasted.chars().take(80).collect();
    Box::new(
        Problem::new(
            "SS-5101",
            "This is not the address of a Salesforce org",
            format!("`{shown}` is on none of Salesforce's domains, so no sign-in is sent there."),
        )
        .step("Open the org in a browser and copy the address from there.")
        .step(
            "Examples: https://acme.my.salesforce.com, https://acme--uat.sandbox.lightning.force.com, \
             https://login.salesforce.com.",
        )
        .act(MendAct::OpenSettings),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn becomes(pasted: &str) -> (String, EnvironmentKind) {
        let org = recognise(pasted).unwrap();
        (org.login_url, org.proposed_kind)
    }

    #[test]
    fn every_page_of_an_org_leads_to_its_login_address() {
        let acme = ("https://acme.my.salesforce.com".to_owned(), EnvironmentKind::Production);
        assert_eq!(becomes("https://acme.lightning.force.com/lightning/page/home"), acme);
        assert_eq!(becomes("acme.my.salesforce.com"), acme);
        assert_eq!(becomes(" https://ACME.my.salesforce-setup.com/lightning/setup/SetupOneHome/home "), acme);
    }

    #[test]
    fn sandboxes_and_developer_orgs_are_told_apart() {
        assert_eq!(
            becomes("https://acme--uat.sandbox.lightning.force.com"),
            ("https://acme--uat.sandbox.my.salesforce.com".to_owned(), EnvironmentKind::Staging)
        );
        assert_eq!(becomes("acme-dev-ed.develop.my.salesforce.com").1, EnvironmentKind::Development);
        assert_eq!(becomes("test"), ("https://test.salesforce.com".to_owned(), EnvironmentKind::Staging));
        assert_eq!(becomes("localhost:8790"), ("http://localhost:8790".to_owned(), EnvironmentKind::Demo));
    }

    #[test]
    fn another_address_is_refused_before_anything_is_sent_there() {
        for pasted in
            ["https://example.com", "acme.my.salesforce.com.evil.example", "", "https://.my.salesforce.com"]
        {
            assert_eq!(recognise(pasted).unwrap_err().code, "SS-5101", "{pasted}");
        }
    }
}
