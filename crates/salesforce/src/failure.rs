//! What an answer that is not a good one means.

use std::time::Duration;

use reqwest::{
    Response, StatusCode,
    header::{HeaderMap, LOCATION, RETRY_AFTER},
};
use url::Url;

use crate::{Error, QuotaKind};

/// Error bodies and token answers are read up to here; a gateway may send a whole page.
const SMALL_BODY_LIMIT: usize = 64 * 1024;

/// Why one try did not succeed.
pub(crate) enum Failure {
    SessionExpired,
    Error(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// One entry of a REST error body.
#[derive(serde::Deserialize)]
struct RestError {
    #[serde(default)]
    message: String,
    #[serde(rename = "errorCode", default)]
    error_code: String,
}

pub(crate) async fn read_failure(operation: &'static str, mut response: Response) -> Failure {
    let status = response.status();
    if status.is_redirection() {
        return Failure::Error(Error::Redirected { operation, to: redirect_target(response.headers()) });
    }
    let retry_after = retry_after(response.headers());
    let body = read_limited(&mut response).await;
    // The identity resources have a way of their own to say that a token has expired.
    if status == StatusCode::FORBIDDEN && body.trim_ascii() == b"Bad_OAuth_Token" {
        return Failure::SessionExpired;
    }
    // Throttling and maintenance say nothing in their bodies that the status does not.
    let gateway = matches!(status.as_u16(), 420 | 429 | 502 | 503);
    let Some(error) = first_error(&body).filter(|_| !gateway) else {
        return match status {
            StatusCode::UNAUTHORIZED => Failure::SessionExpired,
            _ => Failure::Error(Error::Status { operation, status: status.as_u16(), retry_after }),
        };
    };
    Failure::Error(match error.error_code.as_str() {
        _ if status == StatusCode::UNAUTHORIZED => {
            // Renewing would not help with these two, and would go on for ever.
            let hopeless = ["not valid for use with the REST API", "not attached to Agent"];
            if !hopeless.iter().any(|text| error.message.contains(text)) {
                return Failure::SessionExpired;
            }
            Error::ApiScopeMissing
        }
        "REQUEST_LIMIT_EXCEEDED" if error.message.contains("Concurrent") => {
            Error::QuotaSpent { kind: QuotaKind::Concurrent, operation }
        }
        "REQUEST_LIMIT_EXCEEDED" => Error::QuotaSpent { kind: QuotaKind::Daily, operation },
        "LIMIT_EXCEEDED" if error.message.contains("bulk") => {
            Error::QuotaSpent { kind: QuotaKind::Bulk, operation }
        }
        // A gateway's maintenance page may well be JSON with an empty code.
        "" => Error::Status { operation, status: status.as_u16(), retry_after },
        _ => Error::Rejected {
            operation,
            status: status.as_u16(),
            message: without_query(&error.message),
            code: error.error_code,
        },
    })
}

/// The usual shape is an array; single objects are seen from gateways.
fn first_error(body: &[u8]) -> Option<RestError> {
    if let Ok(errors) = serde_json::from_slice::<Vec<RestError>>(body) {
        return errors.into_iter().next();
    }
    serde_json::from_slice::<RestError>(body).ok().filter(|error| !error.error_code.is_empty())
}

/// Salesforce quotes the query above `ERROR at Row`; only what follows it is ours to show.
fn without_query(message: &str) -> String {
    let told = message.find("ERROR at Row").map_or(message, |start| &message[start..]);
    let mut told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = told.char_indices().nth(500) {
        told.truncate(end);
    }
    told
}

pub(crate) async fn read_limited(response: &mut Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        body.extend_from_slice(&piece);
        if body.len() >= SMALL_BODY_LIMIT {
            body.truncate(SMALL_BODY_LIMIT);
            break;
        }
    }
    body
}

fn redirect_target(headers: &HeaderMap) -> String {
    headers
        .get(LOCATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|location| Url::parse(location).ok())
        .map_or_else(|| "another path".to_owned(), |url| url.origin().ascii_serialization())
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_query_is_not_quoted_back() {
        let message = "\nSELECT Id, Secret__c FROM Account\n           ^\nERROR at Row:1:Column:12\nNo such column 'Secret__c' on entity 'Account'.";
        let told = without_query(message);
        assert!(told.starts_with("ERROR at Row:1:Column:12 No such column"), "{told}");
        assert!(!told.contains("SELECT"), "{told}");
    }

    #[test]
    fn bodies_that_are_not_errors_are_tolerated() {
        assert!(first_error(b"<html>maintenance</html>").is_none());
        assert!(first_error(b"").is_none());
        assert!(first_error(b"{\"status\":\"down\"}").is_none());
        let error = first_error(br#"[{"message":"m","errorCode":"NOT_FOUND"}]"#).expect("an error");
        assert_eq!(error.error_code, "NOT_FOUND");
    }
}
