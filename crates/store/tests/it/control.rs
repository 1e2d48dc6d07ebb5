//! Schema, sessions and the control tables.

use chrono::Utc;
use serde_json::json;
use shadow::{Mapping, ObjectName, ObjectState, OrgId, UserId};
use sqlx::PgPool;
use store::audit::{self, Act};
use store::binding::{self, Binding};
use store::counts::{self, Count, SalesforceCount};
use store::jobs::{self, Ending, JobState, NewJob, Requested};
use store::merge::merge_chunk;
use store::reads::{Read, ReadKind};
use store::{Error, SchemaState, Store, StoreOptions, leases, objects, settings};

use crate::world::{World, entry, product, read_end};

#[sqlx::test(migrations = false)]
async fn an_empty_database_is_migrated_once(pool: PgPool) {
    let store = Store::on_pool(pool).await.unwrap();
    assert!(matches!(store.schema_state().await.unwrap(), SchemaState::Behind { .. }));
    assert!(matches!(store.require_current_schema().await, Err(Error::SchemaBehind { .. })));
    assert_eq!(store.migrate().await.unwrap().len(), store::MIGRATOR.iter().count());
    assert_eq!(store.schema_state().await.unwrap(), SchemaState::Current);
    assert_eq!(store.migrate().await.unwrap(), Vec::<String>::new());
}

#[sqlx::test(migrations = false)]
async fn the_shadow_tables_may_stand_in_another_schema(pool: PgPool) {
    let connect = (*pool.connect_options()).clone();
    let options = StoreOptions { tables_schema: Some("shop \"1\"".to_owned()), ..StoreOptions::default() };
    let store = Store::connect_with(connect, options).await.unwrap();
    store.migrate().await.unwrap();
    let count = counts::count_object(&store, &Mapping::product()).await.unwrap();
    assert_eq!((count.shadow, count.rejected), (0, 0));
    let schemas: Vec<String> =
        sqlx::query_scalar("select schemaname from pg_tables where tablename = 'sf_product_shadow'")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(schemas, ["shop \"1\""]);
    store.close().await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_schema_newer_than_this_program_is_refused(pool: PgPool) {
    let store = Store::on_pool(pool.clone()).await.unwrap();
    sqlx::query(
        "insert into shadow_sync.migrations (version, description, success, checksum, execution_time)
         values (99990101000000, 'from the future', true, '', 0)",
    )
    .execute(&pool)
    .await
    .unwrap();
    assert!(matches!(
        store.schema_state().await.unwrap(),
        SchemaState::Ahead { found: 99_990_101_000_000, .. }
    ));
    assert!(matches!(store.migrate().await, Err(Error::SchemaAhead { .. })));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_database_that_only_reads_is_told_apart(pool: PgPool) {
    let store = Store::on_pool(pool.clone()).await.unwrap();
    assert!(!store.server_facts().await.unwrap().version.is_empty());
    let options = (*pool.connect_options()).clone().options([("default_transaction_read_only", "on")]);
    let reading = Store::connect_with(options, StoreOptions::default()).await.unwrap();
    assert!(matches!(reading.server_facts().await, Err(Error::ReadOnly)));
    assert!(matches!(objects::register(&reading, &Mapping::built_in()).await, Err(Error::ReadOnly)));
    reading.close().await;
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_told_apart() {
    let refused = Store::connect("postgres://x@127.0.0.1:1/x", StoreOptions::default()).await;
    assert!(matches!(refused, Err(Error::Unreachable(_))));
    let nonsense = Store::connect("nonsense", StoreOptions::default()).await;
    assert!(matches!(nonsense, Err(Error::InvalidUrl(_))));
}

#[sqlx::test(migrations = false)]
async fn a_database_that_does_not_exist_is_told_apart(pool: PgPool) {
    let options = (*pool.connect_options()).clone().database("no such database");
    let refused = Store::connect_with(options, StoreOptions::default()).await;
    assert!(matches!(refused, Err(Error::NoSuchDatabase(_))));
}

fn binding_of(org: &str, user: &str) -> Binding {
    Binding {
        org_id: OrgId::parse(org).unwrap(),
        org_name: "Halden".to_owned(),
        user_id: UserId::parse(user).unwrap(),
        user_name: "sync@halden.example".to_owned(),
        is_simulated: true,
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_database_belongs_to_one_org_and_one_sync_user(pool: PgPool) {
    let store = Store::on_pool(pool).await.unwrap();
    assert!(binding::get(&store).await.unwrap().is_none());
    let first = binding_of("00DSIM000000001", "005000000000001");
    binding::bind(&store, &first).await.unwrap();
    binding::bind(&store, &first).await.unwrap();
    let other_org = binding::bind(&store, &binding_of("00DSIM000000002", "005000000000001")).await;
    assert!(matches!(other_org, Err(Error::OtherOrg { .. })));
    let other_user = binding::bind(&store, &binding_of("00DSIM000000001", "005000000000002")).await;
    assert!(matches!(other_user, Err(Error::OtherUser { .. })));
    assert_eq!(binding::get(&store).await.unwrap().unwrap().0, first);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_lease_is_one_holders_until_given_back(pool: PgPool) {
    let store = Store::on_pool(pool).await.unwrap();
    let mut lease = leases::acquire(&store, "load", "one").await.unwrap().unwrap();
    assert!(leases::acquire(&store, "load", "two").await.unwrap().is_none());
    assert!(leases::acquire(&store, "other", "two").await.unwrap().is_some());
    leases::renew(&store, &mut lease).await.unwrap();
    assert_eq!(leases::holder(&store, "load").await.unwrap().as_deref(), Some("one"));
    leases::release(&store, lease).await.unwrap();
    assert_eq!(leases::holder(&store, "load").await.unwrap(), None);
    assert!(leases::acquire(&store, "load", "two").await.unwrap().is_some());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_lease_whose_backend_is_gone_is_free_at_once(pool: PgPool) {
    let store = Store::on_pool(pool.clone()).await.unwrap();
    let mut lease = leases::acquire(&store, "load", "one").await.unwrap().unwrap();
    sqlx::query("select pg_terminate_backend(backend_pid, 5000) from shadow_sync.leases")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(leases::holder(&store, "load").await.unwrap(), None);
    let next = leases::acquire(&store, "load", "two").await.unwrap();
    assert!(next.is_some());
    assert!(leases::renew(&store, &mut lease).await.is_err());
}

/// Waits until some session of this database waits for a lock.
async fn until_somebody_waits(pool: &PgPool) {
    let waiting = "select pid from pg_stat_activity
                    where datname = current_database() and wait_event_type = 'Lock'";
    while sqlx::query(waiting).fetch_all(pool).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_writer_keeps_successors_out_but_not_its_own_renewal(pool: PgPool) {
    let mut world = World::start(pool.clone()).await;
    let chunk = world.products(&[product(1, "A")]);
    let mark = world.begin().await;
    let mut lease = std::mem::replace(
        &mut world.lease,
        leases::acquire(&world.store, "another", "the test").await.unwrap().unwrap(),
    );
    let key = lease.key().clone();
    // The merge waits in the middle of its transaction, its lease checked.
    let mut blocker = pool.begin().await.unwrap();
    let lock = "select from shadow_sync.objects where object = 'Product2' for update";
    sqlx::query(lock).execute(&mut *blocker).await.unwrap();
    let kind = ReadKind::Fetch { ids: Vec::new(), job: None };
    let read = Read { mark, end: read_end(), kind };
    let merging = merge_chunk(&world.store, &key, &world.product, &chunk, &read);
    let meanwhile = async {
        until_somebody_waits(&pool).await;
        leases::renew(&world.store, &mut lease).await.unwrap();
        let mut successor = pool.begin().await.unwrap();
        sqlx::query("set local lock_timeout = '50ms'").execute(&mut *successor).await.unwrap();
        let take = "update shadow_sync.leases set token = gen_random_uuid() where name = 'load'";
        let taken = sqlx::query(take).execute(&mut *successor).await;
        blocker.rollback().await.unwrap();
        taken.unwrap_err().as_database_error().unwrap().code().unwrap().into_owned()
    };
    let (merged, refused) = tokio::join!(merging, meanwhile);
    assert_eq!((merged.unwrap().inserted, refused.as_str()), (1, "55P03"));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_lease_that_ran_out_is_free(pool: PgPool) {
    let options = StoreOptions { pooled: true, ..StoreOptions::default() };
    let store = Store::connect_with((*pool.connect_options()).clone(), options).await.unwrap();
    let mut lease = leases::acquire(&store, "load", "one").await.unwrap().unwrap();
    sqlx::query("update shadow_sync.leases set expires_at = now() - interval '1 second'")
        .execute(&pool)
        .await
        .unwrap();
    assert!(leases::acquire(&store, "load", "two").await.unwrap().is_some());
    assert!(matches!(leases::renew(&store, &mut lease).await, Err(Error::LeaseLost { .. })));
    store.close().await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_object_has_one_open_job(pool: PgPool) {
    let world = World::start(pool).await;
    let object = ObjectName::product();
    let new = NewJob { object: &object, condition: None, started_by: "me" };
    let job = jobs::create(&world.store, new.clone()).await.unwrap();
    assert!(matches!(jobs::create(&world.store, new.clone()).await, Err(Error::JobOpen(_))));
    let cancelled = jobs::request(&world.store, job.id, Requested::Cancel).await.unwrap();
    assert_eq!(cancelled.state, JobState::Cancelled);
    assert!(jobs::create(&world.store, new).await.is_ok());
    assert_eq!(jobs::open(&world.store).await.unwrap().len(), 1);
    assert_eq!(jobs::list(&world.store, Some(&object), 10).await.unwrap().len(), 2);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_failed_job_can_be_run_again(pool: PgPool) {
    let world = World::start(pool).await;
    let job = world.job(&world.product, false).await;
    let key = world.lease.key();
    assert_eq!(jobs::poll(&world.store, key, job.id).await.unwrap(), Requested::Run);
    jobs::set_complete(&world.store, key, job.id, read_end(), Some(7)).await.unwrap();
    jobs::finish(&world.store, key, job.id, JobState::Failed, Some(&json!({"code": "SS-1"}))).await.unwrap();
    let failed = jobs::get(&world.store, job.id).await.unwrap();
    assert_eq!((failed.state, failed.records_total), (JobState::Failed, Some(7)));
    assert!(failed.problem.is_some() && failed.ended_at.is_some());
    let again = jobs::request(&world.store, job.id, Requested::Run).await.unwrap();
    assert_eq!((again.state, again.problem), (JobState::Pending, None));
    assert_eq!(again.bulk, job.bulk);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_failed_job_stays_failed_while_another_of_its_object_is_open(pool: PgPool) {
    let world = World::start(pool).await;
    let failed = world.job(&world.product, false).await;
    let key = world.lease.key();
    jobs::finish(&world.store, key, failed.id, JobState::Failed, None).await.unwrap();
    let object = ObjectName::product();
    jobs::create(&world.store, NewJob { object: &object, condition: None, started_by: "me" }).await.unwrap();
    let refused = jobs::request(&world.store, failed.id, Requested::Run).await;
    assert!(matches!(refused, Err(Error::JobOpen(_))));
    assert_eq!(jobs::get(&world.store, failed.id).await.unwrap().state, JobState::Failed);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn both_sides_are_counted_and_kept(pool: PgPool) {
    let world = World::start(pool).await;
    world.merge_products(&[product(1, "A"), product(2, "")]).await;
    world.merge_entries(&[entry(1, 1, "1")]).await;
    let own = counts::count_object(&world.store, &Mapping::product()).await.unwrap();
    assert_eq!((own.shadow, own.rejected, own.dirty), (1, 1, 0));
    let salesforce = Some(SalesforceCount { records: 3, at: read_end() });
    let object = ObjectName::product();
    let count = Count { object, salesforce, own, took_ms: 5, problem: None };
    assert_eq!(count.unexplained(), Some(1));
    counts::record(&world.store, &count).await.unwrap();
    assert_eq!(counts::last(&world.store).await.unwrap(), [count]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_paused_object_remembers_where_it_stood(pool: PgPool) {
    let world = World::start(pool).await;
    let object = ObjectName::account();
    objects::set_state(&world.store, &object, ObjectState::Backfilling, None).await.unwrap();
    assert!(objects::pause(&world.store, &object).await.unwrap());
    assert!(!objects::pause(&world.store, &object).await.unwrap());
    objects::loaded(&world.store, &world.account, read_end()).await.unwrap();
    objects::ready(&world.store, &object).await.unwrap();
    assert_eq!(objects::get(&world.store, &object).await.unwrap().state, ObjectState::Paused);
    assert!(objects::resume(&world.store, &object).await.unwrap());
    let row = objects::get(&world.store, &object).await.unwrap();
    assert_eq!(
        (row.state, row.loaded_at, row.loaded_shape),
        (ObjectState::Live, Some(read_end()), Some(world.account.shape()))
    );
    assert!(row.ready_at.is_some());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn acts_are_listed_newest_first(pool: PgPool) {
    let store = Store::on_pool(pool).await.unwrap();
    for sentence in ["first", "second"] {
        let act =
            Act { who: "me", host: "command line", act: "test", sentence, result: "done", took_ms: Some(3) };
        audit::record(&store, act).await.unwrap();
    }
    let all = audit::list(&store, None, 10).await.unwrap();
    assert_eq!(all.iter().map(|entry| entry.sentence.as_str()).collect::<Vec<_>>(), ["second", "first"]);
    #[expect(clippy::disallowed_methods, reason = "a test may look at the clock")]
    let later = Utc::now() + chrono::TimeDelta::days(1);
    assert!(audit::list(&store, Some(later), 10).await.unwrap().is_empty());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn settings_are_kept_by_name(pool: PgPool) {
    let store = Store::on_pool(pool).await.unwrap();
    assert_eq!(settings::get::<u32>(&store, "n").await.unwrap(), None);
    settings::set(&store, "n", &1).await.unwrap();
    settings::set(&store, "n", &2).await.unwrap();
    assert_eq!(settings::get::<u32>(&store, "n").await.unwrap(), Some(2));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_role_without_rights_is_told_apart(pool: PgPool) {
    let options = (*pool.connect_options()).clone();
    let role = format!("no_rights_{}", options.get_database().unwrap());
    sqlx::query(sqlx::AssertSqlSafe(format!("create role \"{role}\""))).execute(&pool).await.unwrap();
    let store = Store::connect_with(options.options([("role", role.as_str())]), StoreOptions::default())
        .await
        .unwrap();
    let refused = settings::get::<u32>(&store, "n").await;
    assert!(matches!(refused, Err(Error::PermissionDenied(_))), "{refused:?}");
    store.close().await;
    sqlx::query(sqlx::AssertSqlSafe(format!("drop role \"{role}\""))).execute(&pool).await.unwrap();
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_merge_whose_connection_is_cut_can_be_repeated(pool: PgPool) {
    let world = World::start(pool.clone()).await;
    // Somebody holds the table's lock, so that the merge waits in the middle of its transaction.
    let mut blocker = pool.begin().await.unwrap();
    sqlx::query("select from shadow_sync.objects where object = 'Product2' for update")
        .execute(&mut *blocker)
        .await
        .unwrap();
    let chunk = world.products(&[product(1, "A")]);
    let mark = world.begin().await;
    let cut = async {
        let blocked = "select pg_terminate_backend(pid) from pg_stat_activity
                        where datname = current_database() and wait_event_type = 'Lock'";
        while sqlx::query(blocked).fetch_all(&pool).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let (merged, ()) = tokio::join!(world.merge_at(&world.product, &chunk, mark), cut);
    let error = merged.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    assert_eq!(error.disposition(), store::Disposition::Retry);
    blocker.rollback().await.unwrap();
    assert_eq!(world.merge_at(&world.product, &chunk, mark).await.unwrap().inserted, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_job_ends_together_with_its_audit_entry(pool: PgPool) {
    let world = World::start(pool).await;
    let job = world.job(&world.product, false).await;
    let act = Act {
        who: "me",
        host: "daemon",
        act: "backfill.end",
        sentence: "done",
        result: "done",
        took_ms: None,
    };
    let key = world.lease.key();
    let ending =
        Ending { state: JobState::Done, problem: None, act: Some(act), closing: None, brought: None };
    jobs::finish_with(&world.store, key, job.id, ending).await.unwrap();
    assert_eq!(jobs::get(&world.store, job.id).await.unwrap().state, JobState::Done);
    assert_eq!(audit::list(&world.store, None, 10).await.unwrap().len(), 1);
}
