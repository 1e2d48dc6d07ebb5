//! Who may work, and what happens to who may no longer: leases that run out, workers, a server that changed.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgPool};
use store::leases::{self, LeaseTimes};
use store::workers::{self, HostKind, Role, Worker};
use store::{Error, ServerChange, Store, StoreOptions, change_log};
use uuid::Uuid;

use crate::events::{Stream, channel, event};

async fn connect(pool: &PgPool) -> Store {
    Store::connect_with((*pool.connect_options()).clone(), StoreOptions::default()).await.unwrap()
}

async fn run_out(pool: &PgPool) {
    let sql = "update shadow_sync.leases set expires_at = now() - interval '1 second'";
    sqlx::query(sql).execute(pool).await.unwrap();
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_lease_lasts_as_long_as_it_was_taken_for(pool: PgPool) {
    let store = Store::on_pool(pool.clone()).await.unwrap();
    let mut stream = leases::acquire_for(&store, "stream", "one", LeaseTimes::STREAM).await.unwrap().unwrap();
    let _load = leases::acquire(&store, "load", "one").await.unwrap().unwrap();
    let left = "select round(extract(epoch from expires_at - clock_timestamp()))::bigint
                  from shadow_sync.leases order by name";
    let seconds: Vec<i64> = sqlx::query_scalar(left).fetch_all(&pool).await.unwrap();
    assert_eq!(seconds, [15, 8]);
    run_out(&pool).await;
    leases::renew(&store, &mut stream).await.unwrap();
    let seconds: Vec<i64> = sqlx::query_scalar(left).fetch_all(&pool).await.unwrap();
    assert_eq!(seconds[1], 8);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_look_at_a_lease_that_is_held_does_not_wait_for_its_writer(pool: PgPool) {
    let store = connect(&pool).await;
    let _lease = leases::acquire(&store, "stream", "one").await.unwrap().unwrap();
    let mut writer = pool.begin().await.unwrap();
    sqlx::query("select from shadow_sync.leases for key share").execute(&mut *writer).await.unwrap();
    let looked = tokio::time::timeout(Duration::from_secs(2), leases::acquire(&store, "stream", "two")).await;
    assert!(looked.unwrap().unwrap().is_none());
    store.close().await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_successor_ends_the_session_of_a_frozen_holder(pool: PgPool) {
    let (frozen, next) = (connect(&pool).await, connect(&pool).await);
    let mut lease = leases::acquire_for(&frozen, "stream", "one", LeaseTimes::STREAM).await.unwrap().unwrap();
    run_out(&pool).await;
    let _taken = leases::acquire_for(&next, "stream", "two", LeaseTimes::STREAM).await.unwrap().unwrap();
    // The holder before wakes up and finds its session gone.
    let late = leases::renew(&frozen, &mut lease).await;
    assert!(matches!(late, Err(Error::Unreachable(_))), "{late:?}");
    assert_eq!(leases::holder(&next, "stream").await.unwrap().as_deref(), Some("two"));
    frozen.close().await;
    next.close().await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_successor_ends_a_transaction_that_was_frozen_in_its_middle(pool: PgPool) {
    let (frozen, next) = (connect(&pool).await, connect(&pool).await);
    let _lease = leases::acquire_for(&frozen, "stream", "one", LeaseTimes::STREAM).await.unwrap().unwrap();
    // As a writer does it: the lease's row is held until the transaction ends, which it never does.
    let mut writer = frozen.pool().begin().await.unwrap();
    sqlx::query("select from shadow_sync.leases for key share").execute(&mut *writer).await.unwrap();
    run_out(&pool).await;
    let taken = tokio::time::timeout(
        Duration::from_secs(4),
        leases::acquire_for(&next, "stream", "two", LeaseTimes::STREAM),
    )
    .await;
    assert!(taken.unwrap().unwrap().is_some());
    assert!(sqlx::query("select 1").execute(&mut *writer).await.is_err());
    drop(writer);
    frozen.close().await;
    next.close().await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_live_holders_transaction_is_left_alone(pool: PgPool) {
    let (holder, other) = (connect(&pool).await, connect(&pool).await);
    let mut lease = leases::acquire(&holder, "stream", "one").await.unwrap().unwrap();
    let mut writer = holder.pool().begin().await.unwrap();
    sqlx::query("select from shadow_sync.leases for key share").execute(&mut *writer).await.unwrap();
    run_out(&pool).await;
    let taking = leases::acquire(&other, "stream", "two");
    let renewing = async {
        // It was late, but it is back before the other has waited long.
        let waiting = "select pid from pg_stat_activity
                        where datname = current_database() and wait_event_type = 'Lock'";
        while sqlx::query(waiting).fetch_all(&pool).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        leases::renew(&holder, &mut lease).await.unwrap();
        tokio::time::timeout(Duration::from_millis(900), std::future::pending::<()>()).await.unwrap_err();
        sqlx::query("select 1").execute(&mut *writer).await.unwrap();
        writer.commit().await.unwrap();
    };
    let (taken, ()) = tokio::join!(taking, renewing);
    assert!(taken.unwrap().is_none());
    holder.close().await;
    other.close().await;
}

fn worker(host_kind: HostKind) -> Worker {
    Worker {
        id: Uuid::from_u128(host_kind as u128 + 1),
        host_kind,
        holder: format!("{} on shop-db-1", host_kind.as_str()),
        version: "0.1.0".to_owned(),
        role: Role::Standby,
        streaming: Vec::new(),
        shadow_reads: None,
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn workers_are_known_by_their_heartbeats(pool: PgPool) {
    let store = Store::on_pool(pool.clone()).await.unwrap();
    let (short, long) = (Duration::from_secs(30), Duration::from_mins(5));
    assert!(!workers::daemon_seen_within(&store, short).await.unwrap());
    workers::beat(&store, &worker(HostKind::Console)).await.unwrap();
    assert!(!workers::daemon_seen_within(&store, short).await.unwrap());
    let daemon = worker(HostKind::Daemon);
    workers::beat(&store, &daemon).await.unwrap();
    let leading =
        Worker { role: Role::Leader, streaming: vec!["/data/ChangeEvents".to_owned()], ..daemon.clone() };
    workers::beat(&store, &leading).await.unwrap();
    assert!(workers::daemon_seen_within(&store, short).await.unwrap());
    let seen = workers::list(&store, short).await.unwrap();
    assert_eq!(
        seen.iter().map(|seen| &seen.worker).collect::<Vec<_>>(),
        [&leading, &worker(HostKind::Console)]
    );
    assert!(seen[0].seen_ms_ago < 5_000);
    let silent = "update shadow_sync.workers set seen_at = now() - interval '1 minute'";
    sqlx::query(silent).execute(&pool).await.unwrap();
    assert!(!workers::daemon_seen_within(&store, short).await.unwrap());
    assert!(workers::list(&store, short).await.unwrap().is_empty());
    workers::gone(&store, daemon.id).await.unwrap();
    assert_eq!(workers::list(&store, long).await.unwrap().len(), 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_log_that_was_set_back_is_another_server(pool: PgPool) {
    let stream = Stream::start(pool).await;
    let first = stream.store.server_identity().await.unwrap();
    assert_eq!((first.log_position, first.timeline), (0, Some(1)));
    assert!(first.system.is_some() && first.database > 0);
    stream.append(&[event(1, 1)]).await;
    let grown = stream.store.server_identity().await.unwrap();
    assert_eq!((grown.log_position, grown.change_since(&first)), (1, None));
    assert_eq!(first.change_since(&grown), Some(ServerChange::SetBack));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn no_lease_holds_on_a_log_that_ends_earlier(pool: PgPool) {
    let mut stream = Stream::start(pool).await;
    stream.append(&[event(1, 1), event(2, 1)]).await;
    leases::renew(&stream.store, &mut stream.lease).await.unwrap();
    // A restored backup may have the row of the very lease that is held.
    stream.run("update shadow_sync.log_head set position = 1").await;
    let late = leases::renew(&stream.store, &mut stream.lease).await;
    assert!(matches!(late, Err(Error::LeaseLost { .. })), "{late:?}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_server_that_was_set_back_is_taken_on_above_all_that_was_seen(pool: PgPool) {
    let stream = Stream::start(pool).await;
    stream.append(&[event(1, 1), event(2, 1)]).await;
    stream.run("update shadow_sync.objects set loaded_at = now() where object = 'Product2'").await;
    let before = stream.store.server_identity().await.unwrap();
    stream.run("update shadow_sync.log_head set position = 1").await;
    let taken_on = stream.store.take_on(&before).await.unwrap();
    assert!(taken_on.is_set_back);
    assert_eq!(taken_on.holes, [shadow::ObjectName::product()], "only of what is loaded");
    assert!(stream.number("select position from shadow_sync.log_head").await > before.log_position);
    assert_eq!(stream.number("select count(*) from shadow_sync.leases").await, 0);
    // Another server that has everything: the line leaps, and nothing is missing.
    let now = stream.store.server_identity().await.unwrap();
    let other = store::ServerIdentity { system: Some(1), ..now };
    let taken_on = stream.store.take_on(&other).await.unwrap();
    assert_eq!((taken_on.is_set_back, taken_on.holes.len()), (false, 0));
    assert!(stream.number("select position from shadow_sync.log_head").await > now.log_position);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn behind_a_pooler_the_log_works_as_well(pool: PgPool) {
    let direct = Stream::start(pool.clone()).await;
    let options = StoreOptions { pooled: true, ..StoreOptions::default() };
    let store = Store::connect_with((*pool.connect_options()).clone(), options).await.unwrap();
    leases::release(&direct.store, direct.lease).await.unwrap();
    let lease = leases::acquire_for(&store, "stream", "two", LeaseTimes::STREAM).await.unwrap().unwrap();
    let appended =
        change_log::append(&store, lease.key(), &channel(), &[event(1, 1)], &[], &[]).await.unwrap();
    assert_eq!(appended.stored, 1);
    assert_eq!(change_log::next_batch(&store, &channel(), 0, 10).await.unwrap().len(), 1);
    store.close().await;
}

/// A role that may use our tables and nothing else; it goes with the database.
async fn plain_role(pool: &PgPool) -> String {
    let role = format!("plain_{}", pool.connect_options().get_database().unwrap());
    let create = format!(
        "create role \"{role}\"; grant usage on schema shadow_sync to \"{role}\";
         grant all on all tables in schema shadow_sync to \"{role}\""
    );
    sqlx::raw_sql(AssertSqlSafe(create)).execute(pool).await.unwrap();
    role
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_successor_that_may_end_nobodys_session_takes_over_all_the_same(pool: PgPool) {
    let role = plain_role(&pool).await;
    let options = (*pool.connect_options()).clone().options([("role", role.as_str())]);
    let next = Store::connect_with(options, StoreOptions::default()).await.unwrap();
    let holder = connect(&pool).await;
    let mut lease = leases::acquire_for(&holder, "stream", "one", LeaseTimes::STREAM).await.unwrap().unwrap();
    run_out(&pool).await;
    let taken = leases::acquire_for(&next, "stream", "two", LeaseTimes::STREAM).await.unwrap();
    assert!(taken.is_some());
    // The session before is there still, but it is not the holder any more.
    let late = leases::renew(&holder, &mut lease).await;
    assert!(matches!(late, Err(Error::LeaseLost { .. })), "{late:?}");
    // What such a role may not ask is not compared.
    let identity = next.server_identity().await.unwrap();
    assert_eq!(identity.change_since(&holder.server_identity().await.unwrap()), None);
    drop(taken);
    next.close().await;
    holder.close().await;
    let drop = format!("drop owned by \"{role}\"; drop role \"{role}\"");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&pool).await.unwrap();
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn no_lease_holds_on_another_server(pool: PgPool) {
    let mut stream = Stream::start(pool).await;
    stream.append(&[event(1, 1)]).await;
    // A standby that took over has the row, but started at another moment.
    stream
        .run("update shadow_sync.leases set server_started_at = server_started_at - interval '1 day'")
        .await;
    let late =
        change_log::append(&stream.store, stream.lease.key(), &stream.channel, &[event(2, 1)], &[], &[])
            .await;
    assert!(matches!(late, Err(Error::LeaseLost { .. })), "{late:?}");
    let late = leases::renew(&stream.store, &mut stream.lease).await;
    assert!(matches!(late, Err(Error::LeaseLost { .. })), "{late:?}");
    assert_eq!(leases::holder(&stream.store, "stream").await.unwrap(), None);
    assert!(leases::acquire(&stream.store, "stream", "two").await.unwrap().is_some());
}
