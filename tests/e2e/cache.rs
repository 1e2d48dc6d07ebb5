//! The cache in the window: previewed, flushed with one click and stopped outside production, with its plan in it.

use crate::redis::Redis;
use crate::window::Window;

/// The line of a flush in this state.
fn line(state: &str) -> String {
    format!("[data-testid='flush-line'][data-state='{state}']")
}

async fn demo_window(redis: &Redis) -> Window {
    let window = Window::open_with(&[("SHADOW_SYNC_REDIS_URL", redis.url().as_str())]).await;
    window.press("look-around").await;
    window.until_text("wizard-title", |title| title == "The demo org is ready.").await;
    window.press("wizard-close").await;
    window.press("nav-cache").await;
    window.until_text("cache-statement", |text| text == "Every change has flushed its keys.").await;
    window
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_production_a_flush_is_one_click_from_three_places_and_takes_only_its_keys() {
    let redis = Redis::start();
    redis.populate("catalog:product", 4_000);
    redis.populate("eligibility", 300);
    redis.set("session:1");
    let window = demo_window(&redis).await;
    window.until_content("keys-catalog:*", |row| row.contains("4,000")).await;

    // Looking at it deletes nothing.
    window.press("preview-catalog").await;
    let plan = window.until_content("flush-plan", |plan| plan.contains("4,000")).await;
    assert!(plan.contains("catalog:*"), "{plan}");
    assert!(window.content("flush-sample").await.contains("catalog:product:"));
    window.keys("\u{e00c}").await;
    assert_eq!(redis.size(), 4_301);

    // From the page: one click, and a line that says what came of it.
    window.press("flush-catalog").await;
    window.wait_for(&line("done")).await;
    let said = window.content("flush-line").await;
    assert!(said.contains("Flushed the catalogue: 4,000 keys deleted in"), "{said}");
    assert_eq!(redis.size(), 301, "what is not of the catalogue stays");
    window.until_content("flush-history", |rows| rows.contains("catalogue") && rows.contains("4,000")).await;

    // From the overview.
    window.press("nav-overview").await;
    window.press("flush-eligibility").await;
    window
        .until_content("flush-lines", |lines| lines.contains("Flushed eligibility: 300 keys deleted"))
        .await;
    assert_eq!(redis.size(), 1);

    // From the palette.
    redis.populate("catalog:price", 20);
    window.control('k').await;
    window.find("palette").await;
    window.keys("flush the catalogue\u{e007}").await;
    window.until_content("flush-lines", |lines| lines.contains("20 keys deleted")).await;
    assert_eq!(redis.size(), 1);

    // One SKU by its templates alone; a pattern that matches everything asks for the name first.
    redis.populate("catalog:product", 2);
    window.press("nav-cache").await;
    window.fill("sku-field", "1").await;
    window.press("flush-sku").await;
    window.until_content("flush-lines", |lines| lines.contains("1 key deleted")).await;
    window.fill("pattern-field", "*").await;
    window.press("flush-pattern").await;
    window.find("typed-name").await;
    let confirm =
        "return document.querySelector('[data-testid=\"confirm-flush\"]').getAttribute('aria-disabled')";
    assert_eq!(window.evaluate(confirm).await, "true");
    window.keys("\u{e00c}").await;
    assert_eq!(redis.size(), 2, "nothing was deleted without the name");
    window.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_counts_while_it_deletes_and_stops_when_it_is_told_to() {
    let redis = Redis::start();
    redis.populate("catalog:product", 1_500_000);
    let window = demo_window(&redis).await;
    window.press("flush-catalog").await;
    window.wait_for(&line("running")).await;
    window.until_content("flush-line", |text| !text.contains(": 0 keys deleted")).await;
    window.press("stop-flush").await;
    window.wait_for(&line("stopped")).await;
    let said = window.content("flush-line").await;
    assert!(said.contains("Stopped the flush of the catalogue after"), "{said}");
    let left = redis.size();
    assert!(left > 0 && left < 1_500_000, "{left} keys are left");
    window.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_production_the_plan_comes_first_and_asks_for_the_name() {
    let redis = Redis::start();
    redis.populate("catalog:product", 500);
    let configuration = format!(
        "[environments.halden]\nkind = \"production\"\nlogin_url = \"https://halden.my.salesforce.com\"\n\
         client_id = \"trial\"\ndatabase_url = \"embedded\"\nredis_url = \"{}\"\n",
        redis.url()
    );
    let window = Window::open_configured(&configuration).await;
    window.press("nav-cache").await;
    window.press("flush-catalog").await;
    window.until_content("flush-plan", |plan| plan.contains("500")).await;
    let dialog = window.content("flush-dialog").await;
    assert!(dialog.contains("halden") && dialog.contains("Production"), "{dialog}");

    // Part of the name is not the name; Esc leaves everything as it was.
    window.fill("typed-name", "hald").await;
    window.until_content("flush-dialog", |text| text.contains("2 letters to go")).await;
    let confirm =
        "return document.querySelector('[data-testid=\"confirm-flush\"]').getAttribute('aria-disabled')";
    assert_eq!(window.evaluate(confirm).await, "true");
    window.keys("\u{e00c}").await;
    assert_eq!(redis.size(), 500);

    // With the name it runs in place and says what came of it.
    window.press("flush-catalog").await;
    window.fill("typed-name", "halden").await;
    window.press("confirm-flush").await;
    window.wait_for("[data-testid='flush-said'][data-state='done']").await;
    let said = window.content("flush-said").await;
    assert!(said.contains("Flushed the catalogue: 500 keys deleted"), "{said}");
    assert_eq!(redis.size(), 0);
    window.close().await;
}
