//! Planned misbehaviour reaches the client as it is meant to.

use std::time::{Duration, Instant};

use serde_json::Value;
use simulator::Fault;

use crate::client::World;

#[tokio::test]
async fn refusals_have_their_status_and_shape() {
    let world = World::default().await;
    let org = world.simulator.org();
    for (fault, status, part) in [
        (Fault::QuotaSpent, 403, "TotalRequests Limit exceeded."),
        (Fault::ConcurrentLimit, 403, "ConcurrentRequests"),
        (Fault::TooManyRequests { retry_after: Some(3) }, 429, "REQUEST_LIMIT_EXCEEDED"),
        (Fault::Unavailable { retry_after: None }, 503, "SERVER_UNAVAILABLE"),
        (Fault::HtmlUnavailable, 503, "<!DOCTYPE html>"),
        (Fault::HtmlOk, 200, "<!DOCTYPE html>"),
        (Fault::ServerError, 500, "UNKNOWN_EXCEPTION"),
        (Fault::Status { status: 420 }, 420, ""),
        (Fault::Status { status: 406 }, 406, ""),
    ] {
        org.inject("GET /services/data/*/limits", fault.clone(), 1);
        let reply = world.get("limits").await;
        assert_eq!(reply.status(), status, "{fault:?}");
        let retry_after = reply.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(retry_after.is_some(), matches!(fault, Fault::TooManyRequests { .. }));
        assert!(reply.text().await.unwrap().contains(part), "{fault:?}");
        assert_eq!(world.get("limits").await.status(), 200);
    }
}

#[tokio::test]
async fn an_expired_session_stays_expired() {
    let mut world = World::default().await;
    world.simulator.org().inject("*/limits", Fault::ExpiredSession, 1);
    let reply = world.get("limits").await;
    assert_eq!(reply.status(), 401);
    assert_eq!(reply.json::<Value>().await.unwrap()[0]["errorCode"], "INVALID_SESSION_ID");
    assert_eq!(world.get("sobjects").await.status(), 401);
    world.sign_in().await;
    assert_eq!(world.get("sobjects").await.status(), 200);
}

#[tokio::test]
async fn sessions_can_expire_while_grants_live() {
    let world = World::default().await;
    world.simulator.org().expire_sessions();
    assert_eq!(world.get("limits").await.status(), 401);
}

#[tokio::test]
async fn a_cut_page_arrives_in_part_and_then_breaks() {
    let world = World::default().await;
    let job = world.run_job("query", "SELECT Id, Name FROM PricebookEntry").await;
    world.simulator.org().inject("*/results", Fault::Cut { after_bytes: 1_000 }, 1);
    let path = format!("jobs/query/{}/results", job["id"].as_str().unwrap());
    let plain = reqwest::Client::builder().no_gzip().no_proxy().build().unwrap();
    let mut reply = plain.execute(world.request(reqwest::Method::GET, &path).build().unwrap()).await.unwrap();
    assert_eq!(reply.headers()["sforce-numberofrecords"], "1200");
    let mut received = 0;
    let broken = loop {
        match reply.chunk().await {
            Ok(Some(bytes)) => received += bytes.len(),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken, "the body ended as if it were whole");
    assert_eq!(received, 1_000);
    assert_eq!(world.page(&job, &[]).await.0.len(), 1_200);
}

#[tokio::test]
async fn a_short_page_announces_more_than_it_holds() {
    let world = World::default().await;
    let job = world.run_job("query", "SELECT Id FROM PricebookEntry").await;
    world.simulator.org().inject("*/results", Fault::ShortPage { missing: 3 }, 1);
    let (records, announced, locator) = world.page(&job, &[("maxRecords", "100")]).await;
    assert_eq!((records.len(), announced), (97, 100));
    assert_ne!(locator, "null");
    assert_eq!(world.page(&job, &[("maxRecords", "100")]).await.0.len(), 100);
}

#[tokio::test]
async fn a_job_fails_with_a_message_or_without() {
    let world = World::default().await;
    for message in [Some("QUERY_TIMEOUT: Your query request was running for too long.".to_owned()), None] {
        world.simulator.org().inject("POST */jobs/query", Fault::JobFailed { message: message.clone() }, 1);
        let job = world.run_job("query", "SELECT Id FROM Product2").await;
        assert_eq!(job["state"], "Failed");
        assert_eq!(job.get("errorMessage").and_then(Value::as_str), message.as_deref());
    }
    assert_eq!(world.run_job("query", "SELECT Id FROM Product2").await["state"], "JobComplete");
}

#[tokio::test]
async fn a_hanging_job_hangs_until_it_is_aborted() {
    let world = World::default().await;
    world.simulator.org().inject("POST */jobs/query", Fault::JobHangs, 1);
    let (_, job) = world.create_job("query", "SELECT Id FROM Product2").await;
    let path = format!("jobs/query/{}", job["id"].as_str().unwrap());
    world.simulator.org().set_clock_ahead_ms(3_600_000);
    assert_eq!(world.json(&path).await["state"], "InProgress");
    let abort = world.request(reqwest::Method::PATCH, &path).json(&serde_json::json!({"state": "Aborted"}));
    assert_eq!(abort.send().await.unwrap().json::<Value>().await.unwrap()["state"], "Aborted");
}

#[tokio::test]
async fn a_slow_answer_is_slow() {
    let world = World::default().await;
    world.simulator.org().inject("*/limits", Fault::Slow { delay_ms: 300 }, 1);
    let begun = Instant::now();
    assert_eq!(world.get("limits").await.status(), 200);
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_lost_answer_was_carried_out_all_the_same() {
    let world = World::default().await;
    world.simulator.org().inject("POST */jobs/query", Fault::LostAnswer, 1);
    let body = serde_json::json!({"operation": "query", "query": "SELECT Id FROM Product2"});
    assert!(world.request(reqwest::Method::POST, "jobs/query").json(&body).send().await.is_err());
    assert_eq!(world.json("jobs/query").await["records"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_token_endpoint_misbehaves_in_its_own_form() {
    let world = World::default().await;
    let fault = Fault::OAuth {
        error: "rate_limit_exceeded".to_owned(),
        description: "login rate exceeded".to_owned(),
    };
    world.simulator.org().inject("/services/oauth2/token", fault, 1);
    let (status, body) = world.post_form("services/oauth2/token", &[("grant_type", "refresh_token")]).await;
    assert_eq!((status, body["error"].as_str()), (400, Some("rate_limit_exceeded")));
}

#[tokio::test]
async fn requests_are_counted_per_path() {
    let world = World::default().await;
    for _ in 0..3 {
        world.query("SELECT COUNT() FROM Account").await;
    }
    let org = world.simulator.org();
    assert_eq!(org.requests("GET /services/data/*/query"), 3);
    assert_eq!(org.requests("POST /services/oauth2/token"), 1);
    let last = org.request_log().pop().unwrap();
    assert_eq!((last.method.as_str(), last.status), ("GET", 200));
    assert!(last.target.contains("q=SELECT"));
}
