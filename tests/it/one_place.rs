//! Every record is in exactly one place, live: what cannot be stored is kept with its reason, shown and counted, and
//! enters by itself when its cause goes away.

use engine::api::rejects::RejectView;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::world::World;

const ALL: [(&str, &str, &str); 3] = [
    ("Product2", "sf_product_shadow", "product_id"),
    ("PricebookEntry", "sf_pricebook_shadow", "pricebook_entry_id"),
    ("Account", "sf_account_eligibility_shadow", "account_id"),
];

/// An org that streams, whose reads are old enough for events to be applied as they are.
async fn live(pool: PgPool) -> World {
    let world = World::live(pool).await;
    world.age_reads().await;
    world
}

/// With nothing waiting, rows and rejected records together are the org's: each record once, and as many as are counted
/// on either side, in the console as in the database.
async fn assert_in_one_place(world: &World) {
    world.assert_same().await;
    for count in world.counts().await {
        let (_, table, key) = ALL.iter().find(|(object, ..)| *object == count.object).unwrap();
        let query = format!(
            "select (select count(*) from {table}),
                    (select count(*) from shadow_sync.rejects where object = $1),
                    (select count(*) from {table} join shadow_sync.rejects on record_id = {key})"
        );
        let (rows, rejected, both): (i64, i64, i64) = sqlx::query_as(sqlx::AssertSqlSafe(query))
            .bind(&count.object)
            .fetch_one(&world.pool)
            .await
            .unwrap();
        assert_eq!(both, 0, "{}", count.object);
        let there = i64::try_from(world.org.org().count(&count.object)).unwrap();
        assert_eq!(rows + rejected, there, "{}: {rows} rows, {rejected} rejected", count.object);
        let counted = (count.shadow, count.rejected, count.unexplained);
        let small = |number: i64| u32::try_from(number).unwrap();
        assert_eq!(counted, (Some(small(rows)), small(rejected), Some(0)), "{}", count.object);
    }
}

async fn until_rejected(world: &World, object: &str, id: &str, reason: &str) -> RejectView {
    world
        .until_true(&format!("{id} is rejected as {reason}"), async || {
            world.reject(object, id).await.is_some_and(|reject| reject.reason == reason)
        })
        .await;
    world.reject(object, id).await.unwrap()
}

async fn until_stored(world: &World, object: &str, id: &str) {
    let (_, table, key) = ALL.iter().find(|(known, ..)| *known == object).unwrap();
    world.until_value(table, key, id, key, Some(id)).await;
    assert!(world.reject(object, id).await.is_none(), "{id} is stored and still rejected");
}

/// What is kept of a rejected record.
async fn kept(world: &World, id: &str) -> Value {
    sqlx::query_scalar("select raw_payload from shadow_sync.rejects where record_id = $1")
        .bind(id)
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

fn product(world: &World, name: &str, sku: Option<&str>) -> String {
    let fields = json!({ "Name": name, "ProductCode": null, "StockKeepingUnit": sku, "IsActive": true });
    world.org.org().insert("Product2", &fields).unwrap().to_string()
}

/// An entry of the standard price book.
fn entry(world: &World, product: &str, price: f64) -> String {
    let org = world.org.org();
    let other = org.record("PricebookEntry", org.ids("PricebookEntry", 0, 1)[0].as_str()).unwrap();
    let fields = json!({
        "Product2Id": product, "Pricebook2Id": other["Pricebook2Id"], "UnitPrice": price, "IsActive": true,
        "CurrencyIsoCode": other["CurrencyIsoCode"], "UseStandardPrice": false,
    });
    org.insert("PricebookEntry", &fields).unwrap().to_string()
}

#[sqlx::test(migrations = false)]
async fn a_product_without_a_sku_waits_with_its_entries_and_enters_with_them(pool: PgPool) {
    let world = live(pool).await;
    assert_in_one_place(&world).await;
    let id = product(&world, "Nameless", None);
    let price = entry(&world, &id, 9.99);
    let reject = until_rejected(&world, "Product2", &id, "no-sku").await;
    assert_eq!(reject.name.as_deref(), Some("Nameless"));
    assert!(!reject.explanation.is_empty() && !reject.cure.is_empty(), "{reject:?}");
    assert_eq!(kept(&world, &id).await["Name"], "Nameless", "it is kept whole");
    let reject = until_rejected(&world, "PricebookEntry", &price, "missing-product").await;
    assert_eq!(reject.other_record_id.as_deref(), Some(&*id));
    assert_in_one_place(&world).await;

    // Its rejected state follows its events, like a row.
    world.org.org().update("Product2", &id, &json!({ "Name": "Named" })).unwrap();
    world.until_true("it is kept as it is now", async || kept(&world, &id).await["Name"] == "Named").await;
    world.org.org().update("Product2", &id, &json!({ "StockKeepingUnit": "AT-LAST" })).unwrap();
    until_stored(&world, "Product2", &id).await;
    until_stored(&world, "PricebookEntry", &price).await;
    assert_eq!(world.sku(&id).await.as_deref(), Some("AT-LAST"));
    assert_in_one_place(&world).await;

    // And out again, the entry with it, by no other way.
    world.org.org().update("Product2", &id, &json!({ "StockKeepingUnit": null })).unwrap();
    until_rejected(&world, "Product2", &id, "no-sku").await;
    until_rejected(&world, "PricebookEntry", &price, "missing-product").await;
    assert_in_one_place(&world).await;

    // A deleted record is in no place but its tombstone.
    world.org.org().delete("Product2", &id).unwrap();
    world.until_true("it is gone", async || world.reject("Product2", &id).await.is_none()).await;
    assert_in_one_place(&world).await;
}

#[sqlx::test(migrations = false)]
async fn who_waits_for_a_sku_enters_when_its_holder_lets_go_or_is_deleted(pool: PgPool) {
    let world = live(pool).await;
    let holder = product(&world, "First", Some("CONTESTED"));
    until_stored(&world, "Product2", &holder).await;
    let (second, third) =
        (product(&world, "Second", Some("CONTESTED")), product(&world, "Third", Some("CONTESTED")));
    for waiting in [&second, &third] {
        let reject = until_rejected(&world, "Product2", waiting, "sku-taken").await;
        assert_eq!(reject.other_record_id.as_deref(), Some(&*holder));
    }
    let price = entry(&world, &second, 19.99);
    until_rejected(&world, "PricebookEntry", &price, "missing-product").await;
    assert_in_one_place(&world).await;

    world.org.org().update("Product2", &holder, &json!({ "StockKeepingUnit": "LET-GO" })).unwrap();
    until_stored(&world, "Product2", &second).await;
    until_stored(&world, "PricebookEntry", &price).await;
    let reject = until_rejected(&world, "Product2", &third, "sku-taken").await;
    world
        .until_true("the last one waits for its new holder", async || {
            let reject = world.reject("Product2", &third).await;
            reject.is_some_and(|reject| reject.other_record_id.as_deref() == Some(&*second))
        })
        .await;
    drop(reject);
    assert_in_one_place(&world).await;

    world.org.org().delete("Product2", &second).unwrap();
    until_stored(&world, "Product2", &third).await;
    assert_eq!(world.sku(&third).await.as_deref(), Some("CONTESTED"));
    assert_in_one_place(&world).await;
}

#[sqlx::test(migrations = false)]
async fn a_price_that_cannot_be_held_exactly_leaves_the_shadow_and_comes_back(pool: PgPool) {
    let world = live(pool).await;
    let (id, before): (String, String) = sqlx::query_as(
        "select pricebook_entry_id, unit_price::text from sf_pricebook_shadow order by pricebook_entry_id limit 1",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    world.org.org().update("PricebookEntry", &id, &json!({ "UnitPrice": 12_345_678_901.5 })).unwrap();
    until_rejected(&world, "PricebookEntry", &id, "price-not-exact").await;
    let rows: i64 =
        sqlx::query_scalar("select count(*) from sf_pricebook_shadow where pricebook_entry_id = $1")
            .bind(&id)
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!(rows, 0, "the price before, {before}, must not be sold at");
    assert_in_one_place(&world).await;
    world.org.org().update("PricebookEntry", &id, &json!({ "UnitPrice": 12.5 })).unwrap();
    until_stored(&world, "PricebookEntry", &id).await;
    world.until_value("sf_pricebook_shadow", "pricebook_entry_id", &id, "unit_price", Some("12.50")).await;
    assert_in_one_place(&world).await;
}
