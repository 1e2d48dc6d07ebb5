//! What comes broken, refused or late is survived, said, and made up for by itself.

use engine::api::dead_letters;
use engine::api::status::{DatabaseState, status};
use engine::api::stream::StreamState;
use serde_json::json;
use simulator::{Disturbance, EventFault, Fault};
use sqlx::{ConnectOptions, PgPool};

use crate::world::World;

const ACCOUNTS: &str = "sf_account_eligibility_shadow";
const SUBSCRIBE: &str = "/eventbus.v1.PubSub/Subscribe";

fn update(world: &World, place: u64, value: &str) -> String {
    let id = world.org.org().ids("Account", place, 1)[0].to_string();
    world.org.org().update("Account", &id, &json!({ "Internet_Eligibility__c": value })).unwrap();
    id
}

async fn until_state(world: &World, state: StreamState) {
    world
        .until_true(&format!("the stream is {state:?}"), async || {
            status(&world.engine).await.stream.is_some_and(|stream| stream.state == state)
        })
        .await;
}

async fn until_arrived(world: &World, id: &str, value: &str) {
    world.until_value(ACCOUNTS, "account_id", id, "internet_eligibility", Some(value)).await;
}

#[sqlx::test(migrations = false)]
async fn a_poison_event_is_parked_and_the_stream_goes_on(pool: PgPool) {
    let world = World::live(pool).await;
    world.age_reads().await;
    for fault in [EventFault::CorruptBody, EventFault::UnknownSchema] {
        let next = Disturbance::NextEvents { object: None, fault, times: Some(1) };
        world.org.org().disturb(&next).unwrap();
        let poisoned = update(&world, 1, &format!("{fault:?}"));
        let healthy = update(&world, 2, &format!("After {fault:?}"));
        until_arrived(&world, &healthy, &format!("After {fault:?}")).await;
        until_arrived(&world, &poisoned, &format!("{fault:?}")).await;
    }
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn dead_letters_are_retried_and_discarded_by_fetching_their_records(pool: PgPool) {
    let world = World::live(pool).await;
    world.age_reads().await;
    let next = Disturbance::NextEvents { object: None, fault: EventFault::CorruptBody, times: Some(1) };
    world.org.org().disturb(&next).unwrap();
    let id = update(&world, 1, "Parked");
    world
        .until_true("a dead letter is there", async || {
            world.number("select count(*) from shadow_sync.dead_letters").await == 1
        })
        .await;
    dead_letters::retry(&world.engine, Vec::new()).await.unwrap();
    until_arrived(&world, &id, "Parked").await;
    assert_eq!(dead_letters::list(&world.engine, None, 0).await.unwrap().total, 0);
}

#[sqlx::test(migrations = false)]
async fn a_topic_that_is_gone_and_comes_back_loses_nothing(pool: PgPool) {
    let world = World::live(pool).await;
    let refused = |code: &str| Fault::Refused { code: code.to_owned() };
    for (place, code) in [(1, "topic.not.found"), (2, "topic.meta.permission")] {
        let fault = world.org.org().inject(SUBSCRIBE, refused(code), 10_000);
        world.org.org().disturb(&Disturbance::ResetStreams).unwrap();
        until_state(&world, StreamState::Failed).await;
        let problem = status(&world.engine).await.stream.unwrap().problem.expect("a problem");
        assert!(!problem.steps.is_empty(), "{problem:?}");
        let id = update(&world, place, code);
        world.org.org().withdraw(fault);
        until_arrived(&world, &id, code).await;
        until_state(&world, StreamState::Live).await;
    }
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn an_unselected_object_is_noticed_although_its_channel_only_keeps_silent(pool: PgPool) {
    let world = World::live(pool).await;
    world.org.org().set_selected("Account", false).unwrap();
    for channel in world.org.org().selection().into_iter().map(|(channel, _)| channel).collect::<Vec<_>>() {
        let _ = world.org.org().set_channel_member(&channel, "Account", false);
    }
    world.org.org().set_view_all("Account", false);
    let hole = "select count(*) from shadow_sync.holes where object = 'Account' and why in ('selection', 'permission')";
    world.until_true("it is a hole", async || world.number(hole).await > 0).await;
    world
        .until_true("the stream no longer speaks for it", async || {
            let status = status(&world.engine).await;
            status.objects.iter().any(|object| object.object == "Account" && !object.is_confirmed)
        })
        .await;
    let id = update(&world, 1, "Unselected");
    world.org.org().set_view_all("Account", true);
    world.org.org().set_selected("Account", true).unwrap();
    until_arrived(&world, &id, "Unselected").await;
    world
        .until_true("it speaks for it again", async || {
            let status = status(&world.engine).await;
            status.objects.iter().all(|object| object.is_confirmed)
        })
        .await;
    world
        .until_true("the hole is closed", async || {
            world.number("select count(*) from shadow_sync.holes where closed_at is null").await == 0
        })
        .await;
}

#[sqlx::test(migrations = false)]
async fn a_spent_allocation_is_polled_and_comes_back_by_itself(pool: PgPool) {
    let world = World::live(pool).await;
    world.org.org().disturb(&Disturbance::SpendAllocation).unwrap();
    let id = update(&world, 1, "Polled");
    until_state(&world, StreamState::Polling).await;
    until_arrived(&world, &id, "Polled").await;
    world.org.org().disturb(&Disturbance::RestoreAllocation).unwrap();
    until_state(&world, StreamState::Live).await;
    let id = update(&world, 2, "Streamed");
    until_arrived(&world, &id, "Streamed").await;
}

#[sqlx::test(migrations = false)]
async fn a_silent_stream_is_a_dead_stream(pool: PgPool) {
    let world = World::live(pool).await;
    let before = world.org.org().requests(SUBSCRIBE);
    world.org.org().disturb(&Disturbance::Silence { on: true }).unwrap();
    let id = update(&world, 1, "Silent");
    world.until_true("it is subscribed anew", async || world.org.org().requests(SUBSCRIBE) > before).await;
    world.org.org().disturb(&Disturbance::Silence { on: false }).unwrap();
    until_arrived(&world, &id, "Silent").await;
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn a_stream_that_breaks_in_any_way_goes_on_from_its_position(pool: PgPool) {
    let world = World::live(pool).await;
    for (place, disturbance) in [
        Disturbance::ResetStreams,
        Disturbance::CutConnections,
        Disturbance::EndStreams,
        Disturbance::FailStreams { code: "service.unavailable".to_owned() },
        Disturbance::FailStreams { code: "subscription.internal.error".to_owned() },
        Disturbance::ExpireTokens,
    ]
    .into_iter()
    .enumerate()
    {
        world.org.org().disturb(&disturbance).unwrap();
        let value = format!("{disturbance:?}");
        let id = update(&world, place as u64, &value[..value.len().min(30)]);
        until_arrived(&world, &id, &value[..value.len().min(30)]).await;
    }
    world.assert_same().await;
    assert_eq!(world.number("select count(*) from shadow_sync.holes where closed_at is null").await, 0);
}

#[sqlx::test(migrations = false)]
async fn a_clock_that_is_minutes_off_does_not_matter(pool: PgPool) {
    let world = World::live(pool).await;
    for ahead_ms in [420_000, -420_000] {
        world.org.org().set_clock_ahead_ms(ahead_ms);
        let value = format!("{ahead_ms}");
        let id = update(&world, 1, &value);
        until_arrived(&world, &id, &value).await;
    }
    world.org.org().set_clock_ahead_ms(0);
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn a_field_that_was_added_is_read_for_every_record(pool: PgPool) {
    let world = World::live(pool).await;
    world.age_reads().await;
    let org = world.org.org();
    org.add_field("Product2", "Extra__c", "string", None).unwrap();
    let id = org.ids("Product2", 1, 1)[0].to_string();
    org.update("Product2", &id, &json!({ "Extra__c": "more", "Name": "Extended" })).unwrap();
    world
        .until_value("sf_product_shadow", "product_id", &id, "raw_payload ->> 'Extra__c'", Some("more"))
        .await;
    world
        .until_true("every row has the field", async || {
            world.number("select count(*) from sf_product_shadow where not raw_payload ? 'Extra__c'").await
                == 0
        })
        .await;
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn a_database_that_is_down_for_a_while_loses_nothing(pool: PgPool) {
    let world = World::live(pool).await;
    let options = (*world.pool.connect_options()).clone();
    let name = options.get_database().expect("a database").to_owned();
    let mut connection = options.database("postgres").connect().await.unwrap();
    let allow =
        |on: bool| sqlx::AssertSqlSafe(format!("alter database \"{name}\" with allow_connections {on}"));
    sqlx::query(allow(false)).execute(&mut connection).await.unwrap();
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = $1";
    sqlx::query(cut).bind(&name).execute(&mut connection).await.unwrap();
    let id = update(&world, 1, "While down");
    world
        .until_true("it is said", async || {
            matches!(status(&world.engine).await.database, DatabaseState::Failed { .. })
        })
        .await;
    sqlx::query(allow(true)).execute(&mut connection).await.unwrap();
    until_arrived(&world, &id, "While down").await;
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn an_object_paused_beside_others_on_one_channel_is_caught_up_when_it_goes_on(pool: PgPool) {
    let mut world = World::live(pool).await;
    world.use_channel("/data/ChangeEvents").await;
    engine::api::objects::pause(&world.engine, vec!["Account".to_owned()]).await.unwrap();
    let id = update(&world, 1, "While paused");
    world
        .until_true("its event is passed over", async || {
            world.number("select count(*) from shadow_sync.holes where why = 'stream-lag'").await == 1
        })
        .await;
    engine::api::objects::resume(&world.engine, vec!["Account".to_owned()]).await.unwrap();
    until_arrived(&world, &id, "While paused").await;
    world.assert_same().await;
}

#[sqlx::test(migrations = false)]
async fn a_machine_that_slept_reconnects_at_once(pool: PgPool) {
    let world = World::live(pool).await;
    let before = world.org.org().requests(SUBSCRIBE);
    engine::clock::skip_for_tests(std::time::Duration::from_mins(2));
    world
        .until_true("it is subscribed anew", async || world.org.org().requests(SUBSCRIBE) >= before + 3)
        .await;
    let id = update(&world, 1, "Awake");
    until_arrived(&world, &id, "Awake").await;
}
