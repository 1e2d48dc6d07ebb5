//! The quick second load.

use shadow::RowChunk;
use sqlx::PgPool;
use store::{comparison, jobs, stamps};

use crate::world::{Product, World, page_progress, product, product_id, read_end};

fn only_stamps(world: &World, products: &[Product]) -> RowChunk {
    let whole = world.products(products);
    let mut chunk = RowChunk::with_columns(["Id", "SystemModstamp"]);
    for row in whole.rows() {
        chunk.push_field(row.get("Id").unwrap().as_bytes()).unwrap();
        chunk.push_field(row.get("SystemModstamp").unwrap().as_bytes()).unwrap();
        chunk.end_row().unwrap();
    }
    chunk
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn only_what_differs_is_to_be_fetched(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A"), product(2, "B"), product(3, ""), product(4, "D")]).await;
    let job = world.job(&world.product, true).await;
    let chunk =
        only_stamps(&world, &[product(1, "A"), product(2, "B").at(1), product(3, ""), product(5, "E")]);
    let progress = page_progress(job.id, 1, &chunk, true);
    let key = world.lease.key();
    let outcome = stamps::compare_chunk(&world.store, key, &world.product, &chunk, &progress).await.unwrap();
    assert_eq!((outcome.equal, outcome.differing), (2, 2));
    let ids = stamps::next_to_fetch(&world.store, job.id, 10).await.unwrap();
    assert_eq!(ids, [product_id(2), product_id(5)]);
    let found = comparison::compare_ids(&world.store, key, &world.product, job.id).await.unwrap();
    assert_eq!(found.candidates, 1);
    let saved = jobs::get(&world.store, job.id).await.unwrap();
    assert_eq!((saved.counts.read, saved.counts.equal), (4, 2));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn fetching_what_differs_empties_the_list_and_counts_for_the_job(pool: PgPool) {
    use store::merge::merge_chunk;
    use store::reads::{Read, ReadKind};

    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A")]).await;
    let job = world.job(&world.product, true).await;
    let chunk = only_stamps(&world, &[product(1, "A").at(1), product(2, "B")]);
    let progress = page_progress(job.id, 1, &chunk, true);
    let key = world.lease.key();
    stamps::compare_chunk(&world.store, key, &world.product, &chunk, &progress).await.unwrap();
    let ids = stamps::next_to_fetch(&world.store, job.id, 10).await.unwrap();
    let mark = world.begin().await;
    let read = Read { mark, end: read_end(), kind: ReadKind::Fetch { ids, job: Some(job.id) } };
    // The second record is gone by now.
    let whole = world.products(&[product(1, "C").at(1)]);
    let outcome = merge_chunk(&world.store, key, &world.product, &whole, &read).await.unwrap();
    assert_eq!((outcome.updated, outcome.absent), (1, vec![product_id(2)]));
    assert_eq!(comparison::candidates(&world.store, job.id, None, 9).await.unwrap(), []);
    assert_eq!(stamps::left_to_fetch(&world.store, job.id).await.unwrap(), 0);
    let saved = jobs::get(&world.store, job.id).await.unwrap();
    assert_eq!((saved.counts.read, saved.counts.updated, saved.counts.equal), (2, 1, 0));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_row_read_too_soon_after_its_stamp_is_fetched_again(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A")]).await;
    sqlx::query("update sf_product_shadow set read_end = system_modstamp + interval '9 minutes'")
        .execute(world.store.pool())
        .await
        .unwrap();
    let job = world.job(&world.product, true).await;
    let chunk = only_stamps(&world, &[product(1, "A")]);
    let progress = page_progress(job.id, 1, &chunk, true);
    let key = world.lease.key();
    let outcome = stamps::compare_chunk(&world.store, key, &world.product, &chunk, &progress).await.unwrap();
    assert_eq!((outcome.equal, outcome.differing), (0, 1));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_stored_record_that_vanishes_between_two_reads_is_a_candidate_for_removal(pool: PgPool) {
    use store::merge::merge_chunk;
    use store::reads::{Read, ReadKind};

    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A"), product(2, "B")]).await;
    let job = world.job(&world.product, true).await;
    let chunk = only_stamps(&world, &[product(1, "A"), product(2, "B").at(1)]);
    let progress = page_progress(job.id, 1, &chunk, true);
    let key = world.lease.key();
    stamps::compare_chunk(&world.store, key, &world.product, &chunk, &progress).await.unwrap();
    let ids = stamps::next_to_fetch(&world.store, job.id, 10).await.unwrap();
    let mark = world.begin().await;
    let read = Read { mark, end: read_end(), kind: ReadKind::Fetch { ids, job: Some(job.id) } };
    merge_chunk(&world.store, key, &world.product, &world.products(&[]), &read).await.unwrap();
    let found = comparison::compare_ids(&world.store, key, &world.product, job.id).await.unwrap();
    assert_eq!(found.candidates, 1);
    assert_eq!(comparison::candidates(&world.store, job.id, None, 9).await.unwrap(), [product_id(2)]);
}
