//! Rows as Salesforce sent them, made ready to be stored: columns, canonical payload, content hash.
//!
//! Pure and per chunk, so that a host may run it beside the writing of the chunk before.

use std::ops::Range;
use std::sync::Arc;

use crate::describe::FieldType;
use crate::ids::RecordId;
use crate::mapping::{ColumnKind, ColumnSource, ResolvedMapping};
use crate::reason::Reason;
use crate::rows::{Row, RowChunk};
use crate::value::{
    BrokenValue, Moment, digits_needed, parse_boolean, parse_moment, write_decimal, write_json, write_text,
};

/// Why a chunk cannot be prepared: what came is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableChunk {
    /// A selected field is not in the header.
    #[error("Salesforce's answer has no column {0}")]
    MissingColumn(String),
    /// A record without a usable id or time.
    #[error("row {row} of Salesforce's answer has no readable {field}")]
    UnreadableRow {
        /// The row, counted from 1 within the chunk.
        row: usize,
        /// The field that every record must have.
        field: &'static str,
    },
}

/// Where a record stands that was not read but patched by events; a read has one mark for all its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnMark {
    /// Position of the last event in it.
    pub as_of: i64,
    /// The last request that brought it; 0 if there was none.
    pub read_no: i64,
    /// The end of that request, in Salesforce's time.
    pub read_end: Moment,
}

/// One record, ready to be stored or rejected.
#[derive(Debug, Clone)]
pub struct PreparedRecord {
    /// Its id.
    pub id: RecordId,
    /// `SystemModstamp`.
    pub system_modstamp: Moment,
    /// `CreatedDate`.
    pub created_date: Moment,
    /// Whether it lies in the recycle bin.
    pub is_deleted: bool,
    /// `IsActive`; true where the object has no such field.
    pub is_active: bool,
    /// Hash of its content: payload without `SystemModstamp`, and columns.
    pub hash: [u8; 16],
    /// Why it can never be stored as it is; other records have no part in it.
    pub defect: Option<Reason>,
    /// Set where events patched it: it replaces what is stored, and carries this instead of the read's mark.
    pub own: Option<OwnMark>,
    payload: Range<u32>,
    /// Place of its first column in the chunk's list.
    first_column: u32,
}

/// Records of one chunk, sorted by id, one per id.
#[derive(Debug, Clone, Default)]
pub struct PreparedChunk {
    /// The records.
    pub records: Vec<PreparedRecord>,
    /// NUL characters that were left out.
    pub stripped_nuls: usize,
    texts: Arc<Texts>,
    columns_per_record: usize,
}

/// What the records of a chunk point into; shared by the parts of a chunk that was split.
#[derive(Debug, Default)]
struct Texts {
    /// Payloads and column texts of all records.
    bytes: Vec<u8>,
    /// Column texts in `bytes`, record after record; none is null.
    columns: Vec<Option<Range<u32>>>,
}

impl PreparedChunk {
    /// The chunk without records, which still can be merged for the progress that it stands for.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self { records: Vec::new(), stripped_nuls: 0, ..self.clone() }
    }

    /// The first and the second half of the records, each with at least one if there are two.
    pub fn halves(&self) -> (Self, Self) {
        let (first, second) = self.records.split_at(self.records.len() / 2);
        let part = |records: &[PreparedRecord]| Self { records: records.to_vec(), ..self.emptied() };
        (part(first), part(second))
    }

    /// Gives every record the mark of the events that patched it.
    pub fn mark_each(&mut self, mark: impl Fn(&RecordId) -> Option<OwnMark>) {
        for record in &mut self.records {
            record.own = mark(&record.id);
        }
    }

    /// The same records, some of them with marks of their own.
    #[must_use]
    pub fn marked(&self, marks: &[(usize, OwnMark)]) -> Self {
        let mut chunk = self.clone();
        for (place, mark) in marks {
            chunk.records[*place].own = Some(*mark);
        }
        chunk
    }

    /// A record's canonical `raw_payload`: JSON.
    pub fn payload(&self, record: &PreparedRecord) -> &[u8] {
        &self.texts.bytes[range(&record.payload)]
    }

    /// A column's canonical text: what PostgreSQL reads as the column's type. Columns are those of the mapping.
    pub fn column(&self, record: &PreparedRecord, index: usize) -> Option<&str> {
        debug_assert!(index < self.columns_per_record);
        let column = self.texts.columns[record.first_column as usize + index].as_ref()?;
        let bytes = &self.texts.bytes[range(column)];
        Some(std::str::from_utf8(bytes).expect("columns are written from text"))
    }

    /// How many columns each record has.
    pub fn columns_per_record(&self) -> usize {
        self.columns_per_record
    }

    /// The place of a record by its id.
    pub fn find(&self, id: &RecordId) -> Option<usize> {
        self.records.binary_search_by(|record| record.id.cmp(id)).ok()
    }
}

fn range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// Makes the rows of a chunk ready to be stored.
///
/// - **Shape:** one record per id, sorted by id; of two rows of one id the one with the greater stamp stays, of
///   equal ones the later.
/// - **Errors:** [`UnreadableChunk`] if a selected field has no column, or a record lacks its id, `SystemModstamp`
///   or `CreatedDate`. Anything else that is wrong with a record is its `defect`.
pub fn prepare(mapping: &ResolvedMapping, chunk: &RowChunk) -> Result<PreparedChunk, UnreadableChunk> {
    if chunk.is_empty() {
        // An empty answer may come without its header line.
        return Ok(PreparedChunk { columns_per_record: mapping.columns.len(), ..PreparedChunk::default() });
    }
    let mut writer = Writer::new(mapping, chunk)?;
    for (place, row) in chunk.rows().enumerate() {
        writer.record(row).map_err(|field| UnreadableChunk::UnreadableRow { row: place + 1, field })?;
    }
    Ok(writer.finish())
}

/// Where a field's column stands in the chunk, and the piece of JSON before its value.
struct FieldPlan {
    /// None for a frozen field of which the chunk brings no kept values: it is null.
    column: Option<usize>,
    /// `{"Name":` for the first field, `,"Name":` for the others.
    label: Vec<u8>,
    field_type: FieldType,
    scale: u32,
}

struct Writer<'a> {
    mapping: &'a ResolvedMapping,
    fields: Vec<FieldPlan>,
    /// The place of `IsActive`.
    is_active: Option<usize>,
    records: Vec<PreparedRecord>,
    stripped_nuls: usize,
    texts: Texts,
}

impl<'a> Writer<'a> {
    fn new(mapping: &'a ResolvedMapping, chunk: &RowChunk) -> Result<Self, UnreadableChunk> {
        let fields = mapping
            .fields
            .iter()
            .enumerate()
            .map(|(place, field)| {
                let column = chunk.column(&field.name);
                if column.is_none() && !field.is_frozen {
                    return Err(UnreadableChunk::MissingColumn(field.name.clone()));
                }
                let label = format!("{}\"{}\":", if place == 0 { '{' } else { ',' }, field.name).into_bytes();
                Ok(FieldPlan { column, label, field_type: field.field_type, scale: field.scale })
            })
            .collect::<Result<Vec<_>, UnreadableChunk>>()?;
        let labels: usize = fields.iter().map(|field| field.label.len() + 4).sum();
        let texts = Texts {
            bytes: Vec::with_capacity(chunk.size() * 5 / 4 + chunk.len() * labels),
            columns: Vec::with_capacity(chunk.len() * mapping.columns.len()),
        };
        let is_active = mapping.fields.iter().position(|field| field.name.eq_ignore_ascii_case("IsActive"));
        let records = Vec::with_capacity(chunk.len());
        Ok(Self { mapping, fields, is_active, records, stripped_nuls: 0, texts })
    }

    /// Appends one record; the error names the field without which there is none.
    fn record(&mut self, row: Row<'_>) -> Result<(), &'static str> {
        let always = self.mapping.always;
        let field = |place: usize| row.field(self.fields[place].column?);
        let id = field(always.id).and_then(|text| RecordId::parse(text).ok()).ok_or("Id")?;
        let system_modstamp = field(always.system_modstamp).and_then(parse_moment).ok_or("SystemModstamp")?;
        let created_date = field(always.created_date).and_then(parse_moment).ok_or("CreatedDate")?;
        let is_deleted = always.is_deleted.and_then(field).and_then(parse_boolean).unwrap_or(false);
        let is_active = self.is_active.and_then(field).and_then(parse_boolean).unwrap_or(true);

        let mut hasher = blake3::Hasher::new();
        let (payload, broken) = self.payload(row, &mut hasher);
        let first_column = length(self.texts.columns.len());
        let columns_from = self.texts.bytes.len();
        let column_defect = self.columns(row);
        for column in &self.texts.columns[first_column as usize..] {
            // Lengths keep neighbours apart: ("ab", "c") is not ("a", "bc"), and null is not empty.
            let size = column.as_ref().map_or(u32::MAX, |column| column.end - column.start);
            hasher.update(&size.to_le_bytes());
        }
        hasher.update(&self.texts.bytes[columns_from..]);
        let mut hash = [0; 16];
        hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        let defect = broken
            .map(|place| Reason::BrokenValue { field: self.mapping.fields[place].name.clone() })
            .or(column_defect);
        self.records.push(PreparedRecord {
            id,
            system_modstamp,
            created_date,
            is_deleted,
            is_active,
            hash,
            defect,
            own: None,
            payload,
            first_column,
        });
        Ok(())
    }

    /// Writes the payload; returns where it stands and the first field whose value is broken.
    fn payload(&mut self, row: Row<'_>, hasher: &mut blake3::Hasher) -> (Range<u32>, Option<usize>) {
        let bytes = &mut self.texts.bytes;
        let start = bytes.len();
        let (mut stamp, mut broken) = (start..start, None);
        for (place, field) in self.fields.iter().enumerate() {
            bytes.extend_from_slice(&field.label);
            let from = bytes.len();
            let text = field.column.and_then(|column| row.field(column));
            if write_json(field.field_type, field.scale, text, bytes).is_err() && broken.is_none() {
                broken = Some(place);
            }
            if place == self.mapping.always.system_modstamp {
                stamp = from..bytes.len();
            }
            if field.field_type == FieldType::Text {
                self.stripped_nuls += text.map_or(0, count_nuls);
            }
        }
        bytes.push(b'}');
        hasher.update(&bytes[start..stamp.start]);
        hasher.update(&bytes[stamp.end..]);
        (length(start)..length(bytes.len()), broken)
    }

    /// Writes the columns; returns the first reason why they cannot be stored.
    fn columns(&mut self, row: Row<'_>) -> Option<Reason> {
        let mut defect = None;
        for (column, source) in self.mapping.mapping.columns.iter().zip(&self.mapping.columns) {
            let start = self.texts.bytes.len();
            let (text, field) = match source {
                ColumnSource::Fields(places) => first_filled(&self.fields, places, row),
                ColumnSource::Constant(text) => (Some(text.as_str()), None),
                ColumnSource::Null => (None, None),
            };
            let written = text.map(|text| {
                let field_type = field.map_or(FieldType::Text, |place| self.fields[place].field_type);
                write_column(column.kind, field_type, text, &mut self.texts.bytes)
            });
            let name = || match (field, source) {
                (Some(place), _) => self.mapping.fields[place].name.clone(),
                (None, ColumnSource::Fields(places)) => self.mapping.fields[places[0]].name.clone(),
                (None, _) => column.name.clone(),
            };
            let refused = match written {
                Some(Err(Refused::NotExact)) => Some(Reason::PriceNotExact { field: name() }),
                Some(Err(Refused::Broken)) => Some(Reason::BrokenValue { field: name() }),
                None if column.required => Some(self.missing(&column.name, name())),
                Some(Ok(())) | None => None,
            };
            let filled = matches!(written, Some(Ok(()))) && self.texts.bytes.len() > start;
            if !filled {
                self.texts.bytes.truncate(start);
            }
            self.texts.columns.push(filled.then(|| length(start)..length(self.texts.bytes.len())));
            let refused = refused.or_else(|| {
                // A text of nothing but NUL characters is empty once they are gone.
                (!filled && column.required).then(|| self.missing(&column.name, name()))
            });
            defect = defect.or(refused);
        }
        defect
    }

    fn missing(&self, column: &str, field: String) -> Reason {
        let mapping = &self.mapping.mapping;
        if mapping.unique.as_deref() == Some(column) {
            Reason::NoSku
        } else if mapping.parent.as_ref().is_some_and(|parent| parent.column == column) {
            Reason::MissingProduct { product: None }
        } else if column == "name" {
            Reason::MissingName
        } else {
            Reason::MissingValue { field }
        }
    }

    /// Sorts by id and keeps one record per id.
    fn finish(mut self) -> PreparedChunk {
        // The sort is stable: of two rows of one id and stamp the later stands last, and stays.
        self.records.sort_by_key(|record| (record.id, record.system_modstamp));
        let mut kept: Vec<PreparedRecord> = Vec::with_capacity(self.records.len());
        for record in self.records.drain(..) {
            match kept.last_mut() {
                Some(last) if last.id == record.id => *last = record,
                _ => kept.push(record),
            }
        }
        PreparedChunk {
            records: kept,
            stripped_nuls: self.stripped_nuls,
            texts: Arc::new(self.texts),
            columns_per_record: self.mapping.columns.len(),
        }
    }
}

/// A position in a chunk's buffers. They hold a few megabytes; a chunk's own limit is 4 GiB of input.
fn length(length: usize) -> u32 {
    u32::try_from(length).expect("a chunk's buffers stay far below 4 GiB")
}

fn count_nuls(text: &str) -> usize {
    if text.as_bytes().contains(&0) { text.bytes().filter(|byte| *byte == 0).count() } else { 0 }
}

/// The first of the fields that holds more than blanks, and which it is.
fn first_filled<'r>(
    fields: &[FieldPlan],
    places: &[usize],
    row: Row<'r>,
) -> (Option<&'r str>, Option<usize>) {
    places
        .iter()
        .find_map(|place| {
            let text = row.field(fields[*place].column?)?;
            (!text.trim_matches(['\0', ' ']).is_empty()).then_some((Some(text), Some(*place)))
        })
        .unwrap_or((None, None))
}

enum Refused {
    Broken,
    NotExact,
}

impl From<BrokenValue> for Refused {
    fn from(_: BrokenValue) -> Self {
        Self::Broken
    }
}

/// Appends a column's value as the text of its type.
fn write_column(
    kind: ColumnKind,
    field_type: FieldType,
    text: &str,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let start = out.len();
    match kind {
        ColumnKind::Text if matches!(field_type, FieldType::Id | FieldType::Reference) => {
            let id = RecordId::parse(text).map_err(|_| Refused::Broken)?;
            if !id.is_empty_id() {
                out.extend_from_slice(id.as_str().as_bytes());
            }
        }
        ColumnKind::Text => {
            write_text(text, out);
        }
        ColumnKind::Numeric { precision, scale } => {
            write_decimal(text, scale, out)?;
            let (whole, fraction) = digits_needed(&out[start..]);
            if whole > (precision - scale) as usize || fraction > scale as usize {
                return Err(Refused::NotExact);
            }
        }
        ColumnKind::Integer => {
            write_decimal(text, 0, out)?;
            let written = std::str::from_utf8(&out[start..]).unwrap_or_default();
            written.parse::<i64>().map_err(|_| Refused::NotExact)?;
        }
        ColumnKind::Boolean => {
            let value = parse_boolean(text).ok_or(Refused::Broken)?;
            out.extend_from_slice(if value { b"true" } else { b"false" });
        }
        ColumnKind::Date => write_unquoted(FieldType::Date, text, out)?,
        ColumnKind::Timestamp => write_unquoted(FieldType::DateTime, text, out)?,
    }
    Ok(())
}

/// Appends a day or moment without the quotes of its JSON form.
fn write_unquoted(field_type: FieldType, text: &str, out: &mut Vec<u8>) -> Result<(), Refused> {
    let start = out.len();
    write_json(field_type, 0, Some(text), out)?;
    out.pop();
    out.remove(start);
    Ok(())
}

#[cfg(test)]
mod tests;
