//! Many records by id in one call, and several requests in one.

use hyper::{Method, StatusCode, header};
use serde_json::{Value as Json, json};

use super::{Asked, records, render::write_row, route, visible_object};
use crate::{
    http::{Call, Failure, Reply, bytes_reply, ok},
    ids::RecordId,
    soql::Column,
    table::Fate,
};

/// Ids that one call may name.
const IDS: usize = 2_000;
/// Requests in one batch.
const BATCH: usize = 25;

/// Answers `GET` and `POST /composite/sobjects/X`: records in the order of the ids, `null` for what is not there.
pub fn records(asked: &Asked<'_>, name: &str) -> Result<Reply, Failure> {
    let snapshot = asked.org.snapshot();
    let object = visible_object(asked, &snapshot.schema, name)?;
    let (ids, fields) = wanted(asked)?;
    if ids.len() > IDS {
        let message = format!("entry count {} exceeds the maximum of {IDS}", ids.len());
        return Err(Failure::bad_request("EXCEEDED_ID_LIMIT", message));
    }
    let columns: Vec<Column> = fields
        .iter()
        .map(|field| records::column(asked, &snapshot, object, field.trim()))
        .collect::<Result<_, _>>()?;
    let table = &snapshot.tables[object];
    let mut out = vec![b'['];
    for (at, text) in ids.iter().enumerate() {
        let id = RecordId::parse(text).ok_or_else(|| records::malformed_id(text))?;
        if at > 0 {
            out.push(b',');
        }
        match table.find(&id).filter(|row| table.fate(*row) == Fate::Live) {
            Some(row) => write_row(&mut out, &snapshot, object, row, &columns, asked.version),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b']');
    Ok(bytes_reply(StatusCode::OK, "application/json;charset=UTF-8", out))
}

fn wanted(asked: &Asked<'_>) -> Result<(Vec<String>, Vec<String>), Failure> {
    if asked.call.method == Method::GET {
        let list = |name: &str| {
            let text = asked.call.parameter(name).unwrap_or_default();
            text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        return Ok((list("ids"), list("fields")));
    }
    if asked.call.method != Method::POST {
        return Err(Failure::method_not_allowed(&asked.call.method));
    }
    let body = asked.call.json()?;
    let list = |name: &str| {
        let list = body[name].as_array().ok_or_else(|| {
            Failure::bad_request("JSON_PARSER_ERROR", format!("The {name} list is missing or not a list"))
        })?;
        let texts = list.iter().map(|entry| entry.as_str().map(str::to_owned));
        texts.collect::<Option<Vec<_>>>().ok_or_else(|| {
            Failure::bad_request(
                "JSON_PARSER_ERROR",
                format!("The {name} list holds something that is no text"),
            )
        })
    };
    Ok((list("ids")?, list("fields")?))
}

/// Answers `POST /composite/batch`: only reading, and only of what answers at once.
pub fn batch(asked: &Asked<'_>) -> Result<Reply, Failure> {
    let body = asked.call.json()?;
    let requests = body["batchRequests"].as_array().cloned().unwrap_or_default();
    if requests.is_empty() || requests.len() > BATCH {
        let message = format!("batchRequests must hold 1 to {BATCH} requests");
        return Err(Failure::bad_request("INVALID_BATCH_REQUEST", message));
    }
    let mut has_errors = false;
    let mut results = Vec::new();
    for request in &requests {
        let (status, result) = match sub_request(asked, request) {
            Ok(result) => (StatusCode::OK, result),
            Err(failure) => (failure.status, failure.body()),
        };
        has_errors |= status != StatusCode::OK;
        results.push(json!({"statusCode": status.as_u16(), "result": result}));
    }
    Ok(ok(&json!({"hasErrors": has_errors, "results": results})))
}

fn sub_request(asked: &Asked<'_>, request: &Json) -> Result<Json, Failure> {
    if request["method"].as_str().is_none_or(|method| !method.eq_ignore_ascii_case("GET")) {
        return Err(Failure::bad_request("INVALID_BATCH_REQUEST", "only GET is offered by this org"));
    }
    let target = request["url"].as_str().unwrap_or_default().trim_start_matches('/');
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = asked.call.headers.clone();
    headers.remove(header::ACCEPT_ENCODING);
    let call = Call {
        method: Method::GET,
        segments: path.split('/').map(str::to_owned).collect(),
        query: query.to_owned(),
        headers,
        body: bytes::Bytes::new(),
        fault: None,
    };
    let version = call.segments[0].strip_prefix('v').ok_or_else(Failure::not_found)?.to_owned();
    let path: Vec<&str> = call.segments[1..].iter().map(String::as_str).collect();
    if matches!(path.first(), Some(&"composite" | &"jobs")) {
        return Err(Failure::bad_request("INVALID_BATCH_REQUEST", "this resource cannot be part of a batch"));
    }
    let inner = Asked {
        org: asked.org,
        call: &call,
        version: &version,
        path,
        user: asked.user,
        access: asked.access.clone(),
    };
    let reply = route(&inner)?;
    // Every answer that a batch may ask for is a body in memory, so that it is ready at the first poll.
    let body = futures::executor::block_on(axum::body::to_bytes(reply.into_body(), usize::MAX));
    let body = body.map_err(|_| Failure::not_found())?;
    Ok(serde_json::from_slice(&body).unwrap_or(Json::Null))
}
