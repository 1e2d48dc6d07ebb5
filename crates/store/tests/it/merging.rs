//! Records come in, change and stay.

use sqlx::PgPool;
use store::Error;
use store::jobs::{self, PageEnd, PageProgress, Requested};
use store::merge::merge_chunk;
use store::reads::{Read, ReadKind};

use crate::world::{World, entry, entry_id, product, product_id, read_end};

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_new_record_becomes_a_row_with_columns_and_payload(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "SIM-1").named("Sim \"card\"\n")]).await;
    let outcome = world.merge_entries(&[entry(1, 1, "12.5")]).await;
    assert_eq!(outcome.inserted, 1);
    let row: (String, String, String, bool, String, String) = sqlx::query_as(
        "select product_id, unit_price::text, currency_iso_code, is_active, raw_payload ->> 'Product2Id',
                raw_payload ->> 'UnitPrice' from sf_pricebook_shadow where pricebook_entry_id = $1",
    )
    .bind(entry_id(1).to_string())
    .fetch_one(world.store.pool())
    .await
    .unwrap();
    let id = product_id(1).to_string();
    assert_eq!(row, (id.clone(), "12.50".to_owned(), "EUR".to_owned(), true, id, "12.50".to_owned()));
    let name = world.query("select name, raw_payload ->> 'Name' from sf_product_shadow").await;
    assert_eq!(name, [("Sim \"card\"\n".to_owned(), "Sim \"card\"\n".to_owned())]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn prices_come_out_as_they_went_in(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A")]).await;
    let prices =
        ["0", "0.01", "-1.10", "9999.99", "10000", "1E4", "123456789.9", "9999999999.99", "-9999999999.99"];
    let entries: Vec<_> = (0..9).map(|n| entry(n, 1, prices[n as usize])).collect();
    assert_eq!(world.merge_entries(&entries).await.inserted, 9);
    let stored = world
        .query(
            "select unit_price::text, (raw_payload -> 'UnitPrice')::text from sf_pricebook_shadow order by 1",
        )
        .await;
    let expected = [
        "-1.10",
        "-9999999999.99",
        "0.00",
        "0.01",
        "10000.00",
        "10000.00",
        "123456789.90",
        "9999.99",
        "9999999999.99",
    ];
    let mut expected: Vec<_> = expected.map(|price| (price.to_owned(), price.to_owned())).into();
    expected.sort();
    let mut stored = stored;
    stored.sort();
    assert_eq!(stored, expected);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn merging_the_same_again_writes_nothing(pool: PgPool) {
    let world = World::start(pool).await;
    let products = [product(1, "A"), product(2, "B"), product(3, "")];
    world.merge_products(&products).await;
    let rows = "select product_id, xmin::text || ' ' || updated_at from sf_product_shadow order by 1";
    let rejects = "select record_id, xmin::text from shadow_sync.rejects";
    let before = (world.query(rows).await, world.query(rejects).await);
    let outcome = world.merge_products(&products).await;
    assert_eq!((outcome.equal, outcome.inserted, outcome.updated, outcome.rejected), (3, 0, 0, 0));
    assert_eq!((world.query(rows).await, world.query(rejects).await), before);
    assert_eq!(world.count("select count(*) from shadow_sync.invalidations").await, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_change_of_stamp_alone_is_no_change_for_readers(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A")]).await;
    let updated = world.query("select sku, updated_at::text from sf_product_shadow").await;
    let outcome = world.merge_products(&[product(1, "A").at(9)]).await;
    assert_eq!((outcome.stamped, outcome.updated), (1, 0));
    assert_eq!(world.query("select sku, updated_at::text from sf_product_shadow").await, updated);
    assert_eq!(world.count("select count(*) from shadow_sync.invalidations").await, 1);
    let stamps = world.query("select raw_payload ->> 'SystemModstamp', to_char(system_modstamp at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') from sf_product_shadow").await;
    assert_eq!(stamps[0].0, stamps[0].1);
    assert!(stamps[0].0.ends_with(":49.000Z"), "{stamps:?}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_row_never_goes_back(pool: PgPool) {
    let world = World::start(pool).await;
    let early = world.begin().await;
    world.merge_products(&[product(1, "A").named("new").at(5)]).await;
    let outcome = world
        .merge_at(&world.product, &world.products(&[product(1, "A").named("old").at(4)]), early)
        .await
        .unwrap();
    assert_eq!(outcome.older, 1);
    // A later request that brings an older stamp was answered from a state before.
    let outcome = world.merge_products(&[product(1, "A").named("old").at(4)]).await;
    assert_eq!(outcome.older, 1);
    assert_eq!(
        world.query("select name, sku from sf_product_shadow").await,
        [("new".to_owned(), "A".to_owned())]
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_changed_record_tells_the_caches_what_it_was_before(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A")]).await;
    let outcome = world.merge_products(&[product(1, "B").at(1)]).await;
    assert_eq!(outcome.updated, 1);
    let orders = world
        .query(
            "select array_to_string(ids, ','), before #>> '{0,columns,sku}' from shadow_sync.invalidations
              order by id desc limit 1",
        )
        .await;
    assert_eq!(orders, [(product_id(1).to_string(), "A".to_owned())]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_record_that_cannot_be_stored_is_rejected_with_its_reason(pool: PgPool) {
    let world = World::start(pool).await;
    world
        .merge_products(&[product(1, "A"), product(2, "").named("no code"), product(3, "C").named("")])
        .await;
    world.merge_entries(&[entry(1, 1, "1.001"), entry(2, 9, "1"), entry(3, 1, "a lot")]).await;
    let reasons: Vec<String> = world.rejects().await.into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, ["no-sku", "missing-name", "price-not-exact", "missing-product", "broken-value"]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_entry_enters_with_its_product_and_goes_with_it(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_entries(&[entry(1, 1, "5"), entry(2, 1, "6"), entry(3, 2, "7")]).await;
    assert_eq!(world.rejects().await.len(), 3);
    let outcome = world.merge_products(&[product(1, "A")]).await;
    assert_eq!((outcome.inserted, outcome.entered), (1, 2));
    let prices = "select pricebook_entry_id, unit_price::text from sf_pricebook_shadow order by 1";
    let entered = world.query(prices).await;
    assert_eq!(entered.len(), 2);
    // The product loses its code: it is rejected, and its entries move with it.
    let outcome = world.merge_products(&[product(1, "").at(1)]).await;
    assert_eq!((outcome.rejected, outcome.moved), (1, 2));
    assert_eq!(world.count("select count(*) from sf_pricebook_shadow").await, 0);
    assert_eq!(world.rejects().await.len(), 4);
    // It gets one again: everything is back as it was.
    let outcome = world.merge_products(&[product(1, "A").at(2)]).await;
    assert_eq!((outcome.inserted, outcome.entered), (1, 2));
    assert_eq!(world.query(prices).await, entered);
    assert_eq!(world.rejects().await.len(), 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_entry_that_entered_is_equal_to_the_same_read_again(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_entries(&[entry(1, 1, "5")]).await;
    world.merge_products(&[product(1, "A")]).await;
    assert_eq!(world.merge_entries(&[entry(1, 1, "5")]).await.equal, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn nul_characters_are_left_out_and_counted(pool: PgPool) {
    let world = World::start(pool).await;
    let outcome = world.merge_products(&[product(1, "A\0B").named("x\0\0y")]).await;
    assert_eq!((outcome.inserted, outcome.stripped_nuls), (1, 3));
    assert_eq!(
        world.query("select sku, name from sf_product_shadow").await,
        [("AB".to_owned(), "xy".to_owned())]
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_value_that_the_database_refuses_rejects_its_record_alone(pool: PgPool) {
    let world = World::start(pool).await;
    // Random text, because a unique index takes values of up to 2,704 bytes after compression.
    let mut state = 7_u64;
    let long: String = (0..9000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
        })
        .collect();
    let long: &'static str = Box::leak(long.into_boxed_str());
    let mut products: Vec<_> =
        (1..=20).map(|id| product(id, Box::leak(format!("S{id}").into_boxed_str()))).collect();
    products[6].sku = long;
    let job = world.job(&world.product, false).await;
    let outcome = world.page(&world.product, &job, 1, &world.products(&products), true).await;
    assert_eq!((outcome.inserted, outcome.rejected), (19, 1));
    assert_eq!(world.rejects().await, [(product_id(7).to_string(), "broken-value".to_owned())]);
    let job = jobs::get(&world.store, job.id).await.unwrap();
    assert_eq!((job.counts.read, job.counts.inserted, job.counts.rejected), (20, 19, 1));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn progress_is_saved_with_the_rows_and_counted_once(pool: PgPool) {
    let world = World::start(pool).await;
    let job = world.job(&world.product, false).await;
    let chunk = world.products(&[product(1, "A"), product(2, "B")]);
    world.page(&world.product, &job, 1, &chunk, false).await;
    jobs::request(&world.store, job.id, Requested::Pause).await.unwrap();
    // The page comes again, as after a crash.
    let outcome = world.page(&world.product, &job, 1, &chunk, false).await;
    assert_eq!((outcome.equal, outcome.requested), (2, Some(Requested::Pause)));
    let saved = jobs::get(&world.store, job.id).await.unwrap();
    assert_eq!((saved.counts.read, saved.counts.inserted, saved.counts.equal), (2, 2, 0));
    let pages = jobs::pages(&world.store, job.id).await.unwrap();
    assert_eq!((pages.len(), pages[0].merged, pages[0].next_locator.as_deref()), (1, 2, Some("after-1")));
    assert!(pages[0].merged_at.is_some() && !pages[0].is_last);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_page_in_pieces_counts_each_record_once_however_often_it_comes(pool: PgPool) {
    let world = World::start(pool).await;
    let job = world.job(&world.product, false).await;
    let mark = job.bulk.as_ref().unwrap().mark;
    let pieces = [
        world.products(&[product(1, "A"), product(2, "B")]),
        world.products(&[product(3, "C"), product(4, "D")]),
    ];
    // Both pieces, then a process that died and begins the page again, then the rest of it.
    for (piece, merged) in [(0, 2), (1, 4), (0, 2), (1, 4)] {
        let end = (merged == 4).then_some(PageEnd { next_locator: None });
        let kind = ReadKind::Page(PageProgress { job: job.id, page: 1, merged, end });
        let read = Read { mark, end: read_end(), kind };
        merge_chunk(&world.store, world.lease.key(), &world.product, &pieces[piece], &read).await.unwrap();
        let stored = world.count("select count(*) from sf_product_shadow").await;
        assert_eq!(i64::from(jobs::pages(&world.store, job.id).await.unwrap()[0].merged), stored);
    }
    let saved = jobs::get(&world.store, job.id).await.unwrap();
    assert_eq!((saved.counts.read, saved.counts.inserted, saved.counts.equal), (4, 4, 0));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_empty_page_is_progress_too(pool: PgPool) {
    let world = World::start(pool).await;
    let job = world.job(&world.product, false).await;
    world.page(&world.product, &job, 1, &world.products(&[]), true).await;
    let pages = jobs::pages(&world.store, job.id).await.unwrap();
    assert!(pages[0].is_last && pages[0].merged_at.is_some());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn who_lost_the_lease_writes_nothing(pool: PgPool) {
    let world = World::start(pool).await;
    sqlx::query("update shadow_sync.leases set token = gen_random_uuid()")
        .execute(world.store.pool())
        .await
        .unwrap();
    let mark = world.begin().await;
    let refused = world.merge_at(&world.product, &world.products(&[product(1, "A")]), mark).await;
    assert!(matches!(refused, Err(Error::LeaseLost { .. })));
    assert_eq!(world.count("select count(*) from sf_product_shadow").await, 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn writers_of_one_table_queue_and_both_succeed(pool: PgPool) {
    let world = World::start(pool).await;
    let products = [product(1, "A"), product(2, "B")];
    let entries = [entry(1, 1, "1"), entry(2, 2, "2")];
    let (first, second, third) = tokio::join!(
        world.merge_products(&products),
        world.merge_products(&products),
        world.merge_entries(&entries)
    );
    assert_eq!(first.inserted + second.inserted, 2);
    assert_eq!(first.entered + second.entered + third.inserted, 2);
    assert_eq!(world.count("select count(*) from sf_pricebook_shadow").await, 2);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn accounts_are_merged_without_unique_column_or_parent(pool: PgPool) {
    let world = World::start(pool).await;
    let mut chunk = shadow::RowChunk::with_columns(world.account.field_names());
    // CreatedDate, Id, Internet_Eligibility__c, IsDeleted, SystemModstamp
    for field in ["2020-01-01T00:00:00Z", "001000000000001", "Fibre", "false", "2021-01-01T00:00:00Z"] {
        chunk.push_field(field.as_bytes()).unwrap();
    }
    chunk.end_row().unwrap();
    assert_eq!(world.merge(&world.account, &chunk).await.inserted, 1);
    let rows = world
        .query("select internet_eligibility, coalesce(eligibility_source, '-') from sf_account_eligibility_shadow")
        .await;
    assert_eq!(rows, [("Fibre".to_owned(), "-".to_owned())]);
}
