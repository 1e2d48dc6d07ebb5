//! Every record is in exactly one place, and enters the shadow by itself when its cause goes away.

use serde_json::json;
use sqlx::PgPool;

use crate::world::World;

const ALL: &[&str] = &["Product2", "PricebookEntry", "Account"];

/// A product without entries, with this code; created now, so later than every generated one.
fn product(world: &World, code: Option<&str>) -> String {
    let fields =
        json!({ "Name": "Fibre 10G", "ProductCode": code, "StockKeepingUnit": null, "IsActive": true });
    world.org.org().insert("Product2", &fields).unwrap().to_string()
}

#[sqlx::test(migrations = false)]
async fn the_oldest_claimant_holds_a_sku_whatever_the_order_of_arrival(pool: PgPool) {
    let world = World::start(pool).await;
    world.backfill(ALL).await;
    let first = product(&world, Some("FIBRE-10G"));
    world.backfill(&["Product2"]).await;
    assert_eq!(world.sku(&first).await.as_deref(), Some("FIBRE-10G"));

    // An older record takes the same code later: it is the holder by right, and the younger one steps back.
    let old = world.org.org().ids("Product2", 20, 1)[0].to_string();
    world.org.org().update("Product2", &old, &json!({ "StockKeepingUnit": "FIBRE-10G" })).unwrap();
    world.backfill(&["Product2"]).await;
    assert_eq!(world.sku(&old).await.as_deref(), Some("FIBRE-10G"));
    assert_eq!(world.sku(&first).await, None);
    let reject = world.reject("Product2", &first).await.expect("the younger claimant is rejected");
    assert_eq!(
        (reject.reason.as_str(), reject.other_record_id.as_deref()),
        ("sku-taken", Some(old.as_str()))
    );
    world.assert_explained().await;

    // The older one lets go: the younger one enters without being read again.
    world.org.org().update("Product2", &old, &json!({ "StockKeepingUnit": "FIBRE-OTHER" })).unwrap();
    world.backfill(&["Product2"]).await;
    assert_eq!(world.sku(&first).await.as_deref(), Some("FIBRE-10G"));
    assert_eq!(world.sku(&old).await.as_deref(), Some("FIBRE-OTHER"));
    world.assert_explained().await;
}

#[sqlx::test(migrations = false)]
async fn skus_that_swap_end_right_and_keep_their_entries(pool: PgPool) {
    let world = World::start(pool).await;
    world.backfill(ALL).await;
    let stored: Vec<(String, String)> =
        sqlx::query_as("select product_id, sku from sf_product_shadow order by product_id limit 2")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    let entries = world.number("select count(*) from sf_pricebook_shadow").await;
    let ((one, sku_one), (two, sku_two)) = (stored[0].clone(), stored[1].clone());
    for (id, sku) in [(&one, &sku_two), (&two, &sku_one)] {
        world.org.org().update("Product2", id, &json!({ "StockKeepingUnit": sku })).unwrap();
    }
    world.backfill(&["Product2"]).await;
    assert_eq!(world.sku(&one).await, Some(sku_two));
    assert_eq!(world.sku(&two).await, Some(sku_one));
    assert_eq!(world.number("select count(*) from sf_pricebook_shadow").await, entries);
    world.assert_explained().await;
}

#[sqlx::test(migrations = false)]
async fn an_entry_follows_its_product_out_and_in(pool: PgPool) {
    let world = World::start(pool).await;
    world.backfill(ALL).await;
    let (id, entries): (String, i64) = sqlx::query_as(
        "select product_id, count(*) from sf_pricebook_shadow group by product_id order by product_id limit 1",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    let before = world.number("select count(*) from sf_pricebook_shadow").await;
    let codes = json!({ "StockKeepingUnit": null, "ProductCode": null });
    world.org.org().update("Product2", &id, &codes).unwrap();
    world.backfill(&["Product2"]).await;
    assert_eq!(world.reject("Product2", &id).await.map(|reject| reject.reason), Some("no-sku".to_owned()));
    assert_eq!(world.number("select count(*) from sf_pricebook_shadow").await, before - entries);
    world.assert_explained().await;

    world.org.org().update("Product2", &id, &json!({ "StockKeepingUnit": "BACK-AGAIN" })).unwrap();
    world.backfill(&["Product2"]).await;
    assert_eq!(world.sku(&id).await.as_deref(), Some("BACK-AGAIN"));
    assert_eq!(world.number("select count(*) from sf_pricebook_shadow").await, before);
    world.assert_explained().await;
}

#[sqlx::test(migrations = false)]
async fn a_price_that_the_column_cannot_hold_exactly_is_kept_with_its_reason(pool: PgPool) {
    let world = World::start(pool).await;
    world.backfill(ALL).await;
    let id: String =
        sqlx::query_scalar("select pricebook_entry_id from sf_pricebook_shadow order by 1 limit 1")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    world.org.org().update("PricebookEntry", &id, &json!({ "UnitPrice": 12_345_678_901.5 })).unwrap();
    world.backfill(&["PricebookEntry"]).await;
    let reject = world.reject("PricebookEntry", &id).await.expect("it is rejected");
    assert_eq!(reject.reason, "price-not-exact");
    assert!(!reject.cure.is_empty() && reject.explanation.contains("UnitPrice"), "{reject:?}");
    world.assert_explained().await;
}
