//! What children show of their parents and siblings is read again when it changes.

use shadow::{ChangeKind, EventValue, RowChunk};
use sqlx::PgPool;
use store::merge::{self, MergeOutcome};
use store::parents::{self, DirtyParent};
use store::reads::{Read, ReadKind};

use crate::live::{Live, after, entry_changed, product_changed, product_gap, text};
use crate::world::{World, entry, product, product_id, read_end};

async fn due(world: &World) -> Vec<DirtyParent> {
    parents::next(&world.store, world.entry.object(), 10).await.unwrap()
}

async fn merge_children(live: &Live, chunk: &RowChunk, parents: Vec<DirtyParent>) -> MergeOutcome {
    let world = &live.world;
    let kind = ReadKind::Children { parents };
    let read = Read { mark: world.begin().await, end: read_end(), kind };
    merge::merge_chunk(&world.store, world.lease.key(), &world.entry, chunk, &read).await.unwrap()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_renamed_product_marks_itself_for_its_entries(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A"), product(2, "B"), product(3, "C")]).await;
    live.world.merge_entries(&[entry(1, 1, "5")]).await;
    assert_eq!(due(&live.world).await, []);
    live.tell(&[
        product_changed(1, &[("Name", text("renamed"))]),
        product_changed(2, &[("StockKeepingUnit", text("B2"))]),
    ])
    .await;
    let marks = due(&live.world).await;
    assert_eq!(marks.len(), 1);
    assert_eq!((marks[0].field.as_str(), marks[0].id, marks[0].as_of), ("Product2Id", product_id(1), 2));
    assert_eq!(marks[0].committed_at, Some(after(60)));
    // A read that finds a rename marks it as well; one that changes something else does not.
    let read = [product(2, "B").named("renamed").at(1), product(3, "C").at(1)];
    live.world.merge_products(&read).await;
    let marked: Vec<_> = due(&live.world).await.into_iter().map(|mark| mark.id).collect();
    assert_eq!(marked, [product_id(1), product_id(2)]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_marks_go_with_the_last_answer_but_for_those_that_were_raised(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A"), product(2, "B")]).await;
    let named = |id, name| product_changed(id, &[("Name", text(name))]);
    live.tell(&[named(1, "x"), named(2, "x")]).await;
    let marks = due(&live.world).await;
    let chunk = live.world.entries(&[entry(1, 1, "5")]);
    merge_children(&live, &chunk, Vec::new()).await;
    assert_eq!(due(&live.world).await.len(), 2);
    let mark = live.world.begin().await;
    live.tell(&[named(2, "y")]).await;
    let read = Read { mark, end: read_end(), kind: ReadKind::Children { parents: marks } };
    let key = live.world.lease.key();
    merge::merge_chunk(&live.world.store, key, &live.world.entry, &chunk, &read).await.unwrap();
    // The second was changed again after the read began: its children are read once more, a little later.
    assert_eq!(due(&live.world).await, []);
    assert_eq!(parents::count(&live.world.store, live.world.entry.object()).await.unwrap(), 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_read_of_children_replaces_what_they_show_although_their_stamp_stands_still(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A")]).await;
    live.world.merge_entries(&[entry(1, 1, "5")]).await;
    live.tell(&[product_changed(1, &[("Name", text("x"))])]).await;
    let mut renamed = RowChunk::new(live.world.entries(&[]).columns().clone());
    let chunk = live.world.entries(&[entry(1, 1, "5")]);
    for (place, column) in chunk.columns().iter().enumerate() {
        let text = if &**column == "Name" { "x" } else { chunk.row(0).field(place).unwrap_or_default() };
        renamed.push_field(text.as_bytes()).unwrap();
    }
    renamed.end_row().unwrap();
    let outcome = merge_children(&live, &renamed, due(&live.world).await).await;
    assert_eq!(outcome.updated, 1);
    let names = live.world.query("select raw_payload ->> 'Name', as_of::text from sf_pricebook_shadow").await;
    assert_eq!(names, [("x".to_owned(), "1".to_owned())]);
    assert_eq!(due(&live.world).await, []);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_changed_price_matters_to_siblings_only_if_one_follows_it(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A"), product(2, "B")]).await;
    live.world.merge_entries(&[entry(1, 1, "5"), entry(2, 1, "5"), entry(3, 2, "5"), entry(4, 2, "5")]).await;
    sqlx::query(
        "update sf_pricebook_shadow set raw_payload = raw_payload || '{\"UseStandardPrice\": true}'
          where pricebook_entry_id like '01u000000000002%'",
    )
    .execute(live.world.store.pool())
    .await
    .unwrap();
    let price = |id, price| entry_changed(id, &[("UnitPrice", EventValue::Double(price))]);
    live.tell(&[price(3, 6.0)]).await;
    assert_eq!(due(&live.world).await, []);
    live.tell(&[price(1, 5.0), entry_changed(1, &[("IsActive", EventValue::Boolean(false))])]).await;
    assert_eq!(due(&live.world).await, [], "the price is what it was");
    live.tell(&[price(1, 6.0)]).await;
    assert_eq!(due(&live.world).await[0].id, product_id(1));
    sqlx::query("delete from shadow_sync.dirty_parents").execute(live.world.store.pool()).await.unwrap();
    live.world.merge_entries(&[crate::world::Entry { stamp: 1, ..entry(1, 1, "7") }]).await;
    assert_eq!(due(&live.world).await[0].id, product_id(1));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_product_that_a_fetch_brings_back_marks_itself(pool: PgPool) {
    let live = Live::start(pool).await;
    live.world.merge_products(&[product(1, "A")]).await;
    live.tell(&[crate::live::product_deleted(1)]).await;
    sqlx::query("delete from shadow_sync.dirty_parents").execute(live.world.store.pool()).await.unwrap();
    live.tell(&[product_gap(ChangeKind::GapUndelete, 1)]).await;
    sqlx::query("delete from shadow_sync.dirty_parents").execute(live.world.store.pool()).await.unwrap();
    live.world.fetch_dirty(&[product(1, "A")]).await;
    assert_eq!(due(&live.world).await[0].id, product_id(1));
}
