//! The endpoints for change events, late commits and measurements.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde_json::{Value as Json, json};

use super::{api::body, refuse};
use crate::{
    calendar,
    error::Error,
    http::{Call, Reply, ok},
    ids::RecordId,
    lock::lock,
    org::{Disturbance, Load, Org, TransactionId, Write},
};

/// Events that the page shows.
const SHOWN: usize = 50;

/// Answers a request about events, if it is one.
pub fn answer(org: &Arc<Org>, call: &Call, path: &[&str]) -> Option<Reply> {
    let answered = match (path, &call.method) {
        (["events"], &Method::GET) => Ok(overview(org)),
        (["events", "disturb"], &Method::POST) => read::<Disturbance>(call)
            .and_then(|disturbance| org.disturb(&disturbance))
            .map(|()| overview(org)),
        (["events", "selection"], &Method::POST) => body(call).and_then(|body| {
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            let channel = body["channel"].as_str().unwrap_or(crate::events::DEFAULT_CHANNEL);
            org.set_channel_member(channel, &text("object"), body["member"].as_bool().unwrap_or(true))?;
            Ok(overview(org))
        }),
        (["events", "view-all"], &Method::POST) => body(call).map(|body| {
            org.set_view_all(
                body["object"].as_str().unwrap_or_default(),
                body["all"].as_bool().unwrap_or(true),
            );
            overview(org)
        }),
        (["events", "allocation"], &Method::POST) => body(call).map(|body| {
            let allowed = lock(&org.events).allocation.allowed();
            let number = |name: &str| body[name].as_u64();
            org.set_delivered_events(number("used").unwrap_or(0), number("allowed").unwrap_or(allowed));
            overview(org)
        }),
        (["fields"], &Method::POST) => body(call).and_then(|body| {
            let text = |name: &str| body[name].as_str();
            let required = |name: &str| text(name).unwrap_or_default();
            org.add_field(required("object"), required("name"), required("kind"), text("behind"))?;
            Ok(json!({}))
        }),
        (["clock"], &Method::POST) => body(call).map(|body| {
            org.set_clock_ahead_ms(body["ahead_ms"].as_i64().unwrap_or(0));
            overview(org)
        }),
        (["load"], &Method::POST) => read::<Load>(call).and_then(|load| start(org, load)),
        (["transactions", ..], _) => transactions(org, call, &path[1..])?,
        _ => return None,
    };
    Some(match answered {
        Ok(body) => ok(&body),
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    })
}

/// A late commit: `POST /transactions` begins one and makes the changes in the body, `POST /transactions/<id>` makes
/// more, `POST /transactions/<id>/commit` commits, `DELETE /transactions/<id>` takes it back.
fn transactions(org: &Arc<Org>, call: &Call, path: &[&str]) -> Option<Result<Json, Error>> {
    let id = |text: &str| serde_json::from_str::<TransactionId>(text).map_err(|_| Error::NoTransaction);
    Some(match (path, &call.method) {
        ([], &Method::POST) => {
            let id = org.open_transaction();
            write(org, call, id).inspect_err(|_| {
                org.roll_back(id).ok();
            })
        }
        ([text], &Method::POST) => id(text).and_then(|id| write(org, call, id)),
        ([text, "commit"], &Method::POST) => id(text)
            .and_then(|id| org.commit_transaction(id))
            .map(|ids| json!({"ids": ids.iter().map(RecordId::as_str).collect::<Vec<_>>()})),
        ([text], &Method::DELETE) => id(text).and_then(|id| org.roll_back(id)).map(|()| json!({})),
        _ => return None,
    })
}

/// `{"changes": [{"change": "update", "object": "Product2", "id": "01t…", "fields": {…}}]}`
fn write(org: &Org, call: &Call, id: TransactionId) -> Result<Json, Error> {
    let body = body(call)?;
    let changes: Vec<Write> = serde_json::from_value(body["changes"].clone()).map_err(unreadable)?;
    let ids = changes.iter().map(|change| org.write_change(id, change).map(|id| id.to_string()));
    let ids: Vec<String> = ids.collect::<Result<_, _>>()?;
    Ok(json!({"id": id, "ids": ids}))
}

/// Begins a load and does not wait for its end.
fn start(org: &Arc<Org>, load: Load) -> Result<Json, Error> {
    if org.ids(&load.object, 0, 1).is_empty() {
        return Err(Error::NoRecord { object: load.object, id: "any".to_owned() });
    }
    let (loading, stopping) = (Arc::clone(org), org.stopping.clone());
    org.tasks.spawn(async move {
        if let Some(Err(error)) = stopping.run_until_cancelled(loading.run_load(&load)).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a load of the simulated org ended early"
            );
        }
    });
    Ok(json!({}))
}

fn overview(org: &Org) -> Json {
    let subscribers: Vec<Json> = org
        .subscribers()
        .into_iter()
        .map(|one| json!({"topic": one.topic, "outstanding": one.outstanding, "delivered": one.delivered}))
        .collect();
    let selection: Vec<Json> = org
        .selection()
        .into_iter()
        .map(|(channel, object)| json!({"channel": channel, "object": object}))
        .collect();
    let now = org.clock.now_ms();
    let events = lock(&org.events);
    let last: Vec<Json> = events
        .bus
        .events()
        .rev()
        .take(SHOWN)
        .map(|event| {
            json!({
                "at": calendar::time_text(event.at_ms),
                "object": &*event.entity,
                "change_type": event.change_type,
                "transaction_key": &*event.transaction_key,
                "sequence_number": event.sequence_number,
                "bytes": event.payload.len(),
            })
        })
        .collect();
    json!({
        "subscribers": subscribers,
        "selection": selection,
        "retained": events.bus.events().count(),
        "delivered": {"used": events.allocation.used(now), "allowed": events.allocation.allowed()},
        "delay_ms": u64::try_from(events.delay.as_millis()).unwrap_or(u64::MAX),
        "silent": events.silent,
        "held": events.held,
        "planned": events.planned.all(),
        "clock": {"now": calendar::time_text(now), "ahead_ms": org.clock_ahead_ms()},
        "last": last,
    })
}

fn read<T: serde::de::DeserializeOwned>(call: &Call) -> Result<T, Error> {
    serde_json::from_slice(&call.body).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::Value { object: "request".to_owned(), field: "body".to_owned(), value: error.to_string() }
}
