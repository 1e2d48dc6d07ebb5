//! Retention: what is old goes, but nothing that is still needed.

use chrono::{DateTime, TimeDelta, Utc};
use shadow::{EventOutcome, ObjectName};
use sqlx::PgPool;
use store::Error;
use store::change_log;
use store::dead_letters::{self, LetterEnd, NewDeadLetter, Stage};
use store::event_outcomes::{self, NewOutcome};
use store::retention::{self, Policy, Removed};

use crate::events::{Stream, event};
use crate::world::product_id;

async fn now(stream: &Stream) -> DateTime<Utc> {
    sqlx::query_scalar("select now()").fetch_one(stream.store.pool()).await.unwrap()
}

async fn run(stream: &Stream) -> Removed {
    let now = now(stream).await;
    retention::run(&stream.store, stream.lease.key(), &Policy::default(), now).await.unwrap()
}

/// An event of so many days ago, with its outcome.
async fn old_event(stream: &Stream, key: u32, days: i64) {
    stream.append(&[event(key, key)]).await;
    let stored = change_log::get(&stream.store, i64::from(key)).await.unwrap().unwrap();
    let outcome = NewOutcome {
        position: stored.position,
        received_at: stored.received_at,
        record: Some(product_id(key)),
        outcome: EventOutcome::Applied,
        detail: None,
    };
    let mut tx = stream.store.pool().begin().await.unwrap();
    event_outcomes::record_in(&mut tx, &[outcome]).await.unwrap();
    tx.commit().await.unwrap();
    stream.age_log(days).await;
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_day_goes_when_it_is_old_and_applied(pool: PgPool) {
    let stream = Stream::start(pool).await;
    old_event(&stream, 1, 9).await;
    old_event(&stream, 2, 7).await;
    stream.append(&[event(3, 3)]).await;
    // Nothing is applied: everything stays.
    let day = stream.today().await - TimeDelta::days(9);
    assert_eq!(run(&stream).await, Removed { days_kept: vec![day], ..Removed::default() });
    assert_eq!(stream.positions(0).await, [1, 2, 3]);
    stream.apply(1, 1).await;
    assert_eq!(run(&stream).await, Removed { days: vec![day], ..Removed::default() });
    assert_eq!(stream.positions(0).await, [2, 3]);
    assert_eq!(event_outcomes::of_event(&stream.store, 1).await.unwrap(), []);
    assert_eq!(event_outcomes::of_event(&stream.store, 2).await.unwrap().len(), 1);
    // The log goes on, and what is still in it is known.
    assert_eq!(stream.append(&[event(2, 2), event(4, 4)]).await.stored, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_day_with_an_open_dead_letter_stays_and_so_do_later_ones(pool: PgPool) {
    let stream = Stream::start(pool).await;
    old_event(&stream, 1, 12).await;
    old_event(&stream, 2, 10).await;
    old_event(&stream, 3, 9).await;
    stream.apply(3, 3).await;
    let stored = change_log::get(&stream.store, 2).await.unwrap().unwrap();
    let mut tx = stream.store.pool().begin().await.unwrap();
    let letter = NewDeadLetter::of(&stored, Stage::Decode, "cut-off", "cannot be read");
    dead_letters::park_in(&mut tx, &[letter]).await.unwrap();
    tx.commit().await.unwrap();
    let today = stream.today().await;
    let ago = |days: i64| today - TimeDelta::days(days);
    let removed = run(&stream).await;
    assert_eq!((removed.days, removed.days_kept), (vec![ago(12)], vec![ago(10), ago(9)]));
    let mut tx = stream.store.pool().begin().await.unwrap();
    let ids = [product_id(2)];
    dead_letters::close_in(&mut tx, &ObjectName::product(), &ids, 9, LetterEnd::Fetched).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(run(&stream).await.days, [ago(10), ago(9)]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_log_is_never_kept_under_four_days(pool: PgPool) {
    let stream = Stream::start(pool).await;
    old_event(&stream, 1, 4).await;
    stream.apply(1, 1).await;
    let policy = Policy { change_log_days: 1, ..Policy::default() };
    let now = now(&stream).await;
    let removed = retention::run(&stream.store, stream.lease.key(), &policy, now).await.unwrap();
    assert_eq!(removed.days, []);
    assert_eq!(stream.positions(0).await, [1]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_day_in_use_stays_until_the_next_run(pool: PgPool) {
    let stream = Stream::start(pool).await;
    old_event(&stream, 1, 9).await;
    stream.apply(1, 1).await;
    let mut reader = stream.store.pool().begin().await.unwrap();
    sqlx::query("select from shadow_sync.change_log").execute(&mut *reader).await.unwrap();
    assert_eq!(run(&stream).await.days_kept.len(), 1);
    reader.rollback().await.unwrap();
    assert_eq!(run(&stream).await.days.len(), 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn who_lost_the_lease_takes_nothing_away(pool: PgPool) {
    let stream = Stream::start(pool).await;
    old_event(&stream, 1, 9).await;
    stream.apply(1, 1).await;
    stream.run("update shadow_sync.leases set token = gen_random_uuid()").await;
    let now = now(&stream).await;
    let late = retention::run(&stream.store, stream.lease.key(), &Policy::default(), now).await;
    assert!(matches!(late, Err(Error::LeaseLost { .. })), "{late:?}");
    assert_eq!(stream.positions(0).await, [1]);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn ended_jobs_and_old_counts_go_but_the_last_of_each_object(pool: PgPool) {
    let stream = Stream::start(pool).await;
    stream
        .run(
            "insert into shadow_sync.jobs (object, kind, started_by, state, created_at, ended_at)
             select 'Product2', kind, 'me', state, now() - age, case when state <> 'paused' then now() - age end
               from (values ('backfill', 'done', interval '4 years'), ('backfill', 'done', interval '3 years'),
                            ('catch-up', 'done', interval '2 years'), ('catch-up', 'failed', interval '2 years'),
                            ('catch-up', 'paused', interval '2 years'), ('catch-up', 'done', interval '300 days'))
                    as old (kind, state, age)",
        )
        .await;
    stream
        .run(
            "insert into shadow_sync.counts (object, shadow, rejected, dirty, shadow_at, took_ms)
             values ('Product2', 1, 0, 0, now() - interval '3 years', 1),
                    ('Product2', 2, 0, 0, now() - interval '2 years', 1),
                    ('Account', 3, 0, 0, now() - interval '300 days', 1)",
        )
        .await;
    let removed = run(&stream).await;
    assert_eq!((removed.jobs, removed.counts), (3, 1));
    // The last whole load, the one that can be resumed, and the young one are there.
    assert_eq!(stream.number("select count(*) from shadow_sync.jobs").await, 3);
    let loads = "select count(*) from shadow_sync.jobs where kind = 'backfill' and ended_at > now() - interval '4 years'";
    assert_eq!(stream.number(loads).await, 1);
    assert_eq!(stream.number("select sum(shadow)::bigint from shadow_sync.counts").await, 5);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn tombstones_outlive_whatever_could_bring_the_record_back(pool: PgPool) {
    let stream = Stream::start(pool).await;
    let tombstones = "select count(*) from shadow_sync.tombstones";
    stream
        .run(
            "insert into shadow_sync.tombstones (object, record_id, as_of, read_no, presumed, deleted_at)
             select object, 'a', 0, 0, false, now() - interval '2 years' from shadow_sync.objects
             union all
             select 'Product2', 'young', 0, 0, false, now() - interval '300 days'",
        )
        .await;
    let block = [
        "insert into shadow_sync.holes (object, why, position) values ('Product2', 'overflow', 0)",
        "insert into shadow_sync.jobs (object, kind, started_by, created_at)
         values ('Product2', 'backfill', 'me', now() - interval '3 years')",
        "insert into shadow_sync.rejects (object, record_id, reason, detail, columns, raw_payload, as_of,
             system_modstamp, created_date, read_no, read_end, row_hash, since)
         values ('Product2', 'r', 'missing-sku', '{}', '{}', '{}', 0, now(), now(), 0, now(), '', now() - interval '3 years')",
        "insert into shadow_sync.dead_letters (position, received_at, channel, replay_id, schema_id, object, stage,
             cause, message)
         values (1, now() - interval '3 years', '/data/ChangeEvents', '', '', 'Product2', 'apply', 'c', 'm')",
    ];
    for sql in block {
        stream.run(sql).await;
    }
    // Those of other objects go.
    assert_eq!(run(&stream).await.tombstones, 2);
    for gone in ["holes", "jobs", "rejects"] {
        stream.run(&format!("delete from shadow_sync.{gone}")).await;
        assert_eq!(run(&stream).await.tombstones, 0, "after {gone}");
    }
    stream.run("delete from shadow_sync.dead_letters").await;
    assert_eq!(run(&stream).await.tombstones, 1);
    assert_eq!(stream.number(tombstones).await, 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn acts_and_what_was_closed_go_after_a_year(pool: PgPool) {
    let stream = Stream::start(pool).await;
    stream
        .run(
            "insert into shadow_sync.audit (at, who, host, act, sentence, result)
             select now() - age, 'me', 'daemon', 'a', 's', 'done'
               from unnest(array[interval '2 years', interval '1 day']) as age;
             insert into shadow_sync.holes (object, why, position, closed_at)
             select 'Product2', 'overflow', 0, now() - age
               from unnest(array[interval '2 years', interval '1 day', null]) as age;
             insert into shadow_sync.workers (id, host_kind, holder, version, role, seen_at)
             select gen_random_uuid(), 'daemon', 'x', '1', 'leader', now() - age
               from unnest(array[interval '2 days', interval '1 second']) as age",
        )
        .await;
    let removed = run(&stream).await;
    assert_eq!((removed.audit, removed.others), (1, 2));
    assert_eq!(stream.number("select count(*) from shadow_sync.holes").await, 2);
}
