//! The REST API: everything below `/services/data`.

mod composite;
mod limits;
mod query;
mod records;
mod render;
mod sobjects;
mod tooling;

use std::sync::Arc;

use hyper::{Method, StatusCode, header::HeaderValue};
use serde_json::{Value as Json, json};

use crate::{
    bulk,
    http::{Call, Failure, Reply, ok},
    ids::RecordId,
    lock::lock,
    oauth::Session,
    org::Org,
    soql::Access,
};

/// The oldest version that still answers.
const OLDEST_VERSION: u32 = 45;

/// A request that may come in: who asks, by which version, and what that user may see.
pub struct Asked<'a> {
    /// The org.
    pub org: &'a Arc<Org>,
    /// The request.
    pub call: &'a Call,
    /// The version as the path spells it, such as `67.0`.
    pub version: &'a str,
    /// The pieces of the path after the version.
    pub path: Vec<&'a str>,
    /// The user.
    pub user: RecordId,
    /// What the user may not see.
    pub access: Access,
}

/// Answers a request below `/services/data`.
pub fn answer(org: &Arc<Org>, call: &Call) -> Reply {
    let Some(version) = call.segments.get(2) else { return ok(&versions(org)) };
    let mut reply = match admitted(org, call, version) {
        Ok(asked) => route(&asked).unwrap_or_else(|failure| failure.reply()),
        Err(failure) => failure.reply(),
    };
    let usage = lock(&org.usage).header();
    if let Ok(usage) = HeaderValue::from_str(&usage) {
        reply.headers_mut().insert("Sforce-Limit-Info", usage);
    }
    reply
}

/// The versions on offer: no sign-in, no quota.
fn versions(org: &Org) -> Json {
    let newest = org.options.newest_version;
    let versions = (newest.saturating_sub(20).max(OLDEST_VERSION)..=newest).map(|version| {
        // Three releases a year: 58.0 was Summer '23.
        let season = ["Spring", "Summer", "Winter"][(version % 3) as usize];
        let year = (version + 12) / 3 + u32::from(version % 3 == 2);
        json!({
            "label": format!("{season} '{year}"),
            "url": format!("/services/data/v{version}.0"),
            "version": format!("{version}.0"),
        })
    });
    Json::Array(versions.collect())
}

fn admitted<'a>(org: &'a Arc<Org>, call: &'a Call, version: &'a str) -> Result<Asked<'a>, Failure> {
    let session = session(org, call)?;
    let version = version.strip_prefix('v').and_then(|version| {
        let number: u32 = version.strip_suffix(".0")?.parse().ok()?;
        (OLDEST_VERSION..=org.options.newest_version).contains(&number).then_some(version)
    });
    let version = version.ok_or_else(Failure::not_found)?;
    if !session.scope.split(' ').any(|scope| matches!(scope, "api" | "full")) {
        let message = "This session is not valid for use with the REST API";
        return Err(Failure::new(StatusCode::UNAUTHORIZED, "INVALID_SESSION_ID", message));
    }
    if !lock(&org.usage).take() {
        return Err(quota_spent());
    }
    let path = call.segments[3..].iter().map(String::as_str).collect();
    Ok(Asked { org, call, version, path, user: session.user, access: org.access(session.user) })
}

/// The refusal when the day's requests are used up.
pub fn quota_spent() -> Failure {
    Failure::new(StatusCode::FORBIDDEN, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
}

fn session(org: &Org, call: &Call) -> Result<Session, Failure> {
    let header = call.header("authorization").ok_or_else(Failure::invalid_session)?;
    let token = match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("Bearer") || scheme == "OAuth" => token.trim(),
        _ => {
            return Err(Failure::new(StatusCode::UNAUTHORIZED, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE"));
        }
    };
    lock(&org.identity).session(token).cloned().ok_or_else(Failure::invalid_session)
}

fn route(asked: &Asked<'_>) -> Result<Reply, Failure> {
    let method = &asked.call.method;
    let get = method == Method::GET || method == Method::HEAD;
    match asked.path.as_slice() {
        [] if get => Ok(ok(&resources(asked.version))),
        ["query"] if get => query::first_page(asked, false),
        ["queryAll"] if get => query::first_page(asked, true),
        ["query" | "queryAll", locator] if get => query::next_page(asked, locator),
        ["limits"] if get => Ok(limits::limits(asked)),
        ["limits", "recordCount"] if get => Ok(limits::record_count(asked)),
        ["sobjects"] if get => Ok(sobjects::list(asked)),
        ["sobjects", event, "eventSchema"] if get => sobjects::newest_event_schema(asked, event),
        ["event", "eventSchema", id] if get => sobjects::event_schema(asked, id),
        ["sobjects", object, "describe"] if get => sobjects::describe(asked, object),
        ["sobjects", object] if get => sobjects::basic(asked, object),
        ["sobjects", object, "updated"] if get => records::updated(asked, object),
        ["sobjects", object, "deleted"] if get => records::deleted(asked, object),
        ["sobjects", object, id] if get => records::by_id(asked, object, id),
        ["composite", "sobjects", object] => composite::records(asked, object),
        ["composite", "batch"] if method == Method::POST => composite::batch(asked),
        ["connect", "organization"] if get => Ok(limits::organization(asked)),
        ["tooling", "query"] if get => tooling::query(asked),
        ["jobs", "query", rest @ ..] => bulk::answer(asked, rest),
        ["query" | "queryAll" | "limits" | "sobjects" | "composite" | "tooling" | "event", ..] => {
            Err(if get { Failure::not_found() } else { Failure::method_not_allowed(method) })
        }
        _ => Err(Failure::not_found()),
    }
}

fn resources(version: &str) -> Json {
    let names =
        ["sobjects", "query", "queryAll", "limits", "tooling", "composite", "jobs", "connect", "event"];
    let entry = |name: &str| (name.to_owned(), Json::String(format!("/services/data/v{version}/{name}")));
    Json::Object(names.into_iter().map(entry).collect())
}

/// The position of an object that the user may see.
fn visible_object(asked: &Asked<'_>, schema: &crate::schema::Schema, name: &str) -> Result<usize, Failure> {
    schema
        .object(name)
        .filter(|object| !asked.access.hidden_objects.contains(object))
        .ok_or_else(Failure::not_found)
}
