//! Which objects there are, and their descriptions.

use hyper::{StatusCode, header::HeaderValue};
use serde_json::{Value as Json, json};

use super::{Asked, visible_object};
use crate::{
    dispatch::http_date,
    events::{event_name, has_events},
    http::{Failure, Reply, empty, ok},
    schema,
    snapshot::Snapshot,
};

/// When the schema last changed, as far as `If-Modified-Since` is concerned, unless a field was added since.
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
        .flat_map(|(_, object)| {
            // An object that may be selected for change events has a twin that stands for them.
            let events = has_events(&object.name).then(|| schema::global_of_events(object, asked.version));
            [schema::global(object, asked.version)].into_iter().chain(events)
        })
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
    if let Some(described) = describe_events(asked, &snapshot, name) {
        return Ok(ok(&described));
    }
    let object = visible_object(asked, &snapshot.schema, name)?;
    let all_visible = asked.access.hidden_fields.iter().all(|(hidden, _)| *hidden != object);
    // The dates of HTTP have a fixed layout, so that equal or later text of our only date is all that can match.
    let modified = snapshot.object(object).changed_ms.map_or_else(|| LAST_MODIFIED.to_owned(), http_date);
    let unchanged = asked.call.header("if-modified-since").is_some_and(|since| covers(since, &modified));
    if unchanged && all_visible {
        return Ok(empty(StatusCode::NOT_MODIFIED));
    }
    let visible = |field: usize| !asked.access.hidden_fields.contains(&(object, field));
    let mut reply = ok(&schema::describe(snapshot.object(object), asked.version, visible));
    if let Ok(modified) = HeaderValue::from_str(&modified) {
        reply.headers_mut().insert("Last-Modified", modified);
    }
    Ok(reply)
}

fn covers(since: &str, modified: &str) -> bool {
    let time = |text| chrono::DateTime::parse_from_rfc2822(text).ok();
    time(since) >= time(modified)
}

/// The description of `Product2ChangeEvent` and the like: the fields that events carry.
fn describe_events(asked: &Asked<'_>, snapshot: &Snapshot, name: &str) -> Option<Json> {
    let object = event_object(asked, snapshot, name)?;
    let carried: Vec<usize> = snapshot.event_schema(object)?.fields().collect();
    let described = snapshot.object(object);
    let mut description = schema::describe(described, asked.version, |field| carried.contains(&field));
    if let (Json::Object(all), Json::Object(own)) =
        (&mut description, schema::global_of_events(described, asked.version))
    {
        all.extend(own);
    }
    Some(description)
}

/// The position of the object whose change events have this name, if the user may see it.
fn event_object(asked: &Asked<'_>, snapshot: &Snapshot, name: &str) -> Option<usize> {
    let is_its = |object: &schema::Object| has_events(&object.name) && event_name(&object.name) == name;
    let object = snapshot.schema.objects.iter().position(is_its)?;
    (!asked.access.hidden_objects.contains(&object)).then_some(object)
}

/// Answers `GET /sobjects/Product2ChangeEvent/eventSchema`.
pub fn newest_event_schema(asked: &Asked<'_>, name: &str) -> Result<Reply, Failure> {
    let snapshot = asked.org.snapshot();
    let object = event_object(asked, &snapshot, name).ok_or_else(Failure::not_found)?;
    let schema = snapshot.event_schema(object).ok_or_else(Failure::not_found)?;
    event_schema(asked, &schema.id)
}

/// Answers `GET /event/eventSchema/<id>`: the Avro schema, with its id as `uuid`.
pub fn event_schema(asked: &Asked<'_>, id: &str) -> Result<Reply, Failure> {
    let schema = asked.org.schema_of_events(id).ok_or_else(Failure::not_found)?;
    let mut body: Json = serde_json::from_str(&schema.json).unwrap_or(Json::Null);
    body["uuid"] = Json::String(schema.id.clone());
    Ok(ok(&body))
}
