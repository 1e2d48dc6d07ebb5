//! Bulk API 2.0 query jobs.

mod job;
mod results;

use hyper::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::{
    http::{Failure, Reply, empty, ok},
    ids::RecordId,
    lock::lock,
    rest::Asked,
};

pub use job::{Job, Jobs};

/// Jobs of one page of the list.
const LISTED: usize = 1_000;

/// Answers a request below `/jobs/query`.
pub fn answer(asked: &Asked<'_>, path: &[&str]) -> Result<Reply, Failure> {
    let method = &asked.call.method;
    match (path, method) {
        ([], &Method::POST) => job::create(asked),
        ([], &Method::GET) => Ok(list(asked)),
        ([id], &Method::GET) => find(asked, id).map(|job| ok(&job.to_json(asked.org.clock.now_ms(), true))),
        ([id], &Method::PATCH) => abort(asked, id),
        ([id], &Method::DELETE) => delete(asked, id),
        ([id, "results"], &Method::GET) => results::page(asked, &find(asked, id)?),
        ([id, "resultPages"], &Method::GET) => results::page_list(asked, &find(asked, id)?),
        ([] | [_] | [_, "results" | "resultPages"], _) => Err(Failure::method_not_allowed(method)),
        _ => Err(Failure::not_found()),
    }
}

fn find(asked: &Asked<'_>, id: &str) -> Result<Job, Failure> {
    let id = RecordId::parse(id).ok_or_else(Failure::not_found)?;
    lock(&asked.org.jobs).find(id, asked.org.clock.now_ms()).ok_or_else(Failure::not_found)
}

fn list(asked: &Asked<'_>) -> Reply {
    let now_ms = asked.org.clock.now_ms();
    let wanted = asked.call.parameter("jobType");
    let from: usize =
        asked.call.parameter("queryLocator").and_then(|locator| locator.parse().ok()).unwrap_or(0);
    let jobs = lock(&asked.org.jobs).all(now_ms);
    let shown = wanted.is_none_or(|wanted| wanted == "V2Query");
    let page: Vec<Json> =
        jobs.iter().filter(|_| shown).skip(from).take(LISTED).map(|job| job.to_json(now_ms, false)).collect();
    let done = !shown || from + page.len() >= jobs.len();
    let next = (!done)
        .then(|| format!("/services/data/v{}/jobs/query?queryLocator={}", asked.version, from + LISTED));
    ok(&json!({"done": done, "records": page, "nextRecordsUrl": next}))
}

fn abort(asked: &Asked<'_>, id: &str) -> Result<Reply, Failure> {
    let job = find(asked, id)?;
    if asked.call.json()?["state"] != "Aborted" {
        return Err(Failure::bad_request(
            "INVALIDJOBSTATE",
            "the only state that a query job can be set to is Aborted",
        ));
    }
    let now_ms = asked.org.clock.now_ms();
    if !lock(&asked.org.jobs).abort(job.id, now_ms) {
        let message = format!("Aborting already {} Job not allowed", job.state(now_ms).name());
        return Err(Failure::bad_request("INVALIDJOBSTATE", message));
    }
    find(asked, id).map(|job| ok(&job.to_json(now_ms, false)))
}

fn delete(asked: &Asked<'_>, id: &str) -> Result<Reply, Failure> {
    let job = find(asked, id)?;
    if !job.state(asked.org.clock.now_ms()).is_final() {
        let message = "A job that is not finished cannot be deleted: abort it first";
        return Err(Failure::bad_request("INVALIDJOBSTATE", message));
    }
    lock(&asked.org.jobs).delete(job.id);
    Ok(empty(StatusCode::NO_CONTENT))
}
