//! Requests as the handlers see them, and answers as Salesforce writes them.

use std::io::Write;

use axum::body::Body;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use hyper::{HeaderMap, Method, Response, StatusCode, header};
use serde_json::{Value as Json, json};

use crate::{faults::Fault, soql::Refusal};

/// An answer.
pub type Reply = Response<Body>;

/// A request that has arrived whole.
#[derive(Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path, decoded piece by piece, without empty pieces at the end.
    pub segments: Vec<String>,
    /// The query string as it came.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Misbehaviour that was planned for this request and needs the handler's help.
    pub fault: Option<Fault>,
}

impl Call {
    /// The first value of a parameter of the query string.
    pub fn parameter(&self, name: &str) -> Option<String> {
        form_value(self.query.as_bytes(), name)
    }

    /// The first value of a field of a form in the body.
    pub fn form(&self, name: &str) -> Option<String> {
        form_value(&self.body, name)
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Reports whether the client takes gzip.
    pub fn accepts_gzip(&self) -> bool {
        self.header("accept-encoding").is_some_and(|accepted| accepted.contains("gzip"))
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Json, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Failure::new(
                StatusCode::BAD_REQUEST,
                "JSON_PARSER_ERROR",
                format!("{error} at [line:1, column:1]"),
            )
        })
    }
}

fn form_value(encoded: &[u8], name: &str) -> Option<String> {
    url::form_urlencoded::parse(encoded).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// A refusal in the form of the REST API: an array of one object.
#[derive(Debug)]
pub struct Failure {
    /// The HTTP status.
    pub status: StatusCode,
    code: String,
    message: String,
}

impl Failure {
    /// A refusal with this status, code and message.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }

    /// What is not there.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "The requested resource does not exist")
    }

    /// A token that is not, or no longer, good.
    pub fn invalid_session() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "INVALID_SESSION_ID", "Session expired or invalid")
    }

    /// A request that makes no sense.
    pub fn bad_request(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// The method is not offered here.
    pub fn method_not_allowed(method: &Method) -> Self {
        let message = format!("HTTP Method '{method}' not allowed. Allowed are HEAD,GET,POST,PATCH,DELETE");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message)
    }

    /// The answer.
    pub fn reply(&self) -> Reply {
        json_reply(self.status, &json!([{"message": self.message, "errorCode": self.code}]))
    }

    /// The same refusal inside a list of results.
    pub fn body(&self) -> Json {
        json!([{"message": self.message, "errorCode": self.code}])
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::bad_request(refusal.code, refusal.message)
    }
}

/// A JSON answer.
pub fn json_reply(status: StatusCode, body: &Json) -> Reply {
    bytes_reply(status, "application/json;charset=UTF-8", body.to_string().into_bytes())
}

/// A JSON answer of 200.
pub fn ok(body: &Json) -> Reply {
    json_reply(StatusCode::OK, body)
}

/// An answer of these bytes.
pub fn bytes_reply(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Reply {
    let mut reply = Response::new(Body::from(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    reply
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Body::empty());
    *reply.status_mut() = status;
    reply
}

/// A page for people.
pub fn html(status: StatusCode, page: String) -> Reply {
    bytes_reply(status, "text/html; charset=UTF-8", page.into_bytes())
}

/// A redirect of the browser.
pub fn redirect(location: &str) -> Reply {
    let mut reply = empty(StatusCode::FOUND);
    if let Ok(location) = header::HeaderValue::from_str(location) {
        reply.headers_mut().insert(header::LOCATION, location);
    }
    reply
}

/// Packs bytes at the quickest level.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("packing in memory cannot fail")
}

/// Text that is safe inside HTML.
pub fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
    out
}
