//! From a request on the wire to the part of the org that answers it, with planned misbehaviour on the way.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http_body_util::BodyExt;
use hyper::{
    Method, Request, StatusCode,
    body::{Body as _, Incoming},
    header::{self, HeaderValue},
};

use crate::{
    faults::Fault,
    http::{Call, Failure, Reply, bytes_reply, empty, gzip, html},
    lock::lock,
    oauth,
    org::{Org, Request as Noted},
    rest, soap,
};

/// The largest body that a client may send.
const BODY: usize = 32 * 1024 * 1024;
/// Bytes of a path and query, and of those with the headers, that Salesforce reads.
const URI: usize = 16_384;
/// Bodies below this size are not worth packing.
const WORTH_PACKING: usize = 1_024;

/// Answers one request; nothing means that the connection closes without an answer.
pub async fn respond(org: Arc<Org>, request: Request<Incoming>) -> Option<Reply> {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let method = parts.method.clone();
    let body = axum::body::to_bytes(Body::new(body), BODY).await.ok()?;
    let fault = lock(&org.faults).take(method.as_str(), &target);

    let call = Call {
        segments: segments(parts.uri.path()),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        method: parts.method,
        headers: parts.headers,
        body,
        fault: fault.clone(),
    };
    if let Some(delay) = fault.as_ref().and_then(Fault::delay) {
        tokio::time::sleep(delay).await;
    }
    let packs = call.accepts_gzip();
    let planned = fault
        .as_ref()
        .and_then(|fault| planned_reply(&org, &call, fault))
        .or_else(|| too_long(target.len(), &call).map(empty));
    let mut reply = match planned {
        Some(reply) => reply,
        None => answer(&org, call).await?,
    };
    let status = reply.status().as_u16();
    lock(&org.usage).note(Noted { method: method.to_string(), target: without_secrets(target), status });
    if fault == Some(Fault::LostAnswer) {
        return None;
    }
    if packs {
        reply = packed(reply).await;
    }
    if let Ok(date) = HeaderValue::from_str(&http_date(org.clock.now_ms())) {
        reply.headers_mut().insert(header::DATE, date);
    }
    Some(match fault {
        Some(Fault::Cut { after_bytes }) => reply.map(|body| Body::from_stream(cut(body, after_bytes))),
        Some(Fault::Trickle { pause_ms }) => reply.map(|body| Body::from_stream(trickle(body, pause_ms))),
        _ => reply,
    })
}

/// A query that does not fit the address must go through the Bulk API.
fn too_long(target: usize, call: &Call) -> Option<StatusCode> {
    let headers: usize = call.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    match target {
        _ if target > URI => Some(StatusCode::URI_TOO_LONG),
        _ if target + headers > URI => Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        _ => None,
    }
}

/// What is kept of an address: sign-in carries tokens and codes in its query string.
fn without_secrets(mut target: String) -> String {
    if target.starts_with("/services/oauth2/") {
        target.truncate(target.find('?').unwrap_or(target.len()));
    }
    target
}

async fn answer(org: &Arc<Org>, call: Call) -> Option<Reply> {
    let org = Arc::clone(org);
    // A query may look at millions of records: that must not hold up other connections.
    tokio::task::spawn_blocking(move || route(&org, &call)).await.ok()
}

fn route(org: &Arc<Org>, call: &Call) -> Reply {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["services", "oauth2", ..] => oauth::answer(org, call),
        ["services", "data", ..] => rest::answer(org, call),
        ["services", "Soap", "u", version, ..] => soap::answer(org, call, version),
        ["id", _, _] => oauth::identity(org, call),
        [".well-known", "openid-configuration"] if call.method == Method::GET => oauth::discovery(org),
        [] => html(StatusCode::OK, landing(org)),
        _ => Failure::not_found().reply(),
    }
}

fn landing(org: &Org) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Simulated org</title><h1>Simulated org</h1>\
         <p>This is {}, a simulated Salesforce org ({}). It has APIs, but no pages.</p></html>",
        crate::http::escape_html(&org.record.name),
        org.id(),
    )
}

/// The pieces of a path, decoded. One slash at the end does not count; a doubled one inside leaves an empty piece,
/// which fits nothing.
fn segments(path: &str) -> Vec<String> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Vec::new();
    }
    path.split('/').map(decode).collect()
}

fn decode(piece: &str) -> String {
    if !piece.contains('%') {
        return piece.to_owned();
    }
    let form = format!("v={}", piece.replace('+', "%2B"));
    url::form_urlencoded::parse(form.as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

/// The answers of planned misbehaviour that need no handler.
pub fn planned_reply(org: &Org, call: &Call, fault: &Fault) -> Option<Reply> {
    const GATEWAY: &str = "<!DOCTYPE html><html><head><title>Down for Maintenance</title></head>\
                           <body><h1>We are down for maintenance.</h1><p>Sorry for the inconvenience.</p></body></html>";
    Some(match fault {
        Fault::ExpiredSession => {
            if let Some(token) = call.header("authorization").and_then(|value| value.split(' ').nth(1)) {
                lock(&org.identity).end_session(token);
            }
            Failure::invalid_session().reply()
        }
        Fault::QuotaSpent => rest::quota_spent().reply(),
        Fault::ConcurrentLimit => {
            let message = "ConcurrentRequests (Concurrent API Requests) Limit exceeded.";
            Failure::new(StatusCode::FORBIDDEN, "REQUEST_LIMIT_EXCEEDED", message).reply()
        }
        Fault::TooManyRequests { retry_after } => {
            let failure =
                Failure::new(StatusCode::TOO_MANY_REQUESTS, "REQUEST_LIMIT_EXCEEDED", "Too many requests");
            with_retry_after(failure.reply(), *retry_after)
        }
        Fault::Unavailable { retry_after } => {
            let failure =
                Failure::new(StatusCode::SERVICE_UNAVAILABLE, "SERVER_UNAVAILABLE", "Server unavailable");
            with_retry_after(failure.reply(), *retry_after)
        }
        Fault::HtmlUnavailable => html(StatusCode::SERVICE_UNAVAILABLE, GATEWAY.to_owned()),
        Fault::HtmlOk => html(StatusCode::OK, GATEWAY.to_owned()),
        Fault::ServerError => {
            let message = "An unexpected error occurred. Please include this ErrorId if you contact support: \
                           1234567890-12345 (-1234567890)";
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN_EXCEPTION", message).reply()
        }
        Fault::Status { status } => empty(StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY)),
        Fault::Error { status, code, message } => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST);
            Failure::new(status, code, message.as_str()).reply()
        }
        Fault::OAuth { error, description } => oauth::scripted(error, description),
        Fault::Slow { .. }
        | Fault::Trickle { .. }
        | Fault::Cut { .. }
        | Fault::ShortPage { .. }
        | Fault::JobFailed { .. }
        | Fault::JobHangs
        | Fault::Refused { .. }
        | Fault::LostAnswer => return None,
    })
}

fn with_retry_after(mut reply: Reply, seconds: Option<u64>) -> Reply {
    if let Some(seconds) = seconds {
        reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    reply
}

/// Packs a body that is whole and large enough; streams pack themselves.
async fn packed(reply: Reply) -> Reply {
    let size = reply.body().size_hint().exact().unwrap_or(0);
    if size < WORTH_PACKING as u64 || reply.headers().contains_key(header::CONTENT_ENCODING) {
        return reply;
    }
    let (mut parts, body) = reply.into_parts();
    let Ok(collected) = body.collect().await else {
        return bytes_reply(StatusCode::BAD_GATEWAY, "text/plain", Vec::new());
    };
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Reply::from_parts(parts, Body::from(gzip(&collected.to_bytes())))
}

/// Sends so many bytes, or the whole body if it is shorter, then breaks the connection.
fn cut(body: Body, after_bytes: u64) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    stream::unfold(Some((body.into_data_stream(), after_bytes)), |state| async move {
        let (mut data, left) = state?;
        match data.next().await {
            Some(Ok(mut bytes)) if left > 0 => {
                bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - bytes.len() as u64;
                Some((Ok(bytes), Some((data, left))))
            }
            _ => {
                // What was sent so far must leave the machine first, or the client sees no answer at all.
                tokio::time::sleep(Duration::from_millis(20)).await;
                Some((Err(std::io::ErrorKind::ConnectionReset.into()), None))
            }
        }
    })
}

/// Pauses after each piece of a body.
fn trickle(body: Body, pause_ms: u64) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    body.into_data_stream().then(move |piece| async move {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        piece
    })
}

/// The time as HTTP writes it, by the org's own clock.
pub fn http_date(now_ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(now_ms)
        .map(|now| now.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
        .unwrap_or_default()
}
