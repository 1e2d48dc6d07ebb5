//! Several changes that are committed together, and commits that come long after their stamps.

use serde_json::{Value, json};
use simulator::{Options, RecordId};

use crate::{client::World, listener::Received};

fn kinds(events: &[Received]) -> Vec<(Value, Value)> {
    events.iter().map(|event| (event.header("entityName"), event.header("changeType"))).collect()
}

async fn covered(world: &World, resource: &str) -> String {
    let now = chrono::DateTime::from_timestamp_millis(now_ms(world)).unwrap();
    let text = |time: chrono::DateTime<chrono::Utc>| time.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let span = format!(
        "start={}&end={}",
        text(now - chrono::TimeDelta::hours(1)),
        text(now + chrono::TimeDelta::minutes(5))
    );
    let answer = world.json(&format!("sobjects/Product2/{resource}/?{span}")).await;
    answer["latestDateCovered"].as_str().unwrap().to_owned()
}

fn now_ms(world: &World) -> i64 {
    let machine = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    i64::try_from(machine).unwrap() + world.simulator.org().clock_ahead_ms()
}

#[tokio::test]
async fn a_late_commit_is_stamped_before_it_is_seen() {
    let world = World::default().await;
    let org = world.simulator.org();
    let mut listener = world.listen().await;
    let id = org.ids("Product2", 0, 1)[0];
    let stamp =
        |id: RecordId| org.record("Product2", id.as_str()).map(|record| record["SystemModstamp"].clone());
    let before = stamp(id);

    let mut transaction = org.begin_transaction();
    transaction.update("Product2", id.as_str(), &json!({"Name": "Late"})).unwrap();
    let made = transaction.insert("Product2", &json!({"Name": "Also late"})).unwrap();
    let (updated, deleted) = (covered(&world, "updated").await, covered(&world, "deleted").await);
    org.set_clock_ahead_ms(10 * 60_000);
    assert_eq!((stamp(id), stamp(made)), (before, None));
    // Everything is covered up to the beginning of the transaction, however late it is.
    assert_eq!(covered(&world, "updated").await, updated);
    assert_eq!(covered(&world, "deleted").await, deleted);
    let other = org.insert("Product2", &json!({"Name": "In between"})).unwrap();
    assert_ne!(other, made);
    assert_eq!(listener.event().await.body["Name"], "In between");

    assert_eq!(transaction.commit().unwrap(), [id, made]);
    let events = listener.events(2).await;
    assert_eq!(events[0].header("transactionKey"), events[1].header("transactionKey"));
    let committed = events[0].header("commitTimestamp").as_i64().unwrap();
    let modified = events[0].body["LastModifiedDate"].as_i64().unwrap();
    assert!((590_000..=610_000).contains(&(committed - modified)), "{committed} {modified}");
    assert_eq!(stamp(id), stamp(made));
    assert!(covered(&world, "updated").await > updated);
    // The stamps of what was seen ten minutes later are older than those of what was seen in between.
    assert!(stamp(id).unwrap().as_str() < stamp(other).unwrap().as_str());
}

#[tokio::test]
async fn what_is_taken_back_never_was() {
    let world = World::default().await;
    let org = world.simulator.org();
    let mut listener = world.listen().await;
    let id = org.ids("Account", 0, 1)[0];
    let before = org.record("Account", id.as_str());
    let mut transaction = org.begin_transaction();
    transaction.update("Account", id.as_str(), &json!({"Name": "Never"})).unwrap();
    let made = transaction.insert("Account", &json!({"Name": "Never too"})).unwrap();
    assert!(transaction.update("Account", id.as_str(), &json!({"Nope": 1})).is_err());
    // Others wait for the lock; here they are refused.
    assert!(
        org.update("Account", id.as_str(), &json!({"Name": "Other"}))
            .unwrap_err()
            .to_string()
            .contains("locked")
    );
    assert!(org.begin_transaction().delete("Account", id.as_str()).is_err());
    drop(transaction);
    assert_eq!((org.record("Account", id.as_str()), org.record("Account", made.as_str())), (before, None));
    org.update("Account", id.as_str(), &json!({"Name": "Other"})).unwrap();
    assert_eq!(listener.event().await.body["Name"], "Other");
}

#[tokio::test]
async fn one_record_has_one_event_in_a_transaction() {
    let world = World::default().await;
    let org = world.simulator.org();
    let mut listener = world.listen().await;
    let ids = org.ids("Product2", 0, 3);
    let mut transaction = org.begin_transaction();
    transaction.update("Product2", ids[0].as_str(), &json!({"Name": "First"})).unwrap();
    transaction.update("Product2", ids[0].as_str(), &json!({"Name": "Last", "Description": "Both"})).unwrap();
    let made = transaction.insert("Product2", &json!({"Name": "Made"})).unwrap();
    transaction.update("Product2", made.as_str(), &json!({"Name": "Made and changed"})).unwrap();
    let gone = transaction.insert("Account", &json!({"Name": "Made and deleted"})).unwrap();
    transaction.delete("Account", gone.as_str()).unwrap();
    transaction.update("Product2", ids[1].as_str(), &json!({"Name": "Changed and deleted"})).unwrap();
    transaction.delete("Product2", ids[1].as_str()).unwrap();
    transaction.commit().unwrap();
    let events = listener.events(4).await;
    let product = |kind: &str| (json!("Product2"), json!(kind));
    assert_eq!(
        kinds(&events),
        [product("UPDATE"), product("CREATE"), product("DELETE"), (json!("PricebookEntry"), json!("DELETE"))]
    );
    assert_eq!((&events[0].body["Name"], &events[0].body["Description"]), (&json!("Last"), &json!("Both")));
    assert_eq!(events[1].body["Name"], "Made and changed");
    let numbers: Vec<Value> = events.iter().map(|event| event.header("sequenceNumber")).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

#[tokio::test]
async fn identical_changes_are_one_event_and_unselected_ones_leave_a_hole() {
    let world = World::default().await;
    let org = world.simulator.org();
    let mut listener = world.listen().await;
    let (accounts, books, products) =
        (org.ids("Account", 0, 3), org.ids("Pricebook2", 0, 1), org.ids("Product2", 0, 1));
    let mut transaction = org.begin_transaction();
    for id in &accounts {
        transaction.update("Account", id.as_str(), &json!({"Site": null, "Industry": "Space"})).err();
    }
    drop(transaction);
    let mut transaction = org.begin_transaction();
    for id in &accounts {
        transaction.update("Account", id.as_str(), &json!({"Industry": "Space"})).unwrap();
    }
    transaction.update("Pricebook2", books[0].as_str(), &json!({"Name": "Not selected"})).unwrap();
    transaction.update("Product2", products[0].as_str(), &json!({"Name": "Selected"})).unwrap();
    transaction.commit().unwrap();
    let events = listener.events(2).await;
    let ids: Vec<&str> = accounts.iter().map(RecordId::as_str).collect();
    assert_eq!(events[0].header("recordIds"), json!(ids));
    assert_eq!(
        (events[0].header("sequenceNumber"), events[1].header("sequenceNumber")),
        (json!(1), json!(3))
    );
}

#[tokio::test]
async fn too_many_changes_overflow_per_object() {
    let world = World::start(Options { overflow_after: 9, ..Options::default() }).await;
    let org = world.simulator.org();
    let mut listener = world.listen().await;
    let (products, accounts) = (org.ids("Product2", 0, 6), org.ids("Account", 0, 3));
    let mut transaction = org.begin_transaction();
    for (at, id) in products.iter().enumerate() {
        // Three changes each: name, description and the date.
        let fields = json!({"Name": format!("N {at}"), "Description": format!("D {at}")});
        transaction.update("Product2", id.as_str(), &fields).unwrap();
    }
    for (at, id) in accounts.iter().enumerate() {
        transaction.update("Account", id.as_str(), &json!({"Name": format!("A {at}")})).unwrap();
    }
    transaction.commit().unwrap();
    let events = listener.events(5).await;
    let expected = [
        ("Product2", "UPDATE"),
        ("Product2", "UPDATE"),
        ("Product2", "UPDATE"),
        ("Product2", "GAP_OVERFLOW"),
        ("Account", "GAP_OVERFLOW"),
    ];
    assert_eq!(kinds(&events), expected.map(|(object, kind)| (json!(object), json!(kind))));
    assert!(events[3..].iter().all(|event| event.header("recordIds") == json!(["000000000000000AAA"])));
    org.insert("Account", &json!({"Name": "Next transaction"})).unwrap();
    assert_eq!(listener.event().await.header("changeType"), "CREATE");
}

#[tokio::test]
async fn a_transaction_may_straddle_responses() {
    let world = World::start(Options { events_per_response: 2, ..Options::default() }).await;
    let org = world.simulator.org();
    let mut listener = world.listen().await;
    let mut transaction = org.begin_transaction();
    for at in 0..5 {
        transaction.insert("Account", &json!({"Name": format!("A {at}")})).unwrap();
    }
    transaction.commit().unwrap();
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < 5 {
        sizes.push(listener.next().await.unwrap().unwrap().events.len());
    }
    assert_eq!(sizes, [2, 2, 1]);
}
