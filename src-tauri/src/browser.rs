//! The system browser: for signing in, and for looking at a record in Salesforce.

use engine::{Answer, Problem};

/// Set to `none`, no browser is opened: the window shows the address instead.
const VARIABLE: &str = "SHADOW_SYNC_BROWSER";

/// Opens an address in the system browser.
///
/// - **Errors:** SS-6101 where there is no browser, with the address to open by hand.
pub fn open(url: &str) -> Answer<()> {
    let is_web = url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if !is_web {
        return Err(no_browser(url, "the address is not one of the web"));
    }
    if std::env::var(VARIABLE).is_ok_and(|browser| browser == "none") {
        return Ok(());
    }
    opener::open(url).map_err(|error| no_browser(url, &error.to_string()))
}

/// Opens an address whose window shows it anyway: without a browser the person copies it from there.
pub fn try_open(url: &str) {
    if let Err(problem) = open(url) {
        tracing::warn!(problem.code = problem.code, "no browser could be opened");
    }
}

fn no_browser(url: &str, why: &str) -> Box<Problem> {
    Box::new(
        Problem::new(
            "SS-6101",
            "No browser could be opened",
            "This machine has no program for web addresses, or it did not start.",
        )
        .step("Open the address by hand, in a browser on this machine.")
        .paste(url)
        .details(why),
    )
}
