//! Objects and fields as describe shows them, and permissions taken away at run time.

use reqwest::Method;
use serde_json::{Value, json};
use simulator::Options;

use crate::client::World;

async fn field(world: &World, object: &str, name: &str) -> Option<Value> {
    let description = world.json(&format!("sobjects/{object}/describe")).await;
    description["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).cloned()
}

#[tokio::test]
async fn all_objects_are_listed() {
    let world = World::default().await;
    let body = world.json("sobjects/").await;
    let names: Vec<&str> =
        body["sobjects"].as_array().unwrap().iter().map(|object| object["name"].as_str().unwrap()).collect();
    for name in ["Account", "Product2", "PricebookEntry", "Pricebook2", "User", "Organization"] {
        assert!(names.contains(&name), "{name}");
    }
    assert_eq!(body["maxBatchSize"], 200);
}

#[tokio::test]
async fn fields_have_real_attributes() {
    let world = World::default().await;
    let price = field(&world, "PricebookEntry", "UnitPrice").await.unwrap();
    assert_eq!(
        (&price["type"], &price["precision"], &price["scale"]),
        (&json!("currency"), &json!(18), &json!(2))
    );
    let street = field(&world, "Account", "BillingStreet").await.unwrap();
    assert_eq!((&street["compoundFieldName"], &street["length"]), (&json!("BillingAddress"), &json!(255)));
    let address = field(&world, "Account", "BillingAddress").await.unwrap();
    assert_eq!((&address["type"], &address["soapType"]), (&json!("address"), &json!("urn:address")));
    let label = field(&world, "Account", "Eligibility_Label__c").await.unwrap();
    assert_eq!((&label["calculated"], &label["updateable"]), (&json!(true), &json!(false)));
    let product = field(&world, "PricebookEntry", "Product2Id").await.unwrap();
    assert_eq!(
        (&product["referenceTo"], &product["relationshipName"]),
        (&json!(["Product2"]), &json!("Product2"))
    );
    let stamp = field(&world, "Product2", "SystemModstamp").await.unwrap();
    assert_eq!((&stamp["groupable"], &stamp["filterable"]), (&json!(false), &json!(true)));
    for custom in ["Item_Class__c", "Offering_Type__c", "Plan_Tier__c", "VPN_Region__c"] {
        assert_eq!(field(&world, "Product2", custom).await.unwrap()["custom"], true);
    }
    assert_eq!(field(&world, "PricebookEntry", "CurrencyIsoCode").await.unwrap()["length"], 3);
}

#[tokio::test]
async fn an_org_of_one_currency_has_no_currency_field() {
    let world = World::start(Options { multi_currency: false, ..Options::default() }).await;
    assert!(field(&world, "PricebookEntry", "CurrencyIsoCode").await.is_none());
    assert_eq!(world.refused("SELECT CurrencyIsoCode FROM PricebookEntry").await.0, "INVALID_FIELD");
    assert_eq!(world.json("connect/organization").await["features"]["multiCurrency"], false);
}

#[tokio::test]
async fn an_unchanged_description_is_not_sent_again() {
    let world = World::default().await;
    let first = world.get("sobjects/Account/describe").await;
    let stamp = first.headers()["last-modified"].clone();
    let ask = |stamp: reqwest::header::HeaderValue| {
        world.request(Method::GET, "sobjects/Account/describe").header("If-Modified-Since", stamp).send()
    };
    assert_eq!(ask(stamp.clone()).await.unwrap().status(), 304);
    let older = reqwest::header::HeaderValue::from_static("Mon, 01 Jan 2024 00:00:00 GMT");
    assert_eq!(ask(older).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_hidden_field_is_as_if_it_did_not_exist() {
    let world = World::default().await;
    let org = world.simulator.org();
    let stamp = world.get("sobjects/Account/describe").await.headers()["last-modified"].clone();
    org.set_field_visible("Account", "Internet_Eligibility__c", false);
    assert_eq!(org.hidden(), ["Account.Internet_Eligibility__c"]);
    let again = world.request(Method::GET, "sobjects/Account/describe").header("If-Modified-Since", stamp);
    assert_eq!(again.send().await.unwrap().status(), 200);
    assert!(field(&world, "Account", "Internet_Eligibility__c").await.is_none());
    let (code, message) = world.refused("SELECT Id, Internet_Eligibility__c FROM Account").await;
    assert_eq!(code, "INVALID_FIELD");
    assert!(message.contains("No such column 'Internet_Eligibility__c'"));
    let (status, body) = world.create_job("query", "SELECT Internet_Eligibility__c FROM Account").await;
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("INVALID_FIELD")));

    org.set_field_visible("Account", "Internet_Eligibility__c", true);
    assert!(field(&world, "Account", "Internet_Eligibility__c").await.is_some());
}

#[tokio::test]
async fn a_field_can_be_hidden_from_one_user_only() {
    let mut world = World::default().await;
    world
        .simulator
        .org()
        .set_field_visible_to(simulator::SECOND_USERNAME, "Account", "Phone", false)
        .unwrap();
    world.query("SELECT Phone FROM Account LIMIT 1").await;
    world.simulator.org().set_signed_in_user(simulator::SECOND_USERNAME).unwrap();
    world.sign_in().await;
    assert_eq!(world.refused("SELECT Phone FROM Account LIMIT 1").await.0, "INVALID_FIELD");
}

#[tokio::test]
async fn a_hidden_object_is_as_if_it_did_not_exist() {
    let world = World::default().await;
    world.simulator.org().set_object_visible("PricebookEntry", false);
    assert_eq!(world.get("sobjects/PricebookEntry/describe").await.status(), 404);
    assert_eq!(world.refused("SELECT COUNT() FROM PricebookEntry").await.0, "INVALID_TYPE");
    assert!(!world.json("sobjects").await.to_string().contains("\"PricebookEntry\""));
    let (status, body) = world.create_job("query", "SELECT Id FROM PricebookEntry").await;
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("INVALID_TYPE")));
}
