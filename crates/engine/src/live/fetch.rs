//! Fetches what is dirty: records in doubt, records whose events could not be applied, children of changed parents.
//!
//! Woken when something became dirty, and looks by itself now and then; both do the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use salesforce::Purpose;
use shadow::quota::Work;
use shadow::{RecordId, ResolvedMapping, RowChunk};
use store::merge;
use store::reads::{self, Read, ReadKind};
use store::{dirty, failpoint, parents};
use tokio_util::sync::CancellationToken;

use super::term::Term;
use crate::backfill::{CALL_RECORDS, unreadable};
use crate::notice::View;
use crate::problem::{Answer, Problem};

/// How long to wait before looking again unasked: what is in doubt may be fetched again after 5 s.
const SWEEP: Duration = Duration::from_secs(2);
/// How often all rejected records are looked at.
const REJECTS_EVERY: Duration = Duration::from_mins(1);
/// Parents whose children are read by one query; their ids must fit into its address.
const PARENTS: i64 = 200;

/// Fetches until the term ends.
pub(crate) async fn fetch(term: Arc<Term>, stop: CancellationToken) -> Answer<()> {
    let mut swept = Instant::now();
    while !stop.is_cancelled() {
        let mut did = false;
        for mapping in super::eligible::eligible(&term).await?.applied {
            if stop.is_cancelled() {
                return Ok(());
            }
            if !term.environment.quota.may(Work::Healing) {
                break;
            }
            // One object that cannot be fetched must not keep the others from it.
            match both(&term, &mapping).await {
                Ok(some) => did |= some,
                Err(problem) => {
                    term.environment.live.metrics.failed("fetch", &problem.code);
                    tracing::warn!(object.name = %mapping.object(), problem.code = problem.code, "dirty records could not be fetched: {}", problem.title);
                    heal(&term, &mapping, &problem).await;
                }
            }
        }
        if swept.elapsed() >= REJECTS_EVERY {
            swept = Instant::now();
            let entered = store::rejects::sweep(&term.store, &shadow::Mapping::built_in(), false).await?;
            did |= entered > 0;
        }
        if did {
            let views = [View::Status, View::Rejects, View::Events, View::Lag];
            term.environment.notices.publish(&views);
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = term.dirty.notified() => {}
            () = tokio::time::sleep(SWEEP) => {}
        }
    }
    Ok(())
}

/// One call's worth of dirty records and of children of changed parents; says whether there was anything.
async fn both(term: &Term, mapping: &Arc<ResolvedMapping>) -> Answer<bool> {
    let children = children(term, mapping).await?;
    let limit = i64::try_from(CALL_RECORDS).unwrap_or(i64::MAX);
    let ids = dirty::next_batch(&term.store, &mapping.mapping, limit).await?;
    for ids in ids.chunks(CALL_RECORDS) {
        records(term, mapping, ids).await?;
    }
    Ok(children || !ids.is_empty())
}

/// Fetches records by id, whole, and merges what came.
async fn records(term: &Term, mapping: &Arc<ResolvedMapping>, ids: &[RecordId]) -> Answer<()> {
    let mark = reads::begin(&term.store).await?;
    let fields: Vec<&str> = mapping.field_names().collect();
    let client = term.client.with_purpose(Purpose::Fetch);
    let retrieved = client.retrieve(mapping.object(), ids, &fields).await?;
    failpoint::reach("fetch.received");
    let mut chunk = RowChunk::with_columns(fields);
    for record in retrieved.records.iter().flatten() {
        chunk.push_json(record).map_err(|error| Box::new(unreadable(&error)))?;
    }
    let read = Read { mark, end: retrieved.at, kind: ReadKind::Fetch { job: None, ids: ids.to_vec() } };
    merge::merge_chunk(&term.store, &term.lease, mapping, &chunk, &read).await?;
    failpoint::reach("fetch.committed");
    Ok(())
}

/// Reads the children of parents that changed, deleted ones too, and merges them.
async fn children(term: &Term, mapping: &Arc<ResolvedMapping>) -> Answer<bool> {
    let due = parents::next(&term.store, mapping.object(), PARENTS).await?;
    if due.is_empty() {
        return Ok(false);
    }
    let mut by_field: BTreeMap<String, Vec<parents::DirtyParent>> = BTreeMap::new();
    for parent in due {
        by_field.entry(parent.field.clone()).or_default().push(parent);
    }
    for (field, due) in by_field {
        let mark = reads::begin(&term.store).await?;
        let ids: Vec<String> = due.iter().map(|parent| format!("'{}'", parent.id)).collect();
        let soql = mapping.soql(Some(&format!("{field} IN ({})", ids.join(","))));
        let client = term.client.with_purpose(Purpose::Fetch);
        let mut pages = std::pin::pin!(client.query_all(&soql));
        let mut held: Option<(RowChunk, chrono::DateTime<chrono::Utc>)> = None;
        while let Some(page) = pages.next().await {
            let page = page?;
            if let Some((chunk, end)) = held.take() {
                let read = Read { mark, end, kind: ReadKind::Children { parents: Vec::new() } };
                merge::merge_chunk(&term.store, &term.lease, mapping, &chunk, &read).await?;
            }
            let mut chunk = RowChunk::with_columns(mapping.field_names());
            for record in &page.records {
                chunk.push_json(record).map_err(|error| Box::new(unreadable(&error)))?;
            }
            held = Some((chunk, page.at));
        }
        if let Some((chunk, end)) = held {
            // The marks go in the commit of the last page.
            let read = Read { mark, end, kind: ReadKind::Children { parents: due } };
            merge::merge_chunk(&term.store, &term.lease, mapping, &chunk, &read).await?;
        }
    }
    Ok(true)
}

/// A field that went away refuses every fetch: the object is described anew, so that the next one asks for what there is.
async fn heal(term: &Term, mapping: &ResolvedMapping, problem: &Problem) {
    if problem.code.starts_with("SS-20")
        && let Err(problem) =
            term.environment.live.mappings.describe(&term.environment, &term.client, mapping.object()).await
    {
        tracing::warn!(object.name = %mapping.object(), problem.code = problem.code, "the object could not be described anew");
    }
}
