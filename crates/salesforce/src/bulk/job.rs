//! The job itself: states, creation, polling, list, abort, delete.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::Rng;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{Client, Error, client::Call};

/// What a job reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// Live records.
    Query,
    /// Deleted ones in the recycle bin too.
    QueryAll,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobState {
    /// Queued.
    UploadComplete,
    /// Running.
    InProgress,
    /// Results can be read, for seven days.
    JobComplete,
    /// Ended badly.
    Failed,
    /// Ended by somebody.
    Aborted,
    /// A state that this version does not know; waited out like a running one.
    #[serde(other)]
    Unknown,
}

/// A query job as Salesforce describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkJob {
    /// The job's id, e.g. `750…`.
    pub id: String,
    /// Where it stands.
    pub state: JobState,
    /// The object of its FROM clause.
    #[serde(default)]
    pub object: Option<String>,
    /// Records found; grows while the job runs.
    #[serde(default)]
    pub number_records_processed: u64,
    /// Why it failed, where Salesforce says so.
    #[serde(default)]
    pub error_message: Option<String>,
    /// When this was so, in Salesforce's time.
    #[serde(skip)]
    pub at: DateTime<Utc>,
}

/// How a running job is asked after.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PollSchedule {
    /// The first pause.
    pub first: Duration,
    /// What each pause is multiplied with.
    pub factor: f64,
    /// The longest pause.
    pub cap: Duration,
    /// How long nothing may move before the job counts as stuck and is aborted.
    pub patience: Duration,
}

impl Default for PollSchedule {
    /// 1 s, times 1.6, at most 30 s, ±20 %; two hours without progress.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            factor: 1.6,
            cap: Duration::from_secs(30),
            patience: Duration::from_hours(2),
        }
    }
}

impl PollSchedule {
    /// The pause after poll number `poll` (from 0).
    fn pause(&self, poll: i32) -> Duration {
        let capped = (self.first.as_secs_f64() * self.factor.powi(poll)).min(self.cap.as_secs_f64());
        Duration::from_secs_f64(capped).mul_f64(rand::rng().random_range(0.8..=1.2))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobList {
    #[serde(default)]
    records: Vec<BulkJob>,
    done: bool,
    #[serde(default)]
    next_records_url: Option<String>,
}

impl Client {
    /// Creates a query job.
    ///
    /// - **Errors:** bad SOQL may be refused here or turn the job to `Failed` later; both happen.
    /// - **Source:** `POST /jobs/query`. Repeated only where the first try surely had no effect.
    pub async fn create_query_job(&self, operation: Operation, soql: &str) -> Result<BulkJob, Error> {
        let body = json!({
            "operation": operation, "query": soql, "contentType": "CSV", "columnDelimiter": "COMMA", "lineEnding": "LF",
        });
        let path = self.data_path("/jobs/query");
        let call = Call { creates: true, ..Call::with_body("query job", Method::POST, &path, &body) };
        self.job_answer(call).await
    }

    /// How a job stands.
    pub async fn query_job(&self, job: &str) -> Result<BulkJob, Error> {
        let path = self.job_path(job);
        self.job_answer(Call::get("query job", &path)).await.map_err(|error| gone(job, error))
    }

    /// Asks after a job until its results can be read.
    ///
    /// - **Shape:** `progress` hears every poll; the job returned carries the time of the poll that first said
    ///   `JobComplete`.
    /// - **Errors:** [`Error::JobFailed`], [`Error::JobAborted`], [`Error::JobGone`], [`Error::JobStuck`] (the job is
    ///   aborted then), [`Error::Cancelled`] (the job is left as it is).
    pub async fn wait_for_query_job(
        &self,
        job: &str,
        schedule: &PollSchedule,
        cancel: &CancellationToken,
        mut progress: impl FnMut(&BulkJob),
    ) -> Result<BulkJob, Error> {
        let mut moved = (0, Instant::now());
        for poll in 0.. {
            let now = tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(Error::Cancelled),
                job = self.query_job(job) => job?,
            };
            progress(&now);
            match now.state {
                JobState::JobComplete => return Ok(now),
                JobState::Failed => {
                    let message = now.error_message.unwrap_or_default();
                    return Err(Error::JobFailed { job: now.id, message });
                }
                JobState::Aborted => return Err(Error::JobAborted { job: now.id }),
                JobState::UploadComplete | JobState::InProgress | JobState::Unknown => {}
            }
            if now.number_records_processed != moved.0 {
                moved = (now.number_records_processed, Instant::now());
            }
            if moved.1.elapsed() >= schedule.patience {
                if let Err(error) = self.abort_query_job(job).await {
                    tracing::warn!(job, %error, "a stuck query job could not be aborted");
                }
                return Err(Error::JobStuck { job: job.to_owned(), waited: schedule.patience });
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(Error::Cancelled),
                () = sleep(schedule.pause(poll)) => {}
            }
        }
        unreachable!("the loop over polls has no end of its own")
    }

    /// Aborts a job. A job that has ended already is left as it is.
    pub async fn abort_query_job(&self, job: &str) -> Result<BulkJob, Error> {
        let path = self.job_path(job);
        let body = json!({ "state": "Aborted" });
        self.job_answer(Call::with_body("abort of a query job", Method::PATCH, &path, &body))
            .await
            .map_err(|error| gone(job, error))
    }

    /// Deletes a job and its results, so that they stop counting. One that is gone already is fine.
    pub async fn delete_query_job(&self, job: &str) -> Result<(), Error> {
        let path = self.job_path(job);
        let call = Call { method: Method::DELETE, ..Call::get("deletion of a query job", &path) };
        match self.send(call).await.map_err(|error| gone(job, error)) {
            Ok(_) | Err(Error::JobGone { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// All query jobs that Salesforce still keeps, in no particular order.
    pub async fn query_jobs(&self) -> Result<Vec<BulkJob>, Error> {
        let mut jobs = Vec::new();
        let mut next = Some(self.data_path("/jobs/query?jobType=V2Query"));
        while let Some(path) = next.take() {
            let page: JobList =
                self.get("list of query jobs", &path).await?.json("list of query jobs").await?;
            jobs.extend(page.records);
            if !page.done {
                next = page.next_records_url.filter(|url| *url != path);
            }
        }
        Ok(jobs)
    }

    pub(super) fn job_path(&self, job: &str) -> String {
        self.data_path(&format!("/jobs/query/{job}"))
    }

    async fn job_answer(&self, call: Call<'_>) -> Result<BulkJob, Error> {
        let operation = call.operation;
        let answer = self.send(call).await?;
        let at = answer.at();
        let job: BulkJob = answer.json(operation).await?;
        if !job.id.bytes().all(|byte| byte.is_ascii_alphanumeric()) || job.id.is_empty() {
            return Err(Error::Unreadable { operation, reason: "the job's id is not an id".to_owned() });
        }
        Ok(BulkJob { at, ..job })
    }
}

/// A job that Salesforce no longer knows was purged after seven days, or deleted.
pub(super) fn gone(job: &str, error: Error) -> Error {
    match error {
        Error::Rejected { status: 404, .. } | Error::Status { status: 404, .. } => {
            Error::JobGone { job: job.to_owned() }
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_grow_further_apart_up_to_the_cap() {
        let schedule = PollSchedule::default();
        assert!(schedule.pause(0) <= Duration::from_millis(1_200));
        assert!(schedule.pause(30) <= Duration::from_secs(36));
        assert!(schedule.pause(30) >= Duration::from_secs(24));
    }

    #[test]
    fn a_job_of_a_newer_release_is_still_read() {
        let job: BulkJob = serde_json::from_value(json!({
            "id": "750XX0000000101YAA", "state": "Optimising", "apiVersion": 67.0, "isPkChunkingSupported": true,
        }))
        .expect("a job");
        assert_eq!(job.state, JobState::Unknown);
        assert_eq!(job.number_records_processed, 0);
    }
}
