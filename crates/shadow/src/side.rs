//! Side reads: reads of only some fields of every record, laid over what is stored (design 5.2, 5.3).
//!
//! Formulas, fields that came into the mapping, and fields that can be seen again are read without the rest of their
//! records. Such a read proves nothing of the other fields: it never raises `as_of`, never brings a record in and never
//! takes one out. It fills a row (or a rejected record) only where that surely shows the state which the read laid its
//! own on, and makes every other record dirty, which is then fetched whole. A record is never half of one state and half
//! of another without an order to mend it.
//!
//! **Events that wait.** A row that is filled takes the read's end as the end of its own last read: an event that waits
//! and was committed by then, or up to 5 s later, may already show in the fields that were filled, so the fold makes the
//! record dirty instead of laying an old value over a new one. A row that shows the same values already keeps the end of
//! its last read, and nothing is written: it shows nothing of this read, so whatever waits applies to it as if the read
//! had never been; and its values were true at a time within the read, which is all that is said of them afterwards.
//!
//! **Other reads.** A whole read and a side read that overlap in time cannot be put in order by position or stamp, since
//! a formula moves neither. One that was merged before, but ended after the side read began, makes the record dirty where
//! they differ. One that began before the side read was merged is held back by [`crate::version::Sided::fence`].

use std::borrow::Cow;
use std::collections::HashMap;

use crate::fold::READ_MARGIN_MS;
use crate::ids::RecordId;
use crate::mapping::{ALWAYS_READ, ColumnSource, ResolvedMapping};
use crate::plan::{Roles, StoredMark, StoredTombstone};
use crate::prepare::{OwnMark, PreparedChunk, UnreadableChunk, prepare};
use crate::reason::Reason;
use crate::rows::{FieldText, Row, RowChunk, json_fields};
use crate::value::{Moment, parse_moment, write_json};
use crate::version::{ReadMark, SETTLED_AFTER_MS, Sided, StoredVersion, lifts_tombstone};

/// A side read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SideRead {
    /// Taken before its request.
    pub mark: ReadMark,
    /// A time before its first look at a record, in Salesforce's time.
    pub began: Moment,
    /// Its end, in Salesforce's time.
    pub end: Moment,
    /// The number of the next request when it is merged.
    pub next_no: i64,
}

/// What is stored of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSide {
    /// Which state it shows.
    pub version: StoredVersion,
    /// Why it cannot be stored, if it is a rejected record.
    pub reason: Option<Reason>,
    /// A row's value in the mapping's unique column.
    pub claim: Option<String>,
    /// Its `raw_payload`: JSON, in any order of members. None if the payload shows the values of the side read already.
    pub payload: Option<String>,
}

/// What is stored, as far as a side read can touch it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SideCurrent {
    /// Rows and rejected records with the chunk's ids.
    pub records: HashMap<RecordId, StoredSide>,
    /// Tombstones with the chunk's ids.
    pub tombstones: HashMap<RecordId, StoredTombstone>,
    /// Marks of dirty records with the chunk's ids.
    pub marks: HashMap<RecordId, StoredMark>,
    /// The last side read of the table.
    pub sided: Sided,
}

/// What a side read does to the shadow. Numbers are places in `chunk`.
#[derive(Debug, Clone, Default)]
pub struct SidePlan {
    /// The records that are filled: whole, with what is stored of them and the marks that they keep.
    pub chunk: PreparedChunk,
    /// Written over their rows.
    pub updates: Vec<usize>,
    /// Written over what is kept of rejected records, each with the reason that it has.
    pub rejects: Vec<(usize, Reason)>,
    /// How many show these values already.
    pub equal: u64,
    /// How many are known to be gone since.
    pub older: u64,
    /// To be fetched; what is stored of them stays as it is.
    pub dirty: Vec<RecordId>,
    /// Dirty already, by a mark of before: only a fetch that begins at or after this read clears it.
    pub raised: Vec<RecordId>,
}

/// One record of a side read.
struct Seen<'c> {
    id: RecordId,
    row: Row<'c>,
}

/// The fields that a side read brings, among those of a mapping.
#[derive(Debug)]
pub struct SideFields<'m> {
    mapping: &'m ResolvedMapping,
    /// Where `Id` stands in the read.
    id: usize,
    /// Where `SystemModstamp` stands in the read.
    stamp: usize,
    /// Where each field of the mapping stands in the read; none if the read lacks it.
    columns: Vec<Option<usize>>,
    names: Vec<Box<str>>,
    /// Whether one of them decides on a unique value or a parent: then nothing is filled.
    decides: bool,
}

impl<'m> SideFields<'m> {
    /// Finds the fields of a read by its columns.
    ///
    /// - **Errors:** [`UnreadableChunk`] if `Id` or `SystemModstamp` is missing, or another column is none of the
    ///   selected fields.
    pub fn of(mapping: &'m ResolvedMapping, chunk: &RowChunk) -> Result<Self, UnreadableChunk> {
        let missing = |name: &str| UnreadableChunk::MissingColumn(name.to_owned());
        let id = chunk.column("Id").ok_or_else(|| missing("Id"))?;
        let stamp = chunk.column("SystemModstamp").ok_or_else(|| missing("SystemModstamp"))?;
        let mut columns = vec![None; mapping.fields.len()];
        for (at, name) in chunk.columns().iter().enumerate() {
            if ALWAYS_READ.iter().any(|always| always.eq_ignore_ascii_case(name)) {
                continue;
            }
            let is_it = |field: &crate::mapping::SelectedField| {
                !field.is_frozen && field.name.eq_ignore_ascii_case(name)
            };
            let place = mapping.fields.iter().position(is_it).ok_or_else(|| missing(name))?;
            columns[place] = Some(at);
        }
        let decides = deciding(mapping).any(|place| columns[place].is_some());
        let names = mapping.payload_names().map(Box::from).collect();
        Ok(Self { mapping, id, stamp, columns, names, decides })
    }

    /// The chunk's records by id, each with the canonical JSON of its side fields as one object: what a payload contains
    /// that shows them already.
    ///
    /// - **Errors:** [`UnreadableChunk`] if a record has no readable id.
    pub fn as_json(&self, chunk: &RowChunk) -> Result<Vec<(RecordId, String)>, UnreadableChunk> {
        self.records(chunk)?.into_iter().map(|seen| Ok((seen.id, self.json(&seen.row)))).collect()
    }

    fn json(&self, row: &Row<'_>) -> String {
        let mut out = vec![b'{'];
        for (field, column) in self.mapping.fields.iter().zip(&self.columns) {
            let Some(column) = column else { continue };
            if out.len() > 1 {
                out.push(b',');
            }
            out.extend_from_slice(format!("\"{}\":", field.name).as_bytes());
            // A broken value is written as a text, and found when the record is prepared.
            let _ = write_json(field.field_type, field.scale, row.field(*column), &mut out);
        }
        out.push(b'}');
        String::from_utf8(out).expect("JSON is written from text")
    }

    /// The records of a chunk, each once, by id; of two rows of one id the later counts.
    fn records<'c>(&self, chunk: &'c RowChunk) -> Result<Vec<Seen<'c>>, UnreadableChunk> {
        let mut records = Vec::with_capacity(chunk.len());
        for (place, row) in chunk.rows().enumerate() {
            let id = row.field(self.id).and_then(|text| RecordId::parse(text).ok());
            let id = id.ok_or(UnreadableChunk::UnreadableRow { row: place + 1, field: "Id" })?;
            records.push(Seen { id, row });
        }
        records.reverse();
        records.sort_by_key(|seen| seen.id);
        records.dedup_by_key(|seen| seen.id);
        Ok(records)
    }

    /// A stored record's texts with those of the read laid over them; `None` if it lacks a selected field that the read
    /// does not bring, or cannot be read.
    fn laid_over<'t>(&self, payload: &'t str, row: &Row<'t>) -> Option<Vec<Cow<'t, str>>> {
        let stored = json_fields(&self.names, payload).ok()?;
        stored
            .into_iter()
            .zip(&self.columns)
            .zip(&self.mapping.fields)
            .map(|((stored, column), field)| match (column, stored) {
                (Some(column), _) => Some(Cow::Borrowed(row.field(*column).unwrap_or_default())),
                (None, FieldText::Text(text)) => Some(text),
                (None, FieldText::Null) => Some(Cow::Borrowed("")),
                // A frozen field that the record never had is null.
                (None, FieldText::Absent) if field.is_frozen => Some(Cow::Borrowed("")),
                (None, FieldText::Absent) => None,
            })
            .collect()
    }

    /// Whether what is stored of a record surely is the state that the read laid its own on, apart from the position.
    fn is_sure(&self, stored: &StoredSide, row: &Row<'_>, read: &SideRead, sided: &Sided) -> bool {
        let version = &stored.version;
        let stamp = row.field(self.stamp).and_then(parse_moment).map_or(i64::MIN, |stamp| stamp.0);
        let overlaps = version.read_end >= read.began;
        // What is compared by stamps must not look settled because of a read that did not read it whole.
        let is_settled = version.read_end.0.saturating_sub(version.system_modstamp_ms) >= SETTLED_AFTER_MS;
        !self.decides
            && !overlaps
            && is_settled
            && stamp >= version.system_modstamp_ms
            && read.mark.read_no >= sided.read_no
    }
}

/// The fields that decide on unique values and parents, by their places.
fn deciding(mapping: &ResolvedMapping) -> impl Iterator<Item = usize> {
    let roles = Roles::of(&mapping.mapping);
    let sources = |column: usize| match &mapping.columns[column] {
        ColumnSource::Fields(places) => places.as_slice(),
        ColumnSource::Constant(_) | ColumnSource::Null => &[],
    };
    let active = mapping
        .fields
        .iter()
        .position(|field| roles.active_first && field.name.eq_ignore_ascii_case("IsActive"));
    roles.unique.into_iter().chain(roles.parent).flat_map(sources).copied().chain(active)
}

/// Whether a side read may bring these fields of a mapping: none of them decides on a unique value or a parent. Records
/// are read whole where one does.
pub fn may_bring(mapping: &ResolvedMapping, fields: &[&str]) -> bool {
    !deciding(mapping).any(|place| fields.iter().any(|field| *field == mapping.fields[place].name))
}

/// Decides what a chunk of a side read does to the shadow.
///
/// - **Shape:** every record of the chunk is filled, equal, older, dirty or raised.
/// - **Errors:** [`UnreadableChunk`] if a record has no readable id. The plan is right for `current` only: the caller
///   holds the locks that keep it true.
pub fn plan(
    fields: &SideFields<'_>,
    chunk: &RowChunk,
    read: &SideRead,
    current: &SideCurrent,
) -> Result<SidePlan, UnreadableChunk> {
    let mut plan = SidePlan::default();
    let mut whole = RowChunk::with_columns(fields.mapping.payload_names());
    let mut rows = HashMap::new();
    for seen in fields.records(chunk)? {
        match standing(fields, &seen, read, current) {
            Standing::Equal => plan.equal += 1,
            Standing::Older => plan.older += 1,
            Standing::Dirty => plan.dirty.push(seen.id),
            Standing::Raised => plan.raised.push(seen.id),
            Standing::Candidate(texts) => {
                let pushed = texts.iter().try_for_each(|text| whole.push_field(text.as_bytes()));
                match whole.end_row().and(pushed) {
                    Ok(()) => drop(rows.insert(seen.id, seen.row)),
                    Err(_) => plan.dirty.push(seen.id),
                }
            }
        }
    }
    plan.chunk = prepare(fields.mapping, &whole)?;
    for place in 0..plan.chunk.records.len() {
        let id = plan.chunk.records[place].id;
        let (Some(stored), Some(row)) = (current.records.get(&id), rows.get(&id)) else { continue };
        if plan.chunk.records[place].hash == stored.version.hash {
            plan.equal += 1;
        } else if fields.is_sure(stored, row, read, &current.sided)
            && stands_as_before(fields, &plan.chunk, place, stored)
        {
            let version = &stored.version;
            plan.chunk.records[place].own = Some(OwnMark {
                as_of: version.as_of,
                read_no: read.next_no.max(version.read_no),
                read_end: read.end.max(version.read_end),
            });
            match &stored.reason {
                Some(reason) => plan.rejects.push((place, reason.clone())),
                None => plan.updates.push(place),
            }
        } else {
            plan.dirty.push(id);
        }
    }
    plan.dirty.sort_unstable();
    Ok(plan)
}

/// How a record stands before its values are compared.
enum Standing<'t> {
    /// The values of the read laid over what is stored.
    Candidate(Vec<Cow<'t, str>>),
    Equal,
    Older,
    Dirty,
    Raised,
}

fn standing<'t>(
    fields: &SideFields<'_>,
    seen: &Seen<'t>,
    read: &SideRead,
    current: &'t SideCurrent,
) -> Standing<'t> {
    let is_marked = current.marks.contains_key(&seen.id);
    let Some(stored) = current.records.get(&seen.id) else {
        return match current.tombstones.get(&seen.id) {
            Some(gone) if !lifts_tombstone(read.mark, gone.as_of, gone.read_no) => Standing::Older,
            // Seen alive by a read that may lift the tombstone, or never heard of: a side read brings nothing in.
            Some(_) | None if is_marked => Standing::Raised,
            Some(_) | None => Standing::Dirty,
        };
    };
    match &stored.payload {
        None => Standing::Equal,
        // What is stored of it is not surely right; its fetch must see what this read saw.
        Some(_) if is_marked => Standing::Raised,
        // Events raised it after the read began: which of the two is newer is not known.
        Some(_) if stored.version.as_of > read.mark.as_of => Standing::Dirty,
        Some(payload) => fields.laid_over(payload, &seen.row).map_or(Standing::Dirty, Standing::Candidate),
    }
}

/// Whether a filled record stays where it is: in the table with its unique value, or rejected for the same reason.
fn stands_as_before(
    fields: &SideFields<'_>,
    chunk: &PreparedChunk,
    place: usize,
    stored: &StoredSide,
) -> bool {
    let record = &chunk.records[place];
    match (&stored.reason, &record.defect) {
        (Some(reason), Some(defect)) => reason == defect,
        (Some(reason), None) => reason.depends_on_others(),
        (None, Some(_)) => false,
        (None, None) => {
            let unique = Roles::of(&fields.mapping.mapping).unique;
            unique.is_none_or(|column| chunk.column(record, column) == stored.claim.as_deref())
        }
    }
}

/// The time from which on a row counts as read together with a side read that Salesforce answered first at `created`.
pub fn began(created: Moment) -> Moment {
    Moment(created.0.saturating_sub(READ_MARGIN_MS))
}

#[cfg(test)]
mod tests;
