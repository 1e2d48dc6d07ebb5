//! Records that are changed, deleted and restored, and the file that remembers it.

use serde_json::{Value, json};
use simulator::{Options, Simulator, Why};

use crate::client::World;

async fn count(world: &World, soql: &str) -> u64 {
    world.query(soql).await["totalSize"].as_u64().unwrap()
}

#[tokio::test]
async fn an_update_moves_the_stamp_and_a_hidden_change_does_not() {
    let world = World::default().await;
    let org = world.simulator.org();
    let id = org.ids("Product2", 5, 1)[0];
    let stamp = || org.record("Product2", id.as_str()).unwrap()["SystemModstamp"].clone();
    let before = stamp();
    org.change_hidden("Product2", id.as_str(), &json!({"Name": "Quietly renamed"})).unwrap();
    assert_eq!(stamp(), before);
    org.update("Product2", id.as_str(), &json!({"Description": "Said aloud"})).unwrap();
    assert_ne!(stamp(), before);
    assert!(stamp().as_str().unwrap().ends_with(".000+0000"));
    let record = org.record("Product2", id.as_str()).unwrap();
    assert_eq!((&record["Name"], &record["Description"]), (&json!("Quietly renamed"), &json!("Said aloud")));
    assert!(org.update("Product2", id.as_str(), &json!({"Nope": 1})).is_err());
    assert!(org.update("Product2", id.as_str(), &json!({"Bandwidth_Mbit__c": "fast"})).is_err());
}

#[tokio::test]
async fn the_names_of_entries_follow_their_product_without_a_stamp() {
    let world = World::default().await;
    let org = world.simulator.org();
    let product = org.ids("Product2", 3, 1)[0];
    let soql = format!(
        "SELECT Id, Name, ProductCode, SystemModstamp FROM PricebookEntry WHERE Product2Id = '{product}'"
    );
    let before = world.query(&soql).await;
    org.update("Product2", product.as_str(), &json!({"Name": "Another name", "ProductCode": "X-1"})).unwrap();
    let after = world.query(&soql).await;
    assert_eq!(after["totalSize"], 5);
    for (before, after) in
        before["records"].as_array().unwrap().iter().zip(after["records"].as_array().unwrap())
    {
        assert_eq!((&after["Name"], &after["ProductCode"]), (&json!("Another name"), &json!("X-1")));
        assert_eq!(before["SystemModstamp"], after["SystemModstamp"]);
    }
}

#[tokio::test]
async fn entries_that_use_the_standard_price_follow_it() {
    let world = World::default().await;
    let org = world.simulator.org();
    let soql =
        "SELECT Id, Product2Id, CurrencyIsoCode, UnitPrice FROM PricebookEntry WHERE UseStandardPrice = true";
    let follower = world.query(soql).await["records"][0].clone();
    let standard = format!(
        "SELECT Id, UnitPrice FROM PricebookEntry WHERE Pricebook2.IsStandard = true AND Product2Id = '{}' \
         AND CurrencyIsoCode = '{}'",
        follower["Product2Id"].as_str().unwrap(),
        follower["CurrencyIsoCode"].as_str().unwrap()
    );
    let standard = world.query(&standard).await["records"][0].clone();
    assert_eq!(standard["UnitPrice"], follower["UnitPrice"]);
    org.update("PricebookEntry", standard["Id"].as_str().unwrap(), &json!({"UnitPrice": 123.45})).unwrap();
    let id = follower["Id"].as_str().unwrap();
    assert_eq!(org.record("PricebookEntry", id).unwrap()["UnitPrice"], json!(123.45));
}

#[tokio::test]
async fn deleted_records_stay_in_query_all_until_they_are_purged() {
    let world = World::default().await;
    let org = world.simulator.org();
    let ids = org.ids("Account", 0, 2);
    org.delete("Account", ids[0].as_str()).unwrap();
    assert_eq!(count(&world, "SELECT COUNT() FROM Account").await, 319);
    let all = async |soql: &str| {
        let reply =
            world.request(reqwest::Method::GET, "queryAll").query(&[("q", soql)]).send().await.unwrap();
        reply.json::<Value>().await.unwrap()
    };
    assert_eq!(all("SELECT COUNT() FROM Account").await["totalSize"], 320);
    let deleted = all("SELECT Id, IsDeleted FROM Account WHERE IsDeleted = true").await;
    assert_eq!(deleted["records"][0]["Id"], ids[0].as_str());
    assert_eq!(count(&world, "SELECT COUNT() FROM Account WHERE IsDeleted = true").await, 0);
    let reply = world.get(&format!("sobjects/Account/{}", ids[0])).await;
    assert_eq!(reply.json::<Value>().await.unwrap()[0]["errorCode"], "ENTITY_IS_DELETED");

    org.undelete("Account", ids[0].as_str()).unwrap();
    assert_eq!(count(&world, "SELECT COUNT() FROM Account").await, 320);
    org.purge("Account", ids[1].as_str()).unwrap();
    assert_eq!(all("SELECT COUNT() FROM Account").await["totalSize"], 319);
    assert!(org.record("Account", ids[1].as_str()).is_none());
}

#[tokio::test]
async fn deleting_a_product_deletes_its_entries() {
    let world = World::default().await;
    let org = world.simulator.org();
    let product = org.ids("Product2", 0, 1)[0];
    org.delete("Product2", product.as_str()).unwrap();
    assert_eq!((org.count("Product2"), org.count("PricebookEntry")), (239, 1_195));
}

#[tokio::test]
async fn an_inserted_record_is_found_and_sorted_by_its_id() {
    let world = World::default().await;
    let org = world.simulator.org();
    let given = "01tSM000001000zAAA";
    let id = org
        .insert("Product2", &json!({"Id": given, "Name": "First of all", "StockKeepingUnit": "NEW-1"}))
        .unwrap();
    assert_eq!(&id.as_str()[..15], &given[..15]);
    let made = org.insert("Product2", &json!({"Name": "Last of all"})).unwrap();
    let found = world.query("SELECT Id, Name, IsActive, CreatedBy.Name FROM Product2").await;
    let records = found["records"].as_array().unwrap();
    assert_eq!((records.len(), &records[0]["Name"]), (242, &json!("First of all")));
    assert_eq!(records[241]["Id"], made.as_str());
    assert_eq!(records[241]["IsActive"], true);
    let twice = org.insert("Product2", &json!({"Id": given, "Name": "Again"}));
    assert!(twice.unwrap_err().to_string().contains("already"));
}

#[tokio::test]
async fn what_was_updated_and_deleted_is_listed_by_time() {
    let world = World::default().await;
    let org = world.simulator.org();
    let ids = org.ids("Account", 0, 3);
    org.update("Account", ids[0].as_str(), &json!({"Name": "Changed"})).unwrap();
    org.delete("Account", ids[1].as_str()).unwrap();
    let now = chrono::DateTime::from(std::time::SystemTime::now());
    let text = |time: chrono::DateTime<chrono::Utc>| time.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let span = format!(
        "start={}&end={}",
        text(now - chrono::TimeDelta::hours(1)),
        text(now + chrono::TimeDelta::minutes(5))
    );
    let updated = world.json(&format!("sobjects/Account/updated/?{span}")).await;
    assert_eq!(updated["ids"], json!([ids[0].as_str()]));
    let deleted = world.json(&format!("sobjects/Account/deleted/?{span}")).await;
    assert_eq!(deleted["deletedRecords"][0]["id"], ids[1].as_str());
    let reply =
        world.get("sobjects/Account/updated/?start=2020-01-01T00:00:00Z&end=2020-01-02T00:00:00Z").await;
    assert_eq!(reply.json::<Value>().await.unwrap()[0]["errorCode"], "INVALID_REPLICATION_DATE");
}

#[tokio::test]
async fn a_restarted_org_has_not_forgotten_its_changes() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { state: Some(folder.path().join("state.jsonl")), ..Options::default() };
    let first = Simulator::start(options.clone()).await.unwrap();
    let ids = first.org().ids("Product2", 0, 2);
    first.org().update("Product2", ids[0].as_str(), &json!({"Name": "Kept"})).unwrap();
    first.org().delete("Product2", ids[1].as_str()).unwrap();
    let inserted = first.org().insert("Account", &json!({"Name": "Kept too"})).unwrap();
    let record = first.org().record("Product2", ids[0].as_str());
    let org_id = first.org().id();
    first.stop().await;

    let second = Simulator::start(options.clone()).await.unwrap();
    assert_eq!(second.org().id(), org_id);
    assert_eq!(second.org().record("Product2", ids[0].as_str()), record);
    assert_eq!(second.org().count("Product2"), 239);
    assert_eq!(second.org().record("Account", inserted.as_str()).unwrap()["Name"], "Kept too");
    second.stop().await;

    let other = Simulator::start(Options { seed: 2, ..options }).await;
    assert!(other.err().unwrap().to_string().contains("use another state file"));
}

#[tokio::test]
async fn the_same_seed_makes_the_same_org_and_another_seed_another() {
    let start = async |seed| Simulator::start(Options { seed, ..Options::default() }).await.unwrap();
    let (first, same, other) = (start(7).await, start(7).await, start(8).await);
    let id = first.org().ids("PricebookEntry", 100, 1)[0];
    let record = |simulator: &Simulator| simulator.org().record("PricebookEntry", id.as_str()).unwrap();
    assert_eq!(record(&first), record(&same));
    assert_ne!(record(&first), record(&other));
    assert_eq!(first.org().id(), same.org().id());
    assert_ne!(first.org().id(), other.org().id());
}

#[tokio::test]
async fn the_made_up_catalogue_holds_what_a_shop_cannot_store() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let oddities = simulator.org().oddities();
    let count = |wanted: fn(&Why) -> bool| oddities.iter().filter(|oddity| wanted(&oddity.why)).count();
    assert_eq!(count(|why| *why == Why::NoCode), 2);
    assert_eq!(count(|why| matches!(why, Why::CodeTaken { .. })), 5);
    assert_eq!(count(|why| *why == Why::ProductMissing), 7 * 5);
    assert_eq!(count(|why| *why == Why::PriceNotExact), 2);

    // The oldest of three claimants holds the code, though its id is not the smallest.
    let ids = simulator.org().ids("Product2", 0, 60);
    let taken: Vec<_> = oddities
        .iter()
        .filter_map(|oddity| match &oddity.why {
            Why::CodeTaken { holder, .. } if *holder == ids[47] => Some(oddity.id),
            _ => None,
        })
        .collect();
    assert_eq!(taken, [ids[31], ids[58]]);
}
