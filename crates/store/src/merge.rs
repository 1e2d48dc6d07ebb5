//! Merging what was read into a shadow table: the only way rows come in, change or go.
//!
//! A chunk is prepared outside any transaction. Then one transaction locks the table for writing, reads what is
//! stored of the chunk's records, plans, writes, and saves the progress of who read it. New rows go into the table
//! by COPY, without a detour over a staging table: the plan has just established under the lock that they are new,
//! so that there is no conflict to resolve, and every row is sent, parsed and written once.

use std::fmt;
use std::time::Duration;

use shadow::{JobId, PreparedChunk, Reason, RecordId, ResolvedMapping, RowChunk, prepare};

use crate::error::{Disposition, Error};
use crate::failpoint;
use crate::jobs::Requested;
use crate::leases::LeaseKey;
use crate::reads::{Read, ReadKind};
use crate::session::Store;

pub(crate) mod apply;
mod frozen;
mod side;
pub(crate) mod state;
pub(crate) mod transaction;

use transaction::merge_once;

pub use side::{SideRead, side_read};

/// What became of a chunk's records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MergeOutcome {
    /// New in the shadow.
    pub inserted: u64,
    /// Newer than the shadow's.
    pub updated: u64,
    /// Changed in their stamp alone.
    pub stamped: u64,
    /// Known already: nothing was written.
    pub equal: u64,
    /// The shadow had a newer state.
    pub older: u64,
    /// Cannot be stored.
    pub rejected: u64,
    /// Deleted in Salesforce: they left the shadow.
    pub deleted: u64,
    /// Rejected records beside the chunk, of this object or of its children, that entered because their cause went
    /// away.
    pub entered: u64,
    /// Rows of child tables that moved to the rejected records because their parent left the shadow.
    pub moved: u64,
    /// NUL characters left out of texts.
    pub stripped_nuls: u64,
    /// Records that must be fetched; they are marked, and [`crate::dirty::next_batch`] gives them with what must
    /// be fetched in the same call.
    pub dirty: Vec<RecordId>,
    /// Ids that a fetch asked for and did not get. Those that were dirty are presumed deleted (up to 50 stored ones
    /// at a time, the guard's floor); nothing was done about the others.
    pub absent: Vec<RecordId>,
    /// What a person asked of the job, if the read belongs to one.
    pub requested: Option<Requested>,
    /// Records that the job saw without writing their rows.
    seen: Vec<RecordId>,
}

impl MergeOutcome {
    /// How many records were merged, whatever became of them. A record in doubt is counted by what it makes dirty.
    fn records(&self) -> u64 {
        self.inserted + self.updated + self.stamped + self.equal + self.older + self.rejected + self.deleted
    }

    /// Takes in what became of other records of the same chunk.
    fn add(&mut self, other: Self) {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.stamped += other.stamped;
        self.equal += other.equal;
        self.older += other.older;
        self.rejected += other.rejected;
        self.deleted += other.deleted;
        self.entered += other.entered;
        self.moved += other.moved;
        self.stripped_nuls += other.stripped_nuls;
        self.dirty.extend(other.dirty);
        self.absent.extend(other.absent);
        self.seen.extend(other.seen);
        self.requested = other.requested.or(self.requested);
    }
}

/// Merges one chunk of a read.
///
/// - **Shape:** at most 5,000 rows, of the columns that the mapping selects, in any order.
/// - **Errors:** [`Error::LeaseLost`], [`Error::Unreadable`]; errors of the database that a repetition may cure
///   are repeated first. A record that the database refuses is rejected, not an error. After an error nothing of
///   the chunk is stored, or (if it was split to find a refused record) some of it, which is right in itself; the
///   chunk can be merged again.
pub async fn merge_chunk(
    store: &Store,
    lease: &LeaseKey,
    mapping: &ResolvedMapping,
    chunk: &RowChunk,
    read: &Read,
) -> Result<MergeOutcome, Error> {
    merge_prepared(store, lease, mapping, prepare(mapping, chunk)?, read).await
}

/// Merges a chunk that was prepared before, so that preparing one may overlap with writing another.
pub async fn merge_prepared(
    store: &Store,
    lease: &LeaseKey,
    mapping: &ResolvedMapping,
    chunk: PreparedChunk,
    read: &Read,
) -> Result<MergeOutcome, Error> {
    failpoint::reach("chunk.staged");
    let chunk = frozen::keep(store, mapping, chunk).await?;
    let merge = Merge { store, lease, mapping, read, absent: absent(read, &chunk) };
    let mut done = MergeOutcome::default();
    let outcome = match merge.patiently(&chunk, Some(&MergeOutcome::default())).await {
        Err(error) if error.disposition() == Disposition::Park && !chunk.records.is_empty() => {
            merge.piece_by_piece(&chunk, error, &mut done).await?;
            merge.patiently(&chunk.emptied(), Some(&done)).await?
        }
        other => other?,
    };
    failpoint::reach("chunk.committed");
    done.add(outcome);
    done.absent = merge.absent;
    done.seen.clear();
    Ok(done)
}

/// One chunk on its way into the table.
struct Merge<'a> {
    store: &'a Store,
    lease: &'a LeaseKey,
    mapping: &'a ResolvedMapping,
    read: &'a Read,
    /// The ids that a fetch asked for and the whole chunk does not have.
    absent: Vec<RecordId>,
}

fn absent(read: &Read, chunk: &PreparedChunk) -> Vec<RecordId> {
    match &read.kind {
        ReadKind::Page(_) | ReadKind::Window { .. } | ReadKind::Children { .. } => Vec::new(),
        ReadKind::Fetch { ids, .. } => ids.iter().filter(|id| chunk.find(id).is_none()).copied().collect(),
    }
}

/// How often something is planned anew before the obstacle is taken for lasting.
const REPLANS: u32 = 6;

/// Plans and writes, and does so anew while others are in the way.
///
/// - **`source`:** the object or the channel, for the log.
pub(crate) async fn patiently<T, F>(source: &impl fmt::Display, once: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut replans = 0;
    loop {
        let error = match once().await {
            Err(error) if error.disposition() == Disposition::Replan => error,
            other => return other,
        };
        replans += 1;
        if replans >= REPLANS {
            return Err(lasting(error));
        }
        tracing::debug!(%source, replans, %error, "planning anew");
        tokio::time::sleep(Duration::from_millis(10 << replans)).await;
    }
}

impl Merge<'_> {
    /// Merges records, and plans anew while others are in the way. With `carried`, what became of the chunk's
    /// other records, this is the chunk's last commit and saves its progress.
    async fn patiently(
        &self,
        chunk: &PreparedChunk,
        carried: Option<&MergeOutcome>,
    ) -> Result<MergeOutcome, Error> {
        patiently(self.mapping.object(), || merge_once(self, chunk, carried)).await
    }

    /// Halves a chunk that the database refuses until the refused records stand alone, and rejects those.
    async fn piece_by_piece(
        &self,
        chunk: &PreparedChunk,
        error: Error,
        done: &mut MergeOutcome,
    ) -> Result<(), Error> {
        let mut pieces = vec![(chunk.clone(), error)];
        while let Some((piece, error)) = pieces.pop() {
            let parts = match piece.records.len() {
                0 => continue,
                1 => vec![refused(piece, error)?],
                _ => {
                    let (first, second) = piece.halves();
                    vec![second, first]
                }
            };
            for part in parts {
                match self.patiently(&part, None).await {
                    Ok(outcome) => done.add(outcome),
                    Err(error) if error.disposition() == Disposition::Park => pieces.push((part, error)),
                    Err(error) => return Err(error),
                }
            }
        }
        done.stripped_nuls += chunk.stripped_nuls as u64;
        Ok(())
    }

    /// The job that the read belongs to.
    fn job(&self) -> Option<JobId> {
        match &self.read.kind {
            ReadKind::Page(progress) => Some(progress.job),
            ReadKind::Fetch { job, .. } | ReadKind::Window { job } => *job,
            ReadKind::Children { .. } => None,
        }
    }
}

/// A single record that the database refuses, to be rejected; the error if it was rejected already.
fn refused(mut piece: PreparedChunk, error: Error) -> Result<PreparedChunk, Error> {
    let record = &mut piece.records[0];
    let reason = Reason::BrokenValue { field: "*".to_owned() };
    if record.defect.as_ref() == Some(&reason) {
        return Err(error);
    }
    record.defect = Some(reason);
    Ok(piece)
}

/// An obstacle that does not go away: a constraint that others' rows break is looked at record by record, a lock
/// that is never given is for the caller to wait for.
fn lasting(error: Error) -> Error {
    match error {
        Error::Contention { state } if state.starts_with("23") => {
            let source =
                Box::new(sqlx::Error::Protocol("a constraint is broken by rows that are not ours".into()));
            Error::Data { state, source }
        }
        other => other,
    }
}
