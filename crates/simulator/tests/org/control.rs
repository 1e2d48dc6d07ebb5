//! The control page's endpoints, and who is kept out.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use simulator::{DEMO_CLIENT_ID, Options, Simulator};

use crate::client::http;

fn request(simulator: &Simulator, method: Method, path: &str) -> RequestBuilder {
    let url = simulator.control_url().join(path).unwrap();
    http().request(method, url).bearer_auth(simulator.control_token())
}

async fn json_of(request: RequestBuilder) -> (u16, Value) {
    let reply = request.send().await.unwrap();
    (reply.status().as_u16(), reply.json().await.unwrap())
}

#[tokio::test]
async fn nobody_gets_in_without_token_host_and_origin() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let url = simulator.control_url().join("api/org").unwrap();
    assert_eq!(http().get(url.clone()).send().await.unwrap().status(), 401);
    assert_eq!(http().get(url.clone()).bearer_auth("wrong").send().await.unwrap().status(), 401);
    let (status, body) = json_of(request(&simulator, Method::GET, "api/org")).await;
    assert_eq!((status, &body["simulated"]), (200, &json!(true)));
    assert_eq!(body["id"], simulator.org().id().as_str());

    // A page of another site that resolves to this machine sends its own name, or its own origin.
    let rebound = request(&simulator, Method::GET, "api/org").header("Host", "evil.example:80");
    assert_eq!(rebound.send().await.unwrap().status(), 421);
    let foreign =
        request(&simulator, Method::POST, "api/sessions/revoke").header("Origin", "https://evil.example");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    let port = simulator.control_url().port().unwrap();
    let own = request(&simulator, Method::POST, "api/sessions/revoke")
        .header("Origin", format!("http://localhost:{port}"));
    assert_eq!(own.send().await.unwrap().status(), 200);

    let outside = Options { control_listen: Some("0.0.0.0:0".parse().unwrap()), ..Options::default() };
    assert!(Simulator::start(outside).await.err().unwrap().to_string().contains("loopback"));
}

#[tokio::test]
async fn the_page_itself_holds_no_secret() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let reply = http().get(simulator.control_url().clone()).send().await.unwrap();
    assert_eq!(reply.headers()["x-frame-options"], "DENY");
    let page = reply.text().await.unwrap();
    assert!(page.contains("Simulated org"));
    assert!(!page.contains(simulator.control_token()));
    assert_eq!(simulator.control_page().fragment(), Some(simulator.control_token()));
}

#[tokio::test]
async fn a_pending_authorization_can_be_approved_from_here() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let mut authorize = simulator.base_url().join("services/oauth2/authorize").unwrap();
    authorize.query_pairs_mut().extend_pairs([
        ("response_type", "code"),
        ("client_id", DEMO_CLIENT_ID),
        ("redirect_uri", "http://localhost:8717/oauth/callback"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("state", "s"),
    ]);
    http().get(authorize).send().await.unwrap();
    let (_, body) = json_of(request(&simulator, Method::GET, "api/org")).await;
    let ticket = body["approvals"][0]["ticket"].as_str().unwrap().to_owned();
    let path = format!("api/approvals/{ticket}/approve");
    let (status, body) = json_of(request(&simulator, Method::POST, &path)).await;
    assert_eq!(status, 200);
    let location = body["location"].as_str().unwrap();
    assert!(location.starts_with("http://localhost:8717/oauth/callback?code="), "{location}");
    assert_eq!(request(&simulator, Method::POST, &path).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn records_are_changed_and_faults_caused_from_here() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let (_, list) = json_of(request(&simulator, Method::GET, "api/records/Product2")).await;
    assert_eq!((&list["count"], list["records"].as_array().unwrap().len()), (&json!(240), 100));
    let id = list["records"][0]["Id"].as_str().unwrap().to_owned();
    let before = simulator.org().record("Product2", &id).unwrap();
    let hidden = request(&simulator, Method::PATCH, &format!("api/records/Product2/{id}?hidden=true"));
    assert_eq!(json_of(hidden.json(&json!({"Name": "Hidden"}))).await.0, 200);
    let after = simulator.org().record("Product2", &id).unwrap();
    assert_eq!((&after["Name"], &after["SystemModstamp"]), (&json!("Hidden"), &before["SystemModstamp"]));
    let (status, made) =
        json_of(request(&simulator, Method::POST, "api/records/Account").json(&json!({"Name": "Made here"})))
            .await;
    assert_eq!(status, 200);
    let path = format!("api/records/Account/{}", made["id"].as_str().unwrap());
    assert_eq!(json_of(request(&simulator, Method::GET, &path)).await.1["Name"], "Made here");
    assert_eq!(json_of(request(&simulator, Method::DELETE, &path)).await.0, 200);
    assert_eq!(simulator.org().count("Account"), 320);
    let (status, body) =
        json_of(request(&simulator, Method::PATCH, "api/records/Account/nope").json(&json!({}))).await;
    assert_eq!((status, body["error"].as_str()), (400, Some("Account has no record nope")));

    let fault = json!({"pattern": "/services/data/*", "fault": {"kind": "too_many_requests", "retry_after": 2}, "times": 1});
    let (_, body) = json_of(request(&simulator, Method::POST, "api/faults").json(&fault)).await;
    assert_eq!(body["faults"][0]["times"], 1);
    let reply =
        http().get(simulator.base_url().join("services/data/v67.0/limits").unwrap()).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), &reply.headers()["retry-after"]), (429, &"2".parse().unwrap()));
    let (_, body) = json_of(request(&simulator, Method::GET, "api/faults")).await;
    assert_eq!(body["faults"], json!([]));
    let settings = request(&simulator, Method::POST, "api/settings").json(&json!({"hide": "Account.Phone"}));
    assert_eq!(json_of(settings).await.1["hidden"], json!(["Account.Phone"]));
}

#[tokio::test]
async fn the_event_stream_is_disturbed_and_looked_at_from_here() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let org = simulator.org();
    let post = |path: &str, body: Value| json_of(request(&simulator, Method::POST, path).json(&body));
    let (status, _) = post("api/events/disturb", json!({"kind": "silence", "on": true})).await;
    assert_eq!(status, 200);
    let fault = json!({"kind": "next_events", "object": "Account", "fault": "dropped", "times": 2});
    let (_, body) = post("api/events/disturb", fault).await;
    assert_eq!((&body["silent"], &body["planned"][0]["times"]), (&json!(true), &json!(2)));
    let gap =
        json!({"kind": "gap", "object": "Product2", "ids": ["01t5f00002JUWMVAA5"], "change": "undelete"});
    let (_, body) = post("api/events/disturb", gap).await;
    assert_eq!(body["last"][0]["change_type"], "GAP_UNDELETE");
    let (_, body) = post("api/events/disturb", json!({"kind": "take_back"})).await;
    assert_eq!((&body["silent"], &body["planned"]), (&json!(false), &json!([])));
    assert_eq!(post("api/events/disturb", json!({"kind": "earthquake"})).await.0, 400);

    let (_, body) =
        post("api/events/selection", json!({"channel": "Shop__chn", "object": "Pricebook2"})).await;
    assert!(
        body["selection"]
            .as_array()
            .unwrap()
            .contains(&json!({"channel": "Shop__chn", "object": "Pricebook2"}))
    );
    let (_, body) = post("api/events/allocation", json!({"used": 7, "allowed": 9})).await;
    assert_eq!(body["delivered"], json!({"used": 7, "allowed": 9}));
    let (_, body) = post("api/clock", json!({"ahead_ms": 60_000})).await;
    assert_eq!((&body["clock"]["ahead_ms"], org.clock_ahead_ms()), (&json!(60_000), 60_000));
    let field = json!({"object": "Account", "name": "Colour__c", "kind": "string"});
    assert_eq!(post("api/fields", field).await.0, 200);
    let load = json!({"object": "Account", "field": "Colour__c", "changes": 20, "per_second": null, "characters": 30});
    assert_eq!(post("api/load", load).await.0, 200);
    crate::listener::until(|| org.retained_events() == 21).await;
}

#[tokio::test]
async fn a_commit_is_held_back_from_here() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let org = simulator.org();
    let id = org.ids("Product2", 0, 1)[0].to_string();
    let changes = json!({"changes": [
        {"change": "update", "object": "Product2", "id": id, "fields": {"Name": "Late"}},
        {"change": "insert", "object": "Account", "fields": {"Name": "Late too"}},
    ]});
    let (status, begun) = json_of(request(&simulator, Method::POST, "api/transactions").json(&changes)).await;
    assert_eq!((status, begun["ids"].as_array().unwrap().len()), (200, 2));
    assert_ne!(org.record("Product2", &id).unwrap()["Name"], "Late");
    let path = format!("api/transactions/{}", begun["id"]);
    let more = json!({"changes": [{"change": "delete", "object": "Account", "id": org.ids("Account", 0, 1)[0].as_str()}]});
    assert_eq!(json_of(request(&simulator, Method::POST, &path).json(&more)).await.0, 200);
    let commit = request(&simulator, Method::POST, &format!("{path}/commit"));
    assert_eq!(json_of(commit).await.1["ids"].as_array().unwrap().len(), 3);
    assert_eq!((&org.record("Product2", &id).unwrap()["Name"], org.count("Account")), (&json!("Late"), 320));
    assert_eq!(json_of(request(&simulator, Method::DELETE, &path)).await.0, 400);
    let (_, begun) = json_of(request(&simulator, Method::POST, "api/transactions").json(&changes)).await;
    let path = format!("api/transactions/{}", begun["id"]);
    assert_eq!(json_of(request(&simulator, Method::DELETE, &path)).await.0, 200);
    assert_eq!(org.count("Account"), 320);
}
