//! Who holds a SKU.

use shadow::{FieldInfo, FieldType, ObjectInfo, OrgFacts, RowChunk, resolve};
use sqlx::PgPool;
use store::rejects;

use crate::world::{Product, World, entry, product, product_id};

fn held(pairs: &[(&str, u32)]) -> Vec<(String, String)> {
    pairs.iter().map(|(sku, id)| ((*sku).to_owned(), product_id(*id).to_string())).collect()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn of_two_in_one_call_the_older_holds_the_sku(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A").created(9), product(2, "A").created(3)]).await;
    assert_eq!(world.skus().await, held(&[("A", 2)]));
    let detail = world.query("select record_id, detail ->> 'holder' from shadow_sync.rejects").await;
    assert_eq!(detail, [(product_id(1).to_string(), product_id(2).to_string())]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn of_two_of_one_moment_the_smaller_id_holds_the_sku(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(2, "A").created(1), product(1, "A").created(1)]).await;
    assert_eq!(world.skus().await, held(&[("A", 1)]));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_order_of_arrival_decides_nothing(pool: PgPool) {
    let world = World::start(pool).await;
    let org = [product(1, "A").created(5), product(2, "A").created(4), product(3, "A").created(6)];
    for product in &org {
        world.merge_products(std::slice::from_ref(product)).await;
    }
    world.fetch_dirty(&org).await;
    assert_eq!(world.skus().await, held(&[("A", 2)]));
    assert_eq!(world.rejects().await.len(), 2);
    assert_eq!(world.count("select count(*) from shadow_sync.dirty").await, 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_claim_waits_until_the_holder_was_fetched_with_it(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A")]).await;
    world.merge_entries(&[entry(1, 1, "5")]).await;
    let outcome = world.merge_products(&[product(2, "A").created(0)]).await;
    assert_eq!((outcome.inserted, outcome.rejected), (0, 0));
    assert_eq!(outcome.dirty, [product_id(1), product_id(2)]);
    // Until then everything is as it was.
    assert_eq!(world.skus().await, held(&[("A", 1)]));
    assert_eq!(world.rejects().await, []);
    // The holder has meanwhile another code: nobody is refused.
    world.fetch_dirty(&[product(1, "B").at(1), product(2, "A").created(0)]).await;
    assert_eq!(world.skus().await, held(&[("A", 2), ("B", 1)]));
    assert_eq!(world.count("select count(*) from sf_pricebook_shadow").await, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn skus_that_swap_in_one_commit_keep_every_entry(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A"), product(2, "B"), product(3, "C")]).await;
    world.merge_entries(&[entry(1, 1, "1"), entry(2, 2, "2"), entry(3, 3, "3")]).await;
    let before =
        world.query("select pricebook_entry_id, xmin::text from sf_pricebook_shadow order by 1").await;
    let outcome =
        world.merge_products(&[product(1, "B").at(1), product(2, "C").at(1), product(3, "A").at(1)]).await;
    assert_eq!((outcome.updated, outcome.moved), (3, 0));
    assert_eq!(world.skus().await, held(&[("A", 3), ("B", 1), ("C", 2)]));
    assert_eq!(
        world.query("select pricebook_entry_id, xmin::text from sf_pricebook_shadow order by 1").await,
        before
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn skus_that_swap_across_batches_keep_every_entry(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A"), product(2, "B"), product(3, "C")]).await;
    world.merge_entries(&[entry(1, 1, "1"), entry(2, 2, "2"), entry(3, 3, "3")]).await;
    let before =
        world.query("select pricebook_entry_id, xmin::text from sf_pricebook_shadow order by 1").await;
    let org = [product(1, "B").at(1), product(2, "C").at(1), product(3, "A").at(1)];
    for product in &org {
        let outcome = world.merge_products(std::slice::from_ref(product)).await;
        assert_eq!((outcome.moved, outcome.rejected), (0, 0));
    }
    world.fetch_dirty(&org).await;
    assert_eq!(world.skus().await, held(&[("A", 3), ("B", 1), ("C", 2)]));
    assert_eq!(
        world.query("select pricebook_entry_id, xmin::text from sf_pricebook_shadow order by 1").await,
        before
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_freed_sku_goes_to_the_senior_of_those_who_wait_with_its_entries(pool: PgPool) {
    let world = World::start(pool).await;
    let all = [product(1, "A"), product(2, "A"), product(3, "A")];
    world.merge_products(&all).await;
    world.merge_entries(&[entry(2, 2, "5"), entry(3, 3, "5")]).await;
    assert_eq!(world.rejects().await.len(), 4);
    let outcome = world.merge_products(&[product(1, "B").at(1)]).await;
    assert_eq!((outcome.updated, outcome.entered), (1, 2));
    assert_eq!(world.skus().await, held(&[("A", 2), ("B", 1)]));
    let detail = world
        .query("select record_id, detail ->> 'holder' from shadow_sync.rejects where reason = 'sku-taken'")
        .await;
    assert_eq!(detail, [(product_id(3).to_string(), product_id(2).to_string())]);
    assert_eq!(world.count("select count(*) from sf_pricebook_shadow").await, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_deleted_holder_makes_way_and_leaves_a_tombstone(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A"), product(2, "A")]).await;
    let outcome = world.merge_products(&[product(1, "A").at(1).deleted()]).await;
    assert_eq!((outcome.deleted, outcome.entered), (1, 1));
    assert_eq!(world.skus().await, held(&[("A", 2)]));
    assert_eq!(world.count("select count(*) from shadow_sync.tombstones where not presumed").await, 1);
    // An older page cannot bring it back; a later read that sees it alive contends again.
    let org: [Product; 2] = [product(1, "A").at(2), product(2, "A")];
    world.merge_products(&org[..1]).await;
    world.fetch_dirty(&org).await;
    assert_eq!(world.skus().await, held(&[("A", 1)]));
    assert_eq!(world.count("select count(*) from shadow_sync.tombstones").await, 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_sweep_finds_what_a_merge_missed(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A"), product(2, "A"), product(3, "A")]).await;
    world.merge_entries(&[entry(1, 2, "5")]).await;
    let mappings = shadow::Mapping::built_in();
    assert_eq!(rejects::sweep(&world.store, &mappings, false).await.unwrap(), 0);
    // Somebody else deletes the row.
    sqlx::query("delete from sf_product_shadow").execute(world.store.pool()).await.unwrap();
    assert_eq!(rejects::sweep(&world.store, &mappings, true).await.unwrap(), 2);
    assert_eq!(world.skus().await, held(&[("A", 2)]));
    assert_eq!(world.count("select count(*) from sf_pricebook_shadow").await, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn more_claimants_than_a_call_has_room_for_are_settled_in_several(pool: PgPool) {
    let world = World::start(pool).await;
    let org: Vec<Product> = (1..=30).map(|id| product(id, "A").created(i64::from(100 - id))).collect();
    for products in org.chunks(4) {
        world.merge_products(products).await;
    }
    for _ in 0..40 {
        let ids = store::dirty::next_batch(&world.store, &world.product.mapping, 5).await.unwrap();
        if ids.is_empty() {
            break;
        }
        let found: Vec<Product> = org.iter().filter(|p| ids.contains(&product_id(p.id))).cloned().collect();
        world.merge_products(&found).await;
    }
    assert_eq!(world.skus().await, held(&[("A", 30)]));
    assert_eq!(world.rejects().await.len(), 29);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn active_records_come_first_where_the_mapping_says_so(pool: PgPool) {
    let mut world = World::start(pool).await;
    let mut mapping = (*world.product.mapping).clone();
    mapping.active_first = true;
    let mut info = ObjectInfo { name: mapping.object.clone(), key_prefix: None, fields: Vec::new() };
    for (name, kind) in [
        ("Id", FieldType::Id),
        ("Name", FieldType::Text),
        ("SystemModstamp", FieldType::DateTime),
        ("CreatedDate", FieldType::DateTime),
        ("IsDeleted", FieldType::Boolean),
        ("ProductCode", FieldType::Text),
        ("IsActive", FieldType::Boolean),
    ] {
        info.fields.push(FieldInfo::new(name, kind));
    }
    world.product = resolve(&mapping, &[mapping.clone()], &info, &OrgFacts::default()).unwrap();
    let chunk = |world: &World, products: &[(Product, bool)]| {
        let whole = world.products(&products.iter().map(|(product, _)| product.clone()).collect::<Vec<_>>());
        let mut chunk = RowChunk::new(whole.columns().clone());
        for (row, (_, active)) in whole.rows().zip(products) {
            for (place, column) in whole.columns().iter().enumerate() {
                let active = active.to_string();
                let text =
                    if &**column == "IsActive" { &active } else { row.field(place).unwrap_or_default() };
                chunk.push_field(text.as_bytes()).unwrap();
            }
            chunk.end_row().unwrap();
        }
        chunk
    };
    // The older one is inactive.
    world.merge(&world.product, &chunk(&world, &[(product(1, "A"), false), (product(2, "A"), true)])).await;
    assert_eq!(world.skus().await, held(&[("A", 2)]));
    // It becomes active: both are fetched, and it holds the SKU.
    let both = [(product(1, "A").at(1), true), (product(2, "A"), true)];
    let outcome = world.merge(&world.product, &chunk(&world, &both[..1])).await;
    assert_eq!(outcome.dirty, [product_id(1), product_id(2)]);
    world.merge(&world.product, &chunk(&world, &both)).await;
    assert_eq!(world.skus().await, held(&[("A", 1)]));
    // Who becomes inactive gives way, once both were fetched.
    let both = [(product(1, "A").at(2), false), (product(2, "A"), true)];
    let outcome = world.merge(&world.product, &chunk(&world, &both[..1])).await;
    assert_eq!(outcome.dirty, [product_id(1), product_id(2)]);
    world.merge(&world.product, &chunk(&world, &both)).await;
    assert_eq!(world.skus().await, held(&[("A", 2)]));
    assert_eq!(rejects::sweep(&world.store, &[mapping], false).await.unwrap(), 0);
    assert_eq!(world.count("select count(*) from shadow_sync.dirty").await, 0);
}
