//! The control page: what people and scripts may do to a simulated org. Loopback only, behind a token.

mod api;
mod events;

use std::sync::Arc;

use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
};
use serde_json::json;
use url::Url;

use crate::{
    http::{Call, Reply, bytes_reply, html, json_reply},
    oauth,
    org::Org,
};

/// The largest body that a script may send.
const BODY: usize = 4 * 1024 * 1024;
const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// The page loads only what is its own, and sends nothing elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// The control page of one org.
pub struct Control {
    org: Arc<Org>,
    token: String,
    port: u16,
}

impl Control {
    /// A control page with a token of its own.
    pub fn new(org: Arc<Org>, url: &Url) -> Self {
        Self { org, token: oauth::random(40), port: url.port_or_known_default().unwrap_or(0) }
    }

    /// The token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Reports whether a host is one of ours: a page of another site that resolves to this machine is not.
    fn is_own_host(&self, host: &str) -> bool {
        ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| host == format!("{name}:{}", self.port))
    }
}

/// Answers one request.
pub async fn respond(control: Arc<Control>, request: Request<Incoming>) -> Option<Reply> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(axum::body::Body::new(body), BODY).await.ok()?;
    let call = Call {
        segments: parts.uri.path().split('/').filter(|piece| !piece.is_empty()).map(str::to_owned).collect(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        method: parts.method,
        headers: parts.headers,
        body,
        fault: None,
    };
    let mut reply = answer(&control, &call);
    let headers = reply.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    Some(reply)
}

fn answer(control: &Control, call: &Call) -> Reply {
    if !call.header("host").is_some_and(|host| control.is_own_host(host)) {
        return refuse(StatusCode::MISDIRECTED_REQUEST, "this page answers only to localhost");
    }
    let foreign = call
        .header("origin")
        .is_some_and(|origin| !origin.strip_prefix("http://").is_some_and(|host| control.is_own_host(host)));
    if foreign {
        return refuse(StatusCode::FORBIDDEN, "requests from other pages are not answered");
    }
    let file: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    match (&call.method, file.as_slice()) {
        (&Method::GET, []) => return html(StatusCode::OK, PAGE.to_owned()),
        (&Method::GET, ["page.css"]) => {
            return bytes_reply(StatusCode::OK, "text/css; charset=UTF-8", STYLE.into());
        }
        (&Method::GET, ["page.js"]) => {
            return bytes_reply(StatusCode::OK, "text/javascript; charset=UTF-8", SCRIPT.into());
        }
        _ => {}
    }
    if call.segments.first().map(String::as_str) != Some("api") {
        return refuse(StatusCode::NOT_FOUND, "there is nothing here");
    }
    let shown = call.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    // The token is 40 random characters: what comparing it takes says nothing useful about it.
    if shown != Some(control.token()) {
        return refuse(
            StatusCode::UNAUTHORIZED,
            "the token is missing or wrong: open the address that was printed at the start",
        );
    }
    api::answer(&control.org, call)
}

fn refuse(status: StatusCode, message: &str) -> Reply {
    json_reply(status, &json!({"error": message}))
}
