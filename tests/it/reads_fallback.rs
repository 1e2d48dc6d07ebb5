//! When Salesforce is asked on behalf of a reader, and what happens when it cannot be.

use std::time::Duration;

use engine::api::flags::{self, FlagName};
use engine::api::quota;
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use simulator::Fault;
use sqlx::PgPool;

use crate::reads::{a_product, an_account, ask, encoded, queries, shadowed, until_source};
use crate::serve::Daemon;
use crate::world::World;

const ACCOUNTS: &str = "sf_account_eligibility_shadow";

/// Adds lines to the environment's configuration.
pub fn configure(world: &World, lines: &str) {
    let text = std::fs::read_to_string(world.config()).unwrap();
    std::fs::write(world.config(), format!("{text}{lines}\n")).unwrap();
}

/// The same as [`shadowed`] with settings of one's own.
pub async fn shadowed_with(pool: PgPool, lines: &str) -> (World, Daemon) {
    let world = World::start(pool).await;
    configure(&world, lines);
    world.backfill(&["Product2", "PricebookEntry", "Account"]).await;
    let daemon = Daemon::start(&world).await;
    world.until_streaming().await;
    world.until_settled().await;
    flags::set(&world.engine, FlagName::ShadowReads, true).await.unwrap();
    until_source(&world, &daemon, "shadow").await;
    (world, daemon)
}

#[sqlx::test(migrations = false)]
async fn an_answer_that_is_too_old_is_asked_of_salesforce_and_its_row_is_refreshed(pool: PgPool) {
    let (world, daemon) = shadowed(pool).await;
    let id = an_account(&world);
    // No event tells of it, so only a reader can notice.
    let hidden = json!({ "Internet_Eligibility__c": "Only Salesforce knows" });
    world.org.org().change_hidden("Account", &id, &hidden).unwrap();
    let path = format!("/v1/accounts/{id}/eligibility");
    let (_, body) = ask(&daemon, &path).await;
    assert_eq!(body["source"], "shadow", "{body}");
    assert_ne!(body["eligibility"]["internet_eligibility"], "Only Salesforce knows");
    let (status, body) = ask(&daemon, &format!("{path}?max_age=0")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&body["source"], &body["stale"]), (&json!("salesforce"), &json!(false)), "{body}");
    assert_eq!(body["eligibility"]["internet_eligibility"], "Only Salesforce knows");
    world
        .until_value(ACCOUNTS, "account_id", &id, "internet_eligibility", Some("Only Salesforce knows"))
        .await;
    world.until_true("the row is right again", async || world.waiting().await == 0).await;
    let (_, body) = ask(&daemon, &path).await;
    assert_eq!(body["source"], "shadow", "{body}");
    assert_eq!(body["eligibility"]["internet_eligibility"], "Only Salesforce knows");
}

#[sqlx::test(migrations = false)]
async fn without_the_flag_salesforce_answers_alike_and_its_calls_are_counted(pool: PgPool) {
    let (world, daemon) = shadowed(pool).await;
    let (_, sku) = a_product(&world).await;
    let paths = [
        format!("/v1/products/{}", encoded(&sku)),
        format!("/v1/prices?sku={}&sku=NOBODY", encoded(&sku)),
        format!("/v1/accounts/{}/eligibility", an_account(&world)),
        "/v1/products/NOBODY".to_owned(),
    ];
    let mut shadow = Vec::new();
    for path in &paths {
        shadow.push(ask(&daemon, path).await);
    }
    flags::set(&world.engine, FlagName::ShadowReads, false).await.unwrap();
    until_source(&world, &daemon, "salesforce").await;
    for (path, (status, mut body)) in paths.iter().zip(shadow) {
        let (live_status, mut live) = ask(&daemon, path).await;
        assert_eq!((status, &live["source"]), (live_status, &json!("salesforce")), "{live}");
        for answer in [&mut body, &mut live] {
            let answer = answer.as_object_mut().unwrap();
            answer.remove("source");
            answer.remove("as_of");
        }
        assert_eq!(body, live, "{path}");
    }
    // A page of Salesforce may be shorter, for its records without a SKU; all pages together are the same.
    let mut pages = Vec::new();
    let mut path = "/v1/products?limit=13".to_owned();
    while !path.is_empty() {
        let (_, page) = ask(&daemon, &path).await;
        assert_eq!(page["source"], "salesforce", "{page}");
        let ids = page["products"].as_array().unwrap().iter().map(|product| product["product_id"].clone());
        pages.extend(ids);
        path = page["next"]
            .as_str()
            .map(|next| format!("/v1/products?limit=13&after={next}"))
            .unwrap_or_default();
    }
    let rows: Vec<String> =
        sqlx::query_scalar("select product_id from sf_product_shadow order by product_id")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(pages, rows);
    world
        .until_true("the calls are counted under their purpose", async || {
            let view = quota::get(&world.engine).await.unwrap();
            view.purposes.iter().any(|purpose| purpose.purpose == "read" && purpose.calls >= 5)
        })
        .await;
}

#[sqlx::test(migrations = false)]
async fn salesforce_that_is_down_limited_or_slow_leaves_the_shadows_answer_marked_stale(pool: PgPool) {
    let (world, daemon) = shadowed_with(pool, "fallback_timeout = \"300ms\"").await;
    let path = format!("/v1/accounts/{}/eligibility?max_age=0", an_account(&world));
    let (_, fresh) = ask(&daemon, &path).await;
    assert_eq!(fresh["source"], "salesforce", "{fresh}");
    for fault in [
        Fault::Error { status: 400, code: "UNKNOWN_EXCEPTION".into(), message: "It broke".into() },
        Fault::Slow { delay_ms: 5_000 },
        Fault::QuotaSpent,
    ] {
        world.org.org().inject("GET */query*", fault.clone(), u32::MAX);
        world
            .until_true(&format!("stale answers with {fault:?}"), async || {
                let (status, body) = ask(&daemon, &path).await;
                assert_eq!(status, StatusCode::OK, "{body}");
                assert_eq!(body["eligibility"], fresh["eligibility"]);
                body["source"] == "shadow" && body["stale"] == true
            })
            .await;
        // Without the flag nobody but Salesforce should be asked; what is there is better than nothing.
        flags::set(&world.engine, FlagName::ShadowReads, false).await.unwrap();
        world
            .until_true("the flag is off and there is still an answer", async || {
                let (status, body) = ask(&daemon, path.trim_end_matches("?max_age=0")).await;
                assert_eq!(status, StatusCode::OK, "{body}");
                body["stale"] == true
            })
            .await;
        flags::set(&world.engine, FlagName::ShadowReads, true).await.unwrap();
        world.org.org().withdraw_all();
    }
    let refused = daemon.get("/metrics").await.1;
    assert!(
        refused.contains("sf_shadow_read_fallback_refused_total{question=\"eligibility\",why=\"slow\"}"),
        "{refused}"
    );
}

#[sqlx::test(migrations = false)]
async fn readers_stop_at_their_own_budget(pool: PgPool) {
    let (world, daemon) = shadowed_with(pool, "fallback_per_minute = 4").await;
    let path = format!("/v1/accounts/{}/eligibility?max_age=0", an_account(&world));
    let before = queries(&world);
    let mut sources = Vec::new();
    for _ in 0..12 {
        let (status, body) = ask(&daemon, &path).await;
        assert_eq!(status, StatusCode::OK);
        sources.push((body["source"].as_str().unwrap().to_owned(), body["stale"] == true));
    }
    let asked = queries(&world) - before;
    assert!((1..=5).contains(&asked), "{asked} calls: {sources:?}");
    assert_eq!(sources.last().unwrap(), &("shadow".to_owned(), true));

    // A share of the org's calls, too: the sync goes on while readers may not.
    let spent = "insert into shadow_sync.api_usage (hour, purpose, calls)
                 values (date_trunc('hour', now()), 'read', 90000) on conflict (hour, purpose) do update set calls = 90000";
    sqlx::query(spent).execute(&world.pool).await.unwrap();
    let view = quota::get(&world.engine).await.unwrap();
    assert!(view.stopped.is_empty(), "{view:?}");
}

#[sqlx::test(migrations = false)]
async fn one_question_is_asked_once_however_many_ask_it(pool: PgPool) {
    let (world, daemon) = shadowed(pool).await;
    let path = format!("/v1/accounts/{}/eligibility?max_age=0", an_account(&world));
    ask(&daemon, &path).await;
    world.org.org().inject("GET */query*", Fault::Slow { delay_ms: 700 }, 1);
    let before = queries(&world);
    let answers = join_all((0..30).map(|_| ask(&daemon, &path))).await;
    assert!(answers.iter().all(|(status, body)| *status == StatusCode::OK && body["source"] == "salesforce"));
    let asked = queries(&world) - before;
    assert!(asked <= 2, "{asked} calls for one question");
}

#[sqlx::test(migrations = false)]
async fn an_object_that_is_not_ready_is_asked_of_salesforce(pool: PgPool) {
    let world = World::start(pool).await;
    world.backfill(&["Product2"]).await;
    let daemon = Daemon::start(&world).await;
    world.until_streaming().await;
    let account = an_account(&world);
    let (status, body) = ask(&daemon, &format!("/v1/accounts/{account}/eligibility")).await;
    assert_eq!((status, &body["source"]), (StatusCode::OK, &json!("salesforce")), "{body}");
    let refused = flags::set(&world.engine, FlagName::ShadowReads, true).await.unwrap_err();
    assert_eq!(refused.code, "SS-7104");
    world.org.org().inject("GET */query*", Fault::Unavailable { retry_after: None }, u32::MAX);
    let answer = reqwest::get(format!("{}/v1/accounts/{account}/eligibility", daemon.url)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
}

#[sqlx::test(migrations = false)]
async fn a_sku_with_quotes_and_line_breaks_is_found_on_both_sides(pool: PgPool) {
    let (world, daemon) = shadowed(pool).await;
    let sku = "O'Neil \"5\\ ' OR Name != '\nnext";
    let fields = json!({ "Name": "Hostile", "ProductCode": sku, "StockKeepingUnit": sku, "IsActive": true });
    let id = world.org.org().insert("Product2", &fields).unwrap().to_string();
    world.until_true("it is in the shadow", async || world.sku(&id).await.is_some()).await;
    world.until_settled().await;
    let path = format!("/v1/products/{}", encoded(sku));
    let (status, body) = ask(&daemon, &path).await;
    assert_eq!((status, &body["product"]["product_id"]), (StatusCode::OK, &json!(id)), "{body}");
    let (status, live) = ask(&daemon, &format!("{path}?max_age=0")).await;
    assert_eq!((status, &live["source"]), (StatusCode::OK, &json!("salesforce")), "{live}");
    assert_eq!(live["product"], body["product"]);
    // SOQL compares without regard to case; a SKU is what it is.
    let (status, _) = ask(&daemon, &format!("/v1/products/{}?max_age=0", encoded(&sku.to_lowercase()))).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[sqlx::test(migrations = false)]
async fn what_is_rejected_or_dirty_is_asked_of_salesforce(pool: PgPool) {
    let (world, daemon) = shadowed(pool).await;
    let (product, sku) = a_product(&world).await;
    let entry: String = sqlx::query_scalar(
        "select pricebook_entry_id from sf_pricebook_shadow where product_id = $1 limit 1",
    )
    .bind(&product)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    world.age_reads().await;
    let huge = json!({ "UnitPrice": 123_456_789_012_345.5 });
    world.org.org().update("PricebookEntry", &entry, &huge).unwrap();
    world
        .until_true("the entry is rejected", async || world.reject("PricebookEntry", &entry).await.is_some())
        .await;
    world.until_settled().await;
    let (_, basket) = ask(&daemon, &format!("/v1/prices?sku={}", encoded(&sku))).await;
    assert_eq!(basket["source"], "salesforce", "{basket}");
    let prices = basket["prices"].as_array().unwrap();
    let found = prices.iter().find(|price| price["pricebook_entry_id"] == entry).expect("the entry");
    assert!(found["unit_price"].as_str().unwrap().starts_with("123456789012345.5"), "{found}");

    let account = an_account(&world);
    let gone = "delete from sf_account_eligibility_shadow where account_id = $1";
    sqlx::query(gone).bind(&account).execute(&world.pool).await.unwrap();
    let (status, _) = ask(&daemon, &format!("/v1/accounts/{account}/eligibility")).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "nobody said that it might be there");
    let mark = "insert into shadow_sync.dirty (object, record_id, reason, as_of, not_before)
                values ('Account', $1, 'gap', 0, now() + interval '1 hour')";
    sqlx::query(mark).bind(&account).execute(&world.pool).await.unwrap();
    let (status, body) = ask(&daemon, &format!("/v1/accounts/{account}/eligibility")).await;
    assert_eq!((status, &body["source"]), (StatusCode::OK, &json!("salesforce")), "{body}");
}

#[sqlx::test(migrations = false)]
async fn a_dead_stream_makes_answers_old_and_a_patient_reader_takes_them(pool: PgPool) {
    let (world, daemon) = shadowed_with(pool, "eligibility_max_age = \"14s\"").await;
    let path = format!("/v1/accounts/{}/eligibility", an_account(&world));
    world.org.org().disturb(&simulator::Disturbance::Silence { on: true }).unwrap();
    world
        .until_true("the limit of its mapping has passed", async || {
            ask(&daemon, &path).await.1["source"] == "salesforce"
        })
        .await;
    let before = queries(&world);
    let (_, patient) = ask(&daemon, &format!("{path}?max_age=86400")).await;
    assert_eq!((&patient["source"], &patient["stale"]), (&json!("shadow"), &json!(false)), "{patient}");
    assert_eq!(queries(&world), before);
    tokio::time::timeout(Duration::from_secs(5), daemon.terminate()).await.expect("it drains");
}
