//! One commit of a merge.

use std::collections::HashSet;

use shadow::plan::{ApplyPlan, Current, Roles, plan};
use shadow::{Mapping, PreparedChunk, RecordId};
use sqlx::PgTransaction;

use super::apply::{Writer, set_synchronous};
use super::{Merge, MergeOutcome, state};
use crate::comparison::{self, Proof};
use crate::dead_letters::{self, LetterEnd};
use crate::dirty::{self, Source};
use crate::error::Error;
use crate::failpoint;
use crate::jobs::{self, Tally};
use crate::parents::{self, Shown};
use crate::reads::{Read, ReadKind};
use crate::tables::copy::RowMark;
use crate::{leases, objects, rejects, stamps, tombstones};

/// Merges records in one transaction. With `carried`, what became of the chunk's other records, it also saves the
/// progress of who read the chunk.
pub(super) async fn merge_once(
    merge: &Merge<'_>,
    chunk: &PreparedChunk,
    carried: Option<&MergeOutcome>,
) -> Result<MergeOutcome, Error> {
    let mapping = merge.mapping;
    let mut tx = merge.store.begin().await?;
    set_synchronous(&mut tx, waits_for_disk(merge)).await?;
    leases::check(&mut tx, merge.lease).await?;
    if let Some(parent) = &mapping.mapping.parent {
        objects::lock_for_reading(&mut tx, &parent.object).await?;
    }
    let locked = objects::lock(&mut tx, mapping.object()).await?;
    let schema = merge.store.tables_schema();
    let current = state::load(&mut tx, schema, mapping, chunk, locked).await?;
    let plan = plan(Roles::of(&mapping.mapping), chunk, merge.read.mark, &current);
    failpoint::reach("chunk.planned");
    let mark = RowMark { mark: merge.read.mark, read_end: merge.read.end, updated_at: locked.now };
    let children = Writer::children_of(&mapping.children);
    let parent = mapping.parent.as_deref();
    let mut writer = Writer::new(&mut tx, schema, &mapping.mapping, parent, children);
    let marked = (!plan.keeping.is_empty()).then(|| chunk.marked(&plan.keeping));
    let chunk = marked.as_ref().unwrap_or(chunk);
    let shown = Shown::by_read(&mut writer, &mapping.mapping, chunk, &plan, &current).await?;
    let mut outcome = write(&mut writer, &mapping.mapping, chunk, &plan, &current, &mark).await?;
    shown.mark(&mut writer, &mapping.mapping, merge.read.mark.as_of, None).await?;
    writer.note_changes().await?;
    if !plan.equal.is_empty() {
        objects::confirm(&mut tx, mapping.object(), merge.read.mark.read_no).await?;
    }
    settle_dirty(&mut tx, merge, chunk, &plan, locked.has_dirty).await?;
    if locked.has_dirty && carried.is_some() {
        outcome.deleted += settle_absent(&mut tx, merge).await?;
    }
    outcome.stripped_nuls = chunk.stripped_nuls as u64;
    outcome.seen = unwritten(chunk, &plan);
    if let Some(carried) = carried {
        let mut whole = carried.clone();
        whole.add(outcome.clone());
        outcome.requested = save_progress(&mut tx, merge, &whole).await?;
    }
    failpoint::reach("chunk.applied");
    tx.commit().await?;
    merge.store.ordered();
    Ok(outcome)
}

/// Whether the commit must have reached the disk before anything else happens: the end of a job's pages, and
/// whatever is not part of a job's pages.
fn waits_for_disk(merge: &Merge<'_>) -> bool {
    match &merge.read.kind {
        ReadKind::Page(progress) => progress.end.as_ref().is_some_and(|end| end.next_locator.is_none()),
        ReadKind::Fetch { .. } | ReadKind::Window { .. } | ReadKind::Children { .. } => true,
    }
}

/// Does what a plan says.
pub(crate) async fn write(
    writer: &mut Writer<'_, '_>,
    mapping: &Mapping,
    chunk: &PreparedChunk,
    plan: &ApplyPlan,
    current: &Current,
    mark: &RowMark,
) -> Result<MergeOutcome, Error> {
    let object = &mapping.object;
    let id = |place: &usize| chunk.records[*place].id;
    let refused: Vec<RecordId> = plan.rejects.iter().map(|(place, _)| id(place)).collect();
    let deleted: Vec<RecordId> = plan.deleted.iter().map(id).collect();
    let leaving: Vec<RecordId> =
        refused.iter().chain(&deleted).filter(|id| current.rows.contains_key(id)).copied().collect();
    // The order matters to unique values: rows that leave give theirs up, one statement lets all updates pass theirs
    // on (the constraint is deferrable, so it is checked at the statement's end), then new rows take what is free.
    let left = writer.leave(&leaving).await?;
    writer.update(chunk, &plan.updates, mark).await?;
    writer.update_stamps(chunk, &plan.stamp_only, mark).await?;
    writer.insert(chunk, &plan.inserts, mark).await?;
    let inserted: Vec<RecordId> = plan.inserts.iter().map(id).collect();
    if !current.rejects.is_empty() {
        let known = |id: &&RecordId| current.rejects.contains_key(id);
        let cured: Vec<RecordId> = inserted.iter().chain(&deleted).filter(known).copied().collect();
        rejects::forget(writer.tx(), object, &cured).await?;
    }
    if !current.tombstones.is_empty() {
        let known = |id: &&RecordId| current.tombstones.contains_key(id);
        let alive: Vec<RecordId> = inserted.iter().chain(&refused).filter(known).copied().collect();
        tombstones::lift(writer.tx(), object, &alive).await?;
    }
    if !plan.rejects.is_empty() {
        rejects::keep(writer.tx(), mapping, chunk, mark, &plan.rejects).await?;
    }
    if !plan.retold.is_empty() {
        rejects::retell(writer.tx(), object, &plan.retold).await?;
    }
    if !plan.tombstones.is_empty() {
        let gone: Vec<RecordId> = plan.tombstones.iter().map(id).collect();
        tombstones::put(writer.tx(), object, &gone, mark.mark, Some(mark.read_end), false).await?;
    }
    let entered = writer.enter(&plan.entered).await? + writer.enter_children(&inserted).await?;
    Ok(MergeOutcome {
        inserted: plan.inserts.len() as u64,
        updated: plan.updates.len() as u64,
        stamped: plan.stamp_only.len() as u64,
        equal: plan.equal.len() as u64,
        older: plan.older.len() as u64,
        rejected: plan.rejects.len() as u64,
        deleted: deleted.len() as u64,
        entered,
        moved: left.moved,
        dirty: plan.dirty.iter().map(|(id, _)| *id).collect(),
        ..MergeOutcome::default()
    })
}

/// Clears the marks of records that the read settled, and marks those that must be fetched. A mark that an event
/// raised after the read began stays: the record is fetched once more, a little later.
async fn settle_dirty(
    tx: &mut PgTransaction<'_>,
    merge: &Merge<'_>,
    chunk: &PreparedChunk,
    plan: &ApplyPlan,
    has_dirty: bool,
) -> Result<(), Error> {
    let object = merge.mapping.object();
    let as_of = merge.read.mark.as_of;
    if has_dirty {
        let is_fetch = matches!(merge.read.kind, ReadKind::Fetch { .. });
        let waits = |id: &RecordId| plan.dirty.binary_search_by_key(id, |(id, _)| *id).is_ok();
        let records = || chunk.records.iter().map(|record| record.id);
        let settled: Vec<RecordId> = if is_fetch {
            records().filter(|id| !waits(id)).collect()
        } else {
            plan.tombstones.iter().map(|place| chunk.records[*place].id).collect()
        };
        let cleared = dirty::clear_up_to(tx, object, &settled, as_of).await?;
        dead_letters::close_in(tx, object, &cleared, as_of, LetterEnd::Fetched).await?;
        if is_fetch && cleared.len() < settled.len() {
            let cleared: HashSet<RecordId> = cleared.into_iter().collect();
            let left: Vec<RecordId> = settled.into_iter().filter(|id| !cleared.contains(id)).collect();
            dirty::postpone(tx, object, &left).await?;
        }
    }
    if !plan.dirty.is_empty() {
        dirty::mark(tx, object, as_of, Source::Read, &plan.dirty).await?;
    }
    Ok(())
}

/// The most stored records that one fetch takes out because it did not get them: the floor of the guard against
/// mass removals. Beyond it they stay dirty, and the id comparison judges them all together.
const ABSENT_AT_ONCE: usize = 50;

/// Settles dirty records that a fetch asked for and did not get: gone for certain if an event said so, else presumed
/// deleted. Returns how many were stored.
async fn settle_absent(tx: &mut PgTransaction<'_>, merge: &Merge<'_>) -> Result<u64, Error> {
    let object = merge.mapping.object();
    let absent = dirty::among(tx, object, &merge.absent, merge.read.mark.as_of).await?;
    let of = |noted: bool| -> Vec<RecordId> {
        absent.iter().filter(|missed| missed.deleted_noted == noted).map(|missed| missed.id).collect()
    };
    let mut taken = 0;
    for (ids, proof) in [(of(true), Proof::Deleted), (of(false), Proof::Absent)] {
        if ids.is_empty() {
            continue;
        }
        let schema = merge.store.tables_schema();
        let Read { mark, end, .. } = *merge.read;
        let gone = comparison::removable(tx, schema, merge.mapping, &ids, mark).await?;
        if proof == Proof::Absent && gone.count() > ABSENT_AT_ONCE {
            dirty::postpone(tx, object, &ids).await?;
            continue;
        }
        // First, so that they know the read's end: an event that was committed before it may be in it.
        tombstones::put(tx, object, &ids, mark, Some(end), proof == Proof::Absent).await?;
        comparison::take_out(tx, schema, merge.mapping, &gone, proof, mark).await?;
        dirty::clear(tx, object, &ids).await?;
        dead_letters::close_in(tx, object, &ids, mark.as_of, LetterEnd::Deleted).await?;
        taken += gone.count() as u64;
    }
    Ok(taken)
}

/// The records whose rows or rejects do not carry this read's number, although it saw them.
fn unwritten(chunk: &PreparedChunk, plan: &ApplyPlan) -> Vec<RecordId> {
    let places = plan.equal.iter().chain(&plan.older);
    let mut ids: Vec<RecordId> = places.map(|place| chunk.records[*place].id).collect();
    ids.extend(plan.dirty.iter().map(|(id, _)| *id).filter(|id| chunk.find(id).is_some()));
    ids
}

async fn save_progress(
    tx: &mut PgTransaction<'_>,
    merge: &Merge<'_>,
    whole: &MergeOutcome,
) -> Result<Option<jobs::Requested>, Error> {
    if let ReadKind::Children { parents } = &merge.read.kind
        && !parents.is_empty()
    {
        parents::settle(tx, merge.mapping.object(), parents, merge.read.mark.as_of).await?;
    }
    let Some(job) = merge.job() else { return Ok(None) };
    let tally = Tally::of(whole);
    match &merge.read.kind {
        ReadKind::Children { .. } => Ok(None),
        ReadKind::Window { .. } => {
            let read = i64::try_from(whole.records()).unwrap_or(i64::MAX);
            jobs::tally(tx, job, read, tally).await.map(Some)
        }
        ReadKind::Page(progress) => jobs::merged(tx, progress, tally, &whole.seen).await.map(Some),
        ReadKind::Fetch { ids, .. } => {
            stamps::fetched(tx, job, ids).await?;
            if !merge.absent.is_empty() {
                let (schema, mark) = (merge.store.tables_schema(), merge.read.mark);
                let gone = comparison::removable(tx, schema, merge.mapping, &merge.absent, mark).await?;
                comparison::suspect(tx, job, &gone).await?;
            }
            if !whole.seen.is_empty() {
                jobs::mark_seen(tx, job, &whole.seen).await?;
            }
            jobs::tally(tx, job, 0, tally).await.map(Some)
        }
    }
}
