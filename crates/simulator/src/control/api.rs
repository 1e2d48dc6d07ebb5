//! The JSON endpoints behind the control page.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde_json::{Value as Json, json};

use super::{events, refuse};
use crate::{
    error::Error,
    faults::{Fault, FaultId},
    http::{Call, Reply, ok},
    lock::lock,
    oauth,
    org::Org,
    position::in_memory,
};

/// Records of one page of a list.
const LISTED: u64 = 100;

/// Answers a request below `/api`.
pub fn answer(org: &Arc<Org>, call: &Call) -> Reply {
    let path: Vec<&str> = call.segments[1..].iter().map(String::as_str).collect();
    if let Some(reply) = events::answer(org, call, &path) {
        return reply;
    }
    let answered = match (path.as_slice(), &call.method) {
        (["org"], &Method::GET) => Ok(overview(org)),
        (["approvals", ticket, decision @ ("approve" | "deny")], &Method::POST) => {
            return decide(org, ticket, *decision == "approve");
        }
        (["records", object], &Method::GET) => Ok(list(org, call, object)),
        (["records", object], &Method::POST) => {
            body(call).and_then(|fields| org.insert(object, &fields)).map(|id| json!({"id": id.as_str()}))
        }
        (["records", object, id], &Method::GET) => {
            let missing = || Error::NoRecord { object: (*object).to_owned(), id: (*id).to_owned() };
            org.record(object, id).ok_or_else(missing)
        }
        (["records", object, id], &Method::PATCH) => body(call).and_then(|fields| {
            if call.parameter("hidden").as_deref() == Some("true") {
                org.change_hidden(object, id, &fields)
            } else {
                org.update(object, id, &fields)
            }
            .map(|()| json!({"id": id}))
        }),
        (["records", object, id], &Method::DELETE) => {
            let deleted = if call.parameter("purge").as_deref() == Some("true") {
                org.purge(object, id)
            } else {
                org.delete(object, id)
            };
            deleted.map(|()| json!({"id": id}))
        }
        (["records", object, id, "undelete"], &Method::POST) => {
            org.undelete(object, id).map(|()| json!({"id": id}))
        }
        (["faults"], &Method::GET) => Ok(faults(org)),
        (["faults"], &Method::POST) => return plan(org, call),
        (["faults"], &Method::DELETE) => {
            org.withdraw_all();
            Ok(faults(org))
        }
        (["faults", id], &Method::DELETE) => {
            if let Ok(id) = serde_json::from_str::<FaultId>(id) {
                org.withdraw(id);
            }
            Ok(faults(org))
        }
        (["sessions", "expire"], &Method::POST) => {
            org.expire_sessions();
            Ok(overview(org))
        }
        (["sessions", "revoke"], &Method::POST) => {
            org.revoke_grants();
            Ok(overview(org))
        }
        (["jwt-keys"], &Method::POST) => body(call).and_then(|body| {
            org.register_jwt_key(body["pem"].as_str().unwrap_or_default())?;
            Ok(json!({}))
        }),
        (["settings"], &Method::POST) => return settings(org, call),
        (["requests"], &Method::GET) => Ok(requests(org)),
        _ => return refuse(StatusCode::NOT_FOUND, "there is nothing here"),
    };
    match answered {
        Ok(body) => ok(&body),
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

fn overview(org: &Org) -> Json {
    let objects: Vec<Json> =
        org.objects().into_iter().map(|name| json!({"records": org.count(&name), "name": name})).collect();
    let identity = lock(&org.identity);
    let approvals: Vec<Json> = identity
        .pending
        .iter()
        .map(|pending| {
            json!({
                "ticket": pending.ticket,
                "app": pending.app,
                "scope": pending.scope,
                "redirect_uri": pending.redirect_uri,
                "since": crate::calendar::time_text(pending.since_ms),
            })
        })
        .collect();
    let (sessions, grants) = identity.counts();
    let rotation = identity.rotation;
    drop(identity);
    let usage = lock(&org.usage);
    json!({
        "simulated": true,
        "id": org.id().as_str(),
        "name": org.record.name,
        "edition": org.record.edition,
        "base_url": org.base_url.as_str(),
        "pubsub_endpoint": org.grpc_url.as_str(),
        "client_id": oauth::DEMO_CLIENT_ID,
        "username": crate::catalogue::DEMO_USERNAME,
        "auto_approve": org.auto_approve.load(std::sync::atomic::Ordering::Relaxed),
        "refresh_rotation": rotation,
        "api_requests": {"used": usage.used(), "allowed": usage.allowed()},
        "sessions": sessions,
        "grants": grants,
        "approvals": approvals,
        "objects": objects,
        "hidden": org.hidden(),
    })
}

fn decide(org: &Org, ticket: &str, approved: bool) -> Reply {
    match oauth::decide(org, ticket, approved) {
        Some(location) => ok(&json!({"location": location})),
        None => refuse(StatusCode::NOT_FOUND, "this request was already answered, or is too old"),
    }
}

fn list(org: &Org, call: &Call, object: &str) -> Json {
    let from = call.parameter("from").and_then(|from| from.parse().ok()).unwrap_or(0);
    let records: Vec<Json> =
        org.ids(object, from, LISTED).iter().filter_map(|id| org.record(object, id.as_str())).collect();
    json!({"object": object, "count": org.count(object), "from": from, "records": records})
}

fn faults(org: &Org) -> Json {
    let planned = lock(&org.faults).planned();
    let planned: Vec<Json> = planned
        .iter()
        .map(|planned| {
            let for_ever = planned.times == u32::MAX;
            json!({
                "id": planned.id,
                "pattern": planned.pattern,
                "fault": planned.fault,
                "times": if for_ever { Json::Null } else { json!(planned.times) },
            })
        })
        .collect();
    json!({"faults": planned})
}

/// `{"pattern": "GET /services/data/*", "fault": {"kind": "quota_spent"}, "times": 1}`; no times means for ever.
fn plan(org: &Org, call: &Call) -> Reply {
    let Ok(body) = body(call) else { return refuse(StatusCode::BAD_REQUEST, "the body is no JSON") };
    let fault = serde_json::from_value::<Fault>(body["fault"].clone());
    let (Some(pattern), Ok(fault)) = (body["pattern"].as_str(), fault) else {
        return refuse(StatusCode::BAD_REQUEST, "a fault needs a pattern and a kind, such as quota_spent");
    };
    let times = body["times"].as_u64().map_or(u32::MAX, |times| u32::try_from(times).unwrap_or(u32::MAX));
    org.inject(pattern, fault, times);
    ok(&faults(org))
}

/// Any of `auto_approve`, `refresh_rotation`, `signed_in_user`, `api_requests_used`, `hide`, `show`.
fn settings(org: &Org, call: &Call) -> Reply {
    let Ok(body) = body(call) else { return refuse(StatusCode::BAD_REQUEST, "the body is no JSON") };
    if let Some(on) = body["auto_approve"].as_bool() {
        org.set_auto_approve(on);
    }
    if let Some(on) = body["refresh_rotation"].as_bool() {
        org.set_refresh_rotation(on);
    }
    let user = body["signed_in_user"].as_str().map(|username| org.set_signed_in_user(username));
    if let Some(Err(error)) = user {
        return refuse(StatusCode::BAD_REQUEST, &error.to_string());
    }
    if let Some(used) = body["api_requests_used"].as_u64() {
        let allowed = lock(&org.usage).allowed();
        org.set_api_requests(used, allowed);
    }
    for (name, visible) in [("hide", false), ("show", true)] {
        match body[name].as_str().map(|what| what.split_once('.').ok_or(what)) {
            Some(Ok((object, field))) => org.set_field_visible(object, field, visible),
            Some(Err(object)) => org.set_object_visible(object, visible),
            None => {}
        }
    }
    ok(&overview(org))
}

fn requests(org: &Org) -> Json {
    let log: Vec<Json> = org
        .request_log()
        .into_iter()
        .rev()
        .take(in_memory(LISTED))
        .map(|request| json!({"method": request.method, "target": request.target, "status": request.status}))
        .collect();
    json!({"requests": log})
}

/// The body of a request.
pub fn body(call: &Call) -> Result<Json, Error> {
    serde_json::from_slice(&call.body).map_err(|error| Error::Value {
        object: "request".to_owned(),
        field: "body".to_owned(),
        value: error.to_string(),
    })
}
