//! Side reads: formulas by the clock, and fields that came into sight, without reading or rewriting the rest.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use engine::api::backfills::{self, JobKind, JobState, JobView};
use engine::api::catch_up;
use serde_json::json;
use sqlx::PgPool;

use crate::cli::command;
use crate::world::{World, names, small};

const PRODUCTS: &str = "sf_product_shadow";

/// The jobs of an object since it was loaded.
async fn jobs_since(world: &World, object: &str) -> Vec<JobView> {
    let mut jobs = backfills::jobs(&world.engine).await.unwrap();
    jobs.retain(|job| job.object == object);
    jobs.sort_by_key(|job| job.id.parse::<i64>().unwrap());
    jobs.split_off(1)
}

/// What an entry shows of its product.
async fn names_shown(world: &World, product: &str) -> Vec<String> {
    sqlx::query_scalar(
        "select distinct coalesce(raw_payload ->> 'Name', '') from sf_pricebook_shadow where product_id = $1",
    )
    .bind(product)
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

#[sqlx::test(migrations = false)]
async fn a_formula_refresh_reads_those_columns_and_writes_only_what_changed(pool: PgPool) {
    let world = World::live(pool).await;
    let org = world.org.org();
    let product = org.ids("Product2", 1, 1)[0].to_string();
    // Neither a stamp nor an event of the entries tells of it, and this time none of the product either.
    org.change_hidden("Product2", &product, &json!({ "Name": "Silently renamed" })).unwrap();
    world.age_reads().await;
    let shown: i64 = sqlx::query_scalar("select count(*) from sf_pricebook_shadow where product_id = $1")
        .bind(&product)
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert!(shown > 0);
    let before = world
        .number("select sum(hashtext(concat(pricebook_entry_id, as_of, system_modstamp)))::bigint from sf_pricebook_shadow")
        .await;
    let orders = world.number("select count(*) from shadow_sync.invalidations").await;
    let ids = catch_up::refresh_formulas(&world.engine, names(&["PricebookEntry"])).await.unwrap();
    let jobs = world.until_ended(&ids).await;
    assert_eq!((jobs[0].kind, jobs[0].state), (JobKind::Formulas, JobState::Done), "{jobs:?}");
    assert_eq!((i64::from(jobs[0].rows.newer), jobs[0].rows.new), (shown, 0), "{jobs:?}");
    assert_eq!(names_shown(&world, &product).await, ["Silently renamed"]);
    let after = world
        .number("select sum(hashtext(concat(pricebook_entry_id, as_of, system_modstamp)))::bigint from sf_pricebook_shadow")
        .await;
    assert_eq!(before, after, "positions and stamps are as they were");
    assert!(world.number("select count(*) from shadow_sync.invalidations").await > orders);
    let soql = "select count(*) from shadow_sync.jobs where kind = 'formulas'
                   and soql = 'SELECT Id,SystemModstamp,Name,ProductCode FROM PricebookEntry'";
    assert_eq!(world.number(soql).await, 1);
    let aged = "select count(*) from shadow_sync.objects
                 where object = 'PricebookEntry' and formula_refreshed_at > now() - interval '1 hour'";
    assert_eq!(world.number(aged).await, 1);

    // Nothing changed since: nothing is written.
    let written = "select sum(hashtext(xmin::text || pricebook_entry_id))::bigint from sf_pricebook_shadow";
    let before = world.number(written).await;
    let ids = catch_up::refresh_formulas(&world.engine, names(&["PricebookEntry"])).await.unwrap();
    let jobs = world.until_ended(&ids).await;
    assert_eq!((jobs[0].state, jobs[0].rows.newer), (JobState::Done, 0), "{jobs:?}");
    assert_eq!(world.number(written).await, before);
}

#[sqlx::test(migrations = false)]
async fn a_field_that_comes_is_filled_in_beside_what_events_wrote_without_a_load(pool: PgPool) {
    let mut world = World::streaming(pool, small()).await;
    world.org.org().set_field_visible("Product2", "Plan_Tier__c", false);
    world.backfill(&["Product2", "PricebookEntry", "Account"]).await;
    world.until_settled().await;
    assert_eq!(world.number("select count(plan_tier) from sf_product_shadow").await, 0);
    let ids: Vec<String> =
        world.org.org().ids("Product2", 0, 4).into_iter().map(|id| id.to_string()).collect();
    world.age_reads().await;
    world.org.org().update("Product2", &ids[0], &json!({ "Name": "By event" })).unwrap();
    world.until_value(PRODUCTS, "product_id", &ids[0], "name", Some("By event")).await;
    world.until_settled().await;
    let rows = "select count(*) from sf_product_shadow";
    let before = world.number(rows).await;

    world.org.org().set_field_visible("Product2", "Plan_Tier__c", true);
    world.org.org().update("Product2", &ids[1], &json!({ "Plan_Tier__c": "Platinum" })).unwrap();
    world.until_settled().await;
    world.age_reads().await;
    world.restart().await;
    world.until_value(PRODUCTS, "product_id", &ids[1], "plan_tier", Some("Platinum")).await;
    world.until_settled().await;
    let jobs = jobs_since(&world, "Product2").await;
    let filled: Vec<&JobView> = jobs.iter().filter(|job| job.kind == JobKind::Fields).collect();
    assert_eq!((filled.len(), filled[0].state), (1, JobState::Done), "{jobs:?}");
    assert!(jobs.iter().all(|job| job.kind != JobKind::Backfill), "no load: {jobs:?}");
    assert!(filled[0].rows.newer > 0, "rows were filled, not fetched: {jobs:?}");
    assert_eq!(world.number(rows).await, before);
    let tiers = world.number("select count(plan_tier) from sf_product_shadow").await;
    let org = world.org.org();
    let expected = org
        .ids("Product2", 0, 1_000)
        .iter()
        .filter_map(|id| world.org.org().record("Product2", &id.to_string()))
        .filter(|record| record["Plan_Tier__c"].is_string())
        .count();
    assert!(tiers > 1 && tiers <= i64::try_from(expected).unwrap(), "{tiers} of {expected}");
    let name = world.value(PRODUCTS, "product_id", &ids[0], "name").await;
    assert_eq!(name.as_deref(), Some("By event"));
    world.assert_same().await;

    // The rows are of the new shape now: events are laid over them again.
    world.age_reads().await;
    world.org.org().update("Product2", &ids[2], &json!({ "Plan_Tier__c": "Bronze" })).unwrap();
    world.until_value(PRODUCTS, "product_id", &ids[2], "plan_tier", Some("Bronze")).await;
    world.restart().await;
    world.until_settled().await;
    assert_eq!(jobs_since(&world, "Product2").await.len(), jobs.len(), "nothing is read twice");
}

#[sqlx::test(migrations = false)]
async fn a_field_that_can_be_seen_again_is_read_on_the_side(pool: PgPool) {
    let mut world = World::live(pool).await;
    world.org.org().set_field_visible("Account", "Eligibility_Source__c", false);
    world.restart().await;
    world.until_settled().await;
    let ids: Vec<String> =
        world.org.org().ids("Account", 0, 2).into_iter().map(|id| id.to_string()).collect();
    world
        .org
        .org()
        .change_hidden("Account", &ids[0], &json!({ "Eligibility_Source__c": "Meanwhile" }))
        .unwrap();
    world.age_reads().await;
    world.org.org().set_field_visible("Account", "Eligibility_Source__c", true);
    world.restart().await;
    let accounts = "sf_account_eligibility_shadow";
    world.until_value(accounts, "account_id", &ids[0], "eligibility_source", Some("Meanwhile")).await;
    world.until_settled().await;
    let jobs = jobs_since(&world, "Account").await;
    let of = |kind| jobs.iter().filter(|job| job.kind == kind && job.state == JobState::Done).count();
    assert_eq!((of(JobKind::Fields), of(JobKind::Backfill)), (1, 0), "{jobs:?}");
    let closed = "select count(*) from shadow_sync.holes where why = 'permission' and closed_how like 'job %'
                     and detail -> 'fields' = '[\"Eligibility_Source__c\"]'";
    assert_eq!(world.number(closed).await, 1);
    world.assert_same().await;
}

/// A daemon that ends itself at a point, as if it was killed there.
fn daemon(world: &World, failpoint: Option<&str>) -> Child {
    let mut command = command(world);
    command.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(failpoint) = failpoint {
        command.env("SHADOW_SYNC_FAILPOINT", failpoint);
    }
    command.spawn().expect("it runs")
}

/// Rows show old values of a field, and a hole waits until it is read on the side.
async fn age_the_field(world: &World) {
    sqlx::raw_sql(
        "update sf_account_eligibility_shadow
            set eligibility_source = 'Old', row_hash = decode(repeat('00', 16), 'hex'),
                raw_payload = jsonb_set(raw_payload, '{Eligibility_Source__c}', '\"Old\"');
         insert into shadow_sync.holes (object, from_at, until_at, why, detail, needs, position)
         select 'Account', now(), now(), 'permission', '{\"fields\": [\"Eligibility_Source__c\"]}', 'backfill', position
           from shadow_sync.log_head",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    world.age_reads().await;
}

#[sqlx::test(migrations = false)]
async fn a_side_read_killed_at_any_step_is_finished_by_who_comes_next(pool: PgPool) {
    let world = World::start(pool).await;
    world.backfill(&["Product2", "PricebookEntry", "Account"]).await;
    world.engine.shutdown().await;
    let points = [
        "bulk.created",
        "bulk.recorded",
        "bulk.complete-recorded",
        "page.announced",
        "chunk.staged",
        "chunk.planned",
        "chunk.applied",
        "chunk.committed",
        "page.committed",
        "fields.filled",
        "hole.closing",
        "hole.closed",
    ];
    assert!(store::failpoint::SIDE_POINTS.iter().all(|point| points.contains(point)));
    for point in points {
        age_the_field(&world).await;
        let mut dying = daemon(&world, Some(point));
        let ends = Instant::now() + Duration::from_secs(25);
        while dying.try_wait().expect("a process").is_none() {
            assert!(Instant::now() < ends, "{point} was not reached");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut next = daemon(&world, None);
        world.assert_same().await;
        let _ = next.kill();
        let _ = next.wait();
        let old = "select count(*) from sf_account_eligibility_shadow where eligibility_source = 'Old'";
        assert_eq!(world.number(old).await, 0, "{point}");
        assert_eq!(world.number("select count(*) from shadow_sync.jobs where kind = 'backfill'").await, 3);
    }
}
