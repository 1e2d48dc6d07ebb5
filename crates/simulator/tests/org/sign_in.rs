//! Sign-in: every grant, and everything that must be refused.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Response;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use simulator::{
    DEMO_CLIENT_ID, DEMO_PASSWORD, DEMO_USERNAME, JwtKeys, Options, SECOND_USERNAME, SIMULATED_ORG_PREFIX,
    Simulator,
};
use url::Url;

use crate::client::{World, http};

const CALLBACK: &str = "http://localhost:8717/oauth/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

async fn authorize(simulator: &Simulator, extra: &[(&str, &str)]) -> Response {
    let mut url = simulator.base_url().join("services/oauth2/authorize").unwrap();
    let given: Vec<&str> = extra.iter().map(|(name, _)| *name).collect();
    let challenge = challenge(VERIFIER);
    let defaults = [
        ("response_type", "code"),
        ("client_id", DEMO_CLIENT_ID),
        ("redirect_uri", CALLBACK),
        ("scope", "api refresh_token openid"),
        ("state", "a b&c"),
        ("code_challenge", challenge.as_str()),
    ];
    let parameters = defaults.iter().filter(|(name, _)| !given.contains(name)).chain(extra);
    url.query_pairs_mut().extend_pairs(parameters.filter(|(_, value)| !value.is_empty()));
    http().get(url).send().await.unwrap()
}

fn callback(reply: &Response) -> Vec<(String, String)> {
    assert_eq!(reply.status(), 302);
    let location = Url::parse(reply.headers()["location"].to_str().unwrap()).unwrap();
    assert!(location.as_str().starts_with(CALLBACK));
    location.query_pairs().into_owned().collect()
}

fn parameter(pairs: &[(String, String)], name: &str) -> String {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

async fn token(simulator: &Simulator, form: &[(&str, &str)]) -> (u16, Value) {
    let url = simulator.base_url().join("services/oauth2/token").unwrap();
    let reply = http().post(url).form(form).send().await.unwrap();
    (reply.status().as_u16(), reply.json().await.unwrap())
}

async fn redeem(simulator: &Simulator, code: &str, verifier: &str) -> (u16, Value) {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("client_id", DEMO_CLIENT_ID),
        ("redirect_uri", CALLBACK),
        ("code_verifier", verifier),
    ];
    token(simulator, &form).await
}

async fn refresh(simulator: &Simulator, refresh_token: &str) -> (u16, Value) {
    let form =
        [("grant_type", "refresh_token"), ("client_id", DEMO_CLIENT_ID), ("refresh_token", refresh_token)];
    token(simulator, &form).await
}

async fn signed_in(options: Options) -> (Simulator, Value) {
    let simulator = Simulator::start(Options { auto_approve: true, ..options }).await.unwrap();
    let code = parameter(&callback(&authorize(&simulator, &[]).await), "code");
    let (status, body) = redeem(&simulator, &code, VERIFIER).await;
    assert_eq!(status, 200, "{body}");
    (simulator, body)
}

fn error(body: &Value) -> (&str, &str) {
    (body["error"].as_str().unwrap_or_default(), body["error_description"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn the_page_can_be_approved_by_submitting_its_form() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let page = authorize(&simulator, &[]).await;
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    assert!(
        page.contains("Simulated org") && page.contains("id=\"approve\"") && page.contains("id=\"deny\"")
    );
    let ticket = page.split("name=\"ticket\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let form = [("ticket", ticket), ("decision", "approve")];
    let url = simulator.base_url().join("services/oauth2/authorize").unwrap();
    let reply = http().post(url.clone()).form(&form).send().await.unwrap();
    let pairs = callback(&reply);
    assert_eq!(parameter(&pairs, "state"), "a b&c");
    let (status, body) = redeem(&simulator, &parameter(&pairs, "code"), VERIFIER).await;
    assert_eq!(status, 200, "{body}");

    // A form is answered once.
    assert_eq!(http().post(url).form(&form).send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn denying_leads_back_with_access_denied() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let page = authorize(&simulator, &[]).await.text().await.unwrap();
    let ticket = page.split("name=\"ticket\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let url = simulator.base_url().join("services/oauth2/authorize").unwrap();
    let reply = http().post(url).form(&[("ticket", ticket), ("decision", "deny")]).send().await.unwrap();
    let pairs = callback(&reply);
    assert_eq!(parameter(&pairs, "error"), "access_denied");
    assert_eq!(parameter(&pairs, "error_description"), "end-user denied authorization");
    assert_eq!(parameter(&pairs, "state"), "a b&c");
}

#[tokio::test]
async fn a_token_reply_names_the_simulated_org_and_the_user() {
    let (simulator, body) = signed_in(Options::default()).await;
    let base = simulator.base_url().as_str().trim_end_matches('/');
    assert_eq!(body["instance_url"], base);
    assert_eq!(body["token_type"], "Bearer");
    assert!(body["issued_at"].as_str().unwrap().parse::<u64>().is_ok());
    assert!(body["refresh_token"].is_string() && body["id_token"].is_string());
    assert!(body.get("expires_in").is_none());
    let identity = Url::parse(body["id"].as_str().unwrap()).unwrap();
    let segments: Vec<&str> = identity.path_segments().unwrap().collect();
    assert_eq!(segments[0], "id");
    assert!(segments[1].starts_with(SIMULATED_ORG_PREFIX) && segments[1].len() == 18);
    assert!(segments[2].starts_with("005") && segments[2].len() == 18);
    assert_eq!(body["access_token"].as_str().unwrap().split('!').next().unwrap(), &segments[1][..15]);

    let access_token = body["access_token"].as_str().unwrap();
    let userinfo = simulator.base_url().join("services/oauth2/userinfo").unwrap();
    for url in [userinfo, identity.clone()] {
        let body: Value =
            http().get(url).bearer_auth(access_token).send().await.unwrap().json().await.unwrap();
        assert_eq!(body["organization_id"], segments[1]);
        assert_eq!(body["user_id"], segments[2]);
        assert_eq!(body["preferred_username"], DEMO_USERNAME);
    }
    // What is kept of requests holds neither codes nor tokens.
    let log = simulator.org().request_log();
    assert!(log.iter().all(|request| !request.target.contains("code")), "{log:?}");
    let refused = http().get(identity).bearer_auth("nonsense").send().await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.text().await.unwrap().as_str()), (403, "Bad_OAuth_Token"));
}

#[tokio::test]
async fn only_the_exact_callback_is_accepted() {
    let simulator = Simulator::start(Options { auto_approve: true, ..Options::default() }).await.unwrap();
    for other in [
        "http://127.0.0.1:8717/oauth/callback",
        "http://localhost:8718/oauth/callback",
        "http://localhost:8717/oauth/callback/",
        "http://localhost:8717/OAuth/callback",
        "https://localhost:8717/oauth/callback",
    ] {
        let reply = authorize(&simulator, &[("redirect_uri", other)]).await;
        assert_eq!(reply.status(), 400, "{other}");
        assert!(reply.text().await.unwrap().contains("redirect_uri_mismatch"), "{other}");
    }
    let reply = authorize(&simulator, &[("client_id", "other")]).await;
    assert!(reply.text().await.unwrap().contains("invalid_client_id"));

    // The code is bound to the callback too.
    let code = parameter(&callback(&authorize(&simulator, &[]).await), "code");
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("client_id", DEMO_CLIENT_ID),
        ("redirect_uri", "http://localhost:9999/"),
        ("code_verifier", VERIFIER),
    ];
    let (status, body) = token(&simulator, &form).await;
    assert_eq!((status, error(&body).0), (400, "redirect_uri_mismatch"));
}

#[tokio::test]
async fn a_code_works_once_and_a_second_try_ends_what_the_first_gave() {
    let simulator = Simulator::start(Options { auto_approve: true, ..Options::default() }).await.unwrap();
    let code = parameter(&callback(&authorize(&simulator, &[]).await), "code");
    let (status, first) = redeem(&simulator, &code, VERIFIER).await;
    assert_eq!(status, 200);
    let (status, body) = redeem(&simulator, &code, VERIFIER).await;
    assert_eq!((status, error(&body)), (400, ("invalid_grant", "expired authorization code")));
    let (status, _) = refresh(&simulator, first["refresh_token"].as_str().unwrap()).await;
    assert_eq!(status, 400);
    let (_, body) = redeem(&simulator, "never given", VERIFIER).await;
    assert_eq!(error(&body), ("invalid_grant", "invalid authorization code"));
}

#[tokio::test]
async fn a_wrong_verifier_is_refused() {
    let simulator = Simulator::start(Options { auto_approve: true, ..Options::default() }).await.unwrap();
    let code = parameter(&callback(&authorize(&simulator, &[]).await), "code");
    let (status, body) = redeem(&simulator, &code, "some other verifier that is long enough to count").await;
    assert_eq!((status, error(&body)), (400, ("invalid_grant", "invalid code verifier")));
}

#[tokio::test]
async fn pkce_is_required_and_plain_is_not_known() {
    let simulator = Simulator::start(Options { auto_approve: true, ..Options::default() }).await.unwrap();
    let pairs = callback(&authorize(&simulator, &[("code_challenge", "")]).await);
    assert_eq!(parameter(&pairs, "error_description"), "missing required code challenge");
    let pairs = callback(&authorize(&simulator, &[("code_challenge_method", "plain")]).await);
    assert_eq!(parameter(&pairs, "error"), "invalid_request");
}

#[tokio::test]
async fn a_verifier_of_171_characters_and_a_missing_method_work() {
    let simulator = Simulator::start(Options { auto_approve: true, ..Options::default() }).await.unwrap();
    let verifier = "v".repeat(171);
    let challenge = challenge(&verifier);
    for method in ["", "S256"] {
        let extra = [("code_challenge", challenge.as_str()), ("code_challenge_method", method)];
        let code = parameter(&callback(&authorize(&simulator, &extra).await), "code");
        assert_eq!(redeem(&simulator, &code, &verifier).await.0, 200);
    }
}

#[tokio::test]
async fn a_refresh_keeps_the_token_unless_rotation_is_on() {
    let (simulator, body) = signed_in(Options::default()).await;
    let first = body["refresh_token"].as_str().unwrap();
    let (status, body) = refresh(&simulator, first).await;
    assert_eq!(status, 200);
    assert!(body.get("refresh_token").is_none());

    simulator.org().set_refresh_rotation(true);
    let (_, body) = refresh(&simulator, first).await;
    let second = body["refresh_token"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    let (status, body) = refresh(&simulator, first).await;
    assert_eq!((status, error(&body)), (400, ("invalid_grant", "expired access/refresh token")));
    assert_eq!(refresh(&simulator, &second).await.0, 200);
}

#[tokio::test]
async fn a_refresh_that_names_scopes_is_refused() {
    let (simulator, body) = signed_in(Options::default()).await;
    let refresh_token = body["refresh_token"].as_str().unwrap();
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", DEMO_CLIENT_ID),
        ("refresh_token", refresh_token),
        ("scope", "api"),
    ];
    assert_eq!(token(&simulator, &form).await.0, 400);
}

#[tokio::test]
async fn the_sixth_approval_ends_the_first() {
    let (simulator, first) = signed_in(Options::default()).await;
    for _ in 0..4 {
        let code = parameter(&callback(&authorize(&simulator, &[]).await), "code");
        redeem(&simulator, &code, VERIFIER).await;
    }
    assert_eq!(refresh(&simulator, first["refresh_token"].as_str().unwrap()).await.0, 200);
    let code = parameter(&callback(&authorize(&simulator, &[]).await), "code");
    redeem(&simulator, &code, VERIFIER).await;
    assert_eq!(refresh(&simulator, first["refresh_token"].as_str().unwrap()).await.0, 400);
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_its_sessions() {
    let (simulator, body) = signed_in(Options::default()).await;
    let access_token = body["access_token"].as_str().unwrap();
    let limits = simulator.base_url().join("services/data/v67.0/limits").unwrap();
    let ask = || http().get(limits.clone()).bearer_auth(access_token).send();
    assert_eq!(ask().await.unwrap().status(), 200);
    let revoke = simulator.base_url().join("services/oauth2/revoke").unwrap();
    let form = [("token", body["refresh_token"].as_str().unwrap())];
    let reply = http().post(revoke.clone()).form(&form).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.text().await.unwrap()), (200, String::new()));
    let reply = ask().await.unwrap();
    assert_eq!(reply.status(), 401);
    let body: Value = reply.json().await.unwrap();
    assert_eq!(body, json!([{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]));
    assert_eq!(http().post(revoke).form(&form).send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_session_without_the_api_scope_cannot_use_the_rest_api() {
    let simulator = Simulator::start(Options { auto_approve: true, ..Options::default() }).await.unwrap();
    let code =
        parameter(&callback(&authorize(&simulator, &[("scope", "openid refresh_token")]).await), "code");
    let (_, body) = redeem(&simulator, &code, VERIFIER).await;
    let limits = simulator.base_url().join("services/data/v67.0/limits").unwrap();
    let reply = http().get(limits).bearer_auth(body["access_token"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(reply.status(), 401);
    assert!(reply.text().await.unwrap().contains("not valid for use with the REST API"));
}

#[tokio::test]
async fn client_credentials_need_the_right_secret() {
    let world = World::default().await;
    let form = |secret| {
        [("grant_type", "client_credentials"), ("client_id", DEMO_CLIENT_ID), ("client_secret", secret)]
    };
    let (status, body) = world.post_form("services/oauth2/token", &form("wrong")).await;
    assert_eq!((status, error(&body)), (401, ("invalid_client", "invalid client credentials")));
    let form = [("grant_type", "client_credentials"), ("client_id", "unknown"), ("client_secret", "x")];
    let (status, body) = world.post_form("services/oauth2/token", &form).await;
    assert_eq!((status, error(&body)), (400, ("invalid_client_id", "client identifier invalid")));
    let (_, body) = world.post_form("services/oauth2/token", &[("grant_type", "password")]).await;
    assert_eq!(error(&body).0, "unsupported_grant_type");

    let basic = world
        .http
        .post(world.at("services/oauth2/token"))
        .basic_auth(DEMO_CLIENT_ID, Some(simulator::DEMO_CLIENT_SECRET))
        .form(&[("grant_type", "client_credentials")])
        .send()
        .await
        .unwrap();
    let body: Value = basic.json().await.unwrap();
    assert!(body["access_token"].is_string() && body.get("refresh_token").is_none());

    let form = [
        ("token", world.token.as_str()),
        ("client_id", DEMO_CLIENT_ID),
        ("client_secret", simulator::DEMO_CLIENT_SECRET),
    ];
    let (_, body) = world.post_form("services/oauth2/introspect", &form).await;
    assert_eq!((&body["active"], &body["username"]), (&json!(true), &json!(DEMO_USERNAME)));
}

#[tokio::test]
async fn a_signed_assertion_signs_in_and_a_forged_one_does_not() {
    let world = World::default().await;
    let keys = JwtKeys::make();
    world.simulator.org().register_jwt_key(&keys.public_pem).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = |audience: &str, subject: &str, expiry: Value| json!({"iss": DEMO_CLIENT_ID, "sub": subject, "aud": audience, "exp": expiry});
    let ask = async |claims: Value, private_pem: &str| {
        let assertion = sign(&claims, private_pem);
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        world.post_form("services/oauth2/token", &[("grant_type", grant), ("assertion", &assertion)]).await
    };
    // Seconds, a decimal text, and milliseconds: all are sent by real clients.
    for expiry in [json!(now + 180), json!((now + 180).to_string()), json!((now + 300) * 1_000)] {
        let claims = claims("https://login.salesforce.com", DEMO_USERNAME, expiry);
        let (status, body) = ask(claims, &keys.private_pem).await;
        assert_eq!(status, 200, "{body}");
        assert!(body.get("refresh_token").is_none());
    }
    let base = world.simulator.base_url().as_str().trim_end_matches('/').to_owned();
    assert_eq!(ask(claims(&base, SECOND_USERNAME, json!(now + 60)), &keys.private_pem).await.0, 200);

    let (status, body) = ask(claims(&base, DEMO_USERNAME, json!(now - 600)), &keys.private_pem).await;
    assert_eq!((status, error(&body).0), (400, "invalid_grant"));
    let (_, body) =
        ask(claims("https://example.com", DEMO_USERNAME, json!(now + 60)), &keys.private_pem).await;
    assert_eq!(error(&body), ("invalid_grant", "audience is invalid"));
    let (_, body) = ask(claims(&base, "nobody@example.com", json!(now + 60)), &keys.private_pem).await;
    assert_eq!(error(&body), ("invalid_grant", "user hasn't approved this consumer"));
    let forger = JwtKeys::make();
    let (_, body) = ask(claims(&base, DEMO_USERNAME, json!(now + 60)), &forger.private_pem).await;
    assert_eq!(error(&body), ("invalid_grant", "invalid assertion"));
}

fn sign(claims: &Value, private_pem: &str) -> String {
    use base64::engine::general_purpose::STANDARD;
    let der: String = private_pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let key = ring::signature::RsaKeyPair::from_pkcs8(&STANDARD.decode(der).unwrap()).unwrap();
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let message = format!("{}.{}", encode(&json!({"alg": "RS256"})), encode(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    let random = ring::rand::SystemRandom::new();
    key.sign(&ring::signature::RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn another_user_can_be_the_one_who_approves() {
    let (simulator, _) = signed_in(Options::default()).await;
    simulator.org().set_signed_in_user(SECOND_USERNAME).unwrap();
    let code = parameter(&callback(&authorize(&simulator, &[]).await), "code");
    let (_, body) = redeem(&simulator, &code, VERIFIER).await;
    let url = simulator.base_url().join("services/oauth2/userinfo").unwrap();
    let reply = http().get(url).bearer_auth(body["access_token"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(reply.json::<Value>().await.unwrap()["preferred_username"], SECOND_USERNAME);
}

#[tokio::test]
async fn a_soap_login_opens_a_session() {
    let world = World::default().await;
    let login = async |password: &str| {
        let envelope = format!(
            "<se:Envelope xmlns:se=\"http://schemas.xmlsoap.org/soap/envelope/\"><se:Body>\
             <n1:login xmlns:n1=\"urn:partner.soap.sforce.com\"><n1:username>{DEMO_USERNAME}</n1:username>\
             <n1:password>{password}</n1:password></n1:login></se:Body></se:Envelope>"
        );
        let url = world.at("services/Soap/u/59.0");
        let reply = world.http.post(url).header("SOAPAction", "login").body(envelope).send().await.unwrap();
        (reply.status().as_u16(), reply.text().await.unwrap())
    };
    let (status, body) = login(DEMO_PASSWORD).await;
    assert_eq!(status, 200);
    let session = body.split("<sessionId>").nth(1).unwrap().split('<').next().unwrap();
    let reply =
        http().get(world.at("services/data/v59.0/limits/")).bearer_auth(session).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    let (status, body) = login("wrong").await;
    assert_eq!(status, 500);
    assert!(body.contains("<sf:exceptionCode>INVALID_LOGIN</sf:exceptionCode>"));
}

#[tokio::test]
async fn both_loopback_addresses_answer_on_one_port() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let port = simulator.base_url().port().unwrap();
    for host in ["127.0.0.1", "[::1]"] {
        let reply = http().get(format!("http://{host}:{port}/services/data")).send().await;
        // A machine without IPv6 has only the first.
        if host == "127.0.0.1" || tokio::net::TcpListener::bind("[::1]:0").await.is_ok() {
            assert_eq!(reply.unwrap().status(), 200, "{host}");
        }
    }
}

#[tokio::test]
async fn with_tls_a_client_must_trust_the_throw_away_authority() {
    let simulator = Simulator::start(Options { tls: true, ..Options::default() }).await.unwrap();
    let url = simulator.base_url().join("services/data").unwrap();
    assert_eq!(url.scheme(), "https");
    assert!(http().get(url.clone()).send().await.is_err());
    let authority = reqwest::Certificate::from_pem(simulator.ca_pem().unwrap().as_bytes()).unwrap();
    let trusting = reqwest::Client::builder().no_proxy().tls_certs_merge([authority]).build().unwrap();
    let versions: Value = trusting.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(versions.as_array().unwrap().last().unwrap()["version"], "67.0");
}
