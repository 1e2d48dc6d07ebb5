//! A refreshed sandbox is taken over, the sync user changes: the only ways in which a database changes whose copy it is.

use shadow::{HoleNeeds, HoleWhy, Mapping, ObjectName, ObjectState, OrgId, UserId};
use sqlx::PgPool;
use store::audit::Act;
use store::binding::{self, Binding};
use store::{Error, change_log, holes, leases, log_head, objects};

use crate::events::{Stream, event};
use crate::world::{World, entry, product, read_end};

fn bound_to(org: &str, user: &str, is_simulated: bool) -> Binding {
    Binding {
        org_id: OrgId::parse(org).unwrap(),
        org_name: "Halden".to_owned(),
        user_id: UserId::parse(user).unwrap(),
        user_name: format!("{user}@halden.example"),
        is_simulated,
    }
}

fn act() -> Act<'static> {
    Act {
        who: "me",
        host: "command line",
        act: "rebind",
        sentence: "took over a sandbox",
        result: "done",
        took_ms: None,
    }
}

const OLD: &str = "00D000000000001";
const NEW: &str = "00D000000000002";
const USER: &str = "005000000000001";

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_rebind_empties_the_copy_and_keeps_the_number_line(pool: PgPool) {
    let world = World::start(pool.clone()).await;
    binding::bind(&world.store, &bound_to(OLD, USER, false)).await.unwrap();
    world.merge_products(&[product(1, "A"), product(2, "")]).await;
    world.merge_entries(&[entry(1, 1, "1")]).await;
    objects::loaded(&world.store, &world.product, read_end()).await.unwrap();
    objects::ready(&world.store, &ObjectName::product()).await.unwrap();
    let stream = Stream::start(pool).await;
    stream.append(&[event(1, 1)]).await;

    let mappings = Mapping::built_in();
    let plan = binding::plan(&stream.store, &mappings).await.unwrap();
    let rows = |table: &str| plan.iter().find(|emptied| emptied.table.contains(table)).unwrap().rows;
    assert_eq!((rows("sf_product_shadow"), rows("sf_pricebook_shadow"), rows("rejects")), (1, 1, 1));
    assert_eq!((rows("change_log"), rows("checkpoints")), (1, 1));

    binding::rebind(&stream.store, &mappings, &bound_to(NEW, USER, false), act()).await.unwrap();
    assert!(binding::plan(&stream.store, &mappings).await.unwrap().iter().all(|emptied| emptied.rows == 0));
    assert_eq!(binding::get(&stream.store).await.unwrap().unwrap().0, bound_to(NEW, USER, false));
    let object = objects::get(&stream.store, &ObjectName::product()).await.unwrap();
    assert_eq!((object.state, object.ready_at, object.loaded_at), (ObjectState::Pending, None, None));
    assert_eq!(log_head::position(&stream.store).await.unwrap(), 1);
    let orders = "select count(*) from shadow_sync.invalidations where whole";
    assert_eq!(stream.number(orders).await, 3);
    assert_eq!(stream.number("select count(*) from shadow_sync.audit").await, 1);

    // Who worked before writes nothing any more.
    let chunk = world.products(&[product(1, "A")]);
    let mark = world.begin().await;
    assert!(matches!(world.merge_at(&world.product, &chunk, mark).await, Err(Error::LeaseLost { .. })));
    let late =
        change_log::append(&stream.store, stream.lease.key(), &stream.channel, &[event(2, 1)], &[], &[])
            .await;
    assert!(matches!(late, Err(Error::LeaseLost { .. })));
    // And the next one goes on with the next position.
    let lease = leases::acquire(&stream.store, "stream", "next").await.unwrap().unwrap();
    let next = change_log::append(&stream.store, lease.key(), &stream.channel, &[event(1, 1)], &[], &[])
        .await
        .unwrap();
    assert_eq!((next.stored, next.last_position), (1, 2));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_demo_database_stays_one(pool: PgPool) {
    let stream = Stream::start(pool).await;
    let simulated = bound_to("00DSIM000000001", USER, true);
    binding::bind(&stream.store, &simulated).await.unwrap();
    let mappings = Mapping::built_in();
    let refused = binding::rebind(&stream.store, &mappings, &bound_to(NEW, USER, false), act()).await;
    assert!(matches!(refused, Err(Error::OtherOrg { .. })));
    assert_eq!(binding::get(&stream.store).await.unwrap().unwrap().0, simulated);
    // Nothing was done: the lease is there still.
    assert_eq!(stream.append(&[event(1, 1)]).await.stored, 1);
    let other = bound_to("00DSIM000000002", USER, true);
    binding::rebind(&stream.store, &mappings, &other, act()).await.unwrap();
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_rebind_waits_for_a_writer_and_empties_nothing_if_it_does_not_end(pool: PgPool) {
    let stream = Stream::start(pool.clone()).await;
    binding::bind(&stream.store, &bound_to(OLD, USER, false)).await.unwrap();
    stream.append(&[event(1, 1)]).await;
    let mut writer = pool.begin().await.unwrap();
    sqlx::query("select from shadow_sync.leases for key share").execute(&mut *writer).await.unwrap();
    let options = (*pool.connect_options()).clone();
    let hasty = sqlx::postgres::PgPoolOptions::new()
        .after_connect(|connection, _| {
            Box::pin(
                async move { sqlx::query("set lock_timeout = '100ms'").execute(connection).await.map(drop) },
            )
        })
        .connect_with(options)
        .await
        .unwrap();
    let store = store::Store::on_pool(hasty).await.unwrap();
    let refused = binding::rebind(&store, &Mapping::built_in(), &bound_to(NEW, USER, false), act()).await;
    assert!(matches!(refused, Err(Error::Contention { .. })), "{refused:?}");
    writer.rollback().await.unwrap();
    assert_eq!(stream.positions(0).await, [1]);
    store.close().await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn another_sync_user_empties_nothing_and_asks_for_a_backfill(pool: PgPool) {
    let world = World::start(pool.clone()).await;
    binding::bind(&world.store, &bound_to(OLD, USER, false)).await.unwrap();
    world.merge_products(&[product(1, "A")]).await;
    objects::loaded(&world.store, &world.product, read_end()).await.unwrap();
    let next = bound_to(OLD, "005000000000002", false);
    let refused = binding::rebind_user(&world.store, &bound_to(NEW, USER, false), act()).await;
    assert!(matches!(refused, Err(Error::OtherOrg { .. })));
    binding::rebind_user(&world.store, &next, act()).await.unwrap();
    assert_eq!(binding::get(&world.store).await.unwrap().unwrap().0, next);
    assert_eq!(world.skus().await.len(), 1);
    let open = holes::list_open(&world.store).await.unwrap();
    assert_eq!((open.len(), open[0].why, open[0].needs), (1, HoleWhy::Permission, HoleNeeds::Backfill));
    assert!(open[0].until_at.is_some());
}
