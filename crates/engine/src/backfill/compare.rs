//! The id comparison at the end of a whole load: rows that Salesforce no longer has.

use std::sync::Arc;
use std::time::Instant;

use salesforce::Purpose;
use shadow::RecordId;
use store::comparison::{self, Proof};
use store::jobs::Job;
use store::reads;
use store::{Store, failpoint};

use super::run::{self, Ended, Run};
use crate::api::backfills::RowsView;
use crate::environment::OpenEnvironment;
use crate::problem::{Answer, Problem};

/// Candidates of one look-up.
const LOOK_UP: i64 = 2_000;

/// Finds what the load did not see, looks each candidate up by id, and removes what is gone; more removals than the
/// guard allows wait for a person.
pub(super) async fn ids(run: &Run) -> Answer<Ended> {
    let found = comparison::compare_ids(&run.store, &run.lease, &run.mapping, run.id).await?;
    failpoint::reach("ids.compared");
    if found.candidates == 0 {
        return Ok(Ended::Done);
    }
    keep_the_living(run).await?;
    let left = count_candidates(run).await?;
    let may_go = left <= comparison::allowed_removals(found.records);
    if !may_go {
        let waiting = i32::try_from(left).unwrap_or(i32::MAX);
        comparison::wait_for_consent(&run.store, &run.lease, run.id, waiting).await?;
        tracing::warn!(object.name = %run.mapping.object(), removals = left, "removals wait for a person's consent");
        return Ok(Ended::Done);
    }
    remove_all(run).await?;
    Ok(Ended::Done)
}

/// Looks every candidate up by id: those that are there stay, and are merged as they are now.
async fn keep_the_living(run: &Run) -> Answer<()> {
    let mut after: Option<RecordId> = None;
    loop {
        let ids = comparison::candidates(&run.store, run.id, after, LOOK_UP).await?;
        let Some(last) = ids.last().copied() else { return Ok(()) };
        let outcome = super::fetch::fetch(run, &ids).await?;
        let alive: Vec<RecordId> = ids.iter().filter(|id| !outcome.absent.contains(id)).copied().collect();
        comparison::still_there(&run.store, &run.lease, run.id, &alive).await?;
        after = Some(last);
    }
}

async fn count_candidates(run: &Run) -> Answer<i64> {
    let mut count = 0;
    let mut after = None;
    loop {
        let ids = comparison::candidates(&run.store, run.id, after, LOOK_UP).await?;
        let Some(last) = ids.last().copied() else { return Ok(count) };
        count += i64::try_from(ids.len()).unwrap_or(i64::MAX);
        after = Some(last);
    }
}

/// Looks up once more, just before, so that the removal carries a mark of its own; then removes.
async fn remove_all(run: &Run) -> Answer<u64> {
    let mut removed = 0;
    loop {
        let ids = comparison::candidates(&run.store, run.id, None, LOOK_UP).await?;
        if ids.is_empty() {
            return Ok(removed);
        }
        let mark = reads::begin(&run.store).await?;
        let object = run.mapping.object();
        let client = run.client.with_purpose(Purpose::Fetch);
        run.live.fetched();
        let looked_up = client.retrieve(object, &ids, &["Id"]).await?;
        let (mut gone, mut alive) = (Vec::new(), Vec::new());
        for (id, record) in ids.iter().zip(&looked_up.records) {
            if record.is_some() { alive.push(*id) } else { gone.push(*id) }
        }
        comparison::still_there(&run.store, &run.lease, run.id, &alive).await?;
        let lease = &run.lease;
        let gone_now =
            comparison::remove(&run.store, lease, &run.mapping, Some(run.id), &gone, Proof::Absent, mark)
                .await?;
        failpoint::reach("ids.removed");
        removed += gone_now;
        let rows = RowsView { removed: u32::try_from(gone_now).unwrap_or(u32::MAX), ..RowsView::default() };
        run.live.progress.merged(Instant::now(), None, 0, rows);
    }
}

/// Removes what a load held back, now that a person agreed.
pub(crate) async fn consent(environment: &Arc<OpenEnvironment>, store: &Store, job: &Job) -> Answer<u64> {
    if job.removals_waiting == 0 {
        return Err(Box::new(
            Problem::new(
                "SS-4005",
                format!("Job {} holds no removals back", job.id),
                "There were none, or they were allowed already.",
            )
            .step("List the jobs: shadow-sync jobs list"),
        ));
    }
    comparison::consent(store, job.id).await?;
    run::beside(environment, store, job, async |run: &Run| {
        let removed = remove_all(run).await?;
        comparison::wait_for_consent(&run.store, &run.lease, run.id, 0).await?;
        crate::counting::count(&run.store, &run.client, &run.mapping.mapping).await?;
        Ok(removed)
    })
    .await
}
