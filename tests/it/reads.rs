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
    text.bytes().fold(String::new(), |encoded, byte| encoded + &format!("%{byte:02X}"))
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
    assert!((-5..330).contains(&age), "{body}");

    // What a ready and live object does not have is not asked for.
    let (status, body) = ask(&daemon, "/v1/products/NOBODY-HAS-THIS").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!((&body["source"], &body["stale"]), (&json!("shadow"), &json!(false)), "{body}");
    assert_eq!(queries(&world), before);
}

#[sqlx::test(migrations = false)]
async fn the_catalogue_is_read_page_by_page_and_by_what_is_asked_for(pool: PgPool) {
    let (world, daemon) = shadowed(pool).await;
    let before = queries(&world);
    let (mut seen, mut path) = (Vec::new(), "/v1/products?limit=7".to_owned());
    loop {
        let (status, page) = ask(&daemon, &path).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let products = page["products"].as_array().unwrap();
        assert!(products.len() <= 7);
        seen.extend(products.iter().map(|product| product["product_id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/products?limit=7&after={next}"),
            None => break,
        }
    }
    let all: Vec<String> = sqlx::query_scalar("select product_id from sf_product_shadow order by product_id")
        .fetch_all(&world.pool)
        .await
        .unwrap();
    assert_eq!(seen, all);

    let (class, expected): (String, i64) = sqlx::query_as(
        "select item_class, count(*) from sf_product_shadow where item_class is not null
          group by item_class order by item_class limit 1",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    let (_, page) = ask(&daemon, &format!("/v1/products?limit=1000&item_class={}", encoded(&class))).await;
    let products = page["products"].as_array().unwrap();
    assert_eq!(products.len(), usize::try_from(expected).unwrap());
    assert!(products.iter().all(|product| product["item_class"] == class));
    let (_, none) = ask(&daemon, &format!("/v1/products?item_class={}", encoded("O'Neil\" or '1'='1"))).await;
    assert_eq!(none["products"], json!([]));
    assert_eq!(queries(&world), before);
}

#[sqlx::test(migrations = false)]
async fn a_basket_is_priced_in_every_digit_and_says_what_nobody_has(pool: PgPool) {
    let (world, daemon) = shadowed(pool).await;
    let before = queries(&world);
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(
        "select p.sku, e.pricebook_entry_id, e.unit_price::text, e.pricebook_id
           from sf_pricebook_shadow e join sf_product_shadow p using (product_id)
          where p.sku in (select sku from sf_product_shadow p
                          where not exists (select from shadow_sync.rejects r
                                             where r.object = 'PricebookEntry' and r.columns ->> 'product_id' = p.product_id)
                          order by product_id limit 3)",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert!(rows.len() > 3, "{rows:?}");
    let mut skus: Vec<&str> = rows.iter().map(|(sku, ..)| sku.as_str()).collect();
    skus.sort_unstable();
    skus.dedup();
    let asked: Vec<String> = skus.iter().map(|sku| format!("sku={}", encoded(sku))).collect();
    let path = format!("/v1/prices?{}&sku=NOBODY&sku={}", asked.join("&"), encoded(skus[0]));
    let (status, basket) = ask(&daemon, &path).await;
    assert_eq!(status, StatusCode::OK, "{basket}");
    assert_eq!((&basket["source"], &basket["unknown"]), (&json!("shadow"), &json!(["NOBODY"])), "{basket}");
    let prices = basket["prices"].as_array().unwrap();
    assert_eq!(prices.len(), rows.len());
    for (sku, id, price, _) in &rows {
        let found = prices.iter().find(|price| price["pricebook_entry_id"] == *id).expect("the entry");
        assert_eq!((&found["sku"], &found["unit_price"]), (&json!(sku), &json!(price)), "{found}");
    }
    let book = &rows[0].3;
    let (_, one) =
        ask(&daemon, &format!("/v1/prices?{}&pricebook={book}&currency=EUR", asked.join("&"))).await;
    let prices = one["prices"].as_array().unwrap();
    assert!(!prices.is_empty() && prices.iter().all(|price| price["pricebook_id"] == *book), "{one}");
    let (_, none) = ask(&daemon, &format!("/v1/prices?{}&currency=XXX", asked.join("&"))).await;
    assert_eq!((&none["prices"], &none["unknown"]), (&json!([]), &json!([])));
    assert_eq!(queries(&world), before);
}

#[sqlx::test(migrations = false)]
async fn what_cannot_be_meant_is_a_problem_and_hostile_skus_are_nobodys(pool: PgPool) {
    let (world, daemon) = shadowed(pool).await;
    let before = queries(&world);
    let too_many = vec!["sku=A"; 201].join("&");
    for path in [
        "/v1/accounts/nonsense/eligibility".to_owned(),
        "/v1/accounts/001'%20OR%20Id%20!=%20'/eligibility".to_owned(),
        "/v1/accounts/%FF/eligibility".to_owned(),
        "/v1/products?limit=0".to_owned(),
        "/v1/products?limit=1001".to_owned(),
        "/v1/products?limit=ten".to_owned(),
        "/v1/products?after=nonsense".to_owned(),
        "/v1/products?item_clas=typo".to_owned(),
        "/v1/products?item_class=a&item_class=b".to_owned(),
        "/v1/products?item_class=%00".to_owned(),
        "/v1/products/A?max_age=-1".to_owned(),
        "/v1/products/A?max_age=soon".to_owned(),
        "/v1/products/%FF".to_owned(),
        "/v1/prices".to_owned(),
        "/v1/prices?sku=".to_owned(),
        "/v1/prices?sku=A&currency=eur".to_owned(),
        "/v1/prices?sku=A&pricebook=x".to_owned(),
        format!("/v1/prices?{too_many}"),
    ] {
        let (status, body) = ask(&daemon, &path).await;
        assert_eq!((status, &body["status"]), (StatusCode::BAD_REQUEST, &json!(400)), "{path}: {body}");
        assert!(body["detail"].as_str().unwrap().len() < 300, "{body}");
    }
    for sku in [
        "O'Neil",
        "\"",
        "' OR Name != '",
        "a\nb\r\t\\",
        "\\' OR Id != \\'",
        "%",
        "_",
        "a\0b",
        "😀",
        "../x",
        ";--",
    ] {
        let (status, body) = ask(&daemon, &format!("/v1/products/{}", encoded(sku))).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{sku:?}: {body}");
        let (status, body) = ask(&daemon, &format!("/v1/prices?sku={}", encoded(sku))).await;
        assert_eq!((status, &body["unknown"]), (StatusCode::OK, &json!([sku])), "{body}");
    }
    let long = "x'\n".repeat(3_400);
    let (status, body) = ask(&daemon, &format!("/v1/products/{}", encoded(&long))).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "10 kB: {body}");
    assert_eq!(ask(&daemon, &format!("/v1/prices?sku={}", encoded(&long))).await.1["unknown"], json!([long]));
    assert_eq!(ask(&daemon, "/v1/nothing").await.0, StatusCode::NOT_FOUND);
    let unknown = world.org.org().ids("Product2", 0, 1)[0].to_string();
    let (status, _) = ask(&daemon, &format!("/v1/accounts/{unknown}/eligibility")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let posted = reqwest::Client::new().post(format!("{}/v1/products", daemon.url)).send().await.unwrap();
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(posted.headers()["content-type"], "application/problem+json");
    assert_eq!(queries(&world), before);
}

#[sqlx::test(migrations = false)]
async fn the_description_is_served_as_it_stands_beside_the_guide(pool: PgPool) {
    let world = World::start(pool).await;
    let daemon = Daemon::start(&world).await;
    let (_, served) = ask(&daemon, "/v1/openapi.json").await;
    let written: Value =
        serde_json::from_str(&crate::serve::project_file("docs/read-api.openapi.json")).unwrap();
    assert_eq!(served, written);
    let described: Vec<&String> = served["paths"].as_object().unwrap().keys().collect();
    assert_eq!(described.len(), 5);
}

#[sqlx::test(migrations = false)]
async fn views_say_how_complete_a_row_is_and_show_nothing_before_their_object_is_ready(pool: PgPool) {
    let world = World::start(pool).await;
    world.backfill(&["Product2", "Account"]).await;
    let entry = "insert into sf_pricebook_shadow select 'x', product_id, 'b', 1, 'EUR', true, now(), '{}', 0, now(), now(), 0,
                    now(), '' from sf_product_shadow limit 1";
    sqlx::query(entry).execute(&world.pool).await.unwrap();
    assert_eq!(world.number("select count(*) from sf_pricebook").await, 0, "it is not ready");
    sqlx::query("delete from sf_pricebook_shadow").execute(&world.pool).await.unwrap();
    world.backfill(&["PricebookEntry"]).await;
    let _daemon = Daemon::start(&world).await;
    world.until_streaming().await;
    world.until_settled().await;
    for (view, table) in [
        ("sf_product", "sf_product_shadow"),
        ("sf_pricebook", "sf_pricebook_shadow"),
        ("sf_account_eligibility", "sf_account_eligibility_shadow"),
    ] {
        let fresh = format!("select count(*) from {view} where as_of > now() - interval '1 minute'");
        let all = format!("select count(*) from {table}");
        let ask = async |query: &str| -> i64 {
            sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned())).fetch_one(&world.pool).await.unwrap()
        };
        world.until_true(view, async || ask(&fresh).await == ask(&all).await && ask(&all).await > 0).await;
    }
    // A dirty row is complete only up to the change that it lacks.
    let (id, _) = a_product(&world).await;
    let mark =
        "insert into shadow_sync.dirty (object, record_id, reason, as_of, first_committed_at, not_before)
                values ('Product2', $1, 'gap', 0, now() - interval '2 hours', now() + interval '1 hour')";
    sqlx::query(mark).bind(&id).execute(&world.pool).await.unwrap();
    let old = "select count(*) from sf_product where as_of < now() - interval '2 hours'";
    assert_eq!(world.number(old).await, 1);
    // A reader needs no right but that on the view.
    let role = format!("reader_{}", std::process::id());
    for statement in [
        format!("create role {role}"),
        format!("grant usage on schema public to {role}"),
        format!("grant select on sf_product to {role}"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&world.pool).await.unwrap();
    }
    let mut reader = world.pool.acquire().await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("set role {role}"))).execute(&mut *reader).await.unwrap();
    let seen: i64 =
        sqlx::query_scalar("select count(*) from sf_product").fetch_one(&mut *reader).await.unwrap();
    let refused = sqlx::query("select * from sf_product_shadow").execute(&mut *reader).await;
    sqlx::query("reset role").execute(&mut *reader).await.unwrap();
    assert!(seen > 0 && refused.is_err());
    for statement in [format!("drop owned by {role}"), format!("drop role {role}")] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&world.pool).await.unwrap();
    }
}
