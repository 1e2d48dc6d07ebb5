//! A real org's catalogue, if one is at hand: `SHADOW_SYNC_EXPORT_DIR` names a folder with its CSV files.
//! Without it a look-alike of the same shape is loaded, and the test says so.

use std::path::PathBuf;

use simulator::Options;
use sqlx::PgPool;

use crate::world::{World, small};

fn export() -> PathBuf {
    if let Some(folder) = std::env::var_os("SHADOW_SYNC_EXPORT_DIR") {
        return folder.into();
    }
    println!("SHADOW_SYNC_EXPORT_DIR is not set: a look-alike of a real export is loaded instead");
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/look-alike-export")
}

#[sqlx::test(migrations = false)]
async fn exactly_the_records_that_can_be_stored_are_stored(pool: PgPool) {
    let world = World::with(pool, Options { data: Some(export()), multi_currency: false, ..small() }).await;
    world.backfill(&["Product2", "PricebookEntry", "Account"]).await;
    world.assert_explained().await;
    let rejects = world.rejects("Product2").await;
    let reasons: Vec<&str> = rejects.iter().map(|reject| reject.reason.as_str()).collect();
    assert_eq!(reasons, ["sku-taken"; 3], "{rejects:?}");
    for reject in &rejects {
        let holder = reject.other_record_id.as_deref().expect("a holder is named");
        assert!(world.sku(holder).await.is_some(), "the holder is in the shadow");
    }
    assert_eq!(world.rejects("PricebookEntry").await.len(), 0);
    assert_eq!(world.rejects("Account").await.len(), 0);
    let in_currency = "select count(*) from sf_pricebook_shadow where currency_iso_code = 'EUR'";
    let all = world.number("select count(*) from sf_pricebook_shadow").await;
    assert_eq!(world.number(in_currency).await, all, "a single-currency org's entries carry its currency");
    assert!(all > 0);
}
