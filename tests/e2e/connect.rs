//! Connecting an org: the wizard from its first to its last step, with the person at the org's own page.

use simulator::Simulator;

use crate::org;
use crate::window::{Window, free_port, number};

const OBJECTS: [&str; 3] = ["Product2", "PricebookEntry", "Account"];

/// A callback on a port that is free.
pub fn callback() -> String {
    format!("http://localhost:{}/oauth/callback", free_port())
}

/// Walks the wizard from its first step to the one where a person signs in.
pub async fn to_sign_in(window: &Window, org: &Simulator, callback: &str) {
    // The address is shown as what it becomes.
    window.press("connect-org").await;
    window.fill("org-address", org.base_url().as_str()).await;
    window.until_text("wizard", |text| text.contains("A simulated org on this machine")).await;
    window.fill("environment-name", "trial").await;
    window.press("wizard-next").await;

    // Embedded database, no cache.
    window.until_text("wizard-title", |title| title == "Database and cache").await;
    window.press("wizard-next").await;

    // The External Client App, with the redirect address that it has registered.
    window.fill("redirect-url", callback).await;
    window.press("wizard-next").await;
    window.find("wizard-sign-in").await;
}

/// Walks on from a sign-in that was approved to the plan of the first load.
pub async fn to_first_backfill(window: &Window) {
    window.find("signed-in").await;
    window.press("wizard-next").await;
    window.wait_for("[data-testid='preflight'] [data-tone='holds']").await;
    window.press("wizard-next").await;
    window.until_text("wizard", |text| text.contains("API calls")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wizard_leads_from_an_address_to_equal_counts() {
    let callback = callback();
    let org = org::start(org::options(&callback)).await;
    let window = Window::open_with(&[("SHADOW_SYNC_PUBSUB_ENDPOINT", org.grpc_url().as_str())]).await;
    to_sign_in(&window, &org, &callback).await;

    // A person who denies is told so, and can begin again.
    window.press("wizard-sign-in").await;
    let address = window.content("authorize-url").await;
    org::decide(&address, "deny").await;
    let problem = window.text("problem").await;
    assert!(problem.contains("SS-1"), "a denied sign-in is a problem of the catalogue: {problem}");

    // Approving goes on by itself; org, user and limits are shown before anything runs.
    window.press("mend").await;
    let address = window.content("authorize-url").await;
    org::decide(&address, "approve").await;
    let facts = window.text("signed-in").await;
    assert!(facts.contains(simulator::DEMO_USERNAME), "{facts}");
    assert!(facts.contains(simulator::SIMULATED_ORG_PREFIX), "{facts}");
    assert!(facts.to_lowercase().contains("simulated org"), "{facts}");
    assert!(facts.contains("calls used"), "the daily limit is shown: {facts}");

    // Every check that can be made holds; the plan names every object.
    to_first_backfill(&window).await;
    window.press("wizard-back").await;
    window.wait_for("[data-testid='preflight'] [data-tone='holds']").await;
    let checks = window.text("preflight").await;
    assert!(!checks.contains("to mend"), "{checks}");
    window.press("wizard-next").await;
    let plan = window.until_text("wizard", |text| text.contains("API calls")).await;
    assert!(OBJECTS.iter().all(|object| plan.contains(object)), "{plan}");

    // The load runs to its end.
    window.press("wizard-start").await;
    window.until_text("page-title", |title| title.contains("Backfill")).await;
    window.press("nav-overview").await;
    for object in OBJECTS {
        let row = format!("[data-testid='ledger-{object}']");
        window
            .wait_for(&format!(
                "{row}[data-health='countsAgree'], {row}[data-health='loaded'], {row}[data-health='live']"
            ))
            .await;
    }

    // Both sides are counted at one moment, and nothing is unexplained.
    window.press("nav-verify").await;
    window.press("count-now").await;
    for object in OBJECTS {
        window.wait_for(&format!("[data-testid='count-{object}'][data-verdict='unverified']")).await;
        let [salesforce, shadow, rejected] = counts(&window, object).await;
        assert_eq!(salesforce, shadow + rejected, "{object}: {salesforce} = {shadow} + {rejected}");
        assert!(salesforce > 0, "{object} has records in the org");
    }
    assert_eq!(window.text("counts-statement").await, "The counts agree.");

    // What was rejected says why.
    let [_, _, rejected] = counts(&window, "Product2").await;
    assert!(rejected > 0, "the simulated catalogue has products that cannot be stored");
    let reasons = window.text("rejected").await;
    assert!(reasons.contains("SKU"), "{reasons}");
    window.close().await;
    org.stop().await;
}

async fn counts(window: &Window, object: &str) -> [u64; 3] {
    let mut read = [0; 3];
    for (count, side) in read.iter_mut().zip(["salesforce", "shadow", "rejected"]) {
        *count = number(&window.text(&format!("{side}-{object}")).await);
    }
    read
}
