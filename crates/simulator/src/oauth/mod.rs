//! Sign-in: apps, authorization codes, grants and sessions.

mod authorize;
mod identity;
mod jwt;
mod token;
mod who;

pub use identity::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, Identity, Session, random};

use hyper::{Method, StatusCode};
use serde_json::json;

use crate::{
    http::{Call, Reply, empty, html, json_reply},
    org::Org,
};

pub use authorize::decide;

/// Answers a request below `/services/oauth2`.
pub fn answer(org: &Org, call: &Call) -> Reply {
    let what = call.segments.get(2).map(String::as_str).unwrap_or_default();
    match (what, &call.method) {
        ("authorize", &Method::GET) => authorize::ask(org, call),
        ("authorize", &Method::POST) => authorize::submit(org, call),
        ("token", &Method::POST) => token::answer(org, call),
        ("revoke", &Method::POST | &Method::GET) => token::revoke(org, call),
        ("introspect", &Method::POST) => token::introspect(org, call),
        ("userinfo", &Method::GET | &Method::POST) => who::userinfo(org, call),
        ("authorize" | "token" | "revoke" | "introspect" | "userinfo", _) => {
            empty(StatusCode::METHOD_NOT_ALLOWED)
        }
        _ => html(
            StatusCode::NOT_FOUND,
            "<html><head><title>URL No Longer Exists</title></head></html>".to_owned(),
        ),
    }
}

/// Answers the identity URL, `/id/<org>/<user>`.
pub fn identity(org: &Org, call: &Call) -> Reply {
    who::identity(org, call)
}

/// Answers the OpenID discovery document.
pub fn discovery(org: &Org) -> Reply {
    let base = org.base_url.as_str().trim_end_matches('/');
    json_reply(
        StatusCode::OK,
        &json!({
            "issuer": base,
            "authorization_endpoint": format!("{base}/services/oauth2/authorize"),
            "token_endpoint": format!("{base}/services/oauth2/token"),
            "revocation_endpoint": format!("{base}/services/oauth2/revoke"),
            "introspection_endpoint": format!("{base}/services/oauth2/introspect"),
            "userinfo_endpoint": format!("{base}/services/oauth2/userinfo"),
            "scopes_supported": ["api", "refresh_token", "openid", "web", "id", "full"],
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
        }),
    )
}

/// An error of the token endpoint: one object, not an array.
fn refuse(error: &str, description: &str) -> Reply {
    let status = if error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
    json_reply(status, &json!({"error": error, "error_description": description}))
}

/// An error of the token endpoint that a script asked for.
pub fn scripted(error: &str, description: &str) -> Reply {
    refuse(error, description)
}
