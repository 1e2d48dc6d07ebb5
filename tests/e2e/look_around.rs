//! Looking around: one click from nothing to a demo org, and its mark on every page.

use crate::window::Window;

#[tokio::test(flavor = "multi_thread")]
async fn looking_around_needs_one_click_and_says_simulated_org_everywhere() {
    let window = Window::open().await;
    window.press("look-around").await;
    window.until_text("wizard-title", |title| title == "The demo org is ready.").await;
    let signed_in = window.text("wizard").await;
    assert!(signed_in.contains("signed itself in"), "{signed_in}");

    window.press("wizard-start").await;
    for page in ["Backfill", "Overview", "Lag", "Events", "Verify", "Cache", "Audit", "Settings"] {
        window.press(&format!("nav-{}", page.to_lowercase())).await;
        let head = window.until_text("page-head", |head| head.contains(page)).await;
        assert!(head.contains("simulated org"), "{page}: {head}");
        let title = window.title().await;
        assert!(title.starts_with(page) && title.contains("simulated org"), "{title}");
    }
    assert!(window.text("status-environment").await.contains("simulated org"));
    window.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_window_is_reached_by_keyboard_and_reaches_no_network() {
    let window = Window::open().await;
    window.press("look-around").await;
    window.until_text("wizard-title", |title| title == "The demo org is ready.").await;
    window.press("wizard-close").await;

    window.find("page-title").await;
    window.control('k').await;
    window.find("palette").await;
    window.keys("settings\u{e007}").await;
    window.until_text("page-title", |title| title == "Settings").await;
    window.keys("gv").await;
    window.until_text("page-title", |title| title == "Verify").await;
    window.keys("?").await;
    window.find("keys").await;

    // The content security policy leaves the page nobody to talk to but the engine.
    let outcome = window
        .evaluate("return fetch('http://127.0.0.1:9/').then(() => 'went out', (error) => error.name)")
        .await;
    assert_eq!(outcome, "TypeError");
    let violations = window
        .evaluate(
            "return new Promise((resolve) => {
               addEventListener('securitypolicyviolation', (event) => resolve(event.effectiveDirective));
               fetch('https://example.com/').catch(() => undefined);
             })",
        )
        .await;
    assert_eq!(violations, "connect-src");
    window.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wizard_that_is_closed_before_the_demo_org_is_ready_stays_closed() {
    let window = Window::open().await;
    // It is closed the moment it can be: the environment is there, the org's sign-in is still on its way.
    let close_at_once = "new MutationObserver((_, watch) => {
           const close = document.querySelector('[data-testid=\"wizard-close\"]');
           if (!close) return;
           watch.disconnect();
           close.click();
         }).observe(document.body, { subtree: true, childList: true })";
    window.find("look-around").await;
    window.evaluate(close_at_once).await;
    window.press("look-around").await;
    window.until_content("toasts", |text| text.contains("The demo org is ready.")).await;
    window.until_text("page-title", |title| title == "Overview").await;
    window.until_content("who", |who| who.contains("simulated-org")).await;
    let wizards =
        window.evaluate("return document.querySelectorAll('[data-testid=\"wizard\"]').length").await;
    assert_eq!(wizards, 0, "nobody asked for the wizard again");
    window.close().await;
}
