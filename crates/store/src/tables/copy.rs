//! Rows in COPY's binary format.
//!
//! - **Source:** PostgreSQL's documentation of COPY, "Binary Format"; the types' own formats are those of their
//!   receive functions (`numeric_recv`, `jsonb_recv` and so on), unchanged since 9.4.

use chrono::{DateTime, Utc};
use shadow::mapping::ColumnKind;
use shadow::prepare::OwnMark;
use shadow::value::{Moment, parse_moment};
use shadow::{PreparedChunk, PreparedRecord, ReadMark};

/// Milliseconds between 1970 and 2000, where PostgreSQL's time begins.
const EPOCH_2000_MS: i64 = 946_684_800_000;

/// What all rows of a merge have in common, but for those that events patched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowMark {
    pub mark: ReadMark,
    pub read_end: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl RowMark {
    /// The mark of one record.
    pub(crate) fn of(&self, record: &PreparedRecord) -> OwnMark {
        record.own.unwrap_or(OwnMark {
            as_of: self.mark.as_of,
            read_no: self.mark.read_no,
            read_end: self.read_end.into(),
        })
    }
}

/// Begins a stream of rows.
pub(crate) fn header(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PGCOPY\n\xff\r\n\0");
    out.extend_from_slice(&[0; 8]);
}

/// Ends a stream of rows.
pub(crate) fn trailer(out: &mut Vec<u8>) {
    out.extend_from_slice(&(-1_i16).to_be_bytes());
}

/// Appends one record as a row: key, mapped columns, then ours.
pub(crate) fn row(
    kinds: &[ColumnKind],
    chunk: &PreparedChunk,
    record: &PreparedRecord,
    mark: &RowMark,
    out: &mut Vec<u8>,
) {
    let fields = i16::try_from(1 + kinds.len() + 8).expect("a table has at most 1,600 columns");
    out.extend_from_slice(&fields.to_be_bytes());
    bytes(record.id.as_str().as_bytes(), out);
    for (index, kind) in kinds.iter().enumerate() {
        match chunk.column(record, index) {
            Some(text) => value(*kind, text, out),
            None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
        }
    }
    timestamp(Moment::from(mark.updated_at), out);
    let payload = chunk.payload(record);
    length(payload.len() + 1, out);
    // The version of jsonb's format.
    out.push(1);
    out.extend_from_slice(payload);
    let own = mark.of(record);
    integer(own.as_of, out);
    timestamp(record.system_modstamp, out);
    timestamp(record.created_date, out);
    integer(own.read_no, out);
    timestamp(own.read_end, out);
    bytes(&record.hash, out);
}

/// Appends a column's value from its canonical text.
fn value(kind: ColumnKind, text: &str, out: &mut Vec<u8>) {
    match kind {
        ColumnKind::Text => bytes(text.as_bytes(), out),
        ColumnKind::Numeric { .. } => numeric(text, out),
        ColumnKind::Integer => integer(text.parse().unwrap_or_default(), out),
        ColumnKind::Boolean => bytes(&[u8::from(text == "true")], out),
        ColumnKind::Date => {
            // A day as the text of a moment at its midnight.
            let moment = parse_moment(&format!("{text}T00:00:00Z")).unwrap_or(Moment(EPOCH_2000_MS));
            let days = (moment.0 - EPOCH_2000_MS).div_euclid(86_400_000);
            bytes(&i32::try_from(days).unwrap_or_default().to_be_bytes(), out);
        }
        ColumnKind::Timestamp => timestamp(parse_moment(text).unwrap_or(Moment(EPOCH_2000_MS)), out),
    }
}

fn length(length: usize, out: &mut Vec<u8>) {
    let length = i32::try_from(length).expect("a field is far below 2 GiB");
    out.extend_from_slice(&length.to_be_bytes());
}

fn bytes(value: &[u8], out: &mut Vec<u8>) {
    length(value.len(), out);
    out.extend_from_slice(value);
}

fn integer(value: i64, out: &mut Vec<u8>) {
    bytes(&value.to_be_bytes(), out);
}

fn timestamp(moment: Moment, out: &mut Vec<u8>) {
    integer((moment.0 - EPOCH_2000_MS) * 1000, out);
}

/// Appends a decimal text as `numeric`: digits to the base 10,000, the weight of the first, the sign, and how many
/// decimal digits are shown behind the point.
fn numeric(text: &str, out: &mut Vec<u8>) {
    let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let whole = whole.as_bytes();
    let lead = (4 - whole.len() % 4) % 4;
    let digit_at = |place: usize| -> u16 {
        // Places count from the first of a group of four that begins with the leading zeros.
        let byte = place
            .checked_sub(lead)
            .and_then(|place| whole.get(place).or_else(|| fraction.as_bytes().get(place - whole.len())));
        u16::from(byte.map_or(0, |byte| byte - b'0'))
    };
    let groups = (lead + whole.len()) / 4 + fraction.len().div_ceil(4);
    let mut digits: Vec<u16> = (0..groups)
        .map(|group| (0..4).fold(0, |number, place| number * 10 + digit_at(group * 4 + place)))
        .collect();
    let mut weight = i16::try_from((lead + whole.len()) / 4).unwrap_or_default() - 1;
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    digits.drain(..zeros);
    weight -= i16::try_from(zeros).unwrap_or_default();
    while digits.last() == Some(&0) {
        digits.pop();
    }
    if digits.is_empty() {
        weight = 0;
    }
    length(8 + digits.len() * 2, out);
    out.extend_from_slice(&u16::try_from(digits.len()).unwrap_or_default().to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&(if negative && !digits.is_empty() { 0x4000_u16 } else { 0 }).to_be_bytes());
    out.extend_from_slice(&u16::try_from(fraction.len()).unwrap_or_default().to_be_bytes());
    for digit in digits {
        out.extend_from_slice(&digit.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_cut_into_groups_of_four() {
        for (text, digits, weight, sign, shown) in [
            ("25000.00", &[2_u16, 5000][..], 1_i16, 0_u16, 2_u16),
            ("-0.50", &[5000], -1, 0x4000, 2),
            ("0.00", &[], 0, 0, 2),
            ("12345678.9", &[1234, 5678, 9000], 1, 0, 1),
            ("0.00012", &[1, 2000], -1, 0, 5),
            ("10000", &[1], 1, 0, 0),
        ] {
            let mut expected = Vec::new();
            length(8 + digits.len() * 2, &mut expected);
            expected.extend_from_slice(&u16::try_from(digits.len()).unwrap().to_be_bytes());
            expected.extend_from_slice(&weight.to_be_bytes());
            expected.extend_from_slice(&sign.to_be_bytes());
            expected.extend_from_slice(&shown.to_be_bytes());
            for digit in digits {
                expected.extend_from_slice(&digit.to_be_bytes());
            }
            let mut out = Vec::new();
            numeric(text, &mut out);
            assert_eq!(out, expected, "{text}");
        }
    }
}
