//! Streams that break, fall silent or lie, and events that are not what they should be.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::{Change, Disturbance, EventFault, Options};
use tonic::Code;

use crate::{
    client::World,
    listener::{ALL, From, code, until},
};

fn rename(world: &World, name: &str) {
    let org = world.simulator.org();
    let id = org.ids("Product2", 0, 1)[0];
    org.update("Product2", id.as_str(), &json!({"Name": name})).unwrap();
}

fn next_event(fault: EventFault) -> Disturbance {
    Disturbance::NextEvents { object: Some("Product2".to_owned()), fault, times: Some(1) }
}

#[tokio::test]
async fn streams_end_in_every_way_that_streams_end() {
    let world = World::default().await;
    let org = world.simulator.org();
    for disturbance in [Disturbance::ResetStreams, Disturbance::CutConnections] {
        let mut listener = world.listen().await;
        org.disturb(&disturbance).unwrap();
        // No trailers: nobody says why.
        assert_eq!(code(&listener.next().await.unwrap_err()), "none", "{disturbance:?}");
        until(|| org.subscribers().is_empty()).await;
        assert!(world.pubsub().topic(ALL).await.is_ok());
    }
    let mut listener = world.listen().await;
    org.disturb(&Disturbance::EndStreams).unwrap();
    assert!(listener.next().await.unwrap().is_none());
    for (refusal, status) in [
        ("service.unavailable", Code::Internal),
        ("subscription.internal.error", Code::Internal),
        ("service.auth.error", Code::Unauthenticated),
    ] {
        let mut listener = world.listen().await;
        org.disturb(&Disturbance::FailStreams { code: refusal.to_owned() }).unwrap();
        let got = listener.next().await.unwrap_err();
        assert_eq!((got.code(), code(&got)), (status, refusal));
    }
}

#[tokio::test]
async fn tokens_expire_in_the_middle_of_a_stream_only_when_told_to() {
    let world = World::default().await;
    let org = world.simulator.org();
    let mut listener = world.listen().await;
    rename(&world, "schema fetched");
    listener.event().await;
    org.expire_sessions();
    rename(&world, "still heard");
    assert_eq!(listener.event().await.body["Name"], "still heard");
    org.disturb(&Disturbance::ExpireTokens).unwrap();
    assert_eq!(code(&listener.next().await.unwrap_err()), "service.auth.error");
    let again = world.pubsub().subscribe(ALL, From::Latest, 1).await.err().unwrap();
    assert_eq!(code(&again), "service.auth.error");
}

#[tokio::test]
async fn a_silent_stream_says_nothing_and_goes_on_where_it_was() {
    let options = Options { keep_alive: Duration::from_millis(30), ..Options::default() };
    let world = World::start(options).await;
    let org = world.simulator.org();
    let mut listener = world.listen().await;
    org.disturb(&Disturbance::Silence { on: true }).unwrap();
    while !listener.is_quiet(Duration::from_millis(150)).await {}
    rename(&world, "unheard so far");
    assert!(listener.is_quiet(Duration::from_millis(150)).await);
    org.disturb(&Disturbance::TakeBack).unwrap();
    assert_eq!(listener.event().await.body["Name"], "unheard so far");
}

#[tokio::test]
async fn a_lying_stream_keeps_alive_while_an_object_is_not_selected() {
    let options = Options { keep_alive: Duration::from_millis(30), ..Options::default() };
    let world = World::start(options).await;
    let org = world.simulator.org();
    let mut listener = world.listen().await;
    org.set_selected("Product2", false).unwrap();
    rename(&world, "never told");
    for _ in 0..3 {
        assert!(listener.next().await.unwrap().unwrap().events.is_empty());
    }
    org.set_selected("Product2", true).unwrap();
    rename(&world, "told");
    assert_eq!(listener.event().await.body["Name"], "told");
}

#[tokio::test]
async fn events_may_trail_what_can_be_read() {
    let options = Options {
        event_delay: Duration::from_millis(300),
        keep_alive: Duration::from_millis(50),
        ..Options::default()
    };
    let world = World::start(options).await;
    let org = world.simulator.org();
    let mut before = world.listen().await;
    rename(&world, "read before it is heard");
    let id = org.ids("Product2", 0, 1)[0];
    assert_eq!(org.record("Product2", id.as_str()).unwrap()["Name"], "read before it is heard");
    assert_eq!(org.retained_events(), 0);
    // Who begins now hears it too: it has no position yet.
    let mut now = world.listen().await;
    let quiet = now.next().await.unwrap().unwrap();
    assert!(quiet.events.is_empty());
    for listener in [&mut before, &mut now] {
        let event = listener.event().await;
        assert_eq!(event.body["Name"], "read before it is heard");
        assert!(event.replay_id > quiet.latest_replay_id);
    }
    org.disturb(&Disturbance::Delay { ms: 0 }).unwrap();
    rename(&world, "at once");
    assert_eq!(before.event().await.body["Name"], "at once");
}

#[tokio::test]
async fn channels_run_ahead_of_one_another() {
    let world = World::default().await;
    let org = world.simulator.org();
    let mut all = world.listen().await;
    let mut own = world.listen_to("/data/AccountChangeEvent").await;
    let topic = ALL.to_owned();
    org.disturb(&Disturbance::Hold { topic: topic.clone(), on: true }).unwrap();
    rename(&world, "first");
    org.insert("Account", &json!({"Name": "Second"})).unwrap();
    let ahead = own.event().await;
    assert!(all.is_quiet(Duration::from_millis(100)).await);
    org.disturb(&Disturbance::Hold { topic, on: false }).unwrap();
    let late = all.events(2).await;
    assert_eq!(late[0].body["Name"], "first");
    // One event has one position on every channel.
    assert_eq!((&late[1].replay_id, &late[1].payload), (&ahead.replay_id, &ahead.payload));
}

#[tokio::test]
async fn events_come_twice_under_other_positions() {
    let world = World::default().await;
    let org = world.simulator.org();
    let mut listener = world.listen().await;
    rename(&world, "a");
    let first = listener.event().await;
    org.disturb(&Disturbance::Redeliver { events: None }).unwrap();
    let second = listener.event().await;
    assert_ne!(first.replay_id, second.replay_id);
    assert_eq!(first.payload, second.payload);
    org.disturb(&Disturbance::Redeliver { events: Some(2) }).unwrap();
    assert_eq!(listener.events(2).await[1].payload, first.payload);
    org.disturb(&next_event(EventFault::Duplicated)).unwrap();
    rename(&world, "b");
    let twice = listener.events(2).await;
    assert_eq!(twice[0].payload, twice[1].payload);
    assert_ne!(twice[0].replay_id, twice[1].replay_id);
}

#[tokio::test]
async fn events_are_dropped_hollow_or_broken_on_command() {
    let world = World::default().await;
    let org = world.simulator.org();
    let mut listener = world.listen().await;
    let id = org.ids("Product2", 0, 1)[0];
    let name = || org.record("Product2", id.as_str()).unwrap()["Name"].clone();

    org.disturb(&next_event(EventFault::Dropped)).unwrap();
    rename(&world, "dropped");
    assert_eq!(name(), "dropped");
    org.disturb(&next_event(EventFault::Gap)).unwrap();
    rename(&world, "a gap");
    let gap = listener.event().await;
    assert_eq!((gap.header("changeType"), &gap.body["Name"]), (json!("GAP_UPDATE"), &Value::Null));
    assert_eq!(gap.header("recordIds"), json!([id.as_str()]));

    for fault in [EventFault::CorruptHeader, EventFault::CorruptBody, EventFault::UnknownSchema] {
        org.disturb(&next_event(fault)).unwrap();
        rename(&world, "broken");
        let broken = listener.event().await;
        assert_eq!(broken.body, Value::Null, "{fault:?}");
        let known = world.pubsub().schema(&broken.schema_id).await;
        assert_eq!(known.is_ok(), fault != EventFault::UnknownSchema);
        if let Err(refusal) = known {
            assert_eq!(code(&refusal), "schema.validation.failed");
        }
        if fault == EventFault::CorruptBody {
            assert!(broken.payload.windows(18).any(|bytes| bytes == id.as_str().as_bytes()));
        }
    }
    rename(&world, "whole again");
    assert_eq!(listener.event().await.body["Name"], "whole again");
}

#[tokio::test]
async fn headers_may_say_what_nobody_understands() {
    let world = World::default().await;
    let org = world.simulator.org();
    let mut listener = world.listen().await;
    org.disturb(&next_event(EventFault::BadBitmap)).unwrap();
    rename(&world, "marked beyond the end");
    let event = listener.event().await;
    let bits = event.header("changedFields")[0].as_str().unwrap().to_owned();
    let highest = (bits.len() - 2) * 4;
    assert!(highest > listener.fields_of(&event).len() + 4, "{bits}");
    org.disturb(&next_event(EventFault::UnknownKind)).unwrap();
    rename(&world, "of an unknown kind");
    assert_eq!(listener.event().await.header("changeType"), "SNAPSHOT");
}

#[tokio::test]
async fn a_connection_that_goes_away_keeps_what_runs_on_it() {
    let world = World::default().await;
    let org = world.simulator.org();
    let mut listener = world.listen().await;
    org.disturb(&Disturbance::Drain).unwrap();
    rename(&world, "still heard");
    let response = listener.next().await.unwrap().unwrap();
    assert_eq!(response.events.len(), 1);
    // What is new takes another connection, where it is heard as well.
    let mut other = world.listen().await;
    rename(&world, "heard by both");
    assert_eq!(other.event().await.body["Name"], "heard by both");
    assert_eq!(listener.next().await.unwrap().unwrap().events.len(), 1);
}

#[tokio::test]
async fn the_latest_position_of_a_response_with_events_may_lie_beyond_them() {
    let world = World::start(Options { latest_beyond_events: true, ..Options::default() }).await;
    let mut listener = world.pubsub().subscribe(ALL, From::Latest, 1).await.unwrap();
    until(|| !world.simulator.org().subscribers().is_empty()).await;
    rename(&world, "first");
    rename(&world, "second");
    let response = listener.next().await.unwrap().unwrap();
    assert!(response.latest_replay_id > response.events[0].replay_id);
    let next = world.simulator.org().sent_events()[1].replay_id.clone();
    assert!(response.latest_replay_id > next, "who goes on from there never hears of the second event");
}

#[tokio::test]
async fn gaps_overflows_and_wildcards_come_by_themselves() {
    let world = World::default().await;
    let org = world.simulator.org();
    let mut listener = world.listen().await;
    let ids: Vec<String> = org.ids("Account", 0, 2).iter().map(ToString::to_string).collect();
    let object = || "Account".to_owned();
    org.disturb(&Disturbance::Gap { object: object(), ids: ids.clone(), change: Change::Delete }).unwrap();
    org.disturb(&Disturbance::Overflow { object: object() }).unwrap();
    org.disturb(&Disturbance::Wildcard { object: object() }).unwrap();
    let events = listener.events(3).await;
    let seen: Vec<_> =
        events.iter().map(|event| (event.header("changeType"), event.header("recordIds"))).collect();
    assert_eq!(seen[0], (json!("GAP_DELETE"), json!(ids)));
    assert_eq!(seen[1], (json!("GAP_OVERFLOW"), json!(["000000000000000AAA"])));
    assert_eq!(seen[2].1, json!(["001*"]));
    assert!(org.disturb(&Disturbance::Overflow { object: "User".to_owned() }).is_err());
}

#[tokio::test]
async fn the_days_deliveries_are_counted_and_refused_when_they_are_spent() {
    let world = World::start(Options { daily_events: 10, ..Options::default() }).await;
    let org = world.simulator.org();
    let limit = async || world.json("limits").await["DailyDeliveredPlatformEvents"].clone();
    assert_eq!(limit().await, json!({"Max": 10, "Remaining": 10}));
    let mut first = world.listen().await;
    let mut second = world.listen().await;
    rename(&world, "a");
    first.event().await;
    second.event().await;
    // One event for each of two subscribers.
    assert_eq!(limit().await, json!({"Max": 10, "Remaining": 8}));
    org.disturb(&Disturbance::SpendAllocation).unwrap();
    rename(&world, "b");
    for listener in [&mut first, &mut second] {
        let refusal = listener.next().await.unwrap_err();
        assert_eq!(
            (refusal.code(), code(&refusal)),
            (Code::ResourceExhausted, "subscription.limit.exceeded")
        );
    }
    let mut refused = world.pubsub().subscribe(ALL, From::Latest, 1).await.unwrap();
    assert_eq!(code(&refused.next().await.unwrap_err()), "subscription.limit.exceeded");
    // A day later there is allocation again.
    org.set_clock_ahead_ms(25 * 3_600_000);
    let mut listener = world.pubsub().subscribe(ALL, From::Earliest, 100).await.unwrap();
    assert_eq!(listener.events(2).await.len(), 2);
    assert_eq!(limit().await, json!({"Max": 10, "Remaining": 8}));
    // The last ones that may be delivered are, and then it is over.
    org.set_delivered_events(9, 10);
    rename(&world, "c");
    assert_eq!(listener.event().await.body["Name"], "c");
    rename(&world, "d");
    assert_eq!(code(&listener.next().await.unwrap_err()), "subscription.limit.exceeded");
}
