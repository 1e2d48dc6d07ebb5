//! The Tooling API, as far as it tells which objects are selected for change events.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::json;

use super::{Asked, render::write_row};
use crate::{
    catalogue::Kept,
    events::event_name,
    http::{Failure, Reply, bytes_reply, ok},
    ids::RecordId,
    lock::lock,
    schema::{Field, Kind, Object, known_object},
    snapshot::Snapshot,
    soql::{self, Access, Output},
    table::Base,
    value::Owned,
};

/// Answers `GET /tooling/query?q=…`: the members of channels, the channels, and managed subscriptions, of which this
/// org has none.
pub fn query(asked: &Asked<'_>) -> Result<Reply, Failure> {
    let text = asked.call.parameter("q").unwrap_or_default();
    let query = soql::parse(&text)?;
    let snapshot = metadata(asked);
    if snapshot.schema.object(&query.from.text).is_none() {
        let message = format!("sObject type '{}' is not supported.", query.from.text);
        return Err(Failure::bad_request("INVALID_TYPE", message));
    }
    let plan = soql::check(&query, &snapshot.schema, &Access::default(), asked.org.clock.now_ms())?;
    let name = &snapshot.object(plan.object).name;
    let head = |total: u64| {
        format!(
            "{{\"size\":{total},\"totalSize\":{total},\"done\":true,\"queryLocator\":null,\"entityTypeName\":\"{name}\",\
             \"records\":["
        )
    };
    match &plan.output {
        Output::Count => {
            let total = soql::count(&plan, &snapshot, false);
            Ok(ok(&json!({"size": total, "totalSize": total, "done": true, "queryLocator": null,
                          "entityTypeName": name, "records": []})))
        }
        Output::Groups(_) => {
            Err(Failure::bad_request("MALFORMED_QUERY", "grouped queries are not offered here"))
        }
        Output::Rows(_) => {
            let rows = soql::select(&plan, &snapshot, false);
            let mut out = head(rows.len()).into_bytes();
            for (at, row) in rows.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_row(&mut out, &snapshot, plan.object, row, plan.columns(), asked.version);
            }
            out.extend_from_slice(b"]}");
            Ok(bytes_reply(StatusCode::OK, "application/json;charset=UTF-8", out))
        }
    }
}

/// What is selected, as records of the Tooling API.
fn metadata(asked: &Asked<'_>) -> Snapshot {
    let events = lock(&asked.org.events);
    let text = |text: &str| Owned::Text(text.into());
    let mut members = Vec::new();
    let mut channels: Vec<&str> = Vec::new();
    for (at, (channel, object)) in events.channels.members().enumerate() {
        let event = event_name(object);
        let name = format!("{}_{event}", channel.trim_end_matches("__chn"));
        let id = RecordId::generated(*b"0v8", at as u64);
        members.push((id, vec![Owned::Id(id), text(&name), text(channel), text(&event), Owned::Null]));
        if channel.ends_with("__chn") && !channels.contains(&channel) {
            channels.push(channel);
        }
    }
    let channels = channels.iter().enumerate().map(|(at, channel)| {
        let id = RecordId::generated(*b"0YL", at as u64);
        let label = channel.trim_end_matches("__chn");
        (id, vec![Owned::Id(id), text(label), text("data"), text(label)])
    });
    Snapshot::new(vec![
        table(
            "PlatformEventChannelMember",
            *b"0v8",
            &["DeveloperName", "EventChannel", "SelectedEntity", "FilterExpression"],
            members,
        ),
        table(
            "PlatformEventChannel",
            *b"0YL",
            &["DeveloperName", "ChannelType", "MasterLabel"],
            channels.collect(),
        ),
        table(
            "ManagedEventSubscription",
            *b"18x",
            &["DeveloperName", "MasterLabel", "TopicName", "State"],
            Vec::new(),
        ),
    ])
}

fn table(
    name: &str,
    key_prefix: [u8; 3],
    fields: &[&str],
    records: Vec<(RecordId, Vec<Owned>)>,
) -> (Object, Arc<dyn Base>) {
    let mut object = known_object(name);
    object.key_prefix = key_prefix;
    object.fields = vec![Field::new("Id", Kind::Id).required().read_only()];
    object.fields.extend(fields.iter().map(|field| Field::new(field, Kind::Text)));
    (object, Arc::new(Kept::new(records)))
}
