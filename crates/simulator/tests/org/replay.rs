//! Positions: where a subscription begins, and when a position is lost.

use std::time::Duration;

use serde_json::json;
use simulator::{Disturbance, Options, Simulator};
use tonic::Code;

use crate::{
    client::World,
    listener::{ALL, From, Received, code},
};

const HOUR_MS: i64 = 3_600_000;

fn rename(world: &World, names: &[&str]) {
    let org = world.simulator.org();
    let id = org.ids("Product2", 0, 1)[0];
    for name in names {
        org.update("Product2", id.as_str(), &json!({"Name": name})).unwrap();
    }
}

fn names(events: &[Received]) -> Vec<String> {
    events.iter().map(|event| event.body["Name"].as_str().unwrap().to_owned()).collect()
}

async fn lost(world: &World, id: Vec<u8>) -> (Code, String) {
    let mut listener = world.pubsub().subscribe(ALL, From::After(id), 1).await.unwrap();
    let status = listener.next().await.unwrap_err();
    (status.code(), code(&status).to_owned())
}

fn corrupted() -> (Code, String) {
    (Code::InvalidArgument, "subscription.fetch.replayid.corrupted".to_owned())
}

#[tokio::test]
async fn a_subscription_begins_now_at_the_oldest_or_after_a_position() {
    let world = World::default().await;
    rename(&world, &["a", "b", "c", "d"]);
    let mut latest = world.listen().await;
    let mut earliest = world.pubsub().subscribe(ALL, From::Earliest, 100).await.unwrap();
    let all = earliest.events(4).await;
    assert_eq!(names(&all), ["a", "b", "c", "d"]);
    assert!(all.iter().all(|event| event.replay_id.len() == 10));
    assert!(all.windows(2).all(|pair| pair[0].replay_id < pair[1].replay_id));
    let position = |event: &Received| u64::from_be_bytes(event.replay_id[..8].try_into().unwrap());
    assert!(
        all.windows(2).any(|pair| position(&pair[1]) - position(&pair[0]) > 1),
        "positions are not contiguous"
    );

    let mut after = world.pubsub().subscribe(ALL, From::After(all[1].replay_id.clone()), 100).await.unwrap();
    assert_eq!(names(&after.events(2).await), ["c", "d"]);
    // Some clients send back the first eight bytes.
    let short = all[2].replay_id[..8].to_vec();
    let mut after = world.pubsub().subscribe(ALL, From::After(short), 100).await.unwrap();
    assert_eq!(names(&after.events(1).await), ["d"]);
    rename(&world, &["e"]);
    assert_eq!(names(&latest.events(1).await), ["e"]);
}

#[tokio::test]
async fn a_position_from_a_keep_alive_is_as_good_as_that_of_an_event() {
    let options = Options { keep_alive: Duration::from_millis(40), ..Options::default() };
    let world = World::start(options).await;
    let mut listener = world.pubsub().subscribe(ALL, From::Latest, 100).await.unwrap();
    let position = listener.next().await.unwrap().unwrap().latest_replay_id;
    drop(listener);
    rename(&world, &["while nobody listened"]);
    let mut listener = world.pubsub().subscribe(ALL, From::After(position), 100).await.unwrap();
    assert_eq!(names(&listener.events(1).await), ["while nobody listened"]);
}

#[tokio::test]
async fn positions_that_lead_nowhere_are_refused() {
    let world = World::default().await;
    rename(&world, &["a", "b"]);
    let id = world.simulator.org().sent_events()[0].replay_id.clone();
    let mut flipped = id.clone();
    flipped[0] ^= 0x40;
    let mut odd_tail = id.clone();
    odd_tail[9] = 1;
    for wrong in [vec![0; 10], vec![0; 8], vec![1, 2, 3], flipped, odd_tail, [id.clone(), vec![0]].concat()] {
        assert_eq!(lost(&world, wrong.clone()).await, corrupted(), "{wrong:?}");
    }
    assert_eq!(lost(&world, Vec::new()).await.1, "subscription.fetch.replayid.validation.failed");
    let mut listener = world.pubsub().subscribe(ALL, From::After(id), 1).await.unwrap();
    assert_eq!(names(&listener.events(1).await), ["b"]);
}

#[tokio::test]
async fn events_and_positions_live_72_hours_of_the_orgs_clock() {
    let options = Options { keep_alive: Duration::from_millis(40), ..Options::default() };
    let world = World::start(options).await;
    let org = world.simulator.org();
    rename(&world, &["old"]);
    let old = org.sent_events()[0].replay_id.clone();
    let mut listener = world.pubsub().subscribe(ALL, From::Latest, 100).await.unwrap();
    let kept = listener.next().await.unwrap().unwrap().latest_replay_id;
    drop(listener);

    org.set_clock_ahead_ms(71 * HOUR_MS);
    rename(&world, &["new"]);
    let mut listener = world.pubsub().subscribe(ALL, From::After(old.clone()), 100).await.unwrap();
    assert_eq!(names(&listener.events(1).await), ["new"]);
    org.set_clock_ahead_ms(73 * HOUR_MS);
    assert_eq!(lost(&world, old).await, corrupted());
    assert_eq!(lost(&world, kept).await, corrupted());
    let mut earliest = world.pubsub().subscribe(ALL, From::Earliest, 100).await.unwrap();
    assert_eq!(names(&earliest.events(1).await), ["new"]);
}

#[tokio::test]
async fn expired_positions_are_refused_and_who_listens_goes_on() {
    let world = World::default().await;
    let org = world.simulator.org();
    let mut listener = world.listen().await;
    rename(&world, &["a"]);
    let id = listener.event().await.replay_id;
    org.disturb(&Disturbance::ExpireReplayIds).unwrap();
    assert_eq!(lost(&world, id).await, corrupted());
    assert_eq!(org.retained_events(), 0);
    rename(&world, &["b"]);
    assert_eq!(names(&listener.events(1).await), ["b"]);
}

#[tokio::test]
async fn a_moved_org_has_the_same_events_under_other_positions() {
    let world = World::default().await;
    let org = world.simulator.org();
    let mut listener = world.listen().await;
    rename(&world, &["a"]);
    let before = listener.event().await;
    org.disturb(&Disturbance::Renumber).unwrap();
    assert_eq!(code(&listener.next().await.unwrap_err()), "none");
    assert_eq!(lost(&world, before.replay_id.clone()).await, corrupted());
    let mut listener = world.pubsub().subscribe(ALL, From::Earliest, 100).await.unwrap();
    let again = listener.event().await;
    assert_ne!(again.replay_id, before.replay_id);
    assert_eq!(again.payload, before.payload);
    // Commits are counted anew.
    rename(&world, &["b"]);
    let after = listener.event().await;
    assert!(after.header("commitNumber").as_i64() < before.header("commitNumber").as_i64());
}

#[tokio::test]
async fn a_restarted_org_has_forgotten_its_events_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { state: Some(folder.path().join("state.jsonl")), ..Options::default() };
    let world = World::start(options.clone()).await;
    rename(&world, &["kept as a record"]);
    let id = world.simulator.org().sent_events()[0].replay_id.clone();
    world.simulator.stop().await;

    let world = World::start(options).await;
    assert_eq!(world.simulator.org().retained_events(), 0);
    assert_eq!(lost(&world, id).await, corrupted());
    let mut listener = world.listen().await;
    rename(&world, &["told again"]);
    assert_eq!(names(&listener.events(1).await), ["told again"]);
}

#[tokio::test]
async fn memory_is_bounded_and_what_fell_out_is_lost() {
    let options = Options { retained_bytes: 20_000, ..Options::default() };
    let world = World::start(options).await;
    let mut slow = world.pubsub().subscribe(ALL, From::Latest, 1).await.unwrap();
    rename(&world, &["first"]);
    let first = slow.event().await.replay_id;
    let many: Vec<String> = (0..100).map(|at| format!("n{at}")).collect();
    rename(&world, &many.iter().map(String::as_str).collect::<Vec<_>>());
    assert!((20..80).contains(&world.simulator.org().retained_events()));
    assert_eq!(lost(&world, first).await, corrupted());
    // Who was too slow is told so, instead of missing events without a word.
    slow.ask(100).await;
    assert_eq!(code(&slow.next().await.unwrap_err()), "subscription.fetch.replayid.corrupted");
}

#[tokio::test]
async fn old_events_keep_their_schema_when_a_field_is_added() {
    let world = World::default().await;
    let org = world.simulator.org();
    let fields = async || world.json("sobjects/Product2/describe").await["fields"].as_array().unwrap().len();
    let before = fields().await;
    rename(&world, &["by the old schema"]);
    org.add_field("Product2", "Colour__c", "string", Some("Family")).unwrap();
    let id = org.ids("Product2", 0, 1)[0];
    org.update("Product2", id.as_str(), &json!({"Colour__c": "red", "Offering_Type__c": "Device"})).unwrap();
    let mut listener = world.pubsub().subscribe(ALL, From::Earliest, 100).await.unwrap();
    let events = listener.events(2).await;
    assert_ne!(events[0].schema_id, events[1].schema_id);
    assert_eq!(events[0].body["Name"], "by the old schema");
    assert_eq!(
        (&events[1].body["Colour__c"], &events[1].body["Offering_Type__c"]),
        (&json!("red"), &json!("Device"))
    );
    let (old, new) = (listener.fields_of(&events[0]), listener.fields_of(&events[1]));
    let family = old.iter().position(|name| name == "Family").unwrap();
    assert_eq!((new[family].as_str(), new[family + 1].as_str()), ("Family", "Colour__c"));
    assert_eq!(new[family + 2], old[family + 1]);
    assert_eq!(fields().await, before + 1);
    assert_eq!(org.record("Product2", id.as_str()).unwrap()["Colour__c"], "red");
    assert_eq!(
        world.pubsub().topic("/data/Product2ChangeEvent").await.unwrap().schema_id,
        events[1].schema_id
    );
    assert!(org.add_field("Product2", "Colour__c", "string", None).is_err());
    assert!(org.add_field("Product2", "Other__c", "boolean", None).is_err());
    assert!(org.add_field("Product2", "Other__c", "string", Some("Nope")).is_err());
}

#[tokio::test]
async fn an_added_field_is_still_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { state: Some(folder.path().join("state.jsonl")), ..Options::default() };
    let first = Simulator::start(options.clone()).await.unwrap();
    first.org().add_field("Account", "Colour__c", "string", None).unwrap();
    let id = first.org().insert("Account", &json!({"Name": "A", "Colour__c": "blue"})).unwrap();
    first.stop().await;
    let second = Simulator::start(options).await.unwrap();
    assert_eq!(second.org().record("Account", id.as_str()).unwrap()["Colour__c"], "blue");
}
