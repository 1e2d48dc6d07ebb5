//! A database that the version before has filled is migrated without a change to what is in it.

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, PgPool};
use store::jobs::{self, JobKind, JobState};
use store::{MIGRATOR, SchemaState, Store, dirty, leases, objects};

/// The last migration of the version before the change log.
const BEFORE: i64 = 20_261_123_070_000;

/// Rows as that version writes them: two products, an entry and an account, a reject, tombstones, dirty marks, a job
/// in every state, a lease, and what the others hold.
const FILL: &str = "
    insert into shadow_sync.binding (org_id, org_name, user_id, user_name, is_simulated)
    values ('00DSIM000000001AAA', 'Halden', '005000000000001AAA', 'sync', true);
    insert into shadow_sync.settings (name, value) values ('n', '1');
    insert into shadow_sync.objects (object, table_name, state, ready_at, loaded_at, loaded_shape, confirmed_read_no)
    values ('Product2', 'sf_product_shadow', 'live', now(), now(), 's', 7),
           ('PricebookEntry', 'sf_pricebook_shadow', 'paused', null, null, null, 0),
           ('Account', 'sf_account_eligibility_shadow', 'failed', null, null, null, 0);
    insert into sf_product_shadow (product_id, sku, name, updated_at, raw_payload, as_of, system_modstamp,
        created_date, read_no, read_end, row_hash)
    select '01t' || n, 'S' || n, 'name', now(), '{\"Id\": \"x\"}', 0, now(), now(), 3, now(), '\\x0102'
      from generate_series(1, 2) as n;
    insert into sf_pricebook_shadow (pricebook_entry_id, product_id, pricebook_id, unit_price, currency_iso_code,
        is_active, updated_at, raw_payload, as_of, system_modstamp, created_date, read_no, read_end, row_hash)
    values ('01u1', '01t1', '01s1', 1.25, 'EUR', true, now(), '{}', 0, now(), now(), 3, now(), '\\x03');
    insert into sf_account_eligibility_shadow (account_id, updated_at, raw_payload, as_of, system_modstamp,
        created_date, read_no, read_end, row_hash)
    values ('0011', now(), '{}', 0, now(), now(), 3, now(), '\\x04');
    insert into shadow_sync.jobs (object, kind, state, requested, stage, started_by, as_of, read_no, bulk_job_id,
        api_version, soql, shape, records_read)
    select o, 'backfill', s, 'run', 'loading', 'me', 0, 1, '750', '67.0', 'select', 's', 5
      from unnest(array['cancelled', 'done', 'failed']) as s, unnest(array['Product2', 'Account']) as o;
    insert into shadow_sync.jobs (object, kind, condition, state, requested, stage, started_by)
    values ('Product2', 'partial', 'X = 1', 'pending', 'run', 'describing', 'me'),
           ('PricebookEntry', 'backfill', null, 'paused', 'pause', 'loading', 'me'),
           ('Account', 'backfill', null, 'running', 'run', 'comparing-ids', 'me');
    insert into shadow_sync.job_pages (job_id, page, locator, records, records_merged)
    select id, 1, 'l', 10, 5 from shadow_sync.jobs where state = 'paused';
    insert into shadow_sync.job_seen (job_id, ids) select id, '{a,b}' from shadow_sync.jobs where state = 'running';
    insert into shadow_sync.job_fetch (job_id, record_id) select id, 'a' from shadow_sync.jobs where state = 'running';
    insert into shadow_sync.job_removals (job_id, record_id) select id, 'b' from shadow_sync.jobs where state = 'done';
    insert into shadow_sync.rejects (object, record_id, reason, detail, claim, columns, raw_payload, as_of,
        system_modstamp, created_date, read_no, read_end, row_hash)
    values ('Product2', '01t3', 'sku-taken', '{}', 'S1', '{}', '{}', 0, now(), now(), 3, now(), '\\x05');
    insert into shadow_sync.tombstones (object, record_id, as_of, read_no, presumed)
    values ('Product2', '01t4', 0, 3, false), ('Account', '0015', 0, 3, true);
    insert into shadow_sync.dirty (object, record_id, reason, claim, as_of, attempts)
    values ('Product2', '01t1', 'claim', 'S1', 0, 0), ('Product2', '01t2', 'doubt', null, 0, 3),
           ('Account', '0011', 'person', null, 0, 0);
    insert into shadow_sync.leases (name, token, holder, expires_at)
    values ('load:Account', gen_random_uuid(), 'somebody', now() + interval '1 hour');
    insert into shadow_sync.counts (object, shadow, rejected, dirty, shadow_at, took_ms)
    values ('Product2', 2, 1, 2, now(), 5);
    insert into shadow_sync.audit (who, host, act, sentence, result) values ('me', 'console', 'a', 's', 'done');
    insert into shadow_sync.invalidations (object, ids, before) values ('Product2', '{01t1}', '[{\"id\": \"01t1\"}]');
    select nextval('shadow_sync.read_no');
";

/// Every table of ours and the three shadow tables, with the columns that they have.
async fn tables(pool: &PgPool) -> Vec<(String, String)> {
    sqlx::query_as(
        "select format('%I.%I', table_schema, table_name), string_agg(format('%I', column_name), ', ' order by ordinal_position)
           from information_schema.columns
          where (table_schema = 'shadow_sync' and table_name <> 'migrations') or table_name like 'sf_%_shadow'
          group by 1 order by 1",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// A digest of all rows of those columns, by table.
async fn digests(pool: &PgPool, tables: &[(String, String)]) -> Vec<(String, i64, Option<String>)> {
    let mut digests = Vec::new();
    for (table, columns) in tables {
        let sql = format!(
            "select count(*), md5(string_agg(t::text, '|' order by t::text)) from (select {columns} from {table}) as t"
        );
        let (rows, digest) = sqlx::query_as(AssertSqlSafe(sql)).fetch_one(pool).await.unwrap();
        digests.push((table.clone(), rows, digest));
    }
    digests
}

#[sqlx::test(migrations = false)]
async fn a_filled_database_is_migrated_without_a_change_to_its_rows(pool: PgPool) {
    let store = Store::on_pool(pool.clone()).await.unwrap();
    let mut before = Migrator::with_migrations(
        MIGRATOR.iter().filter(|migration| migration.version <= BEFORE).cloned().collect(),
    );
    before.create_schema("shadow_sync");
    before.dangerous_set_table_name("shadow_sync.migrations");
    before.run(&pool).await.unwrap();
    sqlx::raw_sql(FILL).execute(&pool).await.unwrap();
    let tables = tables(&pool).await;
    let old = digests(&pool, &tables).await;
    assert!(old.iter().all(|(_, rows, _)| *rows > 0), "a table is empty: {old:?}");

    assert!(matches!(store.schema_state().await.unwrap(), SchemaState::Behind { .. }));
    store.migrate().await.unwrap();
    assert_eq!(digests(&pool, &tables).await, old);

    // And this version reads all of it.
    let jobs = jobs::list(&store, None, 100).await.unwrap();
    assert_eq!(jobs.len(), 9);
    assert!(jobs.iter().all(|job| job.kind != JobKind::CatchUp && job.window.is_none()));
    assert_eq!(jobs.iter().filter(|job| job.state == JobState::Running).count(), 1);
    let all = objects::list(&store).await.unwrap();
    assert_eq!((all.len(), all[2].watermark), (3, None));
    assert_eq!(dirty::count(&store, &all[2].object).await.unwrap(), 2);
    assert_eq!(leases::holder(&store, "load:Account").await.unwrap().as_deref(), Some("somebody"));
}
