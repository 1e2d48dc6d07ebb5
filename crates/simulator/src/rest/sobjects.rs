//! Which objects there are, and their descriptions.

use hyper::{StatusCode, header::HeaderValue};
use serde_json::{Value as Json, json};

use super::{Asked, visible_object};
use crate::{
    http::{Failure, Reply, empty, ok},
    schema,
};

/// When the schema last changed, as far as `If-Modified-Since` is concerned: objects never change here, permissions do.
const LAST_MODIFIED: &str = "Thu, 01 Feb 2024 00:00:00 GMT";

/// Answers `GET /sobjects`.
pub fn list(asked: &Asked<'_>) -> Reply {
    let snapshot = asked.org.snapshot();
    let objects: Vec<Json> = snapshot
        .schema
        .objects
        .iter()
        .enumerate()
        .filter(|(at, _)| !asked.access.hidden_objects.contains(at))
        .map(|(_, object)| schema::global(object, asked.version))
        .collect();
    ok(&json!({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": objects}))
}

/// Answers `GET /sobjects/X`.
pub fn basic(asked: &Asked<'_>, name: &str) -> Result<Reply, Failure> {
    let snapshot = asked.org.snapshot();
    let object = visible_object(asked, &snapshot.schema, name)?;
    let description = schema::global(snapshot.object(object), asked.version);
    Ok(ok(&json!({"objectDescribe": description, "recentItems": []})))
}

/// Answers `GET /sobjects/X/describe`, with 304 when nothing changed since the client last looked.
pub fn describe(asked: &Asked<'_>, name: &str) -> Result<Reply, Failure> {
    let snapshot = asked.org.snapshot();
    let object = visible_object(asked, &snapshot.schema, name)?;
    let all_visible = asked.access.hidden_fields.iter().all(|(hidden, _)| *hidden != object);
    // The dates of HTTP have a fixed layout, so that equal or later text of our only date is all that can match.
    let unchanged = asked.call.header("if-modified-since").is_some_and(since_covers);
    if unchanged && all_visible {
        return Ok(empty(StatusCode::NOT_MODIFIED));
    }
    let visible = |field: usize| !asked.access.hidden_fields.contains(&(object, field));
    let mut reply = ok(&schema::describe(snapshot.object(object), asked.version, visible));
    reply.headers_mut().insert("Last-Modified", HeaderValue::from_static(LAST_MODIFIED));
    Ok(reply)
}

fn since_covers(since: &str) -> bool {
    let time = |text| chrono::DateTime::parse_from_rfc2822(text).ok();
    time(since) >= time(LAST_MODIFIED)
}
