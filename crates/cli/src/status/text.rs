//! A status for people.

use chrono::TimeDelta;
use engine::api::status::{CacheWaits, DatabaseState, FrozenView, ObjectHealth, ObjectStatus, StatusView};
use engine::api::stream::{StreamState, StreamView, WorkerView};

use super::Flow;
use crate::words::{count, duration, table, thousands};

/// A process says every 5 s that it is there: one that missed two of these may be gone.
const SILENT_AFTER: TimeDelta = TimeDelta::seconds(11);

/// The whole picture.
pub fn of(status: &StatusView, flow: Option<&Flow>) -> String {
    let mut lines = vec![status.statement.clone()];
    if !status.detail.is_empty() {
        lines.push(status.detail.clone());
    }
    if let Some(environment) = &status.environment {
        let simulated = if environment.is_simulated { ", simulated org" } else { "" };
        lines.push(
            format!("Environment {} ({:?}{simulated})", environment.name, environment.kind).to_lowercase(),
        );
    }
    if let Some(bound) = &status.bound_to {
        lines.push(format!("Bound to {bound}"));
    }
    lines.push(match &status.database {
        DatabaseState::Closed => "Database: closed".to_owned(),
        DatabaseState::Starting => "Database: starting".to_owned(),
        DatabaseState::Ready { server } => format!("Database: {server}"),
        DatabaseState::Failed { problem, .. } => format!("Database: {}", problem.title),
    });
    if let Some(stream) = &status.stream {
        lines.push(stream_line(stream, status));
        lines.push(waiting_line(stream, status));
    }
    lines.extend(status.cache.as_ref().map(cache_line));
    if let Some(flow) = flow {
        lines.push(flow_line(flow));
    }
    lines.push(workers_line(&status.workers, status.at));
    if let Some(quota) = quota_line(status) {
        lines.push(quota);
    }
    lines.push(objects_table(&status.objects));
    lines.extend(status.frozen.iter().map(frozen_line));
    lines.extend(status.problems.iter().map(ToString::to_string));
    lines.join("\n")
}

/// Where the stream stands, and when it was heard.
fn stream_line(stream: &StreamView, status: &StatusView) -> String {
    let state = match stream.state {
        StreamState::Stopped => "stopped: no `serve` and no open console runs it",
        StreamState::Connecting => "connecting",
        StreamState::Live => "live",
        StreamState::Backoff => "broken off, tried again",
        StreamState::Polling => "the event allocation is spent: deltas are polled instead",
        StreamState::Paused => "paused; `shadow-sync resume` goes on",
        StreamState::Failed => "failed",
    };
    let heard = stream
        .heard_at
        .map_or_else(|| "never heard".to_owned(), |at| format!("heard {} ago", ago(status, at)));
    let channel = if stream.channel.is_empty() { String::new() } else { format!(" {}", stream.channel) };
    format!("Stream{channel}: {state}; {heard}")
}

/// What waits: events, dirty records, dead letters, holes.
fn waiting_line(stream: &StreamView, status: &StatusView) -> String {
    let sum = |of: fn(&ObjectStatus) -> u32| status.objects.iter().map(of).sum::<u32>();
    let age = stream
        .backlog_age_ms
        .filter(|_| stream.backlog_events > 0)
        .map_or_else(String::new, |age| format!(", the oldest for {}", duration(u64::from(age))));
    format!(
        "Waiting: {}{age}; {}; {}; {}",
        count(stream.backlog_events, "event", "events"),
        count(sum(|object| object.dirty), "dirty record", "dirty records"),
        count(status.dead_letters, "dead letter", "dead letters"),
        count(sum(|object| object.holes), "open hole", "open holes"),
    )
}

/// What waits to be deleted in the cache.
fn cache_line(cache: &CacheWaits) -> String {
    let wait = if cache.waiting == 1 { "waits" } else { "wait" };
    let oldest = cache
        .oldest_ms
        .filter(|_| cache.waiting > 0)
        .map_or_else(String::new, |age| format!(", the oldest for {}", duration(u64::from(age))));
    let held = cache.held_by.as_ref().map_or_else(String::new, |by| format!("; held back by {by}"));
    format!("Cache: {} {wait}{oldest}{held}", count(cache.waiting, "change", "changes"))
}

fn frozen_line(frozen: &FrozenView) -> String {
    format!(
        "Field {} of {} can no longer be seen; its values are kept since {}",
        frozen.field,
        frozen.object,
        frozen.since.format("%Y-%m-%d %H:%M:%SZ")
    )
}

fn flow_line(flow: &Flow) -> String {
    let failures = if flow.failures.is_empty() {
        "no failures".to_owned()
    } else {
        let stages: Vec<String> = flow
            .failures
            .iter()
            .map(|stage| format!("{} in {}", count(stage.count, "failure", "failures"), stage.stage))
            .collect();
        stages.join(", ")
    };
    format!(
        "In {} min: {} stored, {} applied; {failures}",
        flow.minutes,
        count(flow.received, "event", "events"),
        thousands(flow.applied)
    )
}

fn workers_line(workers: &[WorkerView], now: chrono::DateTime<chrono::Utc>) -> String {
    if workers.is_empty() {
        return "Workers: none; start `shadow-sync serve` or the console".to_owned();
    }
    let each: Vec<String> = workers
        .iter()
        .map(|worker| {
            let silent = now - worker.seen_at;
            let does = if silent > SILENT_AFTER {
                format!("silent for {}, it may be gone", duration(silent.num_milliseconds().unsigned_abs()))
            } else if worker.streaming {
                "streams".to_owned()
            } else {
                "stands by".to_owned()
            };
            format!("{} ({does})", worker.holder)
        })
        .collect();
    format!("Workers: {}", each.join(", "))
}

fn quota_line(status: &StatusView) -> Option<String> {
    if let Some(quota) = status.quota.as_ref().filter(|quota| quota.max > 0) {
        let mut line = format!(
            "API calls: {} of {} in 24 hours, {} of them ours",
            thousands(quota.used),
            thousands(quota.max),
            thousands(quota.ours)
        );
        if let Some(at) = quota.exhausted_at {
            line.push_str(&format!("; at this pace spent at {}", at.format("%Y-%m-%d %H:%M:%SZ")));
        }
        if !quota.stopped.is_empty() {
            let stopped: Vec<String> =
                quota.stopped.iter().map(|work| format!("{work:?}").to_lowercase()).collect();
            line.push_str(&format!("; stopped to leave the rest for people: {}", stopped.join(", ")));
        }
        return Some(line);
    }
    let usage = status.api_usage?;
    Some(format!("API calls: {} of {} today", thousands(usage.used), thousands(usage.max)))
}

fn objects_table(objects: &[ObjectStatus]) -> String {
    let mut rows = vec![
        ["Object", "Health", "Lag", "Salesforce", "", "Shadow", "Rejected", "Counted"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for object in objects {
        let number = |value: Option<u32>| value.map_or_else(|| "not counted".to_owned(), thousands);
        rows.push(vec![
            object.object.clone(),
            health(object.health).to_owned(),
            object.lag_ms.map_or_else(|| "unknown".to_owned(), |lag| duration(u64::from(lag))),
            number(object.count.salesforce),
            match object.count.unexplained {
                Some(0) => "=".to_owned(),
                Some(_) => "≠".to_owned(),
                None => "?".to_owned(),
            },
            number(object.count.shadow),
            thousands(object.count.rejected),
            object
                .count
                .salesforce_at
                .map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M:%SZ").to_string()),
        ]);
    }
    table(&rows, &[2, 3, 5, 6])
}

fn health(health: ObjectHealth) -> &'static str {
    match health {
        ObjectHealth::NotLoaded => "not loaded",
        ObjectHealth::Backfilling => "backfilling",
        ObjectHealth::CountsAgree => "counts agree",
        ObjectHealth::Loaded => "loaded, not counted",
        ObjectHealth::Differs => "differs",
        ObjectHealth::Paused => "paused",
        ObjectHealth::Interrupted => "interrupted",
        ObjectHealth::Failing => "failing",
        ObjectHealth::Live => "live, not verified",
        ObjectHealth::CatchingUp => "catching up",
        ObjectHealth::Late => "late",
        ObjectHealth::FarBehind => "far behind",
    }
}

/// How long before the look something was.
fn ago(status: &StatusView, at: chrono::DateTime<chrono::Utc>) -> String {
    duration(u64::try_from((status.at - at).num_milliseconds()).unwrap_or(0))
}
