//! Calls of every kind: what they bring, how they are retried, counted and kept to one origin.

use std::sync::{Arc, atomic::Ordering};

use futures::StreamExt;
use salesforce::{
    AccessToken, ApiVersion, Client, ClientOptions, Error, InstanceOrigin, OriginPolicy, Purpose, QuotaKind,
    Transport, TransportOptions,
};
use shadow::{ObjectName, RecordId};
use simulator::{Fault, Options};
use url::Url;

use crate::world::{Handed, World, quick};

const ANY: &str = "GET /services/data/*/query*";

#[tokio::test]
async fn a_count_carries_salesforces_own_time() {
    let world = World::start().await;
    world.simulator.org().set_clock_ahead_ms(3_600_000);
    let count = world.client.count(&ObjectName::product(), None).await.expect("a count");
    assert_eq!(count.count, world.simulator.org().count("Product2"));
    let here: chrono::DateTime<chrono::Utc> = std::time::SystemTime::now().into();
    let ahead = count.at - here;
    assert!((3_590..=3_610).contains(&ahead.num_seconds()), "{ahead}");
}

#[tokio::test]
async fn a_condition_narrows_the_count_and_its_values_are_only_values() {
    let world = World::start().await;
    let name = salesforce::soql::quoted("nobody's \\ \"name\"\n");
    let count = world.client.count(&ObjectName::product(), Some(&format!("Name = {name}"))).await;
    assert_eq!(count.expect("a count").count, 0);
}

#[tokio::test]
async fn an_expired_session_is_renewed_once_however_many_calls_meet_it() {
    let world = World::start().await;
    world.client.count(&ObjectName::product(), None).await.expect("a count");
    assert_eq!(world.tokens.sign_ins.load(Ordering::SeqCst), 1);
    world.simulator.org().expire_sessions();
    let product = ObjectName::product();
    let counts = (0..8).map(|_| world.client.count(&product, None));
    for count in futures::future::join_all(counts).await {
        count.expect("the expiry is invisible");
    }
    assert_eq!(world.tokens.sign_ins.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_session_that_is_always_refused_ends_as_unauthorized() {
    let world = World::start().await;
    world.simulator.org().inject(ANY, Fault::ExpiredSession, u32::MAX);
    let error = world.client.count(&ObjectName::product(), None).await.expect_err("refused");
    assert!(matches!(error, Error::Unauthorized), "{error}");
}

#[tokio::test]
async fn what_passes_by_itself_is_tried_again() {
    let passing = [
        Fault::TooManyRequests { retry_after: None },
        Fault::Unavailable { retry_after: None },
        Fault::HtmlUnavailable,
        Fault::Status { status: 406 },
        Fault::Status { status: 420 },
        Fault::Status { status: 502 },
        Fault::ConcurrentLimit,
        Fault::LostAnswer,
    ];
    let world = World::start().await;
    for fault in passing {
        world.simulator.org().inject(ANY, fault.clone(), 2);
        let count = world.client.count(&ObjectName::product(), None).await;
        assert!(count.is_ok(), "{fault:?}: {count:?}");
    }
}

#[tokio::test]
async fn a_spent_day_is_said_so_at_once_and_not_tried_again() {
    let world = World::start().await;
    world.simulator.org().inject(ANY, Fault::QuotaSpent, u32::MAX);
    let before = world.simulator.org().requests(ANY);
    let error = world.client.count(&ObjectName::product(), None).await.expect_err("refused");
    assert!(matches!(error, Error::QuotaSpent { kind: QuotaKind::Daily, .. }), "{error}");
    assert_eq!(world.simulator.org().requests(ANY) - before, 1);
}

#[tokio::test]
async fn a_web_page_instead_of_data_is_an_error_that_does_not_quote_it() {
    let world = World::start().await;
    world.simulator.org().inject(ANY, Fault::HtmlOk, 1);
    let error = world.client.count(&ObjectName::product(), None).await.expect_err("unreadable");
    assert!(error.to_string().contains("a web page, not data"), "{error}");
    assert!(!error.to_string().contains('<'), "{error}");
}

#[tokio::test]
async fn a_hidden_field_is_named_and_the_query_is_not_quoted() {
    let world = World::start().await;
    let org = world.simulator.org();
    org.set_field_visible("Product2", "ProductCode", false);
    let soql = "SELECT Id, ProductCode FROM Product2 WHERE Name = 'secret words'";
    let mut pages = std::pin::pin!(world.client.query(soql));
    let error = pages.next().await.expect("an answer").expect_err("refused");
    assert_eq!(error.salesforce_code(), Some("INVALID_FIELD"));
    assert!(error.to_string().contains("ProductCode"), "{error}");
    assert!(!error.to_string().contains("secret words"), "{error}");
}

#[tokio::test]
async fn a_query_is_followed_page_by_page_to_its_end() {
    let world = World::start_with(Options {
        products: 450,
        prices: 0,
        accounts: 1,
        query_page_cap: Some(200),
        ..Options::default()
    })
    .await;
    let pages: Vec<_> = world.client.query("SELECT Id FROM Product2").collect().await;
    let sizes: Vec<usize> = pages.iter().map(|page| page.as_ref().expect("a page").records.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 450);
    assert!(sizes.len() >= 3, "{sizes:?}");
}

#[tokio::test]
async fn records_by_id_come_in_the_order_asked_with_gaps_for_the_missing() {
    let world = World::start().await;
    let org = world.simulator.org();
    let ids: Vec<RecordId> =
        org.ids("Product2", 0, 3).iter().map(|id| id.to_string().parse().expect("an id")).collect();
    org.delete("Product2", ids[1].as_str()).expect("a record");
    let asked = [ids[2], ids[1], ids[0]];
    let found =
        world.client.retrieve(&ObjectName::product(), &asked, &["Id", "Name"]).await.expect("records");
    assert_eq!(found.records.len(), 3);
    assert!(found.records[1].is_none());
    for at in [0, 2] {
        let record = found.records[at].as_ref().expect("a record").get();
        assert!(record.contains(asked[at].as_str()), "{record}");
    }
}

#[tokio::test]
async fn describe_shows_what_the_user_may_see() {
    let world = World::start().await;
    world.simulator.org().set_field_visible("Account", "Internet_Eligibility__c", false);
    let account = world.client.describe(&ObjectName::account()).await.expect("a describe");
    assert!(account.field("Eligibility_Source__c").is_some());
    assert!(account.field("Internet_Eligibility__c").is_none());
    world.simulator.org().set_object_visible("Account", false);
    let error = world.client.describe(&ObjectName::account()).await.expect_err("hidden");
    assert!(matches!(error, Error::Rejected { status: 404, .. }), "{error}");
}

#[tokio::test]
async fn the_org_tells_its_name_versions_currency_and_limits() {
    let org_name = "Acme Telecom".to_owned();
    let world = World::start_with(Options { multi_currency: false, org_name, ..Options::default() }).await;
    let organization = world.client.organization().await.expect("an organization");
    assert_eq!(organization.name, "Acme Telecom");
    assert!(organization.id.is_simulated());
    let versions = world.client.versions().await.expect("versions");
    assert_eq!(versions.last(), Some(&ApiVersion::NEWEST));
    let entry = world.client.describe(&ObjectName::pricebook_entry()).await.expect("a describe");
    let currency = world.client.currency(&entry).await.expect("an answer");
    assert_eq!(currency, salesforce::CurrencyAnswer::Single("EUR".to_owned()));
    let limits = world.client.limits().await.expect("limits");
    assert!(limits.get("DailyApiRequests").is_some());
    let user = world.client.user_info(None).await.expect("a user");
    assert_eq!(user.preferred_username, simulator::DEMO_USERNAME);
}

#[tokio::test]
async fn every_call_is_counted_under_its_purpose_and_tells_the_orgs_usage() {
    let world = World::start().await;
    let counting = world.client.with_purpose(Purpose::Count);
    world.simulator.org().inject(ANY, Fault::ServerError, 1);
    counting.count(&ObjectName::product(), None).await.expect("a count");
    world.client.with_purpose(Purpose::Doctor).describe(&ObjectName::account()).await.expect("a describe");
    assert_eq!(world.client.calls(Purpose::Count), 2, "the failed try was sent, too");
    assert_eq!(world.client.calls(Purpose::Doctor), 1);
    let heard = world.calls.lock().expect("no panic");
    assert_eq!(heard.iter().map(|call| call.status).collect::<Vec<_>>(), [Some(500), Some(200), Some(200)]);
    let usage = world.client.usage().expect("every answer tells it");
    assert_eq!(usage.used, world.simulator.org().api_requests_used());
}

fn handed(origin: &str) -> Client {
    let login_url = Url::parse(origin).expect("a URL");
    let policy = OriginPolicy { login_url: login_url.clone(), loopback_allowed: true };
    let instance = InstanceOrigin::parse(origin, &policy).expect("an origin");
    let transport = Transport::new(&TransportOptions::for_login(login_url)).expect("a transport");
    let token = AccessToken::new("token-of-the-org".into(), instance);
    let options = ClientOptions { retry: quick(), ..ClientOptions::default() };
    Client::new(transport, Arc::new(Handed(token)), options)
}

/// A server that answers every request with `answer` and keeps what it was sent.
async fn canned(answer: String) -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let origin = format!("http://{}", listener.local_addr().expect("an address"));
    let heard = Arc::<std::sync::Mutex<Vec<String>>>::default();
    let hearing = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 16 * 1024];
            let length = stream.read(&mut request).await.unwrap_or_default();
            let text = String::from_utf8_lossy(&request[..length]).into_owned();
            hearing.lock().expect("no panic").push(text);
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (origin, heard)
}

#[tokio::test]
async fn a_redirect_is_refused_and_the_token_stays_here() {
    let (elsewhere, heard_elsewhere) =
        canned("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]".to_owned()).await;
    let redirect = format!("HTTP/1.1 302 Found\r\nLocation: {elsewhere}/x\r\nContent-Length: 0\r\n\r\n");
    let (origin, heard) = canned(redirect).await;
    let error = handed(&origin).count(&ObjectName::product(), None).await.expect_err("redirected");
    assert!(matches!(error, Error::Redirected { .. }), "{error}");
    assert_eq!(heard.lock().expect("no panic").len(), 1);
    assert!(heard_elsewhere.lock().expect("no panic").is_empty(), "the redirect was followed");
}

#[tokio::test]
async fn the_next_page_of_another_origin_is_not_asked_there() {
    let (elsewhere, heard_elsewhere) =
        canned("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]".to_owned()).await;
    let body = format!(
        "{{\"totalSize\":9,\"done\":false,\"nextRecordsUrl\":\"{elsewhere}/services/data/x\",\"records\":[]}}"
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (origin, heard) = canned(answer).await;
    let client = handed(&origin);
    let mut pages = std::pin::pin!(client.query("SELECT Id FROM Product2"));
    pages.next().await.expect("a page").expect("readable");
    let _ = pages.next().await;
    assert!(heard_elsewhere.lock().expect("no panic").is_empty(), "the token left its origin");
    assert!(heard.lock().expect("no panic").len() >= 2);
}

#[tokio::test]
async fn the_list_of_versions_carries_no_token() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n[{\"version\":\"67.0\"}]";
    let (origin, heard) = canned(answer.to_owned()).await;
    handed(&origin).versions().await.expect("versions");
    let requests = heard.lock().expect("no panic").join("\n").to_lowercase();
    assert!(!requests.contains("authorization"), "{requests}");
}

#[tokio::test]
async fn answers_are_asked_for_compressed() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    let (origin, heard) = canned(answer.to_owned()).await;
    handed(&origin).limits().await.expect("limits");
    let requests = heard.lock().expect("no panic").join("\n").to_lowercase();
    assert!(requests.contains("accept-encoding: gzip"), "{requests}");
    assert!(requests.contains("user-agent: shadow-sync/"), "{requests}");
}

#[tokio::test]
async fn a_certificate_is_trusted_only_through_a_root() {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let simulator =
        simulator::Simulator::start(Options { tls: true, products: 3, prices: 3, ..Options::default() })
            .await
            .expect("an org");
    let login_url = simulator.base_url().clone();
    assert_eq!(login_url.scheme(), "https");
    let host = |extra_roots| {
        let options = TransportOptions { extra_roots, ..TransportOptions::for_login(login_url.clone()) };
        let app = salesforce::auth::App {
            client_id: simulator::DEMO_CLIENT_ID.to_owned(),
            client_secret: Some(simulator::DEMO_CLIENT_SECRET.into()),
        };
        let transport = Transport::new(&options).expect("a transport");
        salesforce::auth::LoginHost::new(transport, crate::world::policy(&login_url), app, None)
    };
    let error = host(Vec::new()).client_credentials().await.expect_err("a stranger's certificate");
    assert!(matches!(error, Error::Transport { .. }), "{error}");
    let pem = simulator.ca_pem().expect("a throw-away authority");
    let root = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate").to_vec();
    let grant = host(vec![root]).client_credentials().await.expect("a grant over TLS");
    assert_eq!(grant.access.instance().as_url().scheme(), "https");
}
