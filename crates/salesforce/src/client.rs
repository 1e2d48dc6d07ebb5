//! One way out: every call to an org passes [`Client::send`], which signs, counts, retries and reads errors.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::{
    Method, Response,
    header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap},
};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, watch};

use crate::{
    AccessToken, ApiUsage, ApiVersion, CallMade, CallObserver, Error, Purpose, QuotaKind, RetrySchedule,
    TokenSource, Transport,
    error::is_transient,
    failure::{Failure, read_failure},
};

/// Calls of one client that wait for an answer at the same time; more wait here instead of at the org.
const MAX_CONCURRENT: usize = 5;

/// Renewals per call. The first may bring a token that another program left behind, and that has expired as well.
const MAX_RENEWALS: u32 = 2;

/// What a [`Client`] is built with.
#[derive(Clone, Default)]
pub struct ClientOptions {
    /// The version in every path; the newest known where absent.
    pub api_version: ApiVersion,
    /// How often a call is tried again.
    pub retry: RetrySchedule,
    /// Hears of every call.
    pub observer: Option<CallObserver>,
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("api_version", &self.api_version)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

/// A signed-in way to one org. Cheap to clone; all clones share counters, usage and token.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    api_version: ApiVersion,
    purpose: Purpose,
}

struct Shared {
    transport: Transport,
    tokens: Arc<dyn TokenSource>,
    retry: RetrySchedule,
    observer: Option<CallObserver>,
    usage: watch::Sender<Option<ApiUsage>>,
    calls: BTreeMap<Purpose, AtomicU64>,
    turns: Semaphore,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("api_version", &self.api_version)
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

/// One request, before it is signed.
pub(crate) struct Call<'a> {
    pub operation: &'static str,
    pub method: Method,
    /// Path and query on the instance.
    pub path: &'a str,
    pub body: Option<&'a serde_json::Value>,
    pub headers: HeaderMap,
    /// Whether a call without an answer may have had an effect that a second one would double.
    pub creates: bool,
    /// Whether the token goes along. The list of versions needs none.
    pub signed: bool,
}

impl<'a> Call<'a> {
    pub(crate) fn get(operation: &'static str, path: &'a str) -> Self {
        Self {
            operation,
            method: Method::GET,
            path,
            body: None,
            headers: HeaderMap::new(),
            creates: false,
            signed: true,
        }
    }

    pub(crate) fn with_body(
        operation: &'static str,
        method: Method,
        path: &'a str,
        body: &'a serde_json::Value,
    ) -> Self {
        Self { method, body: Some(body), ..Self::get(operation, path) }
    }
}

impl Call<'_> {
    /// Whether it costs a call of the org's daily limit: identity resources and the list of versions do not.
    fn costs(&self) -> bool {
        self.signed && self.path.starts_with("/services/data/")
    }
}

/// A good answer whose body has not been read yet.
#[derive(Debug)]
pub struct Answer {
    response: Response,
    at: DateTime<Utc>,
}

impl Answer {
    /// Salesforce's time of this answer.
    pub fn at(&self) -> DateTime<Utc> {
        self.at
    }

    /// One header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The answer itself, to be read piece by piece.
    pub(crate) fn into_response(self) -> Response {
        self.response
    }

    /// The whole body.
    pub async fn bytes(self, operation: &'static str) -> Result<Bytes, Error> {
        self.response.bytes().await.map_err(|source| transport(operation, source))
    }

    /// The whole body as JSON.
    pub async fn json<T: DeserializeOwned>(self, operation: &'static str) -> Result<T, Error> {
        let body = self.bytes(operation).await?;
        serde_json::from_slice(&body)
            .map_err(|error| Error::Unreadable { operation, reason: unreadable(&body, &error) })
    }
}

impl Client {
    /// A client for the org that `tokens` signs in to.
    pub fn new(transport: Transport, tokens: Arc<dyn TokenSource>, options: ClientOptions) -> Self {
        let shared = Shared {
            transport,
            tokens,
            retry: options.retry,
            observer: options.observer,
            usage: watch::Sender::new(None),
            calls: Purpose::ALL.into_iter().map(|purpose| (purpose, AtomicU64::new(0))).collect(),
            turns: Semaphore::new(MAX_CONCURRENT),
        };
        Self { shared: Arc::new(shared), api_version: options.api_version, purpose: Purpose::Fetch }
    }

    /// The same client, its calls counted under another purpose.
    #[must_use]
    pub fn with_purpose(&self, purpose: Purpose) -> Self {
        Self { purpose, ..self.clone() }
    }

    /// The same client, speaking another version. A job's pages must be read with the version that created it.
    #[must_use]
    pub fn with_api_version(&self, api_version: ApiVersion) -> Self {
        Self { api_version, ..self.clone() }
    }

    /// The version in every path.
    pub fn api_version(&self) -> ApiVersion {
        self.api_version
    }

    /// The purpose under which this client's calls are counted.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The org's usage as the last answer told it.
    pub fn usage(&self) -> Option<ApiUsage> {
        *self.shared.usage.borrow()
    }

    /// Follows the org's usage.
    pub fn watch_usage(&self) -> watch::Receiver<Option<ApiUsage>> {
        self.shared.usage.subscribe()
    }

    /// Calls of the org's daily limit made under a purpose since this client and its clones exist.
    pub fn calls(&self, purpose: Purpose) -> u64 {
        self.shared.calls.get(&purpose).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// All calls made since this client and its clones exist.
    pub fn calls_in_all(&self) -> u64 {
        self.shared.calls.values().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The token in use now; signs in where that needs no person.
    pub async fn token(&self) -> Result<AccessToken, Error> {
        self.shared.tokens.current().await
    }

    /// A path below this version, e.g. `/limits`.
    pub(crate) fn data_path(&self, path: &str) -> String {
        format!("/services/data/v{}{path}", self.api_version)
    }

    pub(crate) async fn get(&self, operation: &'static str, path: &str) -> Result<Answer, Error> {
        self.send(Call::get(operation, path)).await
    }

    /// Sends one call: signed, counted, tried again where that can help, an expired session renewed.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Answer, Error> {
        let mut attempt = 1;
        let mut renewals = 0;
        loop {
            let token = self.shared.tokens.current().await?;
            let error = match self.send_once(&call, &token).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::SessionExpired) if renewals == MAX_RENEWALS => return Err(Error::Unauthorized),
                Err(Failure::SessionExpired) => {
                    self.shared.tokens.refresh(&token).await?;
                    renewals += 1;
                    continue;
                }
                Err(Failure::Error(error)) => error,
            };
            let Some(pause) = self.pause_before_retry(&call, attempt, &error) else { return Err(error) };
            tracing::debug!(operation = call.operation, attempt, pause_ms = pause.as_millis(), %error, "trying again");
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    fn pause_before_retry(&self, call: &Call<'_>, attempt: u32, error: &Error) -> Option<Duration> {
        let asked = match error {
            Error::Status { status, retry_after, .. } if is_transient(*status) => *retry_after,
            Error::Rejected { status, code, .. } if is_transient(*status) && code != "QUERY_TIMEOUT" => None,
            Error::QuotaSpent { kind: QuotaKind::Concurrent, .. } => None,
            // Without an answer nobody knows whether the first call took effect; only a refused connection is sure.
            Error::Transport { source, .. } if !call.creates || source.is_connect() => None,
            _ => return None,
        };
        self.shared.retry.pause_after(attempt, asked)
    }

    async fn send_once(&self, call: &Call<'_>, token: &AccessToken) -> Result<Answer, Failure> {
        // Held until the answer begins; reading a page may take its time.
        let _turn = self.shared.turns.acquire().await;
        let url = token.instance().join(call.path);
        let mut request = self
            .shared
            .transport
            .http()
            .request(call.method.clone(), url)
            .header(ACCEPT, "application/json")
            .headers(call.headers.clone());
        if call.signed {
            request = request.bearer_auth(token.expose());
        }
        if let Some(body) = call.body {
            request = request
                .header(CONTENT_TYPE, "application/json; charset=utf-8")
                .body(serde_json::to_vec(body).unwrap_or_default());
        }
        let outcome = request.send().await;
        self.record(call, outcome.as_ref().ok());
        let response = outcome.map_err(|source| transport(call.operation, source))?;
        if response.status().is_success() {
            let at = answered_at(response.headers());
            return Ok(Answer { response, at });
        }
        Err(read_failure(call.operation, response).await)
    }

    fn record(&self, call: &Call<'_>, response: Option<&Response>) {
        if let Some(count) = self.shared.calls.get(&self.purpose).filter(|_| call.costs()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let usage = response
            .and_then(|response| response.headers().get("sforce-limit-info"))
            .and_then(|value| ApiUsage::parse(value.to_str().ok()?));
        if usage.is_some() {
            self.shared.usage.send_replace(usage);
        }
        let Some(observer) = &self.shared.observer else { return };
        observer(&CallMade {
            purpose: self.purpose,
            operation: call.operation,
            status: response.map(|response| response.status().as_u16()),
            at: response.and_then(|response| date_header(response.headers())),
            usage,
            costs: call.costs(),
        });
    }
}

fn date_header(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let text = headers.get(DATE)?.to_str().ok()?;
    DateTime::parse_from_rfc2822(text).ok().map(|time| time.to_utc())
}

/// Salesforce's time of an answer. This machine's clock stands in where a proxy dropped the header.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where an answer without a Date header needs a time"
)]
pub(crate) fn answered_at(headers: &HeaderMap) -> DateTime<Utc> {
    date_header(headers).unwrap_or_else(Utc::now)
}

/// A network error without the address: its query holds SOQL.
pub(crate) fn transport(operation: &'static str, source: reqwest::Error) -> Error {
    Error::Transport { operation, source: source.without_url() }
}

/// What is wrong with a body, without quoting it.
fn unreadable(body: &[u8], error: &serde_json::Error) -> String {
    let start = body.trim_ascii_start();
    if start.is_empty() {
        return "it was empty".to_owned();
    }
    if start[0] == b'<' {
        return "it was a web page, not data; a proxy or a login page may stand between".to_owned();
    }
    match error.classify() {
        serde_json::error::Category::Eof => "it ended early".to_owned(),
        serde_json::error::Category::Data => "it has a shape that this version does not know".to_owned(),
        _ => "it is not JSON".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_header_is_salesforces_time() {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, "Mon, 04 May 2026 09:15:01 GMT".parse().expect("a header"));
        assert_eq!(answered_at(&headers).to_rfc3339(), "2026-05-04T09:15:01+00:00");
    }
}
