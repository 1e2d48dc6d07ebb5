//! Records fetched whole by id: those whose stamp differs, those that claim one SKU, those in doubt.

use std::time::{Duration, Instant};

use salesforce::Purpose;
use shadow::{Mapping, RecordId, RowChunk};
use store::merge::{self, MergeOutcome};
use store::reads::{self, Read, ReadKind};
use store::{Store, dirty, failpoint, stamps};

use super::pages::rows_view;
use super::run::{Ended, Run};
use crate::problem::{Answer, MendAct, Mender, Problem};

/// Records of one call.
const FETCH_RECORDS: i64 = 2_000;
/// The most records of one call.
pub(crate) const CALL_RECORDS: usize = 2_000;
/// How long records in doubt are waited for before the load ends without them; they stay dirty and are shown.
const DOUBT_PATIENCE: Duration = Duration::from_secs(90);

/// Fetches the records that the comparison of stamps found to differ.
pub(super) async fn differing(run: &Run) -> Answer<Ended> {
    loop {
        let ids = stamps::next_to_fetch(&run.store, run.id, FETCH_RECORDS).await?;
        if ids.is_empty() {
            return Ok(Ended::Done);
        }
        let outcome = fetch(run, &ids).await?;
        if !outcome.absent.is_empty() {
            // They were there when their stamps were read: the id comparison will not miss them, so say it here.
            tracing::info!(records = outcome.absent.len(), "records vanished between two reads");
        }
        super::run::go_on!(run.asked(outcome.requested.unwrap_or(store::jobs::Requested::Run)));
    }
}

/// Fetches dirty records until none may be fetched any more.
pub(super) async fn dirty(run: &Run) -> Answer<Ended> {
    let began = Instant::now();
    loop {
        let ids = dirty::next_batch(&run.store, &run.mapping.mapping, FETCH_RECORDS).await?;
        if ids.is_empty() {
            if dirty::count(&run.store, run.mapping.object()).await? == 0 || began.elapsed() > DOUBT_PATIENCE
            {
                return Ok(Ended::Done);
            }
            // What is in doubt is fetched again a little later.
            tokio::select! {
                wish = run.live.stopped() => return Ok(Ended::Stopped(wish)),
                () = tokio::time::sleep(Duration::from_millis(500)) => continue,
            }
        }
        let outcome = fetch(run, &ids).await?;
        super::run::go_on!(run.asked(outcome.requested.unwrap_or(store::jobs::Requested::Run)));
    }
}

/// Fetches records by id and merges what came.
pub(super) async fn fetch(run: &Run, ids: &[RecordId]) -> Answer<MergeOutcome> {
    let mut all = MergeOutcome::default();
    for ids in ids.chunks(CALL_RECORDS) {
        let mark = reads::begin(&run.store).await?;
        let fields: Vec<&str> = run.mapping.field_names().collect();
        let client = run.client.with_purpose(Purpose::Fetch);
        run.live.fetched();
        let retrieved = client.retrieve(run.mapping.object(), ids, &fields).await?;
        failpoint::reach("fetch.received");
        let mut chunk = RowChunk::with_columns(fields);
        for record in retrieved.records.iter().flatten() {
            chunk.push_json(record).map_err(|error| Box::new(unreadable(&error)))?;
        }
        let kind = ReadKind::Fetch { job: Some(run.id), ids: ids.to_vec() };
        let read = Read { mark, end: retrieved.at, kind };
        let outcome = merge::merge_chunk(&run.store, &run.lease, &run.mapping, &chunk, &read).await?;
        failpoint::reach("fetch.committed");
        run.live.progress.merged(Instant::now(), None, 0, rows_view(&outcome));
        all.absent.extend_from_slice(&outcome.absent);
        all.requested = outcome.requested.or(all.requested);
    }
    Ok(all)
}

/// Lets in the rejected records whose cause has gone away.
pub(crate) async fn sweep(store: &Store) -> Answer<u32> {
    let entered = store::rejects::sweep(store, &Mapping::built_in(), true).await?;
    Ok(u32::try_from(entered).unwrap_or(u32::MAX))
}

pub(crate) fn unreadable(error: &shadow::RowError) -> Problem {
    Problem::new(
        "SS-2301",
        "Salesforce's answer is not what was asked for",
        "A record could not be read, so nothing of that answer was written.",
    )
    .mended_by(Mender::SalesforceAdmin)
    .step("Resume the load; if it happens again, copy these details.")
    .act(MendAct::ResumeJob)
    .details(error.to_string())
}
