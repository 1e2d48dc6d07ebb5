//! Which objects are on which channel, who may hear of them, and where that can be read.

use serde_json::{Value, json};
use simulator::Options;
use tonic::Code;

use crate::{
    client::World,
    listener::{ALL, From, code},
};

async fn members(world: &World, condition: &str) -> Vec<(String, String)> {
    let soql = format!("SELECT EventChannel, SelectedEntity FROM PlatformEventChannelMember {condition}");
    let reply =
        world.request(reqwest::Method::GET, "tooling/query").query(&[("q", soql)]).send().await.unwrap();
    let body: Value = reply.json().await.unwrap();
    let text = |record: &Value, name: &str| record[name].as_str().unwrap().to_owned();
    let records = body["records"].as_array().unwrap();
    assert_eq!(body["totalSize"], records.len());
    records.iter().map(|record| (text(record, "EventChannel"), text(record, "SelectedEntity"))).collect()
}

#[tokio::test]
async fn the_tooling_api_tells_the_members_of_channels() {
    let options = Options {
        selected: vec!["Product2".to_owned()],
        channels: vec![("Shop__chn".to_owned(), vec!["Account".to_owned(), "Product2".to_owned()])],
        ..Options::default()
    };
    let world = World::start(options).await;
    let pair = |channel: &str, entity: &str| (channel.to_owned(), entity.to_owned());
    let shop = [pair("Shop__chn", "AccountChangeEvent"), pair("Shop__chn", "Product2ChangeEvent")];
    let mut all = vec![pair("ChangeEvents", "Product2ChangeEvent")];
    all.extend(shop.clone());
    assert_eq!(members(&world, "").await, all);
    assert_eq!(members(&world, "WHERE EventChannel = 'Shop__chn'").await, shop);
    world.simulator.org().set_selected("Pricebook2", true).unwrap();
    let condition = "WHERE SelectedEntity = 'Pricebook2ChangeEvent'";
    assert_eq!(members(&world, condition).await, [pair("ChangeEvents", "Pricebook2ChangeEvent")]);
    let reply = world
        .request(reqwest::Method::GET, "tooling/query")
        .query(&[("q", "SELECT Id FROM ApexClass")])
        .send()
        .await
        .unwrap();
    assert_eq!(reply.json::<Value>().await.unwrap()[0]["errorCode"], "INVALID_TYPE");
}

#[tokio::test]
async fn unselected_objects_are_silently_absent() {
    let world = World::start(Options {
        selected: vec!["Account".to_owned()],
        channels: Vec::new(),
        ..Options::default()
    })
    .await;
    let org = world.simulator.org();
    let mut all = world.listen().await;
    // An object's own topic can be subscribed to all the same, and says nothing.
    let mut own = world.listen_to("/data/Product2ChangeEvent").await;
    assert!(world.pubsub().topic("/data/Product2ChangeEvent").await.unwrap().can_subscribe);
    org.insert("Product2", &json!({"Name": "Unheard"})).unwrap();
    org.insert("Account", &json!({"Name": "Heard"})).unwrap();
    assert_eq!(all.event().await.body["Name"], "Heard");
    assert!(own.is_quiet(std::time::Duration::from_millis(100)).await);
    // Selected on any channel is selected for the object's own topic.
    org.set_channel_member("Other__chn", "Product2", true).unwrap();
    org.insert("Product2", &json!({"Name": "Heard here"})).unwrap();
    assert_eq!(own.event().await.body["Name"], "Heard here");
    assert!(all.is_quiet(std::time::Duration::from_millis(100)).await);
}

#[tokio::test]
async fn an_unselected_objects_topic_is_refused_where_the_org_is_said_to_do_that() {
    let options = Options {
        selected: vec!["Account".to_owned()],
        channels: Vec::new(),
        refuse_unselected: true,
        ..Options::default()
    };
    let world = World::start(options).await;
    let refusal = world.pubsub().topic("/data/Product2ChangeEvent").await.unwrap_err();
    assert_eq!((refusal.code(), code(&refusal)), (Code::PermissionDenied, "topic.meta.permission"));
    assert!(world.pubsub().topic("/data/AccountChangeEvent").await.is_ok());
}

#[tokio::test]
async fn who_may_not_see_all_records_hears_nothing_and_is_refused_the_objects_topic() {
    let world = World::default().await;
    let org = world.simulator.org();
    let mut all = world.listen().await;
    for take_away in [
        (|world: &World, back: bool| world.simulator.org().set_view_all("Product2", back))
            as fn(&World, bool),
        |world: &World, back: bool| world.simulator.org().set_object_visible("Product2", back),
    ] {
        take_away(&world, false);
        org.insert("Product2", &json!({"Name": "Unheard"})).unwrap();
        org.insert("Account", &json!({"Name": "Heard"})).unwrap();
        assert_eq!(all.event().await.body["Name"], "Heard");
        for topic in [
            world.pubsub().topic("/data/Product2ChangeEvent").await.err().unwrap(),
            world
                .pubsub()
                .subscribe("/data/Product2ChangeEvent", From::Latest, 1)
                .await
                .unwrap()
                .next()
                .await
                .unwrap_err(),
        ] {
            assert_eq!((topic.code(), code(&topic)), (Code::PermissionDenied, "topic.meta.permission"));
        }
        assert!(world.pubsub().topic(ALL).await.is_ok());
        take_away(&world, true);
        org.insert("Product2", &json!({"Name": "Heard again"})).unwrap();
        assert_eq!(all.event().await.body["Name"], "Heard again");
    }
}

#[tokio::test]
async fn a_removed_channel_ends_its_subscriptions_and_no_other() {
    let world = World::default().await;
    let org = world.simulator.org();
    let mut all = world.listen().await;
    let mut custom = world.listen_to("/data/ShadowSync__chn").await;
    org.insert("Account", &json!({"Name": "Heard on both"})).unwrap();
    assert_eq!(all.event().await.payload, custom.event().await.payload);
    org.remove_channel("ShadowSync__chn");
    assert_eq!(code(&custom.next().await.unwrap_err()), "topic.not.found");
    assert_eq!(code(&world.pubsub().topic("/data/ShadowSync__chn").await.unwrap_err()), "topic.not.found");
    org.insert("Account", &json!({"Name": "Heard on one"})).unwrap();
    assert_eq!(all.event().await.body["Name"], "Heard on one");
}

#[tokio::test]
async fn describe_tells_which_objects_have_change_events() {
    let world = World::default().await;
    let all = world.json("sobjects").await;
    let find = |name: &str| {
        all["sobjects"].as_array().unwrap().iter().find(|object| object["name"] == name).cloned()
    };
    assert_eq!(find("PricebookEntryChangeEvent").unwrap()["queryable"], false);
    assert!(find("UserChangeEvent").is_none());
    let described = world.json("sobjects/PricebookEntryChangeEvent/describe").await;
    let names: Vec<&str> =
        described["fields"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"UnitPrice") && !names.contains(&"ProductCode"), "{names:?}");
    world.simulator.org().set_object_visible("PricebookEntry", false);
    assert_eq!(world.get("sobjects/PricebookEntryChangeEvent/describe").await.status(), 404);
    let schema = world.json("sobjects/Product2ChangeEvent/eventSchema").await;
    let id = schema["uuid"].as_str().unwrap();
    assert_eq!(world.json(&format!("event/eventSchema/{id}?payloadFormat=COMPACT")).await, schema);
    assert_eq!(world.pubsub().topic("/data/Product2ChangeEvent").await.unwrap().schema_id, id);
}
