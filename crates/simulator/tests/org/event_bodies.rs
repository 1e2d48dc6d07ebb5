//! What an event says: headers, values, and the bitmaps of what changed.

use serde_json::{Value, json};
use simulator::Options;

use crate::{client::World, listener::Received};

fn of(event: &Received, name: &str) -> Value {
    event.body[name].clone()
}

#[tokio::test]
async fn a_created_record_comes_with_all_that_is_not_null() {
    let world = World::default().await;
    let mut listener = world.listen().await;
    let org = world.simulator.org();
    let fields = json!({
        "Name": "Fibre 2G", "StockKeepingUnit": "F-2G", "Bandwidth_Mbit__c": 2000.5, "Launched_On__c": "2026-05-04",
    });
    let id = org.insert("Product2", &fields).unwrap();
    let event = listener.event().await;
    assert_eq!(event.header("entityName"), "Product2");
    assert_eq!(event.header("recordIds"), json!([id.as_str()]));
    assert_eq!(event.header("changeType"), "CREATE");
    assert_eq!(event.header("sequenceNumber"), 1);
    for bitmap in ["changedFields", "nulledFields", "diffFields"] {
        assert_eq!(event.header(bitmap), json!([]), "{bitmap}");
    }
    assert_eq!(event.header("commitTimestamp").as_i64().unwrap() % 1_000, 0);
    let record = org.record("Product2", id.as_str()).unwrap();
    assert_eq!(of(&event, "Name"), "Fibre 2G");
    assert_eq!(of(&event, "Bandwidth_Mbit__c"), 2000.5);
    assert_eq!(of(&event, "Launched_On__c"), 1_777_852_800_000_i64);
    assert_eq!((of(&event, "IsActive"), of(&event, "Family")), (json!(true), Value::Null));
    assert_eq!(of(&event, "CreatedById"), record["CreatedById"]);
    assert!(of(&event, "CreatedDate").as_i64().unwrap() > 1_700_000_000_000);
    let names = listener.fields_of(&event);
    for absent in ["Id", "IsDeleted", "SystemModstamp"] {
        assert!(!names.iter().any(|name| name == absent), "{absent}");
    }
}

#[tokio::test]
async fn an_update_says_only_what_changed() {
    let world = World::default().await;
    let mut listener = world.listen().await;
    let org = world.simulator.org();
    let id = org.ids("Product2", 0, 1)[0];
    let family = org.record("Product2", id.as_str()).unwrap()["Family"].clone();
    let written = json!({"Name": "Said anew", "Family": null, "IsActive": false, "CurrencyIsoCode": "EUR"});
    assert_ne!(family, Value::Null);
    org.update("Product2", id.as_str(), &written).unwrap();
    let event = listener.event().await;
    assert_eq!(event.header("changeType"), "UPDATE");
    let mut changed = listener.marked(&event, "changedFields");
    changed.sort();
    assert_eq!(changed, ["Family", "IsActive", "LastModifiedDate", "Name"]);
    assert_eq!(listener.marked(&event, "nulledFields"), ["Family"]);
    assert_eq!((of(&event, "Name"), of(&event, "IsActive")), (json!("Said anew"), json!(false)));
    assert!(of(&event, "LastModifiedDate").is_i64());
    // The currency is what it was, and so is everything else.
    for unchanged in ["CurrencyIsoCode", "Family", "ProductCode", "CreatedDate", "LastModifiedById"] {
        assert_eq!(of(&event, unchanged), Value::Null, "{unchanged}");
    }
}

#[tokio::test]
async fn an_update_tells_its_date_even_if_it_is_that_of_the_one_before() {
    let world = World::default().await;
    let mut listener = world.listen().await;
    let org = world.simulator.org();
    let id = org.ids("Product2", 0, 1)[0];
    for name in ["First", "In the same second", "In the same second"] {
        org.update("Product2", id.as_str(), &json!({"Name": name})).unwrap();
    }
    let events = listener.events(3).await;
    let stamps: Vec<Value> = events.iter().map(|event| of(event, "LastModifiedDate")).collect();
    assert!(stamps.iter().all(Value::is_i64), "{stamps:?}");
    // Nothing else changed the third time.
    assert_eq!(listener.marked(&events[2], "changedFields"), ["LastModifiedDate"]);
}

#[tokio::test]
async fn nulled_fields_may_be_left_out_of_the_changed_ones() {
    let world = World::start(Options { nulled_in_changed: false, ..Options::default() }).await;
    let mut listener = world.listen().await;
    let org = world.simulator.org();
    let id = org.ids("Account", 0, 1)[0];
    org.update(
        "Account",
        id.as_str(),
        &json!({"Industry": null, "BillingStreet": null, "BillingCity": "Ulm"}),
    )
    .unwrap();
    let event = listener.event().await;
    assert_eq!(listener.marked(&event, "changedFields"), ["LastModifiedDate", "BillingAddress.1"]);
    assert_eq!(listener.marked(&event, "nulledFields"), ["Industry", "BillingAddress.0"]);
}

#[tokio::test]
async fn accounts_have_compound_addresses_and_a_name_that_could_be_a_persons() {
    let world = World::default().await;
    let mut listener = world.listen().await;
    let org = world.simulator.org();
    let id = org
        .insert("Account", &json!({"Name": "Acme", "BillingCity": "Bern", "AnnualRevenue": 25000}))
        .unwrap();
    let event = listener.event().await;
    assert_eq!(
        listener.fields_of(&event)[..6],
        ["ChangeEventHeader", "Name", "Type", "ParentId", "BillingAddress", "ShippingAddress"]
    );
    assert_eq!(of(&event, "Name"), "Acme");
    assert_eq!(of(&event, "AnnualRevenue"), 25000.0);
    assert_eq!(event.body["BillingAddress"]["City"], "Bern");
    assert_eq!(event.body["BillingAddress"]["Xyz"], Value::Null);
    assert_eq!(of(&event, "ShippingAddress"), Value::Null);

    org.update(
        "Account",
        id.as_str(),
        &json!({"BillingCity": "Basel", "BillingState": "BS", "Name": "Acme AG"}),
    )
    .unwrap();
    let event = listener.event().await;
    let changed = event.header("changedFields");
    assert_eq!(changed[1], "4-0x06");
    let mut marked = listener.marked(&event, "changedFields");
    marked.sort();
    assert_eq!(marked, ["BillingAddress.1", "BillingAddress.2", "LastModifiedDate", "Name"]);
    assert_eq!(event.body["BillingAddress"]["City"], "Basel");
    assert_eq!(event.body["BillingAddress"]["Street"], Value::Null);
    // What is computed is not told: the label follows from these two fields.
    org.update("Account", id.as_str(), &json!({"Internet_Eligibility__c": "Fibre"})).unwrap();
    let event = listener.event().await;
    assert!(!listener.fields_of(&event).iter().any(|name| name == "Eligibility_Label__c"));
    assert_eq!(of(&event, "Internet_Eligibility__c"), "Fibre");
}

#[tokio::test]
async fn bitmaps_reach_beyond_64_fields() {
    let world = World::default().await;
    let org = world.simulator.org();
    for field in 0..70 {
        org.add_field("Product2", &format!("Extra_{field}__c"), "string", Some("Notes__c")).unwrap();
    }
    let mut listener = world.listen().await;
    let id = org.ids("Product2", 0, 1)[0];
    // Each was added behind the same field, so the first one has moved to the end.
    org.update("Product2", id.as_str(), &json!({"Extra_0__c": "far", "Extra_69__c": "near"})).unwrap();
    let event = listener.event().await;
    let position = |name: &str| listener.fields_of(&event).iter().position(|field| field == name).unwrap();
    assert!(position("Extra_0__c") > 64 && position("Extra_69__c") < position("Extra_0__c"));
    let mut changed = listener.marked(&event, "changedFields");
    changed.sort();
    assert_eq!(changed, ["Extra_0__c", "Extra_69__c", "LastModifiedDate"]);
    assert_eq!((of(&event, "Extra_0__c"), of(&event, "Extra_69__c")), (json!("far"), json!("near")));
}

#[tokio::test]
async fn deleting_and_restoring_are_told_and_emptying_the_recycle_bin_is_not() {
    let world = World::default().await;
    let mut listener = world.listen().await;
    let org = world.simulator.org();
    let id = org.ids("Account", 0, 1)[0];
    org.delete("Account", id.as_str()).unwrap();
    org.undelete("Account", id.as_str()).unwrap();
    org.delete("Account", id.as_str()).unwrap();
    org.purge("Account", id.as_str()).unwrap();
    org.change_hidden("Account", org.ids("Account", 0, 1)[0].as_str(), &json!({"Name": "Unseen"})).unwrap();
    org.insert("Account", &json!({"Name": "Last"})).unwrap();
    let events = listener.events(4).await;
    let kinds: Vec<Value> = events.iter().map(|event| event.header("changeType")).collect();
    assert_eq!(kinds, ["DELETE", "UNDELETE", "DELETE", "CREATE"]);
    assert_eq!(of(&events[0], "Name"), Value::Null);
    assert_ne!(of(&events[1], "Name"), Value::Null);
    assert_eq!(events[1].header("changedFields"), json!([]));
    assert_eq!(of(&events[3], "Name"), "Last");
}

#[tokio::test]
async fn a_product_takes_its_entries_along_and_they_are_told_together() {
    let world = World::default().await;
    let mut listener = world.listen().await;
    let org = world.simulator.org();
    let product = org.ids("Product2", 0, 1)[0];
    org.delete("Product2", product.as_str()).unwrap();
    let events = listener.events(2).await;
    assert_eq!(
        (events[0].header("entityName"), events[1].header("entityName")),
        (json!("Product2"), json!("PricebookEntry"))
    );
    assert_eq!(events[1].header("recordIds").as_array().unwrap().len(), 5);
    assert_eq!(events[0].header("transactionKey"), events[1].header("transactionKey"));
    assert_eq!(
        (events[0].header("sequenceNumber"), events[1].header("sequenceNumber")),
        (json!(1), json!(2))
    );
    assert_eq!(events[0].header("commitNumber"), events[1].header("commitNumber"));
}

#[tokio::test]
async fn entries_do_not_tell_what_they_get_from_their_product() {
    let world = World::default().await;
    let mut listener = world.listen().await;
    let org = world.simulator.org();
    let product = org.ids("Product2", 0, 1)[0];
    org.update("Product2", product.as_str(), &json!({"Name": "Renamed", "ProductCode": "R-1"})).unwrap();
    let entry = org.ids("PricebookEntry", 0, 1)[0];
    org.update("PricebookEntry", entry.as_str(), &json!({"UnitPrice": 19.99})).unwrap();
    let events = listener.events(2).await;
    assert_eq!(events[1].header("entityName"), "PricebookEntry");
    let names = listener.fields_of(&events[1]);
    assert!(!names.iter().any(|name| matches!(name.as_str(), "Name" | "ProductCode")));
    assert_eq!(of(&events[1], "UnitPrice"), 19.99);
}

#[tokio::test]
async fn a_long_text_comes_as_a_difference_where_that_is_shorter() {
    let world = World::default().await;
    let mut listener = world.listen().await;
    let org = world.simulator.org();
    let id = org.ids("Product2", 0, 1)[0];
    let lines: Vec<String> =
        (0..80).map(|line| format!("Line {line} of the terms and conditions.")).collect();
    let long = lines.join("\n");
    org.update("Product2", id.as_str(), &json!({"Notes__c": long})).unwrap();
    org.update("Product2", id.as_str(), &json!({"Notes__c": long.replace("Line 40 ", "Line forty ")}))
        .unwrap();
    let events = listener.events(2).await;
    assert_eq!(of(&events[0], "Notes__c"), json!(long));
    assert_eq!(events[0].header("diffFields"), json!([]));
    assert_eq!(listener.marked(&events[1], "diffFields"), ["Notes__c"]);
    let diff = of(&events[1], "Notes__c");
    assert!(diff.as_str().unwrap().starts_with("--- \n+++ ") && diff.as_str().unwrap().len() < 300, "{diff}");
}

#[tokio::test]
async fn what_a_user_may_not_see_is_null_and_its_bit_stays() {
    let world = World::default().await;
    let mut listener = world.listen().await;
    let org = world.simulator.org();
    let id = org.ids("Account", 0, 1)[0];
    org.set_field_visible("Account", "Industry", false);
    org.set_field_visible("Account", "BillingCity", false);
    org.update(
        "Account",
        id.as_str(),
        &json!({"Industry": "Space", "BillingCity": "Bonn", "BillingStreet": "A 1"}),
    )
    .unwrap();
    let event = listener.event().await;
    let mut marked = listener.marked(&event, "changedFields");
    marked.sort();
    assert_eq!(marked, ["BillingAddress.0", "BillingAddress.1", "Industry", "LastModifiedDate"]);
    assert_eq!(of(&event, "Industry"), Value::Null);
    assert_eq!(event.body["BillingAddress"]["City"], Value::Null);
    assert_eq!(event.body["BillingAddress"]["Street"], "A 1");
}

#[tokio::test]
async fn an_event_of_more_than_a_megabyte_is_a_gap() {
    let world = World::default().await;
    let mut listener = world.listen().await;
    let org = world.simulator.org();
    let mut fields = serde_json::Map::new();
    for field in 0..9 {
        let name = format!("Long_{field}__c");
        org.add_field("Product2", &name, "textarea", None).unwrap();
        fields.insert(name, json!("x".repeat(130_000)));
    }
    let id = org.ids("Product2", 0, 1)[0];
    org.update("Product2", id.as_str(), &Value::Object(fields)).unwrap();
    let event = listener.event().await;
    assert_eq!(event.header("changeType"), "GAP_UPDATE");
    assert_eq!(event.header("recordIds"), json!([id.as_str()]));
    assert_eq!((event.header("changedFields"), of(&event, "Long_0__c")), (json!([]), Value::Null));
}
