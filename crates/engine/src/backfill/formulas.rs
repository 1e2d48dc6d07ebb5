//! Columns that no event carries and no stamp moves with: formulas, and fields derived from other records. They are
//! refreshed by a scheduled read, and have an age of their own.

use salesforce::bulk::Operation;
use shadow::ResolvedMapping;
use shadow::mapping::ALWAYS_READ;
use store::jobs::{self, BulkJob, Job, JobStage};
use store::{objects, reads};

use super::run::{Ended, Run, go_on};
use super::{fetch, pages};
use crate::problem::Answer;

/// The fields of an object that events leave out.
pub(crate) fn volatile(mapping: &ResolvedMapping) -> Vec<&str> {
    let is_volatile = |name: &str| !ALWAYS_READ.contains(&name);
    mapping
        .fields
        .iter()
        .filter(|field| !field.in_events && is_volatile(&field.name))
        .map(|field| field.name.as_str())
        .collect()
}

/// Reads every record of an object that has such columns. The records are read whole: rows differ only where a column
/// that no event carries does, and a row is never half of one read and half of another.
pub(super) async fn refresh(run: &Run, job: &Job) -> Answer<Ended> {
    if volatile(&run.mapping).is_empty() {
        return Ok(Ended::Done);
    }
    let resumed = job.bulk.clone().filter(|bulk| bulk.shape == run.mapping.shape());
    let bulk = match resumed {
        Some(bulk) => bulk,
        None => create(run).await?,
    };
    go_on!(run.stage(JobStage::Preparing).await?);
    let Some(read_end) = run.wait_for(&run.client, &bulk).await? else {
        return Ok(Ended::Stopped(run.live.wish()));
    };
    go_on!(run.stage(JobStage::Loading).await?);
    go_on!(pages::load(run, &run.client, &bulk, read_end).await?);
    go_on!(run.stage(JobStage::Fetching).await?);
    go_on!(fetch::dirty(run).await?);
    objects::formulas_refreshed(&run.store, &run.lease, run.mapping.object(), read_end).await?;
    if let Err(error) = run.client.delete_query_job(&bulk.id).await {
        tracing::info!(job.id = job.id.0, %error, "the Bulk job's results could not be deleted");
    }
    Ok(Ended::Done)
}

async fn create(run: &Run) -> Answer<BulkJob> {
    let soql = run.mapping.soql(None);
    let mark = reads::begin(&run.store).await?;
    let created = run.client.create_query_job(Operation::Query, &soql).await?;
    let bulk = BulkJob {
        id: created.id,
        api_version: run.client.api_version().to_string(),
        soql,
        shape: run.mapping.shape(),
        stamps_only: false,
        mark,
    };
    jobs::set_bulk(&run.store, &run.lease, run.id, &bulk).await?;
    Ok(bulk)
}
