//! Samples, usage, schedules, flags, frozen fields: what is kept for people and for the next run.

use chrono::TimeDelta;
use serde_json::json;
use shadow::{Mapping, ObjectName};
use sqlx::PgPool;
use store::api_usage::{self, QuotaSample};
use store::flags::{self, Flag};
use store::jobs::{self, NewJob};
use store::lag_samples::{self, Flow, LagSample};
use store::{Store, audit, frozen_fields, leases, objects, schedules};

use crate::events::at;

async fn store(pool: PgPool) -> Store {
    let store = Store::on_pool(pool).await.unwrap();
    objects::register(&store, &Mapping::built_in()).await.unwrap();
    store
}

fn sample(object: ObjectName, lag_ms: Option<i64>, backlog_events: i64) -> LagSample {
    LagSample { object, lag_ms, backlog_events, backlog_age_ms: None, dirty: 0 }
}

fn flow(received: i64, failed: &[(&str, i64)]) -> Flow {
    let failed = failed.iter().map(|(stage, amount)| ((*stage).to_owned(), *amount)).collect();
    Flow { received, applied: received, failed }
}

async fn some_samples(store: &Store) {
    let product = ObjectName::product();
    for (seconds, lag, flow) in [
        (0, 100, flow(1, &[])),
        (5, 900, flow(2, &[("connect", 1)])),
        (59, 200, flow(4, &[("connect", 2), ("apply", 1)])),
        // Nothing in the third minute.
        (180, 300, flow(0, &[])),
    ] {
        let samples = [sample(product.clone(), Some(lag), lag / 100), sample(ObjectName::account(), None, 0)];
        lag_samples::record(store, at(seconds), &samples, &flow).await.unwrap();
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_series_has_the_worst_of_each_step_and_gaps(pool: PgPool) {
    let store = store(pool).await;
    some_samples(&store).await;
    let series = lag_samples::series(&store, at(0), at(240), 4).await.unwrap();
    assert_eq!((series.points, series.step), (4, TimeDelta::minutes(1)));
    assert_eq!(series.objects.len(), 2);
    assert_eq!(series.objects[1].object, ObjectName::product());
    assert_eq!(series.objects[1].lag_ms, [Some(900), None, None, Some(300)]);
    assert_eq!(series.objects[1].backlog, [Some(9), None, None, Some(3)]);
    assert_eq!(series.objects[0].lag_ms, [None; 4]);
    assert_eq!(series.objects[0].backlog, [Some(0), None, None, Some(0)]);
    assert_eq!(series.received, [Some(7), None, None, Some(0)]);
    assert_eq!(
        series.failed,
        [("apply".to_owned(), vec![1, 0, 0, 0]), ("connect".to_owned(), vec![3, 0, 0, 0])]
    );
    // Never more points than asked for, whatever the span.
    let fine = lag_samples::series(&store, at(0), at(7), 100).await.unwrap();
    assert_eq!((fine.points, fine.step), (7, TimeDelta::seconds(1)));
    assert_eq!(fine.objects[1].lag_ms[5], Some(900));
    let odd = lag_samples::series(&store, at(0), at(241), 7).await.unwrap();
    assert_eq!((odd.points, odd.objects[1].lag_ms.len()), (7, 7));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn old_samples_become_one_a_minute_and_the_series_stays(pool: PgPool) {
    let store = store(pool.clone()).await;
    some_samples(&store).await;
    let before = lag_samples::series(&store, at(0), at(240), 4).await.unwrap();
    assert_eq!(lag_samples::thin(&store, at(130)).await.unwrap(), 6 + 9);
    let rows: i64 =
        sqlx::query_scalar("select count(*) from shadow_sync.lag_samples").fetch_one(&pool).await.unwrap();
    assert_eq!(rows, 4);
    assert_eq!(lag_samples::series(&store, at(0), at(240), 4).await.unwrap(), before);
    assert_eq!(lag_samples::thin(&store, at(130)).await.unwrap(), 0);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn loads_and_flushes_are_marked(pool: PgPool) {
    let store = store(pool.clone()).await;
    let (product, account) = (ObjectName::product(), ObjectName::account());
    let lease = leases::acquire(&store, "load", "one").await.unwrap().unwrap();
    let job =
        jobs::create(&store, NewJob { object: &product, condition: None, started_by: "me" }).await.unwrap();
    jobs::create(&store, NewJob { object: &account, condition: None, started_by: "me" }).await.unwrap();
    jobs::started(&store, lease.key(), job.id).await.unwrap();
    for act in ["flush", "backfill.start"] {
        let act = audit::Act {
            who: "me",
            host: "console",
            act,
            sentence: "flushed",
            result: "done",
            took_ms: None,
        };
        audit::record(&store, act).await.unwrap();
    }
    let marks = lag_samples::marks(&store, at(0), at(1_000_000_000)).await.unwrap();
    let shown: Vec<_> = marks.iter().map(|mark| (mark.kind.as_str(), mark.result.as_str())).collect();
    assert_eq!(shown, [("backfill", "running"), ("flush", "done")]);
    assert_eq!(lag_samples::marks(&store, at(0), at(1)).await.unwrap(), []);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn calls_are_added_up_by_hour_and_purpose(pool: PgPool) {
    let store = store(pool).await;
    let hour = at(0) - TimeDelta::seconds(at(0).timestamp() % 3600);
    api_usage::add(&store, hour, &[("fetch", 2), ("catch-up", 1)]).await.unwrap();
    api_usage::add(&store, hour + TimeDelta::minutes(59), &[("fetch", 3)]).await.unwrap();
    api_usage::add(&store, hour + TimeDelta::minutes(60), &[("fetch", 5)]).await.unwrap();
    let usage = api_usage::since(&store, hour + TimeDelta::minutes(30)).await.unwrap();
    let shown: Vec<_> = usage.iter().map(|usage| (usage.purpose.as_str(), usage.calls)).collect();
    assert_eq!(shown, [("catch-up", 1), ("fetch", 5), ("fetch", 5)]);
    assert_eq!(usage[1].hour, hour);
    let day = api_usage::last_hours(&store, hour + TimeDelta::hours(25), 24).await.unwrap();
    assert_eq!(day.len(), 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_the_org_says_of_a_limit_is_kept_by_the_minute(pool: PgPool) {
    let store = store(pool).await;
    let minute = at(0) - TimeDelta::seconds(at(0).timestamp() % 60);
    for (seconds, used) in [(0, 10), (30, 12), (60, 20)] {
        let sample = QuotaSample { at: minute + TimeDelta::seconds(seconds), used, maximum: 100 };
        api_usage::record_quota(&store, "DailyApiRequests", &sample).await.unwrap();
    }
    let samples = api_usage::quota_since(&store, "DailyApiRequests", minute).await.unwrap();
    assert_eq!(samples.iter().map(|sample| sample.used).collect::<Vec<_>>(), [12, 20]);
    assert_eq!(api_usage::quota_since(&store, "Other", minute).await.unwrap(), []);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_schedule_knows_its_last_and_next_run(pool: PgPool) {
    let store = store(pool.clone()).await;
    let lease = leases::acquire(&store, "stream", "one").await.unwrap().unwrap();
    schedules::set_next(&store, "catch-up", at(10)).await.unwrap();
    let detail = json!({ "rows": 3 });
    let run = schedules::Run {
        at: at(10),
        took_ms: 1_500,
        result: "done",
        detail: Some(&detail),
        next_run: at(20),
    };
    schedules::ran(&store, lease.key(), "catch-up", run).await.unwrap();
    schedules::set_next(&store, "retention", at(5)).await.unwrap();
    let all = schedules::list(&store).await.unwrap();
    assert_eq!(
        (all[0].last_run, all[0].next_run, all[0].last_took_ms),
        (Some(at(10)), Some(at(20)), Some(1_500))
    );
    assert_eq!((all[0].last_result.as_deref(), all[0].last_detail.as_ref()), (Some("done"), Some(&detail)));
    assert_eq!((all[1].name.as_str(), all[1].last_run), ("retention", None));
    sqlx::query("update shadow_sync.leases set token = gen_random_uuid()").execute(&pool).await.unwrap();
    assert!(schedules::ran(&store, lease.key(), "retention", run).await.is_err());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_flag_says_who_switched_it(pool: PgPool) {
    let store = store(pool).await;
    let at_first: Vec<bool> =
        [Flag::EventConsumer, Flag::ShadowReads, Flag::Pause].map(Flag::at_first).to_vec();
    assert_eq!(at_first, [true, false, false]);
    let unset = flags::get(&store, Flag::EventConsumer).await.unwrap();
    assert_eq!((unset.on, unset.set_by, unset.set_at), (true, None, None));
    assert!(flags::set(&store, Flag::EventConsumer, false, "me").await.unwrap());
    assert!(!flags::set(&store, Flag::EventConsumer, false, "you").await.unwrap());
    let off = flags::get(&store, Flag::EventConsumer).await.unwrap();
    assert_eq!((off.on, off.set_by.as_deref()), (false, Some("me")));
    assert!(off.set_at.is_some());
    assert!(!flags::get(&store, Flag::Pause).await.unwrap().on);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_field_that_can_be_seen_again_thaws(pool: PgPool) {
    let store = store(pool).await;
    let object = ObjectName::account();
    assert!(frozen_fields::set(&store, &object, &["A__c", "B__c"]).await.unwrap().is_empty());
    let since = frozen_fields::list(&store).await.unwrap()[1].since;
    assert_eq!(frozen_fields::set(&store, &object, &["B__c", "C__c"]).await.unwrap(), ["A__c"]);
    let frozen = frozen_fields::list(&store).await.unwrap();
    assert_eq!(frozen.iter().map(|frozen| frozen.field.as_str()).collect::<Vec<_>>(), ["B__c", "C__c"]);
    assert_eq!(frozen[0].since, since);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn formulas_have_an_age_of_their_own(pool: PgPool) {
    let store = store(pool).await;
    let lease = leases::acquire(&store, "stream", "one").await.unwrap().unwrap();
    for seconds in [20, 10] {
        objects::formulas_refreshed(&store, lease.key(), &ObjectName::account(), at(seconds)).await.unwrap();
    }
    let row = objects::get(&store, &ObjectName::account()).await.unwrap();
    assert_eq!(row.formula_refreshed_at, Some(at(20)));
}
