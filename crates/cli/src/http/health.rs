//! `/health` and `/health/queue`: whether the copy can be relied on, check by check, and what waits.

use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use engine::api::sign_in::SignInState;
use engine::api::status::{CheckState, DatabaseState, ObjectStatus, StatusView};
use engine::api::stream::{StreamState, StreamView};
use serde::Serialize;

/// Even a quiet org is heard every 270 s; after this long the stream is dead (design 5.6).
const SILENCE: TimeDelta = TimeDelta::seconds(330);

/// How the copy is.
///
/// - **Shape:** one word per check; `status` is the worst of them.
/// - **Source:** design 9: healthy = heard within 330 s, verified within twice its schedule, no open hole. What was
///   never verified is unknown, not healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// `healthy`, `unknown`, `unhealthy`, `draining`.
    pub status: &'static str,
    /// The checks.
    pub checks: Checks,
    /// When this was put together.
    pub at: DateTime<Utc>,
}

/// One word per check; `ok` is good everywhere, and only `unknown` is neither good nor bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checks {
    /// `ok`, `silent` (not within 330 s), `never`, `paused` (by a person).
    pub heard: &'static str,
    /// `ok`, `late` (not within twice its schedule), `failed`, `unknown` (never).
    pub verified: &'static str,
    /// `ok`, `open`, `unknown` (the database does not say).
    pub holes: &'static str,
    /// `ok`, `starting`, `down`.
    pub database: &'static str,
    /// `ok`, `waiting`, `needed`.
    pub sign_in: &'static str,
}

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// Stored events that wait to be applied.
    pub backlog_events: u32,
    /// Age of the oldest of them in milliseconds; none where none waits.
    pub backlog_age_ms: Option<u32>,
    /// Open dead letters.
    pub dead_letters: u32,
    /// Records that wait to be fetched.
    pub dirty: u32,
    /// When this was put together.
    pub at: DateTime<Utc>,
}

impl Health {
    /// Sums up how things stand.
    pub fn of(status: &StatusView, is_draining: bool) -> Self {
        let is_up = matches!(status.database, DatabaseState::Ready { .. });
        let checks = Checks {
            heard: heard(status.stream.as_ref(), status.at),
            verified: verified(&status.objects),
            holes: match status.objects.iter().map(|object| object.holes).sum() {
                _ if !is_up => "unknown",
                0 => "ok",
                1.. => "open",
            },
            database: match status.database {
                DatabaseState::Ready { .. } => "ok",
                DatabaseState::Starting => "starting",
                DatabaseState::Closed | DatabaseState::Failed { .. } => "down",
            },
            sign_in: match status.sign_in {
                SignInState::SignedIn { .. } => "ok",
                SignInState::WaitingForKeychain
                | SignInState::WaitingForBrowser { .. }
                | SignInState::Finishing => "waiting",
                SignInState::SignedOut | SignInState::Failed { .. } => "needed",
            },
        };
        let words = [checks.heard, checks.verified, checks.holes, checks.database, checks.sign_in];
        let summed_up = if is_draining {
            "draining"
        } else if words.iter().any(|word| !matches!(*word, "ok" | "unknown")) {
            "unhealthy"
        } else if words.contains(&"unknown") {
            "unknown"
        } else {
            "healthy"
        };
        Self { status: summed_up, checks, at: status.at }
    }

    /// 200 while nothing is known to be wrong, else 503.
    pub fn code(&self) -> StatusCode {
        match self.status {
            "healthy" | "unknown" => StatusCode::OK,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// How the verification of every object came out, the worst of them. Where nothing was loaded nothing can be verified.
fn verified(objects: &[ObjectStatus]) -> &'static str {
    let found = objects.iter().flat_map(|object| &object.checks).filter(|check| check.name == "verified");
    match found.map(|check| check.state).max_by_key(|state| severity(*state)) {
        Some(CheckState::Good) => "ok",
        Some(CheckState::Unknown) | None => "unknown",
        Some(CheckState::Late) => "late",
        Some(CheckState::Bad) => "failed",
    }
}

fn severity(state: CheckState) -> u8 {
    match state {
        CheckState::Good => 0,
        CheckState::Unknown => 1,
        CheckState::Late => 2,
        CheckState::Bad => 3,
    }
}

fn heard(stream: Option<&StreamView>, now: DateTime<Utc>) -> &'static str {
    match stream {
        Some(stream) if stream.state == StreamState::Paused => "paused",
        Some(StreamView { heard_at: Some(heard_at), .. }) if now - heard_at <= SILENCE => "ok",
        Some(StreamView { heard_at: Some(_), .. }) => "silent",
        Some(StreamView { heard_at: None, .. }) | None => "never",
    }
}

impl Queue {
    /// What waits; none where the database does not say.
    pub fn of(status: &StatusView) -> Option<Self> {
        let stream = status.stream.as_ref()?;
        matches!(status.database, DatabaseState::Ready { .. }).then(|| Self {
            backlog_events: stream.backlog_events,
            backlog_age_ms: stream.backlog_age_ms,
            dead_letters: status.dead_letters,
            dirty: status.objects.iter().map(|object| object.dirty).sum(),
            at: status.at,
        })
    }
}
