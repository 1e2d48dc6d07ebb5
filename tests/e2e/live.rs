//! Live: a change in the org is seen in the window, a stream that fails is shown, a dead letter is retried.

use serde_json::json;
use simulator::{Disturbance, EventFault, Fault, Simulator};

use crate::connect::{callback, to_first_backfill, to_sign_in};
use crate::org;
use crate::window::Window;

/// Connects an org and loads it; answers when every object is live.
async fn live_window() -> (Simulator, Window) {
    let callback = callback();
    let org = org::start(org::options(&callback)).await;
    let window = Window::open_with(&[("SHADOW_SYNC_PUBSUB_ENDPOINT", org.grpc_url().as_str())]).await;
    to_sign_in(&window, &org, &callback).await;
    window.press("wizard-sign-in").await;
    org::decide(&window.content("authorize-url").await, "approve").await;
    to_first_backfill(&window).await;
    window.press("wizard-start").await;
    window.press("nav-overview").await;
    for object in ["Product2", "PricebookEntry", "Account"] {
        window.wait_for(&format!("[data-testid='ledger-{object}'][data-health='live']")).await;
    }
    (org, window)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_the_org_is_seen_in_the_window() {
    let (org, window) = live_window().await;
    let strip = window.text("strip").await;
    assert!(strip.contains("Live through"), "{strip}");
    let bar = window.text("status-stream").await;
    assert!(bar.contains("heard"), "{bar}");
    let work = window.content("at-work").await;
    assert!(work.contains("This console") && work.contains("streams"), "{work}");
    assert!(window.content("only-worker").await.contains("stops sync"), "nobody else works here");

    // The tail shows the change by itself, with what was done with it.
    window.press("nav-events").await;
    let product = org.org().ids("Product2", 3, 1)[0];
    org.org()
        .update("Product2", product.as_str(), &json!({ "Name": "Renamed in the org" }))
        .expect("the product is there");
    let done = |outcome: &str| {
        format!("[data-testid='event'][data-record='{}'][data-outcome='{outcome}']", product.as_str())
    };
    // So soon after the load it may be fetched whole instead: what was read then is not older for certain.
    let row = format!("{}, {}", done("applied"), done("dirty"));
    window.wait_for(&row).await;

    // The keyboard opens it: the inspector says which field changed, and what was done with it and why.
    window.keys("j").await;
    let inspector = window.until_content("inspector", |text| text.contains("Renamed in the org")).await;
    assert!(inspector.contains("Name") && inspector.contains("What was done, and why"), "{inspector}");
    assert!(inspector.contains(product.as_str()), "{inspector}");

    // While it is open the tail is held, and what comes is counted.
    let other = org.org().ids("Account", 3, 1)[0];
    org.org().update("Account", other.as_str(), &json!({ "Name": "Held" })).expect("the account is there");
    window.until_content("held", |text| text.contains("1 new")).await;
    window.press("new-events").await;
    window.wait_for(&format!("[data-testid='event'][data-record='{}']", other.as_str())).await;
    window.close().await;
    org.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_retried_and_a_broken_stream_is_shown() {
    let (org, window) = live_window().await;

    // An event that cannot be read is parked with its cause; the others go on. Its record is fetched by itself, which
    // would close the letter before anybody sees it: so the fetch takes long.
    org.org().inject("POST */composite/sobjects/*", Fault::Slow { delay_ms: 15_000 }, 2);
    let account = org.org().ids("Account", 5, 1)[0];
    let corrupt = Disturbance::NextEvents {
        object: Some("Account".to_owned()),
        fault: EventFault::CorruptBody,
        times: Some(1),
    };
    org.org().disturb(&corrupt).expect("the org can be disturbed");
    org.org()
        .update("Account", account.as_str(), &json!({ "Internet_Eligibility__c": "Parked" }))
        .expect("the account is there");
    window.press("nav-events").await;
    window.press("tab-dead-letters").await;
    let letters = window.content("dead-letter-group").await;
    assert!(letters.contains(account.as_str()), "{letters}");

    // Retrying says first what it fetches.
    window.press("retry-letters").await;
    let plan = window.content("dead-letter-dialog").await;
    assert!(plan.contains("Records to fetch") && plan.contains("API calls"), "{plan}");
    window.press("confirm-dead-letters").await;
    window.until_content("dead-letters", |text| text.contains("No dead letters")).await;

    // The org goes away: the window says so wherever the reader is, and the events stay on screen.
    org.stop().await;
    window.wait_for("[data-testid='status-stream'].attention, [data-testid='status-stream'].fails").await;
    window.press("tab-log").await;
    window.find("event").await;
    window.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_is_drawn_and_readable_as_a_table() {
    let (org, window) = live_window().await;
    window.press("nav-lag").await;
    window.find("lag-summary").await;
    window.keys("[").await;
    let drawn = "return document.querySelectorAll('main canvas').length";
    window.until_evaluates(drawn, &json!(4)).await;
    let spoken = "return [...document.querySelectorAll('[role=img][aria-label*=\"over time\"]')].length";
    assert_eq!(window.evaluate(spoken).await, 4, "every chart says what it shows");
    window.press("shown-as-table").await;
    // The first sample of the lag is taken some seconds after the stream began.
    let table = window.until_content("lag-table", |text| text.contains("Lag of Product2")).await;
    assert!(table.contains("Failures"), "{table}");
    window.close().await;
    org.stop().await;
}
