//! What came in, and how much of the daily quota it took.

use std::collections::{BTreeMap, VecDeque};

use crate::faults::Pattern;

/// The last requests that are kept.
const KEPT: usize = 1_000;

/// One request that came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path and query string.
    pub target: String,
    /// The status that was answered.
    pub status: u16,
}

/// Counts of requests.
pub struct Usage {
    used: u64,
    allowed: u64,
    by_target: BTreeMap<(String, String), u64>,
    last: VecDeque<Request>,
}

impl Usage {
    pub(crate) fn new(allowed: u64) -> Self {
        Self { used: 0, allowed, by_target: BTreeMap::new(), last: VecDeque::new() }
    }

    /// Notes a request and its answer.
    pub(crate) fn note(&mut self, request: Request) {
        let path = request.target.split('?').next().unwrap_or_default().to_owned();
        *self.by_target.entry((request.method.clone(), path)).or_default() += 1;
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(request);
    }

    /// Takes one request from the quota; nothing is left when the answer is false.
    pub(crate) fn take(&mut self) -> bool {
        let left = self.used < self.allowed;
        self.used += u64::from(left);
        left
    }

    /// The header that every answer of the REST API carries.
    pub(crate) fn header(&self) -> String {
        format!("api-usage={}/{}", self.used, self.allowed)
    }

    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    pub(crate) fn allowed(&self) -> u64 {
        self.allowed
    }

    pub(crate) fn set(&mut self, used: u64, allowed: u64) {
        (self.used, self.allowed) = (used, allowed);
    }

    pub(crate) fn count(&self, pattern: &str) -> u64 {
        let pattern = Pattern::new(pattern);
        self.by_target
            .iter()
            .filter(|((method, path), _)| pattern.fits(method, path))
            .map(|(_, count)| count)
            .sum()
    }

    pub(crate) fn log(&self) -> Vec<Request> {
        self.last.iter().cloned().collect()
    }
}
