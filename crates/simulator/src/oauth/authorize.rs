//! The page where a person approves or denies.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper::StatusCode;
use sha2::{Digest, Sha256};

use super::identity::{App, Code, Identity, random};
use crate::{
    http::{Call, Reply, escape_html, html, redirect},
    ids::RecordId,
    lock::lock,
    org::Org,
};

/// Authorizations that may wait at once.
const WAITING: usize = 50;

/// An authorization that waits for somebody to decide.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Names it in the page's form.
    pub ticket: String,
    /// The app's name.
    pub app: String,
    /// The app's consumer key.
    pub client_id: String,
    /// Where the browser goes afterwards.
    pub redirect_uri: String,
    /// What the app asks for.
    pub scope: String,
    /// What the app wants to see again.
    pub state: Option<String>,
    /// The PKCE challenge.
    pub challenge: Option<String>,
    /// When it was asked.
    pub since_ms: i64,
}

/// The scopes that the demo app is registered for.
const SCOPES: [&str; 9] =
    ["api", "refresh_token", "offline_access", "openid", "web", "id", "profile", "email", "full"];

/// Answers `GET /services/oauth2/authorize`.
pub fn ask(org: &Org, call: &Call) -> Reply {
    let client_id = call.parameter("client_id").unwrap_or_default();
    let redirect_uri = call.parameter("redirect_uri").unwrap_or_default();
    let mut identity = lock(&org.identity);
    let Some(app) = identity.app(&client_id).cloned() else {
        return error_page("invalid_client_id", "client identifier invalid");
    };
    // Character by character: no other port, no 127.0.0.1 for localhost, no missing slash.
    if !app.callbacks.contains(&redirect_uri) {
        return error_page("redirect_uri_mismatch", "redirect_uri must match configuration");
    }
    let state = call.parameter("state");
    if let Err((error, description)) = check(&app, call) {
        return redirect(&location(
            &redirect_uri,
            state.as_deref(),
            &[("error", error), ("error_description", description)],
        ));
    }
    let scope = call.parameter("scope").filter(|scope| !scope.trim().is_empty());
    let pending = Pending {
        ticket: random(32),
        app: app.name,
        client_id,
        redirect_uri,
        scope: scope.unwrap_or_else(|| "api refresh_token openid".to_owned()),
        state,
        challenge: call.parameter("code_challenge"),
        since_ms: org.clock.now_ms(),
    };
    if org.auto_approve.load(std::sync::atomic::Ordering::Relaxed) {
        let user = identity.signed_in;
        return redirect(&approve(&mut identity, pending, user, org.clock.now_ms()));
    }
    let user = identity.signed_in;
    let page = consent_page(org, &pending, user);
    while identity.pending.len() >= WAITING {
        identity.pending.pop_front();
    }
    identity.pending.push_back(pending);
    page
}

/// Answers the form of the page: `POST /services/oauth2/authorize`.
pub fn submit(org: &Org, call: &Call) -> Reply {
    let (Some(ticket), Some(decision)) = (call.form("ticket"), call.form("decision")) else {
        return error_page("invalid_request", "the form is incomplete");
    };
    match decide(org, &ticket, decision == "approve") {
        Some(location) => redirect(&location),
        None => error_page("invalid_request", "this request was already answered, or is too old"),
    }
}

/// Decides a waiting authorization. The answer is where the browser goes next.
pub fn decide(org: &Org, ticket: &str, approved: bool) -> Option<String> {
    let mut identity = lock(&org.identity);
    let at = identity.pending.iter().position(|pending| pending.ticket == ticket)?;
    let pending = identity.pending.remove(at)?;
    if approved {
        let user = identity.signed_in;
        return Some(approve(&mut identity, pending, user, org.clock.now_ms()));
    }
    let denied = [("error", "access_denied"), ("error_description", "end-user denied authorization")];
    Some(location(&pending.redirect_uri, pending.state.as_deref(), &denied))
}

fn approve(identity: &mut Identity, pending: Pending, user: RecordId, now_ms: i64) -> String {
    let code = identity.issue_code(Code {
        client_id: pending.client_id,
        redirect_uri: pending.redirect_uri.clone(),
        user,
        scope: pending.scope,
        challenge: pending.challenge,
        issued_ms: now_ms,
    });
    location(&pending.redirect_uri, pending.state.as_deref(), &[("code", &code)])
}

fn check(app: &App, call: &Call) -> Result<(), (&'static str, &'static str)> {
    if call.parameter("response_type").as_deref() != Some("code") {
        return Err(("unsupported_response_type", "response type not supported"));
    }
    let scope = call.parameter("scope").unwrap_or_default();
    if scope.split_whitespace().any(|scope| !SCOPES.contains(&scope)) {
        return Err(("invalid_scope", "the requested scope is not allowed"));
    }
    match (call.parameter("code_challenge"), call.parameter("code_challenge_method").as_deref()) {
        (None, _) if app.pkce_required => Err(("invalid_request", "missing required code challenge")),
        // Without a method Salesforce means SHA-256, not RFC 7636's "plain".
        (Some(_), None | Some("S256")) | (None, _) => Ok(()),
        (Some(_), Some(_)) => Err(("invalid_request", "invalid code challenge method")),
    }
}

/// Reports whether a verifier belongs to a challenge. Salesforce takes verifiers longer than RFC 7636 allows.
pub fn verifier_fits(challenge: &str, verifier: &str) -> bool {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())) == challenge.trim_end_matches('=')
}

fn location(redirect_uri: &str, state: Option<&str>, pairs: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs);
    if let Some(state) = state {
        query.append_pair("state", state);
    }
    let separator = if redirect_uri.contains('?') { '&' } else { '?' };
    format!("{redirect_uri}{separator}{}", query.finish())
}

fn error_page(error: &str, description: &str) -> Reply {
    let text = format!("error={error}&error_description={description}");
    let page = page("Sign-in is not possible", &format!("<p class=\"error\">{}</p>", escape_html(&text)));
    html(StatusCode::BAD_REQUEST, page)
}

fn consent_page(org: &Org, pending: &Pending, user: RecordId) -> Reply {
    let username = org.text_of("User", user, "Username").unwrap_or_default();
    let body = format!(
        "<p><strong>{app}</strong> asks for access to the simulated org <strong>{name}</strong> ({id}).</p>\
         <dl><dt>Signed in as</dt><dd>{username}</dd><dt>It may</dt><dd>{scope}</dd>\
         <dt>Then the browser goes to</dt><dd>{redirect_uri}</dd></dl>\
         <form method=\"post\" action=\"/services/oauth2/authorize\">\
         <input type=\"hidden\" name=\"ticket\" value=\"{ticket}\">\
         <button id=\"approve\" name=\"decision\" value=\"approve\" type=\"submit\">Approve</button> \
         <button id=\"deny\" name=\"decision\" value=\"deny\" type=\"submit\">Deny</button></form>\
         <p class=\"note\">Nothing here is real: no Salesforce org is involved.</p>",
        app = escape_html(&pending.app),
        name = escape_html(&org.record.name),
        id = org.record.id,
        username = escape_html(&username),
        scope = escape_html(&pending.scope),
        redirect_uri = escape_html(&pending.redirect_uri),
        ticket = pending.ticket,
    );
    html(StatusCode::OK, page("Allow access?", &body))
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Simulated org: {title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\
         <body><main><p class=\"mark\">Simulated org</p><h1>{title}</h1>{body}</main></body></html>"
    )
}

const STYLE: &str = "body{margin:0;background:#f7f5ef;color:#1d1c19;font:16px/1.5 Georgia,serif}\
main{max-width:34rem;margin:4rem auto;padding:2rem;background:#fffdf8;border:1px solid #1d1c19}\
.mark{margin:0;letter-spacing:.08em;text-transform:uppercase;font-size:.8rem}h1{margin:.2rem 0 1rem;font-size:1.5rem}\
dt{font-size:.85rem;color:#5b5850}dd{margin:0 0 .6rem;word-break:break-all}\
button{font:inherit;padding:.4rem 1.2rem;border:1px solid #1d1c19;background:#fffdf8;cursor:pointer}\
#approve{background:#1d1c19;color:#fffdf8}.note{color:#5b5850;font-size:.85rem}.error{font-family:monospace}";
