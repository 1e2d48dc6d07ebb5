//! Bulk query jobs: states, pages, and what is refused.

use std::{collections::HashSet, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use simulator::Options;

use crate::client::World;

#[tokio::test]
async fn a_job_goes_through_its_states_and_counts_exactly() {
    let options = Options {
        bulk_queued: Duration::from_millis(300),
        bulk_running: Duration::from_millis(300),
        ..Options::default()
    };
    let world = World::start(options).await;
    let (status, created) = world.create_job("queryAll", "SELECT Id FROM Product2").await;
    assert_eq!(status, 200);
    assert_eq!(created["state"], "UploadComplete");
    assert_eq!((&created["object"], &created["operation"]), (&json!("Product2"), &json!("queryAll")));
    assert_eq!((&created["apiVersion"], &created["contentType"]), (&json!(67.0), &json!("CSV")));
    assert!(created["id"].as_str().unwrap().starts_with("750"));
    let path = format!("jobs/query/{}", created["id"].as_str().unwrap());

    let early = world.get(&format!("{path}/results")).await;
    assert_eq!(early.status(), 400);
    assert_eq!(early.json::<Value>().await.unwrap()[0]["errorCode"], "INVALIDJOBSTATE");
    let mut seen = vec!["UploadComplete".to_owned()];
    let done = loop {
        let job = world.json(&path).await;
        let state = job["state"].as_str().unwrap().to_owned();
        if seen.last() != Some(&state) {
            seen.push(state.clone());
        }
        if state == "JobComplete" {
            break job;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(seen, ["UploadComplete", "InProgress", "JobComplete"]);
    assert_eq!((&done["numberRecordsProcessed"], &done["jobType"]), (&json!(240), &json!("V2Query")));
}

#[tokio::test]
async fn pages_repeat_the_header_and_end_with_the_literal_null() {
    let world = World::default().await;
    let job = world.run_job("query", "SELECT Id, Name, Product2.Name, UnitPrice FROM PricebookEntry").await;
    let mut ids = Vec::new();
    let mut locator = String::new();
    let mut pages = 0;
    while locator != "null" {
        let mut parameters = vec![("maxRecords", "500")];
        if !locator.is_empty() {
            parameters.push(("locator", locator.as_str()));
        }
        let (records, announced, next) = world.page(&job, &parameters).await;
        assert_eq!(records.len() as u64, announced);
        // A page can be asked for again.
        assert_eq!(world.page(&job, &parameters).await.0, records);
        ids.extend(records.iter().map(|record| record[0].to_owned()));
        assert_ne!(locator, next);
        locator = next;
        pages += 1;
    }
    assert_eq!(pages, 3);
    assert!(ids.is_sorted());
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 1_200);
    assert_eq!(job["numberRecordsProcessed"], 1_200);
}

#[tokio::test]
async fn the_org_may_send_fewer_than_asked_for() {
    let world = World::start(Options { bulk_page_cap: Some(100), ..Options::default() }).await;
    let job = world.run_job("query", "SELECT Id FROM Product2").await;
    let (records, announced, locator) = world.page(&job, &[("maxRecords", "50000")]).await;
    assert_eq!((records.len(), announced), (100, 100));
    let (records, _, locator) = world.page(&job, &[("locator", &locator)]).await;
    assert_eq!(records.len(), 100);
    let (records, announced, locator) = world.page(&job, &[("locator", &locator)]).await;
    assert_eq!((records.len(), announced, locator.as_str()), (40, 40, "null"));
}

#[tokio::test]
async fn a_packed_page_is_the_same_page() {
    let world = World::default().await;
    let job = world.run_job("query", "SELECT Id, Name, Offer_Text__c FROM PricebookEntry").await;
    let path = format!("jobs/query/{}/results", job["id"].as_str().unwrap());
    let packed = world.get(&path).await.text().await.unwrap();
    let plain = reqwest::Client::builder().no_gzip().no_proxy().build().unwrap();
    let request = world.request(Method::GET, &path).build().unwrap();
    let reply = plain.execute(request).await.unwrap();
    assert!(!reply.headers().contains_key("content-encoding"));
    assert_eq!(reply.text().await.unwrap(), packed);
    assert_eq!(packed.lines().next().unwrap(), "\"Id\",\"Name\",\"Offer_Text__c\"");
}

#[tokio::test]
async fn odd_text_arrives_as_it_is() {
    let world = World::start(Options { long_text: true, nul_text: true, ..Options::default() }).await;
    let job = world.run_job("query", "SELECT Id, Name, Description, Notes__c FROM Product2").await;
    let (records, ..) = world.page(&job, &[]).await;
    assert_eq!(&records[3][1], "SIM \"Reise\" 5 GB, \"EU & UK\"");
    assert_eq!(
        &records[4][2],
        "First line\r\nsecond line\nthird \"quoted\", with a comma\rand a lone return"
    );
    assert!(records[5][1].contains("🏠"));
    assert_eq!(&records[6][2], "#N/A");
    assert!(records[7][1].starts_with("=SUM("));
    assert_eq!(&records[8][1], "null");
    assert_eq!(records[9][3].len(), 131_072);
    assert!(records[10][2].contains('\0'));
}

#[tokio::test]
async fn rest_and_bulk_agree_on_every_value() {
    let world = World::default().await;
    for object in ["Account", "Product2", "PricebookEntry"] {
        let description = world.json(&format!("sobjects/{object}/describe")).await;
        let fields: Vec<&str> = description["fields"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|field| field["type"] != "address")
            .map(|field| field["name"].as_str().unwrap())
            .collect();
        let soql = format!("SELECT {} FROM {object}", fields.join(", "));
        let job = world.run_job("query", &soql).await;
        let (records, ..) = world.page(&job, &[]).await;
        let page = world.query(&soql).await;
        assert_eq!(page["records"].as_array().unwrap().len(), records.len());
        for (json, csv) in page["records"].as_array().unwrap().iter().zip(&records) {
            for (field, csv) in fields.iter().zip(csv) {
                let json = match &json[field] {
                    Value::Null => String::new(),
                    Value::String(text) => text.replace(".000+0000", ".000Z"),
                    other => other.to_string(),
                };
                assert_eq!(json, csv, "{object}.{field}");
            }
        }
    }
}

#[tokio::test]
async fn results_are_frozen_when_the_job_ran() {
    let world = World::default().await;
    let org = world.simulator.org();
    let ids = org.ids("Product2", 0, 240);
    let job = world.run_job("query", "SELECT Id, Name FROM Product2").await;
    let before = world.page(&job, &[]).await.0;
    org.update("Product2", ids[0].as_str(), &json!({"Name": "Renamed"})).unwrap();
    org.delete("Product2", ids[1].as_str()).unwrap();
    org.insert("Product2", &json!({"Name": "New"})).unwrap();
    assert_eq!(world.page(&job, &[]).await.0, before);

    let job = world.run_job("query", "SELECT Id, Name FROM Product2").await;
    let after = world.page(&job, &[]).await.0;
    assert_eq!(after.len(), 240);
    assert_eq!(&after[0][1], "Renamed");
    assert_eq!(&after[239][1], "New");
}

#[tokio::test]
async fn an_empty_result_has_a_header_line_or_not() {
    for header in [true, false] {
        let world = World::start(Options { bulk_header_without_rows: header, ..Options::default() }).await;
        let job = world.run_job("query", "SELECT Id, Name FROM Account WHERE Name = 'nobody'").await;
        let reply = world.get(&format!("jobs/query/{}/results", job["id"].as_str().unwrap())).await;
        assert_eq!(reply.headers()["sforce-numberofrecords"], "0");
        assert_eq!(reply.headers()["sforce-locator"], "null");
        assert_eq!(reply.text().await.unwrap(), if header { "\"Id\",\"Name\"\n" } else { "" });
    }
}

#[tokio::test]
async fn delimiter_and_line_end_are_the_clients_choice() {
    let world = World::default().await;
    let body = json!({
        "operation": "query", "query": "SELECT Id, Name FROM Pricebook2", "columnDelimiter": "PIPE", "lineEnding": "CRLF",
    });
    let request = world.request(Method::POST, "jobs/query").header("Accept", "text/csv").json(&body);
    let job: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!((&job["columnDelimiter"], &job["lineEnding"]), (&json!("PIPE"), &json!("CRLF")));
    let path = format!("jobs/query/{}", job["id"].as_str().unwrap());
    while world.json(&path).await["state"] != "JobComplete" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let text = world.get(&format!("{path}/results")).await.text().await.unwrap();
    assert!(text.starts_with("\"Id\"|\"Name\"\r\n"), "{text}");
}

#[tokio::test]
async fn what_the_service_cannot_do_is_refused_at_once() {
    let world = World::default().await;
    for (soql, code, message) in [
        ("SELECT COUNT() FROM Account", "API_ERROR", "not supported in Bulk Query"),
        ("SELECT MAX(Id) FROM Account", "API_ERROR", "not supported in Bulk Query"),
        ("SELECT Name FROM Account GROUP BY Name", "API_ERROR", "not supported in Bulk Query"),
        ("SELECT Id FROM Account LIMIT 5 OFFSET 5", "API_ERROR", "OFFSET"),
        (
            "SELECT Id, BillingAddress FROM Account",
            "API_ERROR",
            "Selecting compound data not supported in Bulk Query",
        ),
        (
            "SELECT Id FROM Organization",
            "INVALIDENTITY",
            "Entity 'Organization' is not supported by the Bulk API.",
        ),
        ("SELECT Nope FROM Account", "INVALID_FIELD", "No such column 'Nope'"),
        ("SELECT Id FROM Nope", "INVALID_TYPE", "sObject type 'Nope'"),
        ("SELECT", "MALFORMED_QUERY", "unexpected token: <EOF>"),
    ] {
        let (status, body) = world.create_job("query", soql).await;
        assert_eq!((status, &body[0]["errorCode"]), (400, &json!(code)), "{soql}: {body}");
        assert!(body[0]["message"].as_str().unwrap().contains(message), "{soql}: {body}");
    }
    // ORDER BY and LIMIT are accepted.
    let job = world.run_job("query", "SELECT Id, Name FROM Account ORDER BY Name DESC LIMIT 7").await;
    assert_eq!(job["numberRecordsProcessed"], 7);
}

#[tokio::test]
async fn another_version_cannot_read_the_results() {
    let world = World::default().await;
    let job = world.run_job("query", "SELECT Id FROM Product2").await;
    let id = job["id"].as_str().unwrap();
    assert_eq!(world.get(&format!("/services/data/v66.0/jobs/query/{id}/results")).await.status(), 409);
    assert_eq!(world.get(&format!("/services/data/v67.0/jobs/query//{id}")).await.status(), 404);
    let reply = world.get(&format!("jobs/query/{id}/results?locator=bm9uc2Vuc2U=")).await;
    assert_eq!(reply.status(), 400);
}

#[tokio::test]
async fn jobs_are_aborted_deleted_and_listed() {
    let options = Options { bulk_queued: Duration::from_hours(1), ..Options::default() };
    let world = World::start(options).await;
    let (_, job) = world.create_job("query", "SELECT Id FROM Product2").await;
    let path = format!("jobs/query/{}", job["id"].as_str().unwrap());
    let delete = || world.request(Method::DELETE, &path).send();
    let reply = delete().await.unwrap();
    assert_eq!(reply.status(), 400);
    let abort = || world.request(Method::PATCH, &path).json(&json!({"state": "Aborted"})).send();
    let aborted: Value = abort().await.unwrap().json().await.unwrap();
    assert_eq!(aborted["state"], "Aborted");
    assert_eq!(abort().await.unwrap().status(), 400);

    let list = world.json("jobs/query?jobType=V2Query").await;
    assert_eq!((list["records"].as_array().unwrap().len(), &list["done"]), (1, &json!(true)));
    assert_eq!(world.json("jobs/query?jobType=Classic").await["records"], json!([]));

    let reply = delete().await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.text().await.unwrap().as_str()), (204, ""));
    let reply = world.get(&path).await;
    assert_eq!(reply.status(), 404);
    assert_eq!(
        reply.json::<Value>().await.unwrap(),
        json!([{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}])
    );
}

#[tokio::test]
async fn result_pages_name_at_most_five_addresses() {
    let world = World::default().await;
    let job = world.run_job("query", "SELECT Id FROM PricebookEntry").await;
    let mut next = format!("jobs/query/{}/resultPages?maxRecords=200", job["id"].as_str().unwrap());
    let mut total = 0;
    loop {
        let list = world.json(&next).await;
        let pages = list["resultPages"].as_array().unwrap();
        assert!(pages.len() <= 5);
        for page in pages {
            let text = world.get(page["resultUrl"].as_str().unwrap()).await.text().await.unwrap();
            total += text.lines().count() - 1;
        }
        match list["nextRecordsUrl"].as_str() {
            Some(url) => next = format!("{url}&maxRecords=200"),
            None => break,
        }
    }
    assert_eq!(total, 1_200);
}

#[tokio::test]
async fn jobs_and_results_are_gone_after_seven_days() {
    let world = World::default().await;
    let job = world.run_job("query", "SELECT Id FROM Product2").await;
    world.simulator.org().set_clock_ahead_ms(8 * 86_400_000);
    assert_eq!(world.get(&format!("jobs/query/{}", job["id"].as_str().unwrap())).await.status(), 404);
}
