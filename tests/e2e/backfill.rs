//! Planning a load and steering it, from the window.

use std::time::Duration;

use simulator::Options;

use crate::connect::{callback, to_first_backfill, to_sign_in};
use crate::org;
use crate::window::Window;

#[tokio::test(flavor = "multi_thread")]
async fn a_load_is_planned_paused_resumed_and_cancelled_from_the_window() {
    let callback = callback();
    // Salesforce takes longer to prepare the results than anybody in this test waits.
    let slow = Options { bulk_running: Duration::from_mins(10), ..org::options(&callback) };
    let org = org::start(slow).await;
    let window = Window::open_with(&[("SHADOW_SYNC_PUBSUB_ENDPOINT", org.grpc_url().as_str())]).await;
    to_sign_in(&window, &org, &callback).await;
    window.press("wizard-sign-in").await;
    org::decide(&window.content("authorize-url").await, "approve").await;
    to_first_backfill(&window).await;
    window.press("wizard-close").await;

    // Of the three objects that the plan offers, one is loaded.
    window.press("nav-backfill").await;
    window.press("backfill").await;
    window.press("plan-PricebookEntry").await;
    window.press("plan-Account").await;
    window.press("start-backfill").await;

    let job = |state: &str| format!("[data-testid='job-Product2'][data-state='{state}']");
    window.wait_for(&job("running")).await;
    window.press("pause-Product2").await;
    window.wait_for(&job("paused")).await;
    window.press("resume-Product2").await;
    window.wait_for(&job("running")).await;

    // Cancelling asks first, and says what stays.
    window.press("cancel-Product2").await;
    let question = window.content("cancel-dialog").await;
    assert!(question.contains("stay"), "{question}");
    window.press("confirm-cancel").await;
    let jobs = window.until_text("jobs", |jobs| jobs.contains("cancelled")).await;
    assert!(jobs.contains("Product2"), "{jobs}");
    window.close().await;
    org.stop().await;
}
