//! What is answered instead of an answer: `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use engine::Problem;
use engine::api::reads::Source;
use serde_json::{Value, json};

/// Why there is no answer.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    body: Value,
}

impl Refusal {
    /// A refusal of any kind.
    pub fn new(status: StatusCode, title: &str, detail: &str) -> Self {
        let body =
            json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
        Self { status, body }
    }

    /// A part of the request that cannot be understood. What it holds is not repeated.
    pub fn malformed(part: &str, why: &str) -> Self {
        let mut refusal =
            Self::new(StatusCode::BAD_REQUEST, "This cannot be answered", &format!("`{part}`: {why}."));
        refusal.body["parameter"] = part.into();
        refusal
    }

    /// There is no such thing, and how sure that is.
    pub fn missing(title: &str, source: Source, as_of: DateTime<Utc>, is_stale: bool) -> Self {
        let detail = "It may have been renamed or deleted, or may never have been there.";
        let mut refusal = Self::new(StatusCode::NOT_FOUND, title, detail);
        refusal.body["source"] = source.as_str().into();
        refusal.body["as_of"] = as_of.to_rfc3339_opts(SecondsFormat::AutoSi, true).into();
        refusal.body["stale"] = is_stale.into();
        refusal
    }
}

impl From<Box<Problem>> for Refusal {
    fn from(problem: Box<Problem>) -> Self {
        let mut refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, &problem.title, &problem.cause);
        refusal.body["code"] = problem.code.clone().into();
        refusal
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

/// A path that answers only to GET.
pub async fn wrong_method() -> Refusal {
    let detail = "Everything here is read with GET; nothing can be changed.";
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "This method is not known here", detail)
}

/// A path that is not there.
pub async fn nothing_here() -> Refusal {
    let detail = "/v1/products, /v1/products/{sku}, /v1/prices, /v1/accounts/{id}/eligibility, /v1/openapi.json, \
                  /metrics, /health and /health/queue are served.";
    Refusal::new(StatusCode::NOT_FOUND, "There is nothing here", detail)
}
