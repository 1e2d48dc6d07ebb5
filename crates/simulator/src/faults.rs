//! Misbehaviour on command.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What goes wrong.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// 401 `INVALID_SESSION_ID`; the session itself ends too.
    ExpiredSession,
    /// 403 `REQUEST_LIMIT_EXCEEDED`: the daily quota is spent.
    QuotaSpent,
    /// 403 `REQUEST_LIMIT_EXCEEDED`: too many long requests at once.
    ConcurrentLimit,
    /// 429, with `Retry-After` in seconds if given.
    TooManyRequests {
        /// Seconds.
        retry_after: Option<u64>,
    },
    /// 503 `SERVER_UNAVAILABLE`, with `Retry-After` in seconds if given.
    Unavailable {
        /// Seconds.
        retry_after: Option<u64>,
    },
    /// 503 with a page of HTML from a gateway.
    HtmlUnavailable,
    /// 200 with a page of HTML, as a proxy's login page does.
    HtmlOk,
    /// 500 `UNKNOWN_EXCEPTION`.
    ServerError,
    /// This status with no body: 406, 420 and 502 come like this.
    Status {
        /// The status.
        status: u16,
    },
    /// An error of the REST API as given.
    Error {
        /// The HTTP status.
        status: u16,
        /// The `errorCode`.
        code: String,
        /// The message.
        message: String,
    },
    /// The answer comes late.
    Slow {
        /// Milliseconds.
        delay_ms: u64,
    },
    /// The body is fed slowly: this pause after each piece of up to 64 KiB.
    Trickle {
        /// Milliseconds.
        pause_ms: u64,
    },
    /// The connection breaks after so many bytes of the body.
    Cut {
        /// Bytes.
        after_bytes: u64,
    },
    /// A Bulk page holds fewer records than its header announces.
    ShortPage {
        /// Records that are missing at the end.
        missing: u64,
    },
    /// The Bulk job that this request creates fails.
    JobFailed {
        /// The `errorMessage`, if it has one.
        message: Option<String>,
    },
    /// The Bulk job that this request creates never leaves `InProgress`.
    JobHangs,
    /// An error of the token endpoint.
    OAuth {
        /// Such as `invalid_grant`.
        error: String,
        /// The description.
        description: String,
    },
    /// The Pub/Sub API refuses the call, by the last part of the error's code: `topic.not.found`.
    Refused {
        /// What follows `sfdc.platform.eventbus.grpc.`
        code: String,
    },
    /// The connection closes without an answer, after the request was carried out.
    LostAnswer,
}

/// Names planned misbehaviour, so that it can be taken back.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct FaultId(u64);

/// Which requests are meant: a path in which `*` stands for anything, optionally after a method.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    method: Option<String>,
    path: String,
}

impl Pattern {
    /// Reads `GET /services/data/*/query*`, `/services/oauth2/token` or `*`.
    pub fn new(text: &str) -> Self {
        match text.split_once(' ') {
            Some((method, path)) => Self { method: Some(method.to_uppercase()), path: path.to_owned() },
            None => Self { method: None, path: text.to_owned() },
        }
    }

    /// Reports whether a request is meant. `target` may carry a query string, which only counts if the pattern has one.
    pub fn fits(&self, method: &str, target: &str) -> bool {
        let target =
            if self.path.contains('?') { target } else { target.split('?').next().unwrap_or_default() };
        self.method.as_deref().is_none_or(|wanted| wanted == method)
            && wildcard(self.path.as_bytes(), target.as_bytes())
    }
}

fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => (0..=text.len()).any(|skipped| wildcard(rest, &text[skipped..])),
        [first, rest @ ..] => text.first() == Some(first) && wildcard(rest, &text[1..]),
    }
}

/// All planned misbehaviour, in the order in which it was planned.
#[derive(Default)]
pub struct Faults {
    planned: Vec<Planned>,
    issued: u64,
}

/// One piece of planned misbehaviour.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    /// Its name.
    pub id: FaultId,
    /// Which requests, as it was written.
    pub pattern: String,
    /// What goes wrong.
    pub fault: Fault,
    /// How often it still happens.
    pub times: u32,
}

impl Faults {
    pub(crate) fn plan(&mut self, pattern: &str, fault: Fault, times: u32) -> FaultId {
        self.issued += 1;
        let id = FaultId(self.issued);
        self.planned.push(Planned { id, pattern: pattern.to_owned(), fault, times });
        id
    }

    pub(crate) fn withdraw(&mut self, id: FaultId) {
        self.planned.retain(|planned| planned.id != id);
    }

    pub(crate) fn clear(&mut self) {
        self.planned.clear();
    }

    pub(crate) fn planned(&self) -> Vec<Planned> {
        self.planned.clone()
    }

    /// The first misbehaviour that is planned for a request, used up by it.
    pub(crate) fn take(&mut self, method: &str, target: &str) -> Option<Fault> {
        let fits = |planned: &Planned| Pattern::new(&planned.pattern).fits(method, target);
        let at = self.planned.iter().position(|planned| planned.times > 0 && fits(planned))?;
        let planned = &mut self.planned[at];
        // u32::MAX means for ever.
        if planned.times < u32::MAX {
            planned.times -= 1;
        }
        let fault = planned.fault.clone();
        if planned.times == 0 {
            self.planned.remove(at);
        }
        Some(fault)
    }
}

impl Fault {
    /// How long the answer is held back.
    pub(crate) fn delay(&self) -> Option<Duration> {
        match self {
            Self::Slow { delay_ms } => Some(Duration::from_millis(*delay_ms)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_method_and_path() {
        let pattern = Pattern::new("GET /services/data/*/jobs/query/*/results");
        assert!(pattern.fits("GET", "/services/data/v67.0/jobs/query/750x/results?locator=A"));
        assert!(!pattern.fits("POST", "/services/data/v67.0/jobs/query/750x/results"));
        assert!(!pattern.fits("GET", "/services/data/v67.0/jobs/query/750x"));
        assert!(Pattern::new("*locator=A*?").path.contains('?'));
        assert!(Pattern::new("*/results?locator=*").fits("GET", "/x/results?locator=abc"));
    }

    #[test]
    fn misbehaviour_is_used_up() {
        let mut faults = Faults::default();
        faults.plan("/a", Fault::ServerError, 2);
        assert!(faults.take("GET", "/b").is_none());
        assert!(faults.take("GET", "/a").is_some());
        assert!(faults.take("GET", "/a").is_some());
        assert!(faults.take("GET", "/a").is_none());
        assert!(faults.planned().is_empty());
    }
}
