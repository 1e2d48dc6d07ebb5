//! A job as its row has it.

use chrono::{DateTime, Utc};
use shadow::{JobId, ObjectName, ReadMark};

use super::{BulkJob, Job, JobCounts, JobKind, JobStage, JobState, Requested, Window};
use crate::error::{Error, corrupt};
use crate::session::Store;

/// Jobs, newest first: one, those of an object, or those that are not ended.
pub(super) async fn select(
    store: &Store,
    id: Option<JobId>,
    object: Option<&ObjectName>,
    only_open: bool,
    limit: i64,
) -> Result<Vec<Job>, Error> {
    let rows = sqlx::query_as!(
        JobRow,
        r#"select id, object, kind, condition, state, requested, stage, started_by, created_at, started_at, ended_at,
                  took_ms + coalesce((extract(epoch from clock_timestamp() - run_since) * 1000)::bigint, 0)
                      as "took_ms!",
                  bulk_job_id, api_version, soql, shape, stamps_only, as_of, read_no, read_end, records_total,
                  records_read, records_inserted, records_updated, records_stamped, records_equal, records_older,
                  records_rejected, records_entered, records_removed, stripped_nuls, api_calls,
                  removals_waiting, removals_consent, problem, from_at, to_at, with_ids, window_read_at,
                  reads_began_at, reads_ended_at, side_began_at
             from shadow_sync.jobs
            where ($1::int is null or id = $1)
              and ($2::text is null or object = $2)
              and (not $3 or state in ('pending', 'running', 'paused'))
            order by id desc
            limit $4"#,
        id.map(|id| id.0),
        object.map(ObjectName::as_str),
        only_open,
        limit,
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter().map(JobRow::read).collect()
}

/// A job as its row has it.
struct JobRow {
    id: i32,
    object: String,
    kind: String,
    condition: Option<String>,
    state: String,
    requested: String,
    stage: String,
    started_by: String,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    took_ms: i64,
    bulk_job_id: Option<String>,
    api_version: Option<String>,
    soql: Option<String>,
    shape: Option<String>,
    stamps_only: bool,
    as_of: Option<i64>,
    read_no: Option<i64>,
    read_end: Option<DateTime<Utc>>,
    records_total: Option<i64>,
    records_read: i64,
    records_inserted: i64,
    records_updated: i64,
    records_stamped: i64,
    records_equal: i64,
    records_older: i64,
    records_rejected: i64,
    records_entered: i64,
    records_removed: i64,
    stripped_nuls: i64,
    api_calls: i64,
    removals_waiting: i32,
    removals_consent: bool,
    problem: Option<serde_json::Value>,
    from_at: Option<DateTime<Utc>>,
    to_at: Option<DateTime<Utc>>,
    with_ids: bool,
    window_read_at: Option<DateTime<Utc>>,
    reads_began_at: Option<DateTime<Utc>>,
    reads_ended_at: Option<DateTime<Utc>>,
    side_began_at: Option<DateTime<Utc>>,
}

impl JobRow {
    fn read(self) -> Result<Job, Error> {
        let bulk = match (self.bulk_job_id, self.api_version, self.soql, self.shape, self.as_of, self.read_no)
        {
            (Some(id), Some(api_version), Some(soql), Some(shape), Some(as_of), Some(read_no)) => {
                Some(BulkJob {
                    id,
                    api_version,
                    soql,
                    shape,
                    stamps_only: self.stamps_only,
                    mark: ReadMark { as_of, read_no },
                    began_at: self.side_began_at,
                })
            }
            _ => None,
        };
        let kind = JobKind::parse(&self.kind).ok_or_else(|| corrupt("job kind", &self.kind))?;
        let window = (kind == JobKind::CatchUp).then_some(Window {
            from: self.from_at,
            to: self.to_at,
            with_ids: self.with_ids,
            read_at: self.window_read_at,
            reads_began_at: self.reads_began_at,
            reads_ended_at: self.reads_ended_at,
        });
        Ok(Job {
            id: JobId(self.id),
            object: ObjectName::parse(&self.object).map_err(|_| corrupt("object", &self.object))?,
            kind,
            condition: self.condition,
            state: JobState::parse(&self.state).ok_or_else(|| corrupt("job state", &self.state))?,
            requested: Requested::parse(&self.requested)
                .ok_or_else(|| corrupt("request", &self.requested))?,
            stage: JobStage::parse(&self.stage).ok_or_else(|| corrupt("job stage", &self.stage))?,
            started_by: self.started_by,
            created_at: self.created_at,
            started_at: self.started_at,
            ended_at: self.ended_at,
            took_ms: self.took_ms,
            window,
            bulk,
            read_end: self.read_end,
            records_total: self.records_total,
            counts: JobCounts {
                read: self.records_read,
                inserted: self.records_inserted,
                updated: self.records_updated,
                stamped: self.records_stamped,
                equal: self.records_equal,
                older: self.records_older,
                rejected: self.records_rejected,
                entered: self.records_entered,
                removed: self.records_removed,
                stripped_nuls: self.stripped_nuls,
            },
            api_calls: self.api_calls,
            removals_waiting: self.removals_waiting,
            removals_consent: self.removals_consent,
            problem: self.problem,
        })
    }
}
