//! Merging a side read: some fields of every record, laid over the rows that are stored ([`shadow::side`]).
//!
//! The same order as every merge: one transaction locks the table for writing, reads what is stored of the chunk's
//! records, plans, writes, and saves the progress of who read it. Rows that show the values already are told by the
//! database and never leave it, so that a refresh costs what changed and not what the table holds.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use shadow::plan::{ApplyPlan, Current, DirtyReason, StoredRow};
use shadow::side::{SideCurrent, SideFields, SidePlan, StoredSide, plan};
use shadow::{ReadMark, RecordId, ResolvedMapping, RowChunk};
use sqlx::PgTransaction;

use super::apply::{Writer, set_synchronous};
use super::state::{RejectRow, parse, tombstones, version};
use super::{MergeOutcome, patiently, transaction};
use crate::dirty::{self, Source};
use crate::error::{Disposition, Error};
use crate::failpoint;
use crate::jobs::{self, PageProgress, Requested, Tally};
use crate::leases::{self, LeaseKey};
use crate::objects::{self, Locked};
use crate::parents::Shown;
use crate::session::Store;
use crate::tables::copy::RowMark;
use crate::tables::shape::TableShape;

/// A side read of which a chunk is merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideRead {
    /// Taken by [`crate::reads::begin`] before its Bulk job was created.
    pub mark: ReadMark,
    /// Salesforce's time before the job looked at the first record.
    pub began: DateTime<Utc>,
    /// Salesforce's time when the job was complete.
    pub end: DateTime<Utc>,
    /// Whether the mapping changed since the rows were written: then columns may be new although their fields are not, so
    /// that every row is made anew and compared.
    pub is_reshaping: bool,
    /// The piece of a job's page that the chunk is; none for a read without a job.
    pub page: Option<PageProgress>,
}

/// Merges one chunk of a side read.
///
/// - **Shape:** at most 5,000 rows with the columns `Id`, `SystemModstamp` and those to be filled, in any order.
/// - **Errors:** as of [`super::merge_chunk`]. A record that the database refuses becomes dirty.
pub async fn side_read(
    store: &Store,
    lease: &LeaseKey,
    mapping: &ResolvedMapping,
    chunk: &RowChunk,
    read: &SideRead,
) -> Result<MergeOutcome, Error> {
    failpoint::reach("chunk.staged");
    let merge = SideMerge { store, lease, mapping, read };
    let mut done = MergeOutcome::default();
    let outcome = match merge.patiently(chunk, false, Some(&MergeOutcome::default())).await {
        Err(error) if error.disposition() == Disposition::Park && !chunk.is_empty() => {
            merge.piece_by_piece(chunk, &mut done).await?;
            merge.patiently(&chunk.part(0..0), false, Some(&done)).await?
        }
        other => other?,
    };
    failpoint::reach("chunk.committed");
    done.add(outcome);
    Ok(done)
}

/// One chunk on its way into the table.
struct SideMerge<'a> {
    store: &'a Store,
    lease: &'a LeaseKey,
    mapping: &'a ResolvedMapping,
    read: &'a SideRead,
}

/// What is stored of a chunk's records.
struct Stored {
    current: Current,
    /// Payloads of those that do not show the values already.
    payloads: HashMap<RecordId, String>,
}

type StateRow = (
    String,
    i64,
    DateTime<Utc>,
    i64,
    Vec<u8>,
    DateTime<Utc>,
    Option<String>,
    DateTime<Utc>,
    bool,
    Option<String>,
);

impl SideMerge<'_> {
    /// Merges records, and plans anew while others are in the way.
    async fn patiently(
        &self,
        chunk: &RowChunk,
        is_refused: bool,
        carried: Option<&MergeOutcome>,
    ) -> Result<MergeOutcome, Error> {
        patiently(self.mapping.object(), || self.once(chunk, is_refused, carried)).await
    }

    /// Halves a chunk that the database refuses until the refused records stand alone; those become dirty.
    async fn piece_by_piece(&self, chunk: &RowChunk, done: &mut MergeOutcome) -> Result<(), Error> {
        let mut pieces = vec![chunk.clone()];
        while let Some(piece) = pieces.pop() {
            let half = piece.len() / 2;
            let parts = if piece.len() > 1 {
                vec![piece.part(0..half), piece.part(half..piece.len())]
            } else {
                done.add(self.patiently(&piece, true, None).await?);
                continue;
            };
            for part in parts {
                match self.patiently(&part, false, None).await {
                    Ok(outcome) => done.add(outcome),
                    Err(error) if error.disposition() == Disposition::Park => pieces.push(part),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// One commit. With `carried`, what became of the chunk's other records, it also saves the chunk's progress.
    async fn once(
        &self,
        chunk: &RowChunk,
        is_refused: bool,
        carried: Option<&MergeOutcome>,
    ) -> Result<MergeOutcome, Error> {
        let Self { store, lease, mapping, read } = *self;
        let ends = |page: &PageProgress| page.end.as_ref().is_some_and(|end| end.next_locator.is_none());
        let mut tx = store.begin().await?;
        set_synchronous(&mut tx, read.page.as_ref().is_none_or(ends)).await?;
        leases::check(&mut tx, lease).await?;
        if let Some(parent) = &mapping.mapping.parent {
            objects::lock_for_reading(&mut tx, &parent.object).await?;
        }
        let locked = objects::lock(&mut tx, mapping.object()).await?;
        let mut outcome = MergeOutcome::default();
        if !chunk.is_empty() {
            outcome = self.write(&mut tx, chunk, is_refused, locked).await?;
        }
        if let (Some(carried), Some(page)) = (carried, &read.page) {
            let mut whole = carried.clone();
            whole.add(outcome.clone());
            outcome.requested = Some(self.save_progress(&mut tx, page, &whole).await?);
        }
        failpoint::reach("chunk.applied");
        tx.commit().await?;
        Ok(outcome)
    }

    async fn write(
        &self,
        tx: &mut PgTransaction<'_>,
        chunk: &RowChunk,
        is_refused: bool,
        locked: Locked,
    ) -> Result<MergeOutcome, Error> {
        let Self { store, mapping, read, .. } = *self;
        let (object, schema) = (mapping.object(), store.tables_schema());
        let fields = SideFields::of(mapping, chunk)?;
        let values = fields.as_json(chunk)?;
        let Stored { current, payloads } = self.load(tx, schema, &values, locked).await?;
        // Reads that have a lower number began before this commit, and may be older than what it fills.
        let next_no = sqlx::query_scalar!(r#"select nextval('shadow_sync.read_no') as "no!""#)
            .fetch_one(&mut **tx)
            .await?;
        let side = shadow::side::SideRead {
            mark: read.mark,
            began: read.began.into(),
            end: read.end.into(),
            next_no,
        };
        let mut plan = plan(&fields, chunk, &side, &of(&current, payloads))?;
        if is_refused {
            refuse(&mut plan);
        }
        failpoint::reach("chunk.planned");
        let children = Writer::children_of(&mapping.children);
        let mut writer = Writer::new(tx, schema, &mapping.mapping, mapping.parent.as_deref(), children);
        let apply = ApplyPlan { updates: plan.updates, rejects: plan.rejects, ..ApplyPlan::default() };
        let mark = RowMark { mark: read.mark, read_end: read.end, updated_at: locked.now };
        let shown = Shown::by_read(&mut writer, &mapping.mapping, &plan.chunk, &apply, &current).await?;
        let mut outcome =
            transaction::write(&mut writer, &mapping.mapping, &plan.chunk, &apply, &current, &mark).await?;
        shown.mark(&mut writer, &mapping.mapping, read.mark.as_of, None).await?;
        writer.note_changes().await?;
        let doubt = |id: &RecordId| (*id, DirtyReason::Doubt);
        if !plan.dirty.is_empty() {
            let dirty: Vec<_> = plan.dirty.iter().map(doubt).collect();
            dirty::mark(tx, object, read.mark.as_of, Source::Read, &dirty).await?;
        }
        dirty::raise(tx, object, &plan.raised, read.mark.as_of).await?;
        objects::sided(tx, object, read.mark.read_no, read.end).await?;
        outcome.equal = plan.equal;
        outcome.older = plan.older;
        outcome.stripped_nuls = plan.chunk.stripped_nuls as u64;
        outcome.dirty = plan.dirty;
        outcome.dirty.extend(plan.raised);
        Ok(outcome)
    }

    /// Reads what is stored of the chunk's records: `values` are their ids, each with what it is to show.
    async fn load(
        &self,
        tx: &mut PgTransaction<'_>,
        schema: &str,
        values: &[(RecordId, String)],
        locked: Locked,
    ) -> Result<Stored, Error> {
        let object = self.mapping.object();
        let ids: Vec<&str> = values.iter().map(|(id, _)| id.as_str()).collect();
        let texts: Vec<&str> = values.iter().map(|(_, value)| value.as_str()).collect();
        let shape = TableShape::of(&self.mapping.mapping, schema);
        let current = Current { confirmed: locked.confirmed, sided: locked.sided, ..Current::default() };
        let mut stored = Stored { current, payloads: HashMap::new() };
        let rows: Vec<StateRow> = sqlx::query_as(shape.state_beside())
            .bind(&ids)
            .bind(&texts)
            .bind(self.read.is_reshaping)
            .fetch_all(&mut **tx)
            .await?;
        for (id, as_of, stamp, read_no, hash, created, claim, read_end, is_active, payload) in rows {
            let id = parse(&id)?;
            let version = version(as_of, stamp, read_no, read_end, &hash)?;
            let row = StoredRow { version, created_date: created.into(), is_active, claim };
            stored.current.rows.insert(id, row);
            stored.payloads.extend(payload.map(|payload| (id, payload)));
        }
        if locked.has_rejects {
            self.load_rejects(tx, &ids, &texts, &mut stored).await?;
        }
        if locked.has_tombstones {
            stored.current.tombstones = tombstones(tx, object, &ids).await?;
        }
        if locked.has_dirty {
            stored.current.marks = dirty::marks(tx, object, &ids).await?;
        }
        Ok(stored)
    }

    async fn load_rejects(
        &self,
        tx: &mut PgTransaction<'_>,
        ids: &[&str],
        texts: &[&str],
        stored: &mut Stored,
    ) -> Result<(), Error> {
        let rows = sqlx::query_as!(
            RejectRow,
            r#"select r.record_id, r.as_of, r.system_modstamp, r.read_no, r.read_end, r.row_hash, r.created_date,
                      r.detail, r.claim,
                      coalesce(r.raw_payload ->> 'IsActive', 'true') <> 'false' as "is_active!",
                      case when $4 or not r.raw_payload @> new.value::jsonb then r.raw_payload::text end as payload
                 from unnest($2::text[], $3::text[]) as new (id, value)
                 join shadow_sync.rejects r on r.object = $1 and r.record_id = new.id"#,
            self.mapping.object().as_str(),
            ids as &[&str],
            texts as &[&str],
            self.read.is_reshaping,
        )
        .fetch_all(&mut **tx)
        .await?;
        for row in rows {
            let (id, reject, payload) = row.read()?;
            stored.current.rejects.insert(id, reject);
            stored.payloads.extend(payload.map(|payload| (id, payload)));
        }
        Ok(())
    }

    async fn save_progress(
        &self,
        tx: &mut PgTransaction<'_>,
        page: &PageProgress,
        whole: &MergeOutcome,
    ) -> Result<Requested, Error> {
        jobs::merged(tx, page, Tally::of(whole), &[]).await
    }
}

/// What is stored, as a side read's plan takes it.
fn of(current: &Current, mut payloads: HashMap<RecordId, String>) -> SideCurrent {
    let mut records = HashMap::with_capacity(current.rows.len() + current.rejects.len());
    for (id, row) in &current.rows {
        let (version, claim, payload) = (row.version, row.claim.clone(), payloads.remove(id));
        records.insert(*id, StoredSide { version, reason: None, claim, payload });
    }
    for (id, reject) in &current.rejects {
        let (reason, payload) = (Some(reject.reason.clone()), payloads.remove(id));
        records.insert(*id, StoredSide { version: reject.version, reason, claim: None, payload });
    }
    SideCurrent {
        records,
        tombstones: current.tombstones.clone(),
        marks: current.marks.clone(),
        sided: current.sided,
    }
}

/// Makes dirty what would have been written: the database refuses it.
fn refuse(plan: &mut SidePlan) {
    let places: HashSet<usize> =
        plan.updates.drain(..).chain(plan.rejects.drain(..).map(|(place, _)| place)).collect();
    plan.dirty.extend(places.into_iter().map(|place| plan.chunk.records[place].id));
}
