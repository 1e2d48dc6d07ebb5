//! Rows as they came from Salesforce, in one flat buffer.
//!
//! A chunk holds at most 5,000 rows or about 4 MB: what one commit merges. No field owns memory of its own, so
//! a page of any size costs one buffer that is filled, merged and reused.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// The most rows of a chunk.
pub const MAX_ROWS: usize = 5_000;
/// The size in bytes at which a chunk counts as full. One more row may exceed it.
pub const MAX_BYTES: usize = 4 << 20;

/// Why a row could not be taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// More or fewer fields than columns.
    #[error("a row has {found} fields where the header names {expected}")]
    FieldCount {
        /// Columns of the chunk.
        expected: usize,
        /// Fields of the row.
        found: usize,
    },
    /// Bytes that are no UTF-8.
    #[error("a field is not UTF-8 text")]
    NotUtf8,
    /// JSON that is no record.
    #[error("a record is not a JSON object of plain values: {0}")]
    NotARecord(String),
    /// More than 4 GiB in one chunk.
    #[error("a single row is larger than a chunk can be")]
    TooLarge,
}

/// Up to 5,000 rows of equal columns: unescaped field texts one behind the other, and where each ends.
#[derive(Debug, Clone)]
pub struct RowChunk {
    columns: Arc<[Box<str>]>,
    text: String,
    /// End of each field in `text`, row after row.
    ends: Vec<u32>,
    /// Fields of finished rows; what lies behind belongs to the row that is being written.
    finished: usize,
}

impl RowChunk {
    /// An empty chunk of these columns, in header order.
    pub fn new(columns: Arc<[Box<str>]>) -> Self {
        Self { columns, text: String::new(), ends: Vec::new(), finished: 0 }
    }

    /// An empty chunk of columns named by texts.
    pub fn with_columns<'a>(columns: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new(columns.into_iter().map(Box::from).collect())
    }

    /// The columns, in header order.
    pub fn columns(&self) -> &Arc<[Box<str>]> {
        &self.columns
    }

    /// Where a column stands. Letter case is ignored: whether a Bulk header keeps it is not documented.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.eq_ignore_ascii_case(name))
    }

    /// Appends a field to the row being written. An empty field is null.
    pub fn push_field(&mut self, field: &[u8]) -> Result<(), RowError> {
        self.text.push_str(std::str::from_utf8(field).map_err(|_| RowError::NotUtf8)?);
        self.ends.push(u32::try_from(self.text.len()).map_err(|_| RowError::TooLarge)?);
        Ok(())
    }

    /// Ends the row being written; refuses one that has not a field per column, and drops it.
    pub fn end_row(&mut self) -> Result<(), RowError> {
        let found = self.ends.len() - self.finished;
        if found == self.columns.len() {
            self.finished = self.ends.len();
            return Ok(());
        }
        self.ends.truncate(self.finished);
        self.text.truncate(self.ends.last().map_or(0, |end| *end as usize));
        Err(RowError::FieldCount { expected: self.columns.len(), found })
    }

    /// Appends a whole row: its fields one behind the other, and where each ends (as `csv_core` writes them).
    pub fn push_row(&mut self, fields: &[u8], ends: &[usize]) -> Result<(), RowError> {
        if ends.len() != self.columns.len() {
            return Err(RowError::FieldCount { expected: self.columns.len(), found: ends.len() });
        }
        let length = ends.last().copied().unwrap_or(0);
        let text = fields.get(..length).ok_or(RowError::NotUtf8)?;
        let text = std::str::from_utf8(text).map_err(|_| RowError::NotUtf8)?;
        if !ends.iter().all(|end| text.is_char_boundary(*end)) {
            return Err(RowError::NotUtf8);
        }
        let base = self.text.len();
        u32::try_from(base + length).map_err(|_| RowError::TooLarge)?;
        self.text.push_str(text);
        #[expect(clippy::cast_possible_truncation, reason = "the largest of them was just checked")]
        self.ends.extend(ends.iter().map(|end| (base + end) as u32));
        self.finished = self.ends.len();
        Ok(())
    }

    /// Appends a record as the REST API returns it. Fields that the chunk has no column for are passed over
    /// (`attributes` among them), columns that the record lacks are null; a column `Product2.Name` is looked
    /// for in the record's `Product2`. Numbers keep their digits as sent.
    pub fn push_json(&mut self, record: &RawValue) -> Result<(), RowError> {
        let fields = json_fields(&self.columns, record.get())?;
        let refused = fields.iter().try_for_each(|field| self.push_field(field.as_str().as_bytes()));
        self.end_row().and(refused)
    }

    /// The rows, in the order they were written.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        (0..self.len()).map(|index| self.row(index))
    }

    /// The row at `index`, counted from 0. Panics beyond the last.
    pub fn row(&self, index: usize) -> Row<'_> {
        assert!(index < self.len(), "row {index} of {}", self.len());
        Row { chunk: self, first: index * self.columns.len() }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.finished.checked_div(self.columns.len()).unwrap_or(0)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.finished == 0
    }

    /// Size of the field texts in bytes.
    pub fn size(&self) -> usize {
        self.text.len()
    }

    /// Whether the chunk should be merged before more is added.
    pub fn is_full(&self) -> bool {
        self.len() >= MAX_ROWS || self.text.len() >= MAX_BYTES
    }

    /// Some of its rows, as a chunk of their own. Panics beyond the last.
    #[must_use]
    pub fn part(&self, rows: std::ops::Range<usize>) -> Self {
        let mut part = Self::new(self.columns.clone());
        for row in rows.map(|index| self.row(index)) {
            for column in 0..self.columns.len() {
                part.text.push_str(row.field(column).unwrap_or_default());
                // No longer than the whole, whose ends fit.
                part.ends.push(u32::try_from(part.text.len()).unwrap_or(u32::MAX));
            }
            part.finished = part.ends.len();
        }
        part
    }

    /// Empties the chunk and keeps its memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.finished = 0;
    }
}

/// One row of a [`RowChunk`].
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    chunk: &'a RowChunk,
    first: usize,
}

impl<'a> Row<'a> {
    /// The field in column `index`; `None` if it is null, which Salesforce does not tell from empty.
    pub fn field(&self, index: usize) -> Option<&'a str> {
        debug_assert!(index < self.chunk.columns.len());
        let at = self.first + index;
        let start = if at == 0 { 0 } else { self.chunk.ends[at - 1] as usize };
        let text = &self.chunk.text[start..self.chunk.ends[at] as usize];
        (!text.is_empty()).then_some(text)
    }

    /// The field of a column by name, letter case ignored; `None` also if there is no such column.
    pub fn get(&self, column: &str) -> Option<&'a str> {
        self.chunk.column(column).and_then(|index| self.field(index))
    }
}

/// One field of a JSON record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldText<'a> {
    /// The record has no such field.
    Absent,
    /// It is null.
    Null,
    /// Its text: strings unescaped, numbers and booleans as they stand.
    Text(Cow<'a, str>),
}

impl FieldText<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Absent | Self::Null => "",
            Self::Text(text) => text,
        }
    }
}

/// The texts of a JSON record's fields, one per column; see [`RowChunk::push_json`].
pub fn json_fields<'de>(columns: &[Box<str>], record: &'de str) -> Result<Vec<FieldText<'de>>, RowError> {
    let mut fields = vec![FieldText::Absent; columns.len()];
    collect_fields(columns, "", record, &mut fields)?;
    Ok(fields)
}

/// Collects the texts of a JSON object's values into the columns that they belong to.
fn collect_fields<'de>(
    columns: &[Box<str>],
    path: &str,
    record: &'de str,
    fields: &mut [FieldText<'de>],
) -> Result<(), RowError> {
    let mut deserializer = serde_json::Deserializer::from_str(record);
    deserializer
        .deserialize_map(FieldVisitor { columns, path, fields })
        .map_err(|error| RowError::NotARecord(error.to_string()))
}

struct FieldVisitor<'a, 'de> {
    columns: &'a [Box<str>],
    /// What stands before the names of this object: empty, or the relationship's name and a dot.
    path: &'a str,
    fields: &'a mut [FieldText<'de>],
}

impl<'de> Visitor<'de> for FieldVisitor<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let value: &'de RawValue = map.next_value()?;
            let matches = |column: &str| {
                column.get(..self.path.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(self.path))
                    && column[self.path.len()..].eq_ignore_ascii_case(&name)
            };
            if let Some(index) = self.columns.iter().position(|column| matches(column)) {
                self.fields[index] = plain_text(value).map_err(serde::de::Error::custom)?;
            } else if name != "attributes" && value.get().starts_with('{') {
                let path = format!("{}{name}.", self.path);
                collect_fields(self.columns, &path, value.get(), self.fields)
                    .map_err(serde::de::Error::custom)?;
            }
        }
        Ok(())
    }
}

/// The text of a plain JSON value.
fn plain_text(value: &RawValue) -> Result<FieldText<'_>, serde_json::Error> {
    let json = value.get();
    match json.as_bytes().first() {
        Some(b'"') if !json.contains('\\') => Ok(FieldText::Text(json[1..json.len() - 1].into())),
        Some(b'"') => Ok(FieldText::Text(serde_json::from_str::<String>(json)?.into())),
        Some(b'n') => Ok(FieldText::Null),
        // A compound value where a plain one was selected: its text, so that nothing is lost silently.
        _ => Ok(FieldText::Text(json.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn an_empty_field_is_null() {
        let mut chunk = RowChunk::with_columns(["Id", "Name", "Code"]);
        for field in ["1", "", "x"] {
            chunk.push_field(field.as_bytes()).unwrap();
        }
        chunk.end_row().unwrap();
        let row = chunk.row(0);
        assert_eq!((row.field(0), row.field(1), row.field(2)), (Some("1"), None, Some("x")));
    }

    #[test]
    fn a_row_with_a_field_too_few_is_refused_and_leaves_no_trace() {
        let mut chunk = RowChunk::with_columns(["Id", "Name"]);
        chunk.push_field(b"1").unwrap();
        assert_eq!(chunk.end_row(), Err(RowError::FieldCount { expected: 2, found: 1 }));
        chunk.push_row(b"2two", &[1, 4]).unwrap();
        assert_eq!(chunk.len(), 1);
        assert_eq!(chunk.row(0).get("name"), Some("two"));
    }

    #[test]
    fn a_character_cut_in_two_by_a_field_border_is_refused() {
        let mut chunk = RowChunk::with_columns(["A", "B"]);
        assert_eq!(chunk.push_row("ü".as_bytes(), &[1, 2]), Err(RowError::NotUtf8));
        assert!(chunk.is_empty());
    }

    #[test]
    fn csv_and_json_give_the_same_fields() {
        let mut csv = RowChunk::with_columns(["Id", "Name", "Price", "Active", "Product2.Name", "Note"]);
        csv.push_row("1a \"b\"\n12.50trueSIM".as_bytes(), &[1, 7, 12, 16, 19, 19]).unwrap();
        let mut json = RowChunk::new(csv.columns().clone());
        json.push_json(&raw(
            r#"{"attributes":{"type":"X","Name":"no"},"Id":"1","Name":"a \"b\"\n","Price":12.50,
                "Active":true,"Product2":{"attributes":{},"Name":"SIM"},"Note":null,"Other":1}"#,
        ))
        .unwrap();
        for index in 0..6 {
            assert_eq!(csv.row(0).field(index), json.row(0).field(index));
        }
    }

    #[test]
    fn json_that_is_no_record_is_refused_and_leaves_no_trace() {
        let mut chunk = RowChunk::with_columns(["Id"]);
        assert!(chunk.push_json(&raw("[1]")).is_err());
        assert!(chunk.is_empty());
    }
}
