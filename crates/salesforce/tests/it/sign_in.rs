//! Every way of signing in, and every way it is refused.

use std::sync::LazyLock;

use salesforce::{
    Error, Refusal,
    auth::{App, Authorization, LoginHost, SigningKey, loopback::Listener},
};
use secrecy::{ExposeSecret, SecretString};
use simulator::{DEMO_CLIENT_ID, DEMO_USERNAME, Fault, JwtKeys, Options, Simulator};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::world::{free_redirect, login_host, login_host_of};

/// Made for this run; nobody else knows it.
static KEYS: LazyLock<JwtKeys> = LazyLock::new(JwtKeys::make);

const TOKEN: &str = "POST /services/oauth2/token";

async fn org(redirect: &Url, rotation: bool) -> Simulator {
    Simulator::start(Options {
        auto_approve: true,
        callbacks: vec![redirect.to_string()],
        refresh_rotation: rotation,
        products: 3,
        prices: 3,
        accounts: 3,
        ..Options::default()
    })
    .await
    .expect("an org")
}

/// A browser: follows redirects, also to this machine.
async fn browse(url: &Url) -> reqwest::Response {
    let browser = reqwest::Client::builder().no_proxy().build().expect("a browser");
    browser.get(url.clone()).send().await.expect("a page")
}

async fn code(authorization: &Authorization) -> Result<SecretString, Error> {
    let listener = Listener::bind(authorization.redirect_url()).await?;
    let cancel = CancellationToken::new();
    let patience = std::time::Duration::from_secs(20);
    let (code, page) = tokio::join!(
        listener.wait_for_code(authorization.state(), patience, &cancel),
        browse(&authorization.url)
    );
    assert_eq!(page.status(), 200);
    code
}

fn refusal(error: &Error) -> Refusal {
    match error {
        Error::Refused { refusal, .. } => *refusal,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_browser_brings_a_grant_with_org_user_and_refresh_token() {
    let redirect = free_redirect();
    let org = org(&redirect, false).await;
    let host = login_host(&org, false);
    let authorization = host.authorize(&redirect).expect("an address");
    let code = code(&authorization).await.expect("a code");
    let grant = host.exchange_code(&authorization, &code).await.expect("a grant");
    assert_eq!(grant.identity.org_id.as_str(), org.org().id().to_string());
    let refresh_token = grant.refresh_token.expect("we asked for one");
    let renewed = host.refresh(&refresh_token).await.expect("a fresh token");
    assert!(renewed.refresh_token.is_none(), "this org does not rotate");
    assert!(renewed.access != grant.access);
    host.revoke(&refresh_token).await.expect("signed out");
    let error = host.refresh(&refresh_token).await.expect_err("revoked");
    assert_eq!(refusal(&error), Refusal::GrantEnded);
}

#[tokio::test]
async fn the_request_proves_itself_by_s256_and_a_state() {
    let redirect = free_redirect();
    let org = org(&redirect, false).await;
    let url = login_host(&org, false).authorize(&redirect).expect("an address").url;
    let query: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(query["code_challenge_method"], "S256");
    assert_eq!(query["code_challenge"].len(), 43);
    assert_eq!(query["scope"], "api refresh_token openid");
    assert!(query["state"].len() >= 20);
    assert!(!query.contains_key("client_secret"));
}

#[tokio::test]
async fn a_code_does_not_fit_another_sign_ins_proof() {
    let redirect = free_redirect();
    let org = org(&redirect, false).await;
    let host = login_host(&org, false);
    let stolen = host.authorize(&redirect).expect("an address");
    let code = code(&stolen).await.expect("a code");
    let other = host.authorize(&redirect).expect("an address");
    let error = host.exchange_code(&other, &code).await.expect_err("the proof is another's");
    assert_eq!(refusal(&error), Refusal::VerifierRejected);
}

#[tokio::test]
async fn a_code_counts_once() {
    let redirect = free_redirect();
    let org = org(&redirect, false).await;
    let host = login_host(&org, false);
    let authorization = host.authorize(&redirect).expect("an address");
    let code = code(&authorization).await.expect("a code");
    host.exchange_code(&authorization, &code).await.expect("a grant");
    let error = host.exchange_code(&authorization, &code).await.expect_err("used");
    assert_eq!(refusal(&error), Refusal::CodeExpired);
}

#[tokio::test]
async fn rotation_hands_over_the_next_token_and_ends_the_one_before() {
    let redirect = free_redirect();
    let org = org(&redirect, true).await;
    let host = login_host(&org, false);
    let authorization = host.authorize(&redirect).expect("an address");
    let code = code(&authorization).await.expect("a code");
    let first = host.exchange_code(&authorization, &code).await.expect("a grant").refresh_token.expect("one");
    let second = host.refresh(&first).await.expect("a grant").refresh_token.expect("the next one");
    assert_ne!(first.expose_secret(), second.expose_secret());
    assert_eq!(refusal(&host.refresh(&first).await.expect_err("dead")), Refusal::GrantEnded);
    host.refresh(&second).await.expect("the next one lives");
}

#[tokio::test]
async fn a_refresh_whose_answer_is_lost_is_not_repeated() {
    let redirect = free_redirect();
    let org = org(&redirect, true).await;
    let host = login_host(&org, false);
    let authorization = host.authorize(&redirect).expect("an address");
    let code = code(&authorization).await.expect("a code");
    let token = host.exchange_code(&authorization, &code).await.expect("a grant").refresh_token.expect("one");
    let before = org.org().requests(TOKEN);
    org.org().inject(TOKEN, Fault::LostAnswer, 1);
    let error = host.refresh(&token).await.expect_err("no answer");
    assert!(matches!(error, Error::Transport { .. }), "{error}");
    assert_eq!(org.org().requests(TOKEN) - before, 1);
}

#[tokio::test]
async fn a_signed_assertion_signs_in_and_a_strangers_does_not() {
    let redirect = free_redirect();
    let org = org(&redirect, false).await;
    let host = login_host(&org, false);
    let key = SigningKey::from_pem(KEYS.private_pem.as_bytes()).expect("a key");
    let now = std::time::SystemTime::now().into();
    let error = host.jwt_bearer(DEMO_USERNAME, &key, now).await.expect_err("nobody knows this key");
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    org.org().register_jwt_key(&KEYS.public_pem).expect("a public key");
    let grant = host.jwt_bearer(DEMO_USERNAME, &key, now).await.expect("a grant");
    assert!(grant.refresh_token.is_none());
    let late = now - chrono::TimeDelta::minutes(10);
    host.jwt_bearer(DEMO_USERNAME, &key, late).await.expect_err("an assertion does not live for ever");
}

#[test]
fn a_file_without_a_usable_key_says_what_is_wrong() {
    let error = SigningKey::from_pem(b"not a key").expect_err("no key").to_string();
    assert!(error.contains("holds no unencrypted private key"), "{error}");
    let error = SigningKey::from_pem(KEYS.public_pem.as_bytes()).expect_err("a public key").to_string();
    assert!(error.contains("private key"), "{error}");
}

#[tokio::test]
async fn client_credentials_need_the_right_secret_and_a_my_domain() {
    let redirect = free_redirect();
    let org = org(&redirect, false).await;
    login_host(&org, true).client_credentials().await.expect("a grant");
    let wrong = App { client_id: DEMO_CLIENT_ID.to_owned(), client_secret: Some("wrong".into()) };
    let error = login_host_of(org.base_url(), wrong.clone()).client_credentials().await.expect_err("wrong");
    assert_eq!(refusal(&error), Refusal::ClientSecret);
    let shared = Url::parse("https://login.salesforce.com").expect("a URL");
    let error = login_host_of(&shared, wrong).client_credentials().await.expect_err("not offered");
    assert!(matches!(error, Error::MyDomainNeeded { .. }), "{error}");
}

#[tokio::test]
async fn an_unknown_client_id_is_said_so() {
    let redirect = free_redirect();
    let org = org(&redirect, false).await;
    let app = App { client_id: "3MVG9nobody".to_owned(), client_secret: Some("x".into()) };
    let error = login_host_of(org.base_url(), app).client_credentials().await.expect_err("unknown");
    assert_eq!(refusal(&error), Refusal::UnknownClient);
}

#[tokio::test]
async fn a_host_that_is_not_salesforce_is_said_so() {
    let redirect = free_redirect();
    let org = org(&redirect, false).await;
    let host: LoginHost = login_host(&org, true);
    for fault in [Fault::HtmlOk, Fault::Status { status: 404 }] {
        org.org().inject(TOKEN, fault.clone(), 1);
        let error = host.client_credentials().await.expect_err("a stranger");
        assert!(matches!(error, Error::NotSalesforce { .. }), "{fault:?}: {error}");
    }
    host.probe().await.expect("this one answers");
}

#[tokio::test]
async fn an_unreachable_host_is_a_transport_error_without_secrets() {
    let redirect = free_redirect();
    let login_url =
        Url::parse(&format!("http://localhost:{}", redirect.port().expect("a port"))).expect("a URL");
    let app = App { client_id: "id".to_owned(), client_secret: Some("hush".into()) };
    let error = login_host_of(&login_url, app).client_credentials().await.expect_err("nobody there");
    assert!(matches!(error, Error::Transport { .. }), "{error}");
    assert!(!format!("{error:?}").contains("hush"));
}
