//! What shops are answered: from the shadow, from Salesforce, and what is said of it.

use engine::api::flags::{self, FlagName};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::serve::{Daemon, served};
use crate::world::World;

/// Asks, and answers the status and the body.
pub async fn ask(daemon: &Daemon, path: &str) -> (StatusCode, Value) {
    let answer = reqwest::get(format!("{}{path}", daemon.url)).await.expect("an answer");
    let status = answer.status();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    let expected = if status.is_success() { "application/json" } else { "application/problem+json" };
    assert_eq!(kind, expected, "{path}");
    let body = answer.text().await.expect("a body");
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}")))
}

/// Everything loaded, a daemon that streams, and readers that have the shadow.
pub async fn shadowed(pool: PgPool) -> (World, Daemon) {
    let (world, daemon) = served(pool).await;
    flags::set(&world.engine, FlagName::ShadowReads, true).await.expect("a flag");
    until_source(&world, &daemon, "shadow").await;
    (world, daemon)
}

/// Waits until readers are answered from somewhere: the flags are looked at about once a second.
pub async fn until_source(world: &World, daemon: &Daemon, source: &str) {
    let path = format!("/v1/accounts/{}/eligibility", an_account(world));
    world
        .until_true(&format!("answers come from {source}"), async || {
            ask(daemon, &path).await.1["source"] == source
        })
        .await;
}

/// Some product that holds its SKU, and the SKU.
pub async fn a_product(world: &World) -> (String, String) {
    sqlx::query_as("select product_id, sku from sf_product_shadow order by product_id limit 1")
        .fetch_one(&world.pool)
        .await
        .expect("a product")
}

/// Some account.
pub fn an_account(world: &World) -> String {
    world.org.org().ids("Account", 0, 1)[0].to_string()
}

/// Calls of the org that readers may have caused.
pub fn queries(world: &World) -> u64 {
    world.org.org().requests("*/query*")
}

/// A text as one piece of a path or query.
pub fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[sqlx::test(migrations = false)]
async fn a_product_is_answered_from_the_shadow_without_asking_salesforce(pool: PgPool) {
    let (world, daemon) = shadowed(pool).await;
    let (id, sku) = a_product(&world).await;
    let before = queries(&world);
    let (status, body) = ask(&daemon, &format!("/v1/products/{}", encoded(&sku))).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!((&body["source"], &body["stale"]), (&json!("shadow"), &json!(false)), "{body}");
    assert_eq!((&body["product"]["product_id"], &body["product"]["sku"]), (&json!(id), &json!(sku)));
    let as_of: chrono::DateTime<chrono::Utc> = body["as_of"].as_str().unwrap().parse().unwrap();
    let age = (engine::clock::now() - as_of).num_seconds();
    assert!((-5..60).contains(&age), "{body}");

    // What a ready and live object does not have is not asked for.
    let (status, body) = ask(&daemon, "/v1/products/NOBODY-HAS-THIS").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!((&body["source"], &body["stale"]), (&json!("shadow"), &json!(false)), "{body}");
    assert_eq!(queries(&world), before);
}
