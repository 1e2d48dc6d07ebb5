//! Changes in an org, received and decoded: what they say is what happened.

use salesforce::pubsub::{PubSub, RawEvent};
use serde_json::json;
use shadow::event::{ChangeEvent, ChangeKind, EventBody, EventValue, Records, WhyFetch};
use simulator::{Change, Disturbance, EventFault, Options};

use crate::world::{World, receive};

const GET_SCHEMA: &str = "POST /eventbus.v1.PubSub/GetSchema";

async fn decoded(pubsub: &PubSub, event: &RawEvent) -> ChangeEvent {
    let schema = pubsub.schema(&event.schema_id).await.expect("a schema");
    let change = schema.decode(&event.payload).expect("an event");
    assert_eq!(schema.header(&event.payload).as_ref(), Ok(&change.header));
    change
}

fn value<'a>(event: &'a ChangeEvent, name: &str) -> Option<&'a EventValue> {
    let (EventBody::Whole(changes) | EventBody::Patch(changes)) = &event.body else { return None };
    changes.iter().find(|change| change.name == name).map(|change| &change.value)
}

fn text(value: &str) -> EventValue {
    EventValue::Text(value.to_owned())
}

#[tokio::test]
async fn a_records_life_is_told_as_it_was() {
    let world = World::streaming().await;
    let (org, pubsub) = (world.simulator.org(), world.pubsub());
    let mut subscription = world.subscription(&pubsub).await;
    let fields = json!({ "Name": "Fibre 2G", "ProductCode": "F2G", "IsActive": true, "Description": "fast" });
    let id = org.insert("Product2", &fields).expect("a record");
    org.update("Product2", id.as_str(), &json!({ "Name": "Fibre 3G", "Description": null }))
        .expect("a record");
    org.delete("Product2", id.as_str()).expect("a record");
    org.undelete("Product2", id.as_str()).expect("a record");

    let mut events = Vec::new();
    for event in receive(&mut subscription, 4).await {
        events.push(decoded(&pubsub, &event).await);
    }
    let kinds: Vec<_> = events.iter().map(|event| event.header.kind).collect();
    assert_eq!(kinds, [ChangeKind::Create, ChangeKind::Update, ChangeKind::Delete, ChangeKind::Undelete]);
    for event in &events {
        assert_eq!(event.header.object.as_str(), "Product2");
        assert_eq!(event.header.records, Records::Ids(vec![id.as_str().parse().expect("an id")]));
    }
    assert_eq!(value(&events[0], "Name"), Some(&text("Fibre 2G")));
    assert_eq!(value(&events[0], "IsActive"), Some(&EventValue::Boolean(true)));
    assert_eq!(value(&events[1], "Name"), Some(&text("Fibre 3G")));
    assert_eq!(value(&events[1], "Description"), Some(&EventValue::Null));
    assert_eq!(value(&events[1], "ProductCode"), None, "it did not change");
    assert!(matches!(value(&events[1], "LastModifiedDate"), Some(EventValue::Whole(_))));
    assert_eq!(events[2].body, EventBody::Nothing);
    assert!(matches!(events[3].body, EventBody::Whole(_)));
    assert_eq!(value(&events[3], "ProductCode"), Some(&text("F2G")));
    assert_eq!(org.requests(GET_SCHEMA), 1, "a schema is asked for once");
}

#[tokio::test]
async fn money_comes_as_a_double_and_an_address_in_parts() {
    let world = World::streaming().await;
    let (org, pubsub) = (world.simulator.org(), world.pubsub());
    let mut subscription = world.subscription(&pubsub).await;
    let entry = org.ids("PricebookEntry", 0, 1)[0];
    org.update("PricebookEntry", entry.as_str(), &json!({ "UnitPrice": 19.99 })).expect("a record");
    let account = org.ids("Account", 0, 1)[0];
    org.update("Account", account.as_str(), &json!({ "BillingCity": "Ulm" })).expect("a record");

    let events = receive(&mut subscription, 2).await;
    let price = decoded(&pubsub, &events[0]).await;
    assert_eq!(value(&price, "UnitPrice"), Some(&EventValue::Double(19.99)));
    let account = decoded(&pubsub, &events[1]).await;
    assert_eq!(value(&account, "BillingCity"), Some(&text("Ulm")), "{account:?}");
    assert_eq!(value(&account, "BillingStreet"), None, "{account:?}");
}

#[tokio::test]
async fn gaps_overflows_and_wildcards_name_what_they_can() {
    let world = World::streaming().await;
    let (org, pubsub) = (world.simulator.org(), world.pubsub());
    let mut subscription = world.subscription(&pubsub).await;
    let ids: Vec<String> = org.ids("Account", 0, 2).iter().map(ToString::to_string).collect();
    let object = || "Account".to_owned();
    for disturbance in [
        Disturbance::Gap { object: object(), ids: ids.clone(), change: Change::Delete },
        Disturbance::Overflow { object: object() },
        Disturbance::Wildcard { object: object() },
    ] {
        org.disturb(&disturbance).expect("a disturbance");
    }
    let events = receive(&mut subscription, 3).await;
    let gap = decoded(&pubsub, &events[0]).await;
    assert_eq!(gap.header.kind, ChangeKind::GapDelete);
    assert_eq!(gap.header.records.ids().len(), 2);
    assert_eq!(gap.body, EventBody::Fetch(WhyFetch::Gap));
    let overflow = decoded(&pubsub, &events[1]).await;
    assert_eq!((overflow.header.kind, overflow.header.records), (ChangeKind::Overflow, Records::All));
    let wildcard = decoded(&pubsub, &events[2]).await;
    assert_eq!((wildcard.header.kind, wildcard.header.records), (ChangeKind::Update, Records::All));
}

#[tokio::test]
async fn a_broken_event_is_known_as_broken_and_the_stream_goes_on() {
    let world = World::streaming().await;
    let (org, pubsub) = (world.simulator.org(), world.pubsub());
    let mut subscription = world.subscription(&pubsub).await;
    let id = org.ids("Product2", 0, 1)[0];
    let faults = [
        Some(EventFault::CorruptHeader),
        Some(EventFault::CorruptBody),
        Some(EventFault::UnknownSchema),
        None,
    ];
    for (number, fault) in faults.iter().enumerate() {
        if let Some(fault) = *fault {
            org.disturb(&Disturbance::NextEvents { object: None, fault, times: Some(1) }).expect("a plan");
        }
        org.update("Product2", id.as_str(), &json!({ "Name": format!("N{number}") })).expect("a record");
    }
    let events = receive(&mut subscription, 4).await;
    let schema = pubsub.schema(&events[0].schema_id).await.expect("a schema");
    assert!(schema.header(&events[0].payload).is_err());
    assert!(schema.header(&events[1].payload).is_ok());
    assert!(schema.decode(&events[1].payload).is_err());
    let error = pubsub.schema(&events[2].schema_id).await.expect_err("nobody knows it");
    assert!(error.is_about_the_schema(), "{error:?}");
    assert_eq!(value(&decoded(&pubsub, &events[3]).await, "Name"), Some(&text("N3")));
}

#[tokio::test]
async fn an_event_that_cannot_be_believed_is_fetched() {
    let world = World::streaming().await;
    let (org, pubsub) = (world.simulator.org(), world.pubsub());
    let mut subscription = world.subscription(&pubsub).await;
    let id = org.ids("Product2", 0, 1)[0];
    for (fault, kind, why) in [
        (EventFault::BadBitmap, ChangeKind::Update, WhyFetch::Bitmap),
        (EventFault::UnknownKind, ChangeKind::Unknown, WhyFetch::Gap),
        (EventFault::Gap, ChangeKind::GapUpdate, WhyFetch::Gap),
    ] {
        org.disturb(&Disturbance::NextEvents { object: None, fault, times: Some(1) }).expect("a plan");
        org.update("Product2", id.as_str(), &json!({ "Name": format!("{fault:?}") })).expect("a record");
        let event = decoded(&pubsub, &receive(&mut subscription, 1).await[0]).await;
        assert_eq!((event.header.kind, event.body), (kind, EventBody::Fetch(why)), "{fault:?}");
        assert_eq!(event.header.records.ids().len(), 1);
    }
}

#[tokio::test]
async fn a_hidden_fields_bit_comes_without_its_value() {
    let world = World::streaming().await;
    let (org, pubsub) = (world.simulator.org(), world.pubsub());
    org.set_field_visible("Product2", "Description", false);
    let mut subscription = world.subscription(&pubsub).await;
    let id = org.ids("Product2", 0, 1)[0];
    org.update("Product2", id.as_str(), &json!({ "Name": "seen", "Description": "unseen" }))
        .expect("a record");
    let event = decoded(&pubsub, &receive(&mut subscription, 1).await[0]).await;
    assert_eq!(value(&event, "Name"), Some(&text("seen")));
    // It is not among the nulled ones: what it is now nobody says.
    assert_eq!(value(&event, "Description"), Some(&EventValue::Withheld));
}

#[tokio::test]
async fn a_new_field_is_a_new_schema_and_old_events_keep_theirs() {
    let world = World::streaming().await;
    let (org, pubsub) = (world.simulator.org(), world.pubsub());
    let mut subscription = world.subscription(&pubsub).await;
    let id = org.ids("Product2", 0, 1)[0];
    org.update("Product2", id.as_str(), &json!({ "Name": "before" })).expect("a record");
    org.add_field("Product2", "Added__c", "string", Some("Name")).expect("a field");
    org.update("Product2", id.as_str(), &json!({ "Added__c": "after" })).expect("a record");
    let events = receive(&mut subscription, 2).await;
    assert_ne!(events[0].schema_id, events[1].schema_id);
    assert_eq!(value(&decoded(&pubsub, &events[1]).await, "Added__c"), Some(&text("after")));
    assert_eq!(value(&decoded(&pubsub, &events[0]).await, "Name"), Some(&text("before")));
}

#[tokio::test]
async fn a_long_text_as_a_difference_is_fetched() {
    let world = World::streaming_with(Options { text_diffs: true, ..Options::default() }).await;
    let (org, pubsub) = (world.simulator.org(), world.pubsub());
    let id = org.ids("Product2", 0, 1)[0];
    let lines = |last: &str| "the same in both\n".repeat(200) + last;
    org.update("Product2", id.as_str(), &json!({ "Description": lines("old") })).expect("a record");
    let mut subscription = world.subscription(&pubsub).await;
    org.update("Product2", id.as_str(), &json!({ "Description": lines("new") })).expect("a record");
    let event = decoded(&pubsub, &receive(&mut subscription, 1).await[0]).await;
    assert_eq!(event.body, EventBody::Fetch(WhyFetch::Difference { field: "Description".to_owned() }));
}
