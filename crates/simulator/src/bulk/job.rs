//! A query job and its states.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use serde_json::{Value as Json, json};

use crate::{
    calendar,
    faults::Fault,
    http::{Failure, Reply, ok},
    ids::RecordId,
    lock::lock,
    rest::Asked,
    selection::Selection,
    snapshot::Snapshot,
    soql::{self, Plan},
};

/// Jobs and results live for seven days.
const LIFE_MS: i64 = 7 * calendar::DAY_MS;
/// Jobs that may be created in 24 hours.
const DAILY: u64 = 10_000;

/// Where a job is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It waits.
    UploadComplete,
    /// It runs.
    InProgress,
    /// Its results can be read.
    JobComplete,
    /// It came to nothing.
    Failed,
    /// Somebody stopped it.
    Aborted,
}

impl State {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::UploadComplete => "UploadComplete",
            Self::InProgress => "InProgress",
            Self::JobComplete => "JobComplete",
            Self::Failed => "Failed",
            Self::Aborted => "Aborted",
        }
    }

    /// Reports whether nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(self, Self::JobComplete | Self::Failed | Self::Aborted)
    }
}

/// The records of a job, frozen when it ran.
#[derive(Clone)]
pub struct Frozen {
    /// The org as it was.
    pub snapshot: Snapshot,
    /// The rows that were found.
    pub rows: Selection,
}

/// A query job.
#[derive(Clone)]
pub struct Job {
    /// Its id.
    pub id: RecordId,
    /// The API version that made it, such as `67.0`: the only one that may read its results.
    pub version: String,
    /// What it asks for.
    pub plan: Arc<Plan>,
    /// The character between the fields of a record.
    pub delimiter: u8,
    /// The end of a record.
    pub line_end: &'static str,
    object: String,
    operation: String,
    delimiter_name: String,
    line_end_name: String,
    created_by: RecordId,
    created_ms: i64,
    runs_at_ms: i64,
    ends_at_ms: i64,
    aborted_at_ms: Option<i64>,
    fault: Option<Fault>,
    frozen: Arc<OnceLock<Frozen>>,
}

/// All jobs, by id.
#[derive(Default)]
pub struct Jobs {
    jobs: BTreeMap<RecordId, Job>,
    created: u64,
}

impl Jobs {
    /// The job, unless it was deleted or is older than seven days.
    pub fn find(&self, id: RecordId, now_ms: i64) -> Option<Job> {
        self.jobs.get(&id).filter(|job| now_ms - job.created_ms < LIFE_MS).cloned()
    }

    /// All jobs that still exist.
    pub fn all(&self, now_ms: i64) -> Vec<Job> {
        self.jobs.values().filter(|job| now_ms - job.created_ms < LIFE_MS).cloned().collect()
    }

    /// How many were created.
    pub fn created(&self) -> u64 {
        self.created
    }

    /// Stops a job that is not finished.
    pub fn abort(&mut self, id: RecordId, now_ms: i64) -> bool {
        match self.jobs.get_mut(&id) {
            Some(job) if !job.state(now_ms).is_final() => {
                job.aborted_at_ms = Some(now_ms);
                true
            }
            _ => false,
        }
    }

    /// Forgets a job.
    pub fn delete(&mut self, id: RecordId) {
        self.jobs.remove(&id);
    }
}

impl Job {
    /// Where the job is.
    pub fn state(&self, now_ms: i64) -> State {
        if self.aborted_at_ms.is_some() {
            return State::Aborted;
        }
        match &self.fault {
            _ if now_ms < self.runs_at_ms => State::UploadComplete,
            Some(Fault::JobHangs) => State::InProgress,
            _ if now_ms < self.ends_at_ms || self.frozen.get().is_none() => State::InProgress,
            Some(Fault::JobFailed { .. }) => State::Failed,
            _ => State::JobComplete,
        }
    }

    /// The records, once the job has run.
    pub fn frozen(&self) -> Option<&Frozen> {
        self.frozen.get()
    }

    /// The job as JSON; `whole` adds what only the status of one job shows.
    pub fn to_json(&self, now_ms: i64, whole: bool) -> Json {
        let state = self.state(now_ms);
        let changed_ms = match state {
            State::UploadComplete => self.created_ms,
            State::InProgress => self.runs_at_ms,
            State::JobComplete | State::Failed => self.ends_at_ms,
            State::Aborted => self.aborted_at_ms.unwrap_or(now_ms),
        };
        let mut body = json!({
            "id": self.id.as_str(),
            "operation": self.operation,
            "object": self.object,
            "createdById": self.created_by.as_str(),
            "createdDate": calendar::time_text(self.created_ms.div_euclid(1_000) * 1_000),
            "systemModstamp": calendar::time_text(changed_ms.div_euclid(1_000) * 1_000),
            "state": state.name(),
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": self.version.parse::<f64>().unwrap_or_default(),
            "jobType": "V2Query",
            "lineEnding": self.line_end_name,
            "columnDelimiter": self.delimiter_name,
        });
        if whole {
            body["numberRecordsProcessed"] = json!(self.processed(state, now_ms));
            body["retries"] = json!(0);
            body["totalProcessingTime"] = json!((changed_ms - self.runs_at_ms).max(0));
            body["isPkChunkingSupported"] = json!(true);
            if let (State::Failed, Some(Fault::JobFailed { message: Some(message) })) = (state, &self.fault) {
                body["errorMessage"] = json!(message);
            }
        }
        body
    }

    fn processed(&self, state: State, now_ms: i64) -> u64 {
        let found = self.frozen.get().map_or(0, |frozen| frozen.rows.len());
        match state {
            State::UploadComplete | State::Failed => 0,
            State::JobComplete => found,
            State::InProgress | State::Aborted => {
                let until = self.aborted_at_ms.unwrap_or(now_ms);
                let elapsed = u64::try_from(until - self.runs_at_ms).unwrap_or(0);
                let whole = u64::try_from(self.ends_at_ms - self.runs_at_ms).unwrap_or(0).max(1);
                // A hanging job stops halfway.
                found * elapsed.min(whole / 2) / whole
            }
        }
    }
}

/// Answers `POST /jobs/query`.
pub fn create(asked: &Asked<'_>) -> Result<Reply, Failure> {
    let body = asked.call.json()?;
    let operation = body["operation"].as_str().unwrap_or_default();
    if !matches!(operation, "query" | "queryAll") {
        return Err(Failure::bad_request("INVALIDJOB", format!("Invalid operation: {operation}")));
    }
    if body["contentType"].as_str().is_some_and(|content_type| content_type != "CSV") {
        return Err(Failure::bad_request("INVALIDJOB", "Unsupported content type"));
    }
    let (delimiter_name, delimiter) = delimiter(body["columnDelimiter"].as_str().unwrap_or("COMMA"))?;
    let (line_end_name, line_end) = match body["lineEnding"].as_str().unwrap_or("LF") {
        "LF" => ("LF", "\n"),
        "CRLF" => ("CRLF", "\r\n"),
        other => return Err(Failure::bad_request("INVALIDJOB", format!("Unsupported line ending: {other}"))),
    };
    let snapshot = asked.org.snapshot();
    let now_ms = asked.org.clock.now_ms();
    let plan = check(asked, &snapshot, body["query"].as_str().unwrap_or_default(), now_ms)?;

    let options = &asked.org.options;
    let milliseconds = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(0);
    let runs_at_ms = now_ms + milliseconds(options.bulk_queued);
    let job = {
        let mut jobs = lock(&asked.org.jobs);
        if jobs.created >= DAILY {
            let message = format!("Max bulk v2 query jobs ({DAILY}) per 24 hrs has been reached");
            return Err(Failure::bad_request("LIMIT_EXCEEDED", message));
        }
        let job = Job {
            id: RecordId::inserted(*b"750", jobs.created),
            version: asked.version.to_owned(),
            object: snapshot.object(plan.object).name.clone(),
            plan: Arc::new(plan),
            delimiter,
            line_end,
            operation: operation.to_owned(),
            delimiter_name: delimiter_name.to_owned(),
            line_end_name: line_end_name.to_owned(),
            created_by: asked.user,
            created_ms: now_ms,
            runs_at_ms,
            ends_at_ms: runs_at_ms + milliseconds(options.bulk_running),
            aborted_at_ms: None,
            fault: asked.call.fault.clone(),
            frozen: Arc::default(),
        };
        jobs.created += 1;
        jobs.jobs.insert(job.id, job.clone());
        job
    };
    run(asked, &job);
    Ok(ok(&job.to_json(now_ms, false)))
}

/// Runs the query after the time that jobs wait, and freezes what it found.
fn run(asked: &Asked<'_>, job: &Job) {
    let org = Arc::clone(asked.org);
    let frozen = Arc::clone(&job.frozen);
    let plan = Arc::clone(&job.plan);
    let all_rows = job.operation == "queryAll";
    let stopping = org.stopping.clone();
    let tasks = org.tasks.clone();
    tasks.spawn(async move {
        let waits = tokio::time::sleep(org.options.bulk_queued);
        if stopping.run_until_cancelled(waits).await.is_none() {
            return;
        }
        let snapshot = org.snapshot();
        let found = tokio::task::spawn_blocking(move || {
            let rows = soql::select(&plan, &snapshot, all_rows);
            Frozen { snapshot, rows }
        });
        if let Ok(found) = found.await {
            // Nobody else sets it: the job runs once.
            frozen.set(found).ok();
        }
    });
}

fn check(asked: &Asked<'_>, snapshot: &Snapshot, text: &str, now_ms: i64) -> Result<Plan, Failure> {
    if text.trim().is_empty() {
        return Err(Failure::bad_request("INVALIDJOB", "A query must be specified"));
    }
    let query = soql::parse(text)?;
    let plan = soql::check(&query, &snapshot.schema, &asked.access, now_ms)?;
    let object = snapshot.object(plan.object);
    if !object.bulk {
        let message = format!("Entity '{}' is not supported by the Bulk API.", object.name);
        return Err(Failure::bad_request("INVALIDENTITY", message));
    }
    match plan.not_in_bulk {
        Some(reason) => Err(Failure::bad_request("API_ERROR", reason)),
        None => Ok(plan),
    }
}

fn delimiter(name: &str) -> Result<(&'static str, u8), Failure> {
    let known: [(&'static str, u8); 6] = [
        ("COMMA", b','),
        ("TAB", b'\t'),
        ("SEMICOLON", b';'),
        ("PIPE", b'|'),
        ("CARET", b'^'),
        ("BACKQUOTE", b'`'),
    ];
    known
        .into_iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| Failure::bad_request("INVALIDJOB", format!("Unsupported column delimiter: {name}")))
}
