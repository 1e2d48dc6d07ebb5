//! The listener for the browser's answer: who may end the wait, and who may not.

use std::{net::TcpListener, time::Duration};

use salesforce::{Error, Refusal, auth::loopback::Listener};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::world::free_redirect;

const STATE: &str = "the-right-state";
const PATIENCE: Duration = Duration::from_secs(20);

type Waiting = JoinHandle<Result<SecretString, Error>>;

async fn waiting() -> (Url, Waiting, CancellationToken) {
    let redirect = free_redirect();
    let listener = Listener::bind(&redirect).await.expect("a free port");
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    let wait = tokio::spawn(async move { listener.wait_for_code(&STATE.into(), PATIENCE, &token).await });
    (redirect, wait, cancel)
}

/// Sends one request as it is, and returns the whole answer.
async fn send(address: &str, redirect: &Url, request: &str) -> String {
    let port = redirect.port().expect("a port");
    let mut stream = TcpStream::connect((address, port)).await.expect("somebody listens");
    stream.write_all(request.as_bytes()).await.expect("it takes the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    answer
}

fn get(redirect: &Url, target: &str) -> String {
    let port = redirect.port().expect("a port");
    format!("GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n")
}

async fn code_of(wait: Waiting) -> String {
    wait.await.expect("no panic").expect("a code").expose_secret().to_owned()
}

#[tokio::test]
async fn the_right_answer_brings_its_code_decoded_once() {
    let (redirect, wait, _) = waiting().await;
    let target = format!("/oauth/callback?code=aPrx%2Bx%3D%3D&state={STATE}&sf=1");
    let answer = send("127.0.0.1", &redirect, &get(&redirect, &target)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("You can close this page"), "{answer}");
    assert_eq!(code_of(wait).await, "aPrx+x==");
}

#[tokio::test]
async fn both_addresses_of_localhost_are_ours() {
    if TcpListener::bind(("::1", 0)).is_err() {
        // A machine without IPv6 has no second address that anybody could take.
        return;
    }
    let (redirect, wait, _) = waiting().await;
    send("::1", &redirect, &get(&redirect, &format!("/oauth/callback?code=six&state={STATE}"))).await;
    assert_eq!(code_of(wait).await, "six");
}

#[tokio::test]
async fn strangers_are_turned_away_and_do_not_end_the_wait() {
    let (redirect, wait, _) = waiting().await;
    let port = redirect.port().expect("a port");
    let right = format!("/oauth/callback?code=stolen&state={STATE}");
    let host = |host: &str| format!("GET {right} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let strangers = [
        ("no state", get(&redirect, "/oauth/callback?code=x")),
        ("wrong state", get(&redirect, "/oauth/callback?code=x&state=wrong")),
        ("half a state", get(&redirect, "/oauth/callback?code=x&state=the-right")),
        ("two states", get(&redirect, &format!("/oauth/callback?code=x&state=wrong&state={STATE}"))),
        ("an error without the state", get(&redirect, "/oauth/callback?error=access_denied&state=wrong")),
        ("no code", get(&redirect, &format!("/oauth/callback?state={STATE}"))),
        ("an empty code", get(&redirect, &format!("/oauth/callback?code=&state={STATE}"))),
        ("another path", get(&redirect, &format!("/oauth/callback/x?code=x&state={STATE}"))),
        ("another host", host("evil.example")),
        ("127.0.0.1 for localhost", host(&format!("127.0.0.1:{port}"))),
        ("another port", host("localhost:1")),
        ("no host", format!("GET {right} HTTP/1.0\r\n\r\n")),
        ("another method", get(&redirect, &right).replace("GET", "POST")),
        ("a favicon", get(&redirect, "/favicon.ico")),
    ];
    for (what, request) in strangers {
        let answer = send("127.0.0.1", &redirect, &request).await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{what}: {answer}");
        assert!(!wait.is_finished(), "{what} ended the wait");
    }
    // Neither does a connection that says nothing, or nonsense.
    let _silent = TcpStream::connect(("127.0.0.1", port)).await.expect("somebody listens");
    send("127.0.0.1", &redirect, "nonsense\r\n\r\n").await;
    send("127.0.0.1", &redirect, &get(&redirect, &format!("/oauth/callback?code=ours&state={STATE}"))).await;
    assert_eq!(code_of(wait).await, "ours");
}

#[tokio::test]
async fn nothing_of_the_query_is_repeated() {
    let (redirect, wait, cancel) = waiting().await;
    for target in [
        "/oauth/callback?state=%3Cscript%3Ealert(1)%3C/script%3E&code=%3Cb%3E".to_owned(),
        "/%3Cscript%3E".to_owned(),
        format!("/oauth/callback?state={STATE}&error=%3Cscript%3E&error_description=%3Cimg%3E"),
    ] {
        let answer = send("127.0.0.1", &redirect, &get(&redirect, &target)).await;
        let body = answer.split_once("\r\n\r\n").expect("a body").1;
        assert!(!body.contains("script") && !body.contains("<img") && !body.contains("<b>"), "{body}");
        assert!(answer.to_lowercase().contains("content-security-policy: default-src 'none'"), "{answer}");
    }
    cancel.cancel();
    drop(wait);
}

#[tokio::test]
async fn a_browser_that_asks_before_is_allowed_to_come() {
    let (redirect, wait, cancel) = waiting().await;
    let request = get(&redirect, "/oauth/callback").replace("GET", "OPTIONS");
    let answer = send("127.0.0.1", &redirect, &request).await.to_lowercase();
    assert!(answer.starts_with("http/1.1 204"), "{answer}");
    assert!(answer.contains("access-control-allow-private-network: true"), "{answer}");
    assert!(!wait.is_finished());
    cancel.cancel();
}

#[tokio::test]
async fn a_denial_ends_the_wait_and_says_so() {
    let (redirect, wait, _) = waiting().await;
    let target =
        format!("/oauth/callback?error=access_denied&error_description=end-user+denied&state={STATE}");
    let answer = send("127.0.0.1", &redirect, &get(&redirect, &target)).await;
    assert!(answer.contains("Not signed in"), "{answer}");
    match wait.await.expect("no panic").expect_err("denied") {
        Error::Refused { refusal, description, .. } => {
            assert_eq!((refusal, description.as_str()), (Refusal::AccessDenied, "end-user denied"));
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_taken_port_is_said_so_and_nothing_stays_bound() {
    for taken in ["127.0.0.1", "::1"] {
        let Ok(holder) = TcpListener::bind((taken, 0)) else { continue };
        let port = holder.local_addr().expect("an address").port();
        let redirect = Url::parse(&format!("http://localhost:{port}/oauth/callback")).expect("a URL");
        let error = Listener::bind(&redirect).await.expect_err("taken");
        assert!(matches!(error, Error::PortTaken { port: named, .. } if named == port), "{error}");
        drop(holder);
        Listener::bind(&redirect).await.expect("both addresses are free again");
    }
}

#[tokio::test]
async fn waiting_ends_when_cancelled_and_frees_the_port() {
    let (redirect, wait, cancel) = waiting().await;
    cancel.cancel();
    assert!(matches!(wait.await.expect("no panic"), Err(Error::Cancelled)));
    Listener::bind(&redirect).await.expect("the port is free");
}

#[tokio::test]
async fn waiting_ends_by_itself() {
    let listener = Listener::bind(&free_redirect()).await.expect("a free port");
    let patience = Duration::from_millis(30);
    let outcome = listener.wait_for_code(&STATE.into(), patience, &CancellationToken::new()).await;
    assert!(matches!(outcome, Err(Error::SignInTimedOut { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_redirect_that_salesforce_cannot_register_is_refused() {
    for redirect in [
        "https://localhost:8717/oauth/callback",
        "http://127.0.0.1:8717/oauth/callback",
        "http://localhost/oauth/callback",
        "http://localhost:0/oauth/callback",
        "http://localhost:8717/oauth/callback?x=1",
        "http://example.com:8717/oauth/callback",
    ] {
        let outcome = Listener::bind(&Url::parse(redirect).expect("a URL")).await;
        assert!(matches!(outcome, Err(Error::RedirectUnusable { .. })), "{redirect}");
    }
}
