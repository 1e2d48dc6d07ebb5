//! The one canonical form of a value, whatever source it came from.
//!
//! The same record through Bulk CSV and REST JSON gives the same bytes: decimals exact and at the field's scale,
//! times in UTC with milliseconds, ids with 18 characters, NUL stripped, empty as null. Everything is written
//! straight into a byte buffer; this runs once per field of every record.

use crate::describe::FieldType;
use crate::ids::RecordId;

mod decimal;
mod moment;

pub use decimal::{digits_needed, write_decimal};
pub use moment::{Moment, parse_moment, write_moment};

/// A text that is no value of its field's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value is not of its field's type")]
pub struct BrokenValue;

/// Appends a field's value as canonical JSON. `None` and values that only say "nothing" become `null`.
///
/// - **Input:** the text of a Bulk CSV field, or of a plain JSON value without its quotes.
/// - **Output:** what was appended is valid JSON in every case.
/// - **Errors:** [`BrokenValue`] if the text is not of the type; then the text itself stands there as a JSON
///   string, so that a rejected record still shows what it holds.
pub fn write_json(
    field_type: FieldType,
    scale: u32,
    text: Option<&str>,
    out: &mut Vec<u8>,
) -> Result<(), BrokenValue> {
    let Some(text) = text else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    let start = out.len();
    let written = match field_type {
        FieldType::Text | FieldType::Compound => {
            // Without its NUL characters it is empty, and laid over once more it would be null.
            if text.bytes().all(|byte| byte == 0) {
                out.extend_from_slice(b"null");
            } else {
                write_string(text, out);
            }
            Ok(())
        }
        FieldType::Id | FieldType::Reference => write_id(text, out),
        FieldType::Boolean => write_boolean(text, out),
        FieldType::Integer => write_decimal(text, 0, out)
            .and_then(|()| if out[start..].contains(&b'.') { Err(BrokenValue) } else { Ok(()) }),
        FieldType::Decimal => write_decimal(text, scale, out),
        FieldType::Date => quoted(out, |out| moment::write_date(text, out)),
        FieldType::DateTime => quoted(out, |out| {
            write_moment(parse_moment(text).ok_or(BrokenValue)?, out);
            Ok(())
        }),
        FieldType::Time => quoted(out, |out| moment::write_time(text, out)),
    };
    if written.is_err() {
        out.truncate(start);
        write_string(text, out);
    }
    written
}

/// Reads a boolean as Salesforce writes it, letter case ignored.
pub fn parse_boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

fn write_boolean(text: &str, out: &mut Vec<u8>) -> Result<(), BrokenValue> {
    let value = parse_boolean(text).ok_or(BrokenValue)?;
    out.extend_from_slice(if value { b"true" } else { b"false" });
    Ok(())
}

fn write_id(text: &str, out: &mut Vec<u8>) -> Result<(), BrokenValue> {
    let id = RecordId::parse(text).map_err(|_| BrokenValue)?;
    if id.is_empty_id() {
        out.extend_from_slice(b"null");
    } else {
        out.push(b'"');
        out.extend_from_slice(id.as_str().as_bytes());
        out.push(b'"');
    }
    Ok(())
}

fn quoted(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), BrokenValue>,
) -> Result<(), BrokenValue> {
    out.push(b'"');
    write(out)?;
    out.push(b'"');
    Ok(())
}

/// For each byte: 0 if a JSON string holds it as it is, else the letter behind the backslash (`u` for a number,
/// `0` for what is left out). PostgreSQL takes no NUL in text or jsonb.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 1;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[0] = b'0';
    table[0x08] = b'b';
    table[b'\t' as usize] = b't';
    table[b'\n' as usize] = b'n';
    table[0x0c] = b'f';
    table[b'\r' as usize] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

/// Appends a text as a JSON string, without its NUL characters.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (place, byte) in bytes.iter().enumerate() {
        let escape = ESCAPES[usize::from(*byte)];
        if escape == 0 {
            continue;
        }
        out.extend_from_slice(&bytes[plain..place]);
        plain = place + 1;
        match escape {
            b'0' => {}
            b'u' => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
            letter => out.extend_from_slice(&[b'\\', letter]),
        }
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}

/// Appends a text as a column holds it: without its NUL characters. Returns how many were left out.
pub fn write_text(text: &str, out: &mut Vec<u8>) -> usize {
    if !text.as_bytes().contains(&0) {
        out.extend_from_slice(text.as_bytes());
        return 0;
    }
    let start = out.len();
    out.extend(text.bytes().filter(|byte| *byte != 0));
    text.len() - (out.len() - start)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(field_type: FieldType, scale: u32, text: &str) -> Result<String, String> {
        let mut out = Vec::new();
        let written = write_json(field_type, scale, Some(text), &mut out);
        let out = String::from_utf8(out).unwrap();
        written.map(|()| out.clone()).map_err(|_| out)
    }

    #[test]
    fn values_have_one_form() {
        for (field_type, text, expected) in [
            (FieldType::Boolean, "TRUE", "true"),
            (FieldType::Integer, "12.0", "12"),
            (FieldType::Integer, "1.2E1", "12"),
            (FieldType::Id, "001D000000KnaXj", "\"001D000000KnaXjIAJ\""),
            (FieldType::Reference, "000000000000000AAA", "null"),
            (FieldType::Date, "2026-02-28", "\"2026-02-28\""),
            (FieldType::DateTime, "2026-03-01T08:09:10Z", "\"2026-03-01T08:09:10.000Z\""),
            (FieldType::DateTime, "2026-03-01T08:09:10.5+0000", "\"2026-03-01T08:09:10.500Z\""),
            (FieldType::DateTime, "2026-03-01T01:09:10.123456789+01:00", "\"2026-03-01T00:09:10.123Z\""),
            (FieldType::Time, "10:15:00Z", "\"10:15:00.000Z\""),
            (FieldType::Text, "a\"b\\c\n\u{1}ü", r#""a\"b\\c\n\u0001ü""#),
            (FieldType::Text, "a\0b", "\"ab\""),
        ] {
            assert_eq!(json(field_type, 0, text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_broken_value_is_told_and_shown_as_text() {
        for (field_type, text) in [
            (FieldType::Boolean, "1"),
            (FieldType::Integer, "1.5"),
            (FieldType::Decimal, "1,5"),
            (FieldType::Date, "2026-02-30"),
            (FieldType::DateTime, "2026-03-01 08:09:10"),
            (FieldType::DateTime, "2026-03-01T25:09:10Z"),
            (FieldType::Id, "001"),
        ] {
            assert_eq!(json(field_type, 2, text), Err(format!("\"{text}\"")));
        }
    }

    proptest! {
        #[test]
        fn every_text_becomes_json_that_reads_back_without_its_nuls(text in any::<String>()) {
            let mut out = Vec::new();
            write_string(&text, &mut out);
            let back: String = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(back, text.replace('\0', ""));
        }
    }
}
