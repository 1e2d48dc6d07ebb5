//! Incremental CSV: bytes of any cut in, [`RowChunk`]s out.

use std::{collections::VecDeque, sync::Arc};

use csv_core::{ReadRecordResult, Reader};
use shadow::RowChunk;

use crate::Error;

/// Chunks kept for their memory.
const SPARE_CHUNKS: usize = 4;

/// Reads one page. Rows leave in chunks; between two calls it holds at most one unfinished chunk and one row.
pub(super) struct CsvReader {
    core: Reader,
    /// The row being read: unescaped fields, and where each ends.
    text: Vec<u8>,
    text_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
    columns: Option<Arc<[Box<str>]>>,
    chunk: Option<RowChunk>,
    spare: Vec<RowChunk>,
    rows: u64,
    nuls: u64,
    tail: Tail,
}

/// What the bytes so far end with, to tell a body that was cut from one that ends.
#[derive(Clone, Copy, Default)]
struct Tail {
    last: Option<u8>,
    in_quotes: bool,
}

impl Tail {
    fn take(&mut self, input: &[u8]) {
        #[expect(
            clippy::naive_bytecount,
            reason = "the compiler vectorises it; a crate for one count is too much"
        )]
        let quotes = input.iter().filter(|byte| **byte == b'"').count();
        self.in_quotes ^= quotes % 2 == 1;
        self.last = input.last().copied().or(self.last);
    }

    /// Whether the body ends within a row. The parser ends an open field at the end of the input, so nobody else would
    /// notice that its text was cut. Salesforce quotes every value and ends every line.
    fn is_cut(self) -> bool {
        self.in_quotes || !matches!(self.last, None | Some(b'\n' | b'"'))
    }
}

impl std::fmt::Debug for CsvReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CsvReader")
            .field("columns", &self.columns)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl CsvReader {
    pub(super) fn new() -> Self {
        Self {
            core: Reader::new(),
            text: vec![0; 16 * 1024],
            text_len: 0,
            ends: vec![0; 64],
            ends_len: 0,
            columns: None,
            chunk: None,
            spare: Vec::new(),
            rows: 0,
            nuls: 0,
            tail: Tail::default(),
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn nuls(&self) -> u64 {
        self.nuls
    }

    pub(super) fn columns(&self) -> Option<&Arc<[Box<str>]>> {
        self.columns.as_ref()
    }

    pub(super) fn reuse(&mut self, mut chunk: RowChunk) {
        if self.spare.len() < SPARE_CHUNKS {
            chunk.clear();
            self.spare.push(chunk);
        }
    }

    /// Reads a piece of the body; full chunks are appended to `ready`.
    pub(super) fn read(&mut self, mut input: &[u8], ready: &mut VecDeque<RowChunk>) -> Result<(), Error> {
        self.tail.take(input);
        while !input.is_empty() {
            let consumed = self.step(input, ready)?;
            input = &input[consumed..];
        }
        Ok(())
    }

    /// Ends the page: a last row without a line end counts, and the last chunk leaves.
    ///
    /// - **Errors:** [`Error::PageCut`] where the body ends in the middle of a row.
    pub(super) fn finish(&mut self, ready: &mut VecDeque<RowChunk>) -> Result<(), Error> {
        if self.tail.is_cut() {
            return Err(self.cut());
        }
        // The reader says `End` only once the empty input has ended the row that was open.
        while !self.step_end(ready)? {}
        ready.extend(self.chunk.take().filter(|chunk| !chunk.is_empty()));
        Ok(())
    }

    fn step(&mut self, input: &[u8], ready: &mut VecDeque<RowChunk>) -> Result<usize, Error> {
        let (result, consumed) = self.read_record(input);
        if result == ReadRecordResult::Record {
            self.end_row(ready)?;
        }
        Ok(consumed)
    }

    fn step_end(&mut self, ready: &mut VecDeque<RowChunk>) -> Result<bool, Error> {
        match self.read_record(&[]).0 {
            // A last row with too few fields is one that was cut; in the middle of a page it would be damage.
            ReadRecordResult::Record => self.end_row(ready).map(|()| false).map_err(|_| self.cut()),
            ReadRecordResult::End => Ok(true),
            ReadRecordResult::InputEmpty
            | ReadRecordResult::OutputFull
            | ReadRecordResult::OutputEndsFull => Ok(false),
        }
    }

    fn cut(&self) -> Error {
        Error::PageCut { rows: self.rows, source: None }
    }

    fn read_record(&mut self, input: &[u8]) -> (ReadRecordResult, usize) {
        let (result, consumed, text, ends) =
            self.core.read_record(input, &mut self.text[self.text_len..], &mut self.ends[self.ends_len..]);
        self.text_len += text;
        self.ends_len += ends;
        match result {
            ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
            ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
            ReadRecordResult::InputEmpty | ReadRecordResult::Record | ReadRecordResult::End => {}
        }
        (result, consumed)
    }

    fn end_row(&mut self, ready: &mut VecDeque<RowChunk>) -> Result<(), Error> {
        let (text_len, ends_len) = (std::mem::take(&mut self.text_len), std::mem::take(&mut self.ends_len));
        let Some(columns) = &self.columns else {
            self.columns = Some(header(&self.text[..text_len], &self.ends[..ends_len])?);
            return Ok(());
        };
        let columns = Arc::clone(columns);
        let text_len = self.strip_nuls(text_len, ends_len);
        let spare = &mut self.spare;
        let chunk = self.chunk.get_or_insert_with(|| spare_chunk(spare, &columns));
        chunk
            .push_row(&self.text[..text_len], &self.ends[..ends_len])
            .map_err(|error| unreadable(&format!("row {}: {error}", self.rows + 1)))?;
        self.rows += 1;
        if chunk.is_full() {
            ready.extend(self.chunk.take());
        }
        Ok(())
    }

    /// Removes NUL characters, which PostgreSQL's text cannot hold, and counts them.
    fn strip_nuls(&mut self, text_len: usize, ends_len: usize) -> usize {
        // Nearly no text has one: the search is all that most rows pay.
        if !self.text[..text_len].contains(&0) {
            return text_len;
        }
        let (mut kept, mut start) = (0, 0);
        for end in &mut self.ends[..ends_len] {
            for at in start..*end {
                if self.text[at] == 0 {
                    self.nuls += 1;
                } else {
                    self.text[kept] = self.text[at];
                    kept += 1;
                }
            }
            start = *end;
            *end = kept;
        }
        kept
    }
}

fn spare_chunk(spare: &mut Vec<RowChunk>, columns: &Arc<[Box<str>]>) -> RowChunk {
    spare
        .pop()
        .filter(|chunk| chunk.columns() == columns)
        .unwrap_or_else(|| RowChunk::new(Arc::clone(columns)))
}

fn header(text: &[u8], ends: &[usize]) -> Result<Arc<[Box<str>]>, Error> {
    let text = std::str::from_utf8(text).map_err(|_| unreadable("the header line is not UTF-8 text"))?;
    let mut start = 0;
    let mut columns: Vec<Box<str>> = Vec::with_capacity(ends.len());
    for end in ends {
        let name = text[start..*end].trim_start_matches('\u{feff}');
        if columns.iter().any(|column| column.eq_ignore_ascii_case(name)) {
            return Err(unreadable("the header line names a column twice"));
        }
        columns.push(name.into());
        start = *end;
    }
    Ok(columns.into())
}

fn unreadable(reason: &str) -> Error {
    Error::Unreadable { operation: "result page", reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Fields = Vec<Option<String>>;

    /// Reads `body` in pieces of `piece` bytes.
    fn read(body: &[u8], piece: usize) -> Result<(Vec<Fields>, CsvReader), Error> {
        let mut reader = CsvReader::new();
        let mut ready = VecDeque::new();
        for piece in body.chunks(piece.max(1)) {
            reader.read(piece, &mut ready)?;
        }
        reader.finish(&mut ready)?;
        let rows = ready
            .iter()
            .flat_map(|chunk| {
                let columns = chunk.columns().len();
                chunk
                    .rows()
                    .map(move |row| (0..columns).map(|index| row.field(index).map(str::to_owned)).collect())
            })
            .collect();
        Ok((rows, reader))
    }

    fn quoted(field: &str) -> String {
        format!("\"{}\"", field.replace('"', "\"\""))
    }

    #[test]
    fn quotes_newlines_and_unicode_survive_any_cut() {
        let fields = ["a \"b\" c", "line1\nline2\r\nline3", "Größe, 😀", "#N/A", "null", ""];
        let line = fields.map(quoted).join(",");
        let body = format!("\"A\",\"B\",\"C\",\"D\",\"E\",\"F\"\n{line}\n{line}\n");
        for piece in 1..=body.len() {
            let (rows, reader) = read(body.as_bytes(), piece).expect("a readable page");
            assert_eq!(reader.rows(), 2, "pieces of {piece}");
            let expected: Vec<_> =
                fields.iter().map(|field| (!field.is_empty()).then(|| (*field).to_owned())).collect();
            assert_eq!(rows, [expected.clone(), expected], "pieces of {piece}");
        }
    }

    #[test]
    fn unquoted_values_crlf_ends_and_a_missing_last_line_end_are_accepted() {
        let (rows, _) = read(b"Id,Name\r\n1,x\r\n2,\"y\"", 3).expect("a readable page");
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1][1].as_deref(), Some("y"));
    }

    #[test]
    fn no_rows_come_with_and_without_a_header() {
        for body in [&b""[..], b"\"Id\",\"Name\"\n", b"\n"] {
            let (rows, reader) = read(body, 4).expect("a readable page");
            assert!(rows.is_empty());
            assert_eq!(reader.rows(), 0);
        }
    }

    #[test]
    fn nul_characters_are_removed_and_counted() {
        let (rows, reader) =
            read(b"\"Id\",\"Name\",\"X\"\n\"1\",\"a\0b\0\",\"z\"\n", 5).expect("a readable page");
        assert_eq!(rows[0][1].as_deref(), Some("ab"));
        assert_eq!(rows[0][2].as_deref(), Some("z"));
        assert_eq!(reader.nuls(), 2);
    }

    #[test]
    fn a_row_with_a_field_too_few_is_an_error_and_not_a_null() {
        assert!(read(b"\"Id\",\"Name\"\n\"1\"\n", 9).is_err());
    }

    #[test]
    fn a_body_that_ends_within_a_row_is_cut_wherever_that_is() {
        let whole = "\"Id\",\"Name\"\n\"1\",\"one\"\n";
        let last = "\"2\",\"the second\"";
        for end in 1..last.len() {
            let body = format!("{whole}{}", &last[..end]);
            let error = read(body.as_bytes(), 7).err();
            assert!(matches!(error, Some(Error::PageCut { rows: 1, .. })), "cut at {end}: {error:?}");
        }
        assert_eq!(read(format!("{whole}{last}").as_bytes(), 7).expect("whole").0.len(), 2);
    }

    #[test]
    fn a_page_leaves_in_bounded_chunks() {
        let mut body = b"\"Id\"\n".to_vec();
        for id in 0..12_000 {
            body.extend_from_slice(format!("\"{id}\"\n").as_bytes());
        }
        let mut reader = CsvReader::new();
        let mut ready = VecDeque::new();
        reader.read(&body, &mut ready).expect("a readable page");
        reader.finish(&mut ready).expect("a readable page");
        assert_eq!(ready.iter().map(RowChunk::len).collect::<Vec<_>>(), [5_000, 5_000, 2_000]);
    }

    #[test]
    fn a_field_longer_than_the_buffer_is_read_whole() {
        let long = "x".repeat(131_072);
        let (rows, _) = read(format!("\"T\"\n\"{long}\"\n").as_bytes(), 1_000).expect("a readable page");
        assert_eq!(rows[0][0].as_deref().map(str::len), Some(long.len()));
    }

    proptest! {
        #[test]
        fn whatever_was_written_is_read_back(
            table in proptest::collection::vec(proptest::collection::vec("[^\0]{0,12}", 3), 0..20),
            piece in 1_usize..64,
        ) {
            let mut body = "\"A\",\"B\",\"C\"\n".to_owned();
            for row in &table {
                body.push_str(&row.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(","));
                body.push('\n');
            }
            let (rows, _) = read(body.as_bytes(), piece).expect("a readable page");
            let expected: Vec<Vec<_>> = table
                .into_iter()
                .map(|row| row.into_iter().map(|field| (!field.is_empty()).then_some(field)).collect())
                .collect();
            prop_assert_eq!(rows, expected);
        }
    }
}
