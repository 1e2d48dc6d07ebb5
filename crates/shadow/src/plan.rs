//! What a chunk of read records does to the shadow: one pure decision for every source.
//!
//! The caller brings the records and what is stored of them, of the SKUs they claim and of their parents; the
//! plan names every row that is written, moved or removed. Planning the outcome of a plan again changes nothing.

use std::collections::{HashMap, HashSet};

use crate::ids::RecordId;
use crate::mapping::Mapping;
use crate::prepare::{OwnMark, PreparedChunk, PreparedRecord};
use crate::reason::Reason;
use crate::value::Moment;
use crate::version::{IncomingVersion, ReadMark, Sided, StoredVersion, Verdict, compare, lifts_tombstone};

mod contest;

/// A stored row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// Which state it shows.
    pub version: StoredVersion,
    /// `CreatedDate`.
    pub created_date: Moment,
    /// Whether it is active, where that decides on unique values.
    pub is_active: bool,
    /// Its value in the mapping's unique column, if there is such a column.
    pub claim: Option<String>,
}

/// A rejected record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReject {
    /// Which state it shows.
    pub version: StoredVersion,
    /// `CreatedDate`.
    pub created_date: Moment,
    /// Whether it is active, where that decides on unique values.
    pub is_active: bool,
    /// Why it cannot be stored.
    pub reason: Reason,
    /// The unique value that it waits for, if that is the reason.
    pub claim: Option<String>,
}

/// A tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredTombstone {
    /// Position of the change log up to which the record is known to be gone.
    pub as_of: i64,
    /// The request that found it gone; 0 if an event said so.
    pub read_no: i64,
    /// Whether it is without proof: the record was absent from a read.
    pub presumed: bool,
}

/// A dirty record's mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredMark {
    /// Only a fetch that began at or after this position clears it.
    pub as_of: i64,
}

/// The record that holds a unique value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub id: RecordId,
    /// Its `CreatedDate`.
    pub created_date: Moment,
}

/// What is stored, as far as a chunk can touch it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Current {
    /// Rows with the chunk's ids.
    pub rows: HashMap<RecordId, StoredRow>,
    /// Rejected records with the chunk's ids, and those that wait for a value at stake.
    pub rejects: HashMap<RecordId, StoredReject>,
    /// Tombstones with the chunk's ids.
    pub tombstones: HashMap<RecordId, StoredTombstone>,
    /// Marks of dirty records with the chunk's ids.
    pub marks: HashMap<RecordId, StoredMark>,
    /// Who holds the values at stake ([`claims_at_stake`]).
    pub holders: HashMap<String, Holder>,
    /// Those parents of the chunk's records that are in their shadow table.
    pub parents: HashSet<RecordId>,
    /// The latest request that found a record equal to its row; see [`compare`].
    pub confirmed: i64,
    /// The last side read of the table.
    pub sided: Sided,
}

/// Why a record must be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DirtyReason {
    /// It claims or holds this unique value together with another record.
    Claim(String),
    /// Which of two states is newer could not be told.
    Doubt,
}

/// What a chunk does to the shadow. Numbers are places in the chunk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApplyPlan {
    /// Written as new rows. A reject or tombstone of the record goes.
    pub inserts: Vec<usize>,
    /// Written over their rows.
    pub updates: Vec<usize>,
    /// Stamp and mark written over their rows; neither `updated_at` nor an invalidation.
    pub stamp_only: Vec<usize>,
    /// Stored or rejected exactly so already.
    pub equal: Vec<usize>,
    /// Something newer is stored.
    pub older: Vec<usize>,
    /// Rejected, each with its reason; a row of the record moves out with its entries.
    pub rejects: Vec<(usize, Reason)>,
    /// Deleted in Salesforce: row and reject go.
    pub deleted: Vec<usize>,
    /// Deleted in Salesforce, known or not: a proven tombstone stays, as of this read.
    pub tombstones: Vec<usize>,
    /// Rejected records beside the chunk that enter from what is kept of them.
    pub entered: Vec<RecordId>,
    /// Rejected records beside the chunk whose value has another holder now.
    pub retold: Vec<(RecordId, Reason)>,
    /// To be fetched; what is stored of them stays as it is.
    pub dirty: Vec<(RecordId, DirtyReason)>,
    /// Of those that move between table and rejected records, or get another reason: which of them the read only found
    /// as they are stored by something later. They keep that mark.
    pub keeping: Vec<(usize, OwnMark)>,
}

impl ApplyPlan {
    /// Whether nothing is to be written.
    pub fn is_idle(&self) -> bool {
        let Self {
            inserts,
            updates,
            stamp_only,
            equal: _,
            older: _,
            rejects,
            deleted,
            tombstones: _,
            entered,
            retold,
            dirty,
            keeping: _,
        } = self;
        inserts.is_empty()
            && updates.is_empty()
            && stamp_only.is_empty()
            && rejects.is_empty()
            && deleted.is_empty()
            && entered.is_empty()
            && retold.is_empty()
            && dirty.is_empty()
    }
}

/// Where the roles stand among a mapping's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// The unique column.
    pub unique: Option<usize>,
    /// The column that points to the parent.
    pub parent: Option<usize>,
    /// Whether active records come first.
    pub active_first: bool,
}

impl Roles {
    /// The roles of a mapping's columns.
    pub fn of(mapping: &Mapping) -> Self {
        Self {
            unique: mapping.unique.as_deref().and_then(|name| mapping.column(name)),
            parent: mapping.parent.as_ref().and_then(|parent| mapping.column(&parent.column)),
            active_first: mapping.active_first,
        }
    }
}

/// The unique values whose holders and waiting rejects the plan must know: values that records of the chunk
/// would take up, and values that what is stored of them might give up.
///
/// - **`current`:** needs its rows and rejects with the chunk's ids.
pub fn claims_at_stake<'a>(roles: Roles, chunk: &'a PreparedChunk, current: &'a Current) -> Vec<&'a str> {
    let Some(unique) = roles.unique else { return Vec::new() };
    let mut claims = Vec::new();
    for record in &chunk.records {
        let claimed = chunk.column(record, unique);
        let row = current.rows.get(&record.id);
        let held = row.and_then(|row| row.claim.as_deref());
        // Who becomes inactive may have to give way.
        let is_moved = roles.active_first && row.is_some_and(|row| row.is_active != record.is_active);
        // A row may also go because its parent is missing, which is not known yet.
        let may_go = record.defect.is_some() || record.is_deleted || roles.parent.is_some();
        if may_go || is_moved || held != claimed {
            let wanted = current.rejects.get(&record.id).and_then(|reject| reject.claim.as_deref());
            claims.extend(claimed.into_iter().chain(held).chain(wanted));
        }
    }
    claims.sort_unstable();
    claims.dedup();
    claims
}

/// The parents that the chunk's records point to, each once.
pub fn parents_named(roles: Roles, chunk: &PreparedChunk) -> Vec<RecordId> {
    let Some(parent) = roles.parent else { return Vec::new() };
    let mut parents: Vec<RecordId> =
        chunk.records.iter().filter_map(|record| parent_of(chunk, record, parent)).collect();
    parents.sort_unstable();
    parents.dedup();
    parents
}

fn parent_of(chunk: &PreparedChunk, record: &PreparedRecord, column: usize) -> Option<RecordId> {
    chunk.column(record, column).and_then(|text| RecordId::parse(text).ok())
}

/// What a record of the chunk comes to before the contest for unique values.
enum Standing {
    /// Can be stored if no other record holds its value.
    Candidate(Verdict),
    /// Cannot be stored, whoever holds what.
    Refused(Verdict, Reason),
    Deleted,
    Older,
    Doubtful,
}

/// Decides what a chunk does to the shadow.
///
/// - **Shape:** every record of the chunk stands in exactly one list, or in `dirty`.
/// - **Errors:** none. The plan is right for `current` only: the caller holds the locks that keep it true.
/// - **Source:** design 4 (SKU), 5.2 (which state is newer).
pub fn plan(roles: Roles, chunk: &PreparedChunk, mark: ReadMark, current: &Current) -> ApplyPlan {
    let standings: Vec<Standing> =
        chunk.records.iter().map(|record| standing(roles, chunk, record, mark, current)).collect();
    let mut plan = ApplyPlan::default();
    let outcome = contest::settle(roles, chunk, &standings, current);
    for (place, standing) in standings.into_iter().enumerate() {
        let record = &chunk.records[place];
        match standing {
            Standing::Older => plan.older.push(place),
            Standing::Doubtful => plan.dirty.push((record.id, DirtyReason::Doubt)),
            Standing::Deleted => place_deleted(place, record, current, &mut plan),
            Standing::Refused(verdict, reason) => {
                place_reject(place, record, verdict, reason, current, &mut plan);
            }
            Standing::Candidate(verdict) => match outcome.of(place) {
                contest::Outcome::Holds => place_stored(place, record, verdict, current, &mut plan),
                contest::Outcome::Refused(reason) => {
                    place_reject(place, record, verdict, reason.clone(), current, &mut plan);
                }
                contest::Outcome::Waits(claim) => {
                    plan.dirty.push((record.id, DirtyReason::Claim(claim.clone())));
                }
            },
        }
    }
    plan.keeping = keeping(chunk, mark, current, &plan);
    plan.entered = outcome.entered;
    plan.retold = outcome.retold;
    plan.dirty.extend(outcome.dirty);
    plan.dirty.sort_by_key(|(id, _)| *id);
    plan.dirty.dedup_by_key(|(id, _)| *id);
    plan
}

/// Which of the written records keep the mark of what is stored of them, because it is later than the read's: only
/// where they stand changes.
fn keeping(
    chunk: &PreparedChunk,
    mark: ReadMark,
    current: &Current,
    plan: &ApplyPlan,
) -> Vec<(usize, OwnMark)> {
    let moved = plan.inserts.iter().chain(plan.rejects.iter().map(|(place, _)| place));
    moved
        .filter(|place| chunk.records[**place].own.is_none())
        .filter_map(|place| {
            let stored = stored_version(&chunk.records[*place].id, current)?;
            let StoredVersion { as_of, read_no, read_end, .. } = *stored;
            (as_of > mark.as_of).then_some((*place, OwnMark { as_of, read_no, read_end }))
        })
        .collect()
}

fn standing(
    roles: Roles,
    chunk: &PreparedChunk,
    record: &PreparedRecord,
    mark: ReadMark,
    current: &Current,
) -> Standing {
    let verdict = match record.own {
        Some(_) => patched(record, current),
        None => read(record, mark, current),
    };
    match verdict {
        Verdict::Older => return Standing::Older,
        Verdict::Doubtful => return Standing::Doubtful,
        Verdict::Newer | Verdict::Equal | Verdict::StampOnly => {}
    }
    if record.is_deleted {
        return Standing::Deleted;
    }
    if let Some(defect) = &record.defect {
        return Standing::Refused(verdict, defect.clone());
    }
    let parent = roles.parent.and_then(|column| parent_of(chunk, record, column));
    match parent {
        Some(parent) if !current.parents.contains(&parent) => {
            Standing::Refused(verdict, Reason::MissingProduct { product: Some(parent) })
        }
        _ => Standing::Candidate(verdict),
    }
}

/// What is stored of a record, row or reject.
fn stored_version<'c>(id: &RecordId, current: &'c Current) -> Option<&'c StoredVersion> {
    let reject = || current.rejects.get(id).map(|reject| &reject.version);
    current.rows.get(id).map(|row| &row.version).or_else(reject)
}

/// How a record that events patched stands to what is stored: the fold has established under the same lock that it is
/// the newer one. If its content is the same, its mark is raised all the same.
fn patched(record: &PreparedRecord, current: &Current) -> Verdict {
    match stored_version(&record.id, current) {
        Some(stored) if stored.hash == record.hash => Verdict::StampOnly,
        _ => Verdict::Newer,
    }
}

/// How a record that was read stands to what is stored.
fn read(record: &PreparedRecord, mark: ReadMark, current: &Current) -> Verdict {
    let incoming = IncomingVersion { mark, system_modstamp_ms: record.system_modstamp.0, hash: record.hash };
    match (current.tombstones.get(&record.id), stored_version(&record.id, current)) {
        (Some(tombstone), _) if !lifts_tombstone(mark, tombstone.as_of, tombstone.read_no) => Verdict::Older,
        (_, Some(stored)) => match compare(&incoming, stored, current.confirmed, current.sided.fence(stored))
        {
            // Dirty perhaps because a side read saw something newer than this read did.
            Verdict::Equal
                if current.marks.contains_key(&record.id) && mark.read_no < current.sided.fence(stored) =>
            {
                Verdict::Doubtful
            }
            // A dirty record that turns out to be right is right as of this read: events before it are in it.
            Verdict::Equal if current.marks.contains_key(&record.id) && mark.as_of > stored.as_of => {
                Verdict::StampOnly
            }
            verdict => verdict,
        },
        (_, None) => Verdict::Newer,
    }
}

fn place_deleted(place: usize, record: &PreparedRecord, current: &Current, plan: &mut ApplyPlan) {
    let known = current.rows.contains_key(&record.id) || current.rejects.contains_key(&record.id);
    let is_new = !current.tombstones.contains_key(&record.id);
    if known || is_new {
        plan.deleted.push(place);
    } else {
        plan.equal.push(place);
    }
    // One that is known moves on as well: an older page must not bring the record back, and absence becomes proof.
    plan.tombstones.push(place);
}

fn place_reject(
    place: usize,
    record: &PreparedRecord,
    verdict: Verdict,
    reason: Reason,
    current: &Current,
    plan: &mut ApplyPlan,
) {
    let unchanged = verdict == Verdict::Equal
        && current.rejects.get(&record.id).is_some_and(|reject| reject.reason == reason);
    if unchanged {
        plan.equal.push(place);
    } else {
        plan.rejects.push((place, reason));
    }
}

fn place_stored(
    place: usize,
    record: &PreparedRecord,
    verdict: Verdict,
    current: &Current,
    plan: &mut ApplyPlan,
) {
    if !current.rows.contains_key(&record.id) {
        plan.inserts.push(place);
        return;
    }
    match verdict {
        Verdict::Equal => plan.equal.push(place),
        Verdict::StampOnly => plan.stamp_only.push(place),
        Verdict::Newer | Verdict::Older | Verdict::Doubtful => plan.updates.push(place),
    }
}

#[cfg(test)]
mod tests;
