//! A simulated org for the window to sign in to, and the person at its page.

use std::time::Duration;

use simulator::{Options, Simulator};

/// A small org that knows one callback and waits for a person at its page.
pub fn options(callback: &str) -> Options {
    Options {
        callbacks: vec![callback.to_owned()],
        products: 120,
        prices: 600,
        accounts: 90,
        auto_approve: false,
        keep_alive: Duration::from_secs(2),
        first_keep_alive: Some(Duration::from_millis(200)),
        ..Options::default()
    }
}

/// Starts an org.
pub async fn start(options: Options) -> Simulator {
    Simulator::start(options).await.expect("the simulated org starts")
}

/// Decides at the org's page as a browser would: opens it, submits its form, follows the redirect to the console.
/// Returns what the console shows in the browser.
pub async fn decide(authorize_url: &str, decision: &str) -> String {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let browser = reqwest::Client::builder().no_proxy().build().expect("a browser");
    let page = browser.get(authorize_url).send().await.expect("the org's page opens");
    let action = page.url().join("/services/oauth2/authorize").expect("the form's address");
    let page = page.text().await.expect("the page has a text");
    let ticket = between(&page, "name=\"ticket\" value=\"", "\"");
    let form = [("ticket", ticket), ("decision", decision)];
    let answer = browser.post(action).form(&form).send().await.expect("the form can be submitted");
    answer.text().await.expect("the console answers the browser")
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}")).1;
    rest.split_once(after).expect("the value ends").0
}
