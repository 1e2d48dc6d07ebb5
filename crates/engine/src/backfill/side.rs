//! Side reads: some fields of every record, beside the rest of it (design 5.3).
//!
//! Columns that no event carries and no stamp moves with, formulas and fields derived from other records, are refreshed by
//! the clock and have an age of their own. Fields that the mapping gained since a table was loaded, and fields that the sync
//! user can see again, are filled in once. Either is a Bulk job over just those fields; what cannot surely be filled
//! becomes dirty and is fetched whole.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use salesforce::bulk::Operation;
use shadow::mapping::ALWAYS_READ;
use shadow::value::Moment;
use shadow::{ResolvedMapping, side};
use store::holes::{self, Hole, HoleNeeds};
use store::jobs::{self, BulkJob, Job, JobStage};
use store::{Store, failpoint, objects, reads};

use super::pages::{self, Pages};
use super::run::{Ended, MARKS_PATIENCE, Run, go_on};
use super::{Wish, fetch};
use crate::problem::Answer;

/// How often a Bulk job whose results are gone, or that Salesforce fails, is created anew.
const TRIES: u32 = 3;

/// The fields of an object that events leave out.
pub(crate) fn volatile(mapping: &ResolvedMapping) -> Vec<&str> {
    let is_volatile = |name: &str| !ALWAYS_READ.contains(&name);
    mapping
        .fields
        .iter()
        .filter(|field| !field.in_events && !field.is_frozen && is_volatile(&field.name))
        .map(|field| field.name.as_str())
        .collect()
}

/// Whether what an object lacks is only fields, so that a side read is what mends it next.
///
/// - `open`: its open holes. Those that wait for other things are closed afterwards.
pub(crate) async fn mends(store: &Store, mapping: &ResolvedMapping, open: &[Hole]) -> Answer<bool> {
    let is_whole = |hole: &Hole| {
        hole.fields().is_none() && (hole.needs == HoleNeeds::Backfill || hole.from_at.is_none())
    };
    let thawed: Vec<&str> = open.iter().filter_map(Hole::fields).flatten().collect();
    let Some(gained) = gained(store, mapping).await? else { return Ok(false) };
    let is_due = gained.is_reshaped || !thawed.is_empty();
    Ok(is_due && !open.iter().any(is_whole) && side::may_bring(mapping, &thawed))
}

/// What a mapping gained since its rows were written.
struct Gained {
    fields: Vec<String>,
    /// Whether rows are made anew, if only because their columns are filled in another way.
    is_reshaped: bool,
}

/// None if more than fields came: then records are read whole.
async fn gained(store: &Store, mapping: &ResolvedMapping) -> Answer<Option<Gained>> {
    let object = mapping.object();
    if objects::get(store, object).await?.loaded_shape.as_deref() == Some(mapping.shape().as_str()) {
        return Ok(Some(Gained { fields: Vec::new(), is_reshaped: false }));
    }
    let held = objects::held_fields(store, object).await?;
    let gained = held.as_ref().and_then(|held| mapping.gained(held));
    Ok(gained
        .map(|fields| Gained { fields: fields.into_iter().map(str::to_owned).collect(), is_reshaped: true }))
}

/// Refreshes the fields that no event carries.
pub(super) async fn refresh(run: &Run, job: &Job) -> Answer<Ended> {
    let fields = volatile(&run.mapping);
    if fields.is_empty() {
        return Ok(Ended::Done);
    }
    let began = match read(run, job, &fields, false).await? {
        Ok(began) => began,
        Err(stopped) => return Ok(stopped),
    };
    // What they show was true at some time after that; what changed since may be in them or not.
    objects::formulas_refreshed(&run.store, &run.lease, run.mapping.object(), began).await?;
    Ok(Ended::Done)
}

/// Fills in what the mapping gained and what can be seen again, and closes the holes that waited for it.
pub(super) async fn fill(run: &Run, job: &Job) -> Answer<Ended> {
    let Some(gained) = gained(&run.store, &run.mapping).await? else {
        // The fields changed once more since the job was ordered: a load reads the records whole.
        return Ok(Ended::Done);
    };
    let mut fields = gained.fields;
    fields.extend(holes::thawed(&run.store, run.mapping.object()).await?);
    fields.sort_unstable();
    fields.dedup();
    // One that went out of sight again keeps its last value: when it is seen once more, another hole waits for it.
    let is_seen = |name: &&str| run.mapping.field_names().any(|field| field == *name);
    let names: Vec<&str> = fields.iter().map(String::as_str).filter(is_seen).collect();
    if let Err(stopped) = read(run, job, &names, true).await? {
        return Ok(stopped);
    }
    jobs::reads_ended(&run.store, &run.lease, run.id).await?;
    let since = Instant::now();
    while holes::waits_for(&run.store, run.id).await? > 0 && since.elapsed() < MARKS_PATIENCE {
        go_on!(fetch::dirty(run).await?);
        tokio::select! {
            wish = run.live.stopped() => return Ok(Ended::Stopped(wish)),
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
    }
    objects::filled(&run.store, &run.lease, &run.mapping).await?;
    failpoint::reach("fields.filled");
    run.brought(fields);
    Ok(Ended::Done)
}

/// Reads fields of every record, merges them, and fetches what became dirty. Answers when the read began, in Salesforce's
/// time.
async fn read(
    run: &Run,
    job: &Job,
    fields: &[&str],
    is_reshaping: bool,
) -> Answer<Result<DateTime<Utc>, Ended>> {
    let soql = run.mapping.side_soql(fields);
    let is_same = |bulk: &BulkJob| bulk.shape == run.mapping.shape() && bulk.soql == soql;
    let mut tries = 0;
    loop {
        tries += 1;
        let resumed = job.bulk.clone().filter(|bulk| tries == 1 && is_same(bulk));
        let (bulk, is_new) = match resumed {
            Some(bulk) => (bulk, false),
            None => (create(run, &soql).await?, true),
        };
        match load(run, &bulk, is_reshaping).await {
            Err(problem) if Run::may_begin_anew(&problem, tries, is_new) && tries < TRIES => {
                tracing::warn!(
                    job.id = run.id.0,
                    problem.code = problem.code,
                    "the Bulk job is created anew"
                );
            }
            Err(problem) => return Err(problem),
            Ok(Ended::Done) => {
                if let Err(error) = run.client.delete_query_job(&bulk.id).await {
                    tracing::info!(job.id = job.id.0, %error, "the Bulk job's results could not be deleted");
                }
                return Ok(Ok(bulk.began_at.unwrap_or(DateTime::UNIX_EPOCH)));
            }
            Ok(stopped @ Ended::Stopped(Wish::Run | Wish::Pause | Wish::Cancel | Wish::Leave)) => {
                return Ok(Err(stopped));
            }
        }
    }
}

async fn load(run: &Run, bulk: &BulkJob, is_reshaping: bool) -> Answer<Ended> {
    go_on!(run.stage(JobStage::Preparing).await?);
    let Some(read_end) = run.wait_for(&run.client, bulk).await? else {
        return Ok(Ended::Stopped(run.live.wish()));
    };
    go_on!(run.stage(JobStage::Loading).await?);
    go_on!(pages::load(run, &run.client, bulk, read_end, Pages::Side { is_reshaping }).await?);
    go_on!(run.stage(JobStage::Fetching).await?);
    fetch::dirty(run).await
}

async fn create(run: &Run, soql: &str) -> Answer<BulkJob> {
    jobs::reads_begin(&run.store, &run.lease, run.id).await?;
    let mark = reads::begin(&run.store).await?;
    let created = run.client.create_query_job(Operation::Query, soql).await?;
    failpoint::reach("bulk.created");
    let bulk = BulkJob {
        id: created.id,
        api_version: run.client.api_version().to_string(),
        soql: soql.to_owned(),
        shape: run.mapping.shape(),
        stamps_only: false,
        mark,
        began_at: side::began(Moment::from(created.at)).to_utc(),
    };
    jobs::set_bulk(&run.store, &run.lease, run.id, &bulk).await?;
    failpoint::reach("bulk.recorded");
    Ok(bulk)
}
