//! REST queries: pages, aggregates, filters, and what is refused and how.

use std::collections::HashSet;

use reqwest::Method;
use serde_json::{Value, json};
use simulator::Options;

use crate::client::World;

#[tokio::test]
async fn versions_need_no_sign_in_and_cost_nothing() {
    let world = World::default().await;
    let used = world.simulator.org().api_requests_used();
    let reply = world.http.get(world.at("services/data/")).send().await.unwrap();
    assert!(!reply.headers().contains_key("sforce-limit-info"));
    let versions: Value = reply.json().await.unwrap();
    let newest = versions.as_array().unwrap().last().unwrap();
    assert_eq!(newest, &json!({"label": "Summer '26", "url": "/services/data/v67.0", "version": "67.0"}));
    assert_eq!(world.simulator.org().api_requests_used(), used);
    assert_eq!(world.get("/services/data/v99.0/limits").await.status(), 404);
}

#[tokio::test]
async fn every_call_counts_and_says_so() {
    let world = World::default().await;
    for expected in 1..=3 {
        let reply = world.get("limits").await;
        assert_eq!(reply.headers()["sforce-limit-info"], format!("api-usage={expected}/100000"));
    }
    world.simulator.org().set_api_requests(100_000, 100_000);
    let reply = world.get("limits").await;
    assert_eq!(reply.status(), 403);
    let body: Value = reply.json().await.unwrap();
    assert_eq!(
        body,
        json!([{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}])
    );
}

#[tokio::test]
async fn a_count_stands_in_total_size() {
    let world = World::default().await;
    assert_eq!(
        world.query("SELECT COUNT() FROM PricebookEntry").await,
        json!({"totalSize": 1200, "done": true, "records": []})
    );
    assert_eq!(
        world.query("select count() from account where Internet_Eligibility__c = null").await["totalSize"],
        24
    );
}

#[tokio::test]
async fn pages_follow_one_another_and_hold_every_record_once() {
    let world = World::start(Options { prices: 4_500, ..Options::default() }).await;
    let mut page = world.query("SELECT Id, Name, Product2.Name FROM PricebookEntry").await;
    assert_eq!(page["totalSize"], 4_500);
    let mut ids = Vec::new();
    let mut sizes = Vec::new();
    loop {
        let records = page["records"].as_array().unwrap();
        sizes.push(records.len());
        for record in records {
            assert_eq!(record["attributes"]["type"], "PricebookEntry");
            assert_eq!(record["Name"], record["Product2"]["Name"]);
            ids.push(record["Id"].as_str().unwrap().to_owned());
        }
        if page["done"] == true {
            assert!(page.get("nextRecordsUrl").is_none());
            break;
        }
        page = world.json(page["nextRecordsUrl"].as_str().unwrap()).await;
    }
    assert_eq!(sizes, [2_000, 2_000, 500]);
    assert!(ids.is_sorted());
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 4_500);
}

#[tokio::test]
async fn the_batch_size_is_advice_between_200_and_2000() {
    let world = World::default().await;
    for (wished, given) in [("batchSize=250", 250), ("batchSize=10", 200), ("batchSize=9000", 1_200)] {
        let request = world.request(Method::GET, "query").query(&[("q", "SELECT Id FROM PricebookEntry")]);
        let page: Value =
            request.header("Sforce-Query-Options", wished).send().await.unwrap().json().await.unwrap();
        assert_eq!(page["records"].as_array().unwrap().len(), given, "{wished}");
    }
}

#[tokio::test]
async fn the_eleventh_cursor_drops_the_first() {
    let world = World::start(Options { prices: 2_500, ..Options::default() }).await;
    let first =
        world.query("SELECT Id FROM PricebookEntry").await["nextRecordsUrl"].as_str().unwrap().to_owned();
    for _ in 0..9 {
        world.query("SELECT Id FROM PricebookEntry").await;
    }
    assert_eq!(world.get(&first).await.status(), 200);
    world.query("SELECT Id FROM PricebookEntry").await;
    let reply = world.get(&first).await;
    assert_eq!(reply.status(), 400);
    assert_eq!(reply.json::<Value>().await.unwrap()[0]["errorCode"], "INVALID_QUERY_LOCATOR");
}

#[tokio::test]
async fn aggregates_carry_their_aliases() {
    let world = World::default().await;
    let body = world
        .query("SELECT COUNT(Id) c, COUNT(StockKeepingUnit), MIN(SystemModstamp) mn, MAX(Name) FROM Product2")
        .await;
    let record = &body["records"][0];
    assert_eq!(record["attributes"], json!({"type": "AggregateResult"}));
    assert_eq!(record["c"], 240);
    assert!(record["expr0"].as_u64().unwrap() < 240);
    assert!(record["mn"].as_str().unwrap().ends_with(".000+0000"));
    assert!(record["expr1"].is_string());

    let body = world
        .query(
            "SELECT CALENDAR_YEAR(SystemModstamp) y, CALENDAR_MONTH(SystemModstamp) m, COUNT(Id) c, SUM(UnitPrice) s \
             FROM PricebookEntry GROUP BY CALENDAR_YEAR(SystemModstamp), CALENDAR_MONTH(SystemModstamp) \
             ORDER BY CALENDAR_YEAR(SystemModstamp), CALENDAR_MONTH(SystemModstamp)",
        )
        .await;
    let groups = body["records"].as_array().unwrap();
    assert!(groups.len() > 12);
    assert_eq!(groups.iter().map(|group| group["c"].as_u64().unwrap()).sum::<u64>(), 1_200);
    assert_eq!((&groups[0]["y"], &groups[0]["m"]), (&json!(2024), &json!(2)));
}

#[tokio::test]
async fn doubled_codes_are_there_on_purpose() {
    let world = World::default().await;
    let body = world
        .query(
            "SELECT StockKeepingUnit, COUNT(Id) c FROM Product2 WHERE StockKeepingUnit != null \
             GROUP BY StockKeepingUnit HAVING COUNT(Id) > 1 ORDER BY COUNT(Id)",
        )
        .await;
    let counts: Vec<u64> =
        body["records"].as_array().unwrap().iter().map(|group| group["c"].as_u64().unwrap()).collect();
    assert_eq!(counts, [2, 2, 3]);
    let missing = "SELECT COUNT() FROM Product2 WHERE StockKeepingUnit = null AND ProductCode = null";
    assert_eq!(world.query(missing).await["totalSize"], 2);
}

#[tokio::test]
async fn filters_find_what_they_should() {
    let world = World::default().await;
    let count = async |filter: &str| {
        world.query(&format!("SELECT COUNT() FROM Product2 WHERE {filter}")).await["totalSize"]
            .as_u64()
            .unwrap()
    };
    let sims = count("Family = 'sim'").await;
    assert!(sims > 20);
    assert_eq!(count("Family IN ('SIM', 'Internet')").await, sims + count("Family = 'Internet'").await);
    assert_eq!(count("Family NOT IN ('SIM')").await, 240 - sims);
    assert_eq!(count("NOT Family = 'SIM'").await, 240 - sims);
    assert_eq!(count("Name LIKE 'sim %'").await, count("Name LIKE 'SIM _%'").await);
    assert_eq!(count("Name LIKE '%\\%%'").await, 0);
    assert_eq!(count("(Family = 'SIM' AND IsActive = true) OR Family = 'SIM'").await, sims);
    assert_eq!(count("VPN_Region__c != null").await, count("Family = 'VPN'").await);
    assert_eq!(count("Bandwidth_Mbit__c >= 100 AND Bandwidth_Mbit__c < 1e3").await, {
        count("Bandwidth_Mbit__c = 100").await
            + count("Bandwidth_Mbit__c = 250").await
            + count("Bandwidth_Mbit__c = 500").await
    });
    assert_eq!(count("SystemModstamp >= 2024-01-01T00:00:00Z").await, 240);
    assert_eq!(count("SystemModstamp > 2024-01-01T01:00:00%2B01:00".replace("%2B", "+").as_str()).await, 240);
    assert_eq!(count("SystemModstamp = LAST_N_DAYS:30").await, 0);
    assert_eq!(count("Launched_On__c > 2024-01-01 AND CreatedDate < TODAY").await, 240);
    assert_eq!(count("CreatedBy.Username LIKE 'catalogue.%'").await, 240);

    let id =
        world.query("SELECT Id FROM Product2 LIMIT 1").await["records"][0]["Id"].as_str().unwrap().to_owned();
    assert_eq!(count(&format!("Id = '{}'", &id[..15])).await, 1);
    assert_eq!(count(&format!("Id IN ('{id}', '01tSM0000000000AAA')")).await, 1);
}

#[tokio::test]
async fn keyset_pages_by_stamp_and_id_meet_every_record() {
    let world = World::default().await;
    let mut seen = HashSet::new();
    let mut filter = String::new();
    loop {
        let soql = format!(
            "SELECT Id, SystemModstamp FROM PricebookEntry {filter} ORDER BY SystemModstamp, Id LIMIT 170"
        );
        let page = world.query(&soql).await;
        let records = page["records"].as_array().unwrap().clone();
        let Some(last) = records.last() else { break };
        seen.extend(records.iter().map(|record| record["Id"].as_str().unwrap().to_owned()));
        let stamp = last["SystemModstamp"].as_str().unwrap().replace("+0000", "Z");
        let id = last["Id"].as_str().unwrap();
        filter = format!("WHERE SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND Id > '{id}')");
    }
    assert_eq!(seen.len(), 1_200);
}

#[tokio::test]
async fn refusals_show_the_place() {
    let world = World::default().await;
    let (code, message) = world.refused("SELECT Id, Nope__c FROM Account").await;
    assert_eq!(code, "INVALID_FIELD");
    assert!(
        message.starts_with(
            "\nSELECT Id, Nope__c FROM Account\n           ^\nERROR at Row:1:Column:12\n\
             No such column 'Nope__c' on entity 'Account'. If you are attempting to use a custom field, be sure to \
             append the '__c'"
        ),
        "{message}"
    );
    for (soql, code, ending) in [
        ("SELECT Id FRM Account", "MALFORMED_QUERY", "unexpected token: 'Account'"),
        ("SELECT Id FROM", "MALFORMED_QUERY", "unexpected token: <EOF>"),
        (
            "SELECT Name, COUNT(Id) FROM Account",
            "MALFORMED_QUERY",
            "Field must be grouped or aggregated: Name",
        ),
        ("SELECT Name n FROM Account", "MALFORMED_QUERY", "only aggregate expressions use field aliasing"),
        ("SELECT FIELDS(ALL) FROM Account", "MALFORMED_QUERY", "must have a LIMIT of at most 200"),
        ("SELECT Id FROM Account WHERE Id = 'x'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: x"),
        (
            "SELECT Id FROM Account WHERE CreatedDate > '2026-01-01'",
            "INVALID_FIELD",
            "value of filter criterion for field 'CreatedDate' must be of type dateTime and should not be enclosed in quotes",
        ),
        (
            "SELECT MAX(CreatedDate) FROM Account LIMIT 1",
            "MALFORMED_QUERY",
            "Non-grouped query that uses overall aggregate functions cannot also use LIMIT",
        ),
        ("SELECT Id FROM Account WHERE Name = 'it's'", "MALFORMED_QUERY", "missing closing quote"),
    ] {
        let (found, message) = world.refused(soql).await;
        assert_eq!(found, code, "{soql}");
        assert!(message.ends_with(ending), "{soql}: {message}");
    }
    let (code, message) = world.refused("SELECT Id FROM Nope").await;
    assert_eq!(code, "INVALID_TYPE");
    assert!(message.contains("sObject type 'Nope' is not supported."), "{message}");
    let (_, message) = world.refused("SELECT Nope.Name FROM PricebookEntry").await;
    assert!(message.contains("Didn't understand relationship 'Nope' in field path"), "{message}");
}

#[tokio::test]
async fn records_come_by_id_singly_and_by_the_thousand() {
    let world = World::default().await;
    let ids: Vec<String> =
        world.simulator.org().ids("Product2", 0, 240).iter().map(ToString::to_string).collect();
    let record = world.json(&format!("sobjects/Product2/{}?fields=Name,IsActive", &ids[0][..15])).await;
    assert_eq!(record.as_object().unwrap().len(), 3);
    assert_eq!(world.json(&format!("sobjects/Product2/{}", ids[1])).await["Id"], ids[1]);
    assert_eq!(world.get("sobjects/Product2/01tSM0000000000AAA").await.status(), 404);
    let user =
        world.query("SELECT Id FROM User WHERE Username LIKE 'sync.%'").await["records"][0]["Id"].clone();
    let user = world.json(&format!("/services/data/v51.0/sobjects/User/{}", user.as_str().unwrap())).await;
    assert_eq!(user["Username"], simulator::DEMO_USERNAME);

    let fetch = async |body: Value| {
        let request = world.request(Method::POST, "composite/sobjects/Product2").json(&body);
        let reply = request.send().await.unwrap();
        (reply.status().as_u16(), reply.json::<Value>().await.unwrap())
    };
    let (status, body) =
        fetch(json!({"ids": [ids[5], "01tSM0000000000AAA", ids[2]], "fields": ["Id", "Name"]})).await;
    assert_eq!(status, 200);
    assert_eq!((&body[0]["Id"], &body[1], &body[2]["Id"]), (&json!(ids[5]), &Value::Null, &json!(ids[2])));
    let (status, body) = fetch(json!({"ids": [ids[0]], "fields": ["Nope"]})).await;
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("INVALID_FIELD")));
    let (_, body) = fetch(json!({"ids": vec![&ids[0]; 2_001], "fields": ["Id"]})).await;
    assert_eq!(body[0]["errorCode"], "EXCEEDED_ID_LIMIT");
    let listed =
        world.json(&format!("composite/sobjects/Product2?ids={},{}&fields=Id", ids[1], ids[0])).await;
    assert_eq!(listed[1]["Id"], ids[0]);
}

#[tokio::test]
async fn the_org_says_what_it_is() {
    let world = World::default().await;
    let body = world.query("SELECT Id, Name, OrganizationType, IsSandbox FROM Organization").await;
    assert_eq!(body["records"][0]["Id"], world.simulator.org().id().as_str());
    assert_eq!(body["records"][0]["OrganizationType"], "Enterprise Edition");
    let body = world.json("connect/organization").await;
    assert_eq!(body["features"]["defaultCurrencyIsoCode"], "EUR");
    let body = world.json("limits/recordCount?sObjects=Product2,Unknown,Account").await;
    let mut counts: Vec<_> = body["sObjects"].as_array().unwrap().clone();
    counts.sort_by_key(|count| count["name"].to_string());
    assert_eq!(counts, [json!({"count": 320, "name": "Account"}), json!({"count": 240, "name": "Product2"})]);
    let limits = world.json("limits").await;
    assert_eq!(limits["DailyApiRequests"]["Max"], 100_000);
    assert_eq!(limits["DailyBulkV2QueryJobs"]["Max"], 10_000);
}

#[tokio::test]
async fn json_is_packed_when_asked_for_and_worth_it() {
    let world = World::default().await;
    let request = world.request(Method::GET, "sobjects/Account/describe").header("accept-encoding", "gzip");
    let plain = reqwest::Client::builder().no_gzip().no_proxy().build().unwrap();
    let reply = plain.execute(request.build().unwrap()).await.unwrap();
    assert_eq!(reply.headers()["content-encoding"], "gzip");
    assert_eq!(&reply.bytes().await.unwrap()[..2], [0x1f, 0x8b]);
}

#[tokio::test]
async fn an_address_of_more_than_16_kilobytes_is_refused() {
    let world = World::default().await;
    let soql = format!("SELECT Id FROM Account WHERE Name = '{}'", "x".repeat(3_000));
    assert_eq!(world.query(&soql).await["totalSize"], 0);
    let soql = format!("SELECT Id FROM Account WHERE Name IN ('{}')", "x".repeat(16_500));
    let reply = world.request(Method::GET, "query").query(&[("q", soql)]).send().await.unwrap();
    assert_eq!(reply.status(), 414);
}

#[tokio::test]
async fn a_batch_answers_each_request_by_itself() {
    let world = World::default().await;
    let body = json!({"batchRequests": [
        {"method": "GET", "url": "v67.0/sobjects/Product2/describe"},
        {"method": "GET", "url": "v67.0/sobjects/Nope/describe"},
    ]});
    let reply = world.request(Method::POST, "composite/batch").json(&body).send().await.unwrap();
    let body: Value = reply.json().await.unwrap();
    assert_eq!(body["hasErrors"], true);
    assert_eq!(body["results"][0]["result"]["name"], "Product2");
    assert_eq!(body["results"][1]["statusCode"], 404);
}
