//! What a field of a record holds, and how each API writes it.

use std::{cmp::Ordering, sync::Arc};

use rust_decimal::Decimal;
use serde_json::Value as Json;

use crate::{
    calendar::{self, Zone},
    ids::RecordId,
    schema::Kind,
};

/// One value, borrowed from a record or from the scratch text of the reader.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value<'a> {
    /// Nothing: Salesforce stores no empty text.
    Null,
    /// A checkbox.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number, percent or currency, exact.
    Decimal(Decimal),
    /// Milliseconds since 1970, UTC.
    Time(i64),
    /// Days since 1970.
    Date(i64),
    /// A record id.
    Id(RecordId),
    /// Any text.
    Text(&'a str),
}

/// One value, kept.
#[derive(Clone, PartialEq, Debug)]
pub enum Owned {
    /// Nothing.
    Null,
    /// A checkbox.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// An exact number.
    Decimal(Decimal),
    /// Milliseconds since 1970, UTC.
    Time(i64),
    /// Days since 1970.
    Date(i64),
    /// A record id.
    Id(RecordId),
    /// Any text.
    Text(Arc<str>),
}

impl Owned {
    /// Lends the value.
    pub fn lend(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Decimal(value) => Value::Decimal(*value),
            Self::Time(value) => Value::Time(*value),
            Self::Date(value) => Value::Date(*value),
            Self::Id(value) => Value::Id(*value),
            Self::Text(value) => Value::Text(value),
        }
    }

    /// Reads a value of a JSON body as the kind of the field; a text that does not fit is `None`.
    pub fn from_json(kind: Kind, json: &Json) -> Option<Self> {
        match json {
            Json::Null => Some(Self::Null),
            Json::Bool(value) if kind == Kind::Boolean => Some(Self::Bool(*value)),
            Json::Number(number) => Self::from_text(kind, &number.to_string()),
            Json::String(text) => Self::from_text(kind, text),
            _ => None,
        }
    }

    /// Reads a text as the kind of the field. Empty text is null, as Salesforce stores it.
    pub fn from_text(kind: Kind, text: &str) -> Option<Self> {
        if kind == Kind::Boolean {
            return Some(Self::Bool(matches!(text, "1" | "true" | "TRUE" | "True")));
        }
        if text.is_empty() {
            return Some(Self::Null);
        }
        match kind {
            Kind::Id | Kind::Reference => {
                let id = RecordId::parse(text)?;
                Some(if id.is_empty() { Self::Null } else { Self::Id(id) })
            }
            Kind::Int => text.trim_end_matches(".0").parse().ok().map(Self::Int),
            Kind::Double | Kind::Currency => {
                Decimal::from_scientific(text).or_else(|_| text.parse()).ok().map(Self::Decimal)
            }
            Kind::Date => calendar::parse_date(text)
                .or_else(|| calendar::parse_time(text).map(|ms| ms.div_euclid(calendar::DAY_MS)))
                .map(Self::Date),
            Kind::DateTime => calendar::parse_time(text).map(Self::Time),
            _ => Some(Self::Text(text.into())),
        }
    }
}

impl Value<'_> {
    /// Keeps the value.
    pub fn keep(self) -> Owned {
        match self {
            Value::Null => Owned::Null,
            Value::Bool(value) => Owned::Bool(value),
            Value::Int(value) => Owned::Int(value),
            Value::Decimal(value) => Owned::Decimal(value),
            Value::Time(value) => Owned::Time(value),
            Value::Date(value) => Owned::Date(value),
            Value::Id(value) => Owned::Id(value),
            Value::Text(value) => Owned::Text(value.into()),
        }
    }

    /// Reports whether there is a value.
    pub fn is_null(self) -> bool {
        matches!(self, Value::Null)
    }

    /// The number behind a numeric value.
    pub fn number(self) -> Option<Decimal> {
        match self {
            Value::Int(value) => Some(value.into()),
            Value::Decimal(value) => Some(value),
            _ => None,
        }
    }

    /// The order of `ORDER BY`, `MIN` and `MAX`: null first, text without regard to case.
    pub fn order(self, other: Value<'_>) -> Ordering {
        match (self, other) {
            (Value::Null, Value::Null) => Ordering::Equal,
            (Value::Null, _) => Ordering::Less,
            (_, Value::Null) => Ordering::Greater,
            (Value::Text(left), Value::Text(right)) => folded(left).cmp(folded(right)),
            (Value::Id(left), Value::Id(right)) => left.cmp(&right),
            (Value::Id(left), Value::Text(right)) => left.as_str().cmp(right),
            (Value::Text(left), Value::Id(right)) => left.cmp(right.as_str()),
            (Value::Bool(left), Value::Bool(right)) => left.cmp(&right),
            (Value::Time(left), Value::Time(right)) | (Value::Date(left), Value::Date(right)) => {
                left.cmp(&right)
            }
            (left, right) => left.number().cmp(&right.number()),
        }
    }

    /// Appends the value as one CSV field, quoted.
    pub fn write_csv(self, out: &mut Vec<u8>) {
        out.push(b'"');
        match self {
            Value::Null => {}
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Int(value) => write_int(out, value),
            Value::Decimal(value) => write_decimal(out, value),
            Value::Time(value) => calendar::write_time(out, value, Zone::Z),
            Value::Date(value) => calendar::write_date(out, value),
            Value::Id(value) => out.extend_from_slice(value.as_bytes()),
            Value::Text(value) => write_doubled_quotes(out, value),
        }
        out.push(b'"');
    }

    /// Appends the value as JSON.
    pub fn write_json(self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Int(value) => write_int(out, value),
            Value::Decimal(value) => write_decimal(out, value),
            Value::Text(value) => write_json_text(out, value),
            Value::Time(value) => {
                out.push(b'"');
                calendar::write_time(out, value, Zone::Offset);
                out.push(b'"');
            }
            Value::Date(value) => {
                out.push(b'"');
                calendar::write_date(out, value);
                out.push(b'"');
            }
            Value::Id(value) => {
                out.push(b'"');
                out.extend_from_slice(value.as_bytes());
                out.push(b'"');
            }
        }
    }
}

/// Compares text as SOQL does: without regard to case.
pub fn folded(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().flat_map(char::to_lowercase)
}

/// Appends a JSON string.
pub fn write_json_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("writing JSON to memory cannot fail");
}

fn write_doubled_quotes(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| byte == b'"') {
        out.extend_from_slice(&rest[..=at]);
        out.push(b'"');
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

fn write_int(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes a number as Salesforce does: no trailing zeros, but always one decimal (`25000.0`, `19.9`).
fn write_decimal(out: &mut Vec<u8>, value: Decimal) {
    let mut mantissa = value.mantissa();
    let mut scale = value.scale();
    while scale > 1 && mantissa % 10 == 0 {
        mantissa /= 10;
        scale -= 1;
    }
    if scale == 0 {
        mantissa *= 10;
        scale = 1;
    }
    if mantissa < 0 {
        out.push(b'-');
    }
    let mut digits = [b'0'; 48];
    let mut at = digits.len();
    let mut rest = mantissa.unsigned_abs();
    let mut written = 0;
    // Whole values keep at least one digit before the point.
    while rest > 0 || written <= scale {
        if written == scale {
            at -= 1;
            digits[at] = b'.';
        }
        at -= 1;
        // A 128-bit division is slow, and almost every price fits 64 bits.
        if let Ok(small) = u64::try_from(rest) {
            digits[at] = b'0' + (small % 10) as u8;
            rest = (small / 10).into();
        } else {
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        written += 1;
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(value: Value<'_>) -> String {
        let mut out = Vec::new();
        value.write_csv(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_carry_one_decimal_at_least_and_no_trailing_zeros() {
        for (text, written) in [
            ("25000", "25000.0"),
            ("19.90", "19.9"),
            ("0.05", "0.05"),
            ("0", "0.0"),
            ("-3.10", "-3.1"),
            ("4.995", "4.995"),
            ("12345678901.50", "12345678901.5"),
            ("79228162514264337593543950335", "79228162514264337593543950335.0"),
        ] {
            let value: Decimal = text.parse().unwrap();
            assert_eq!(csv(Value::Decimal(value)), format!("\"{written}\""));
            assert_eq!(written.parse::<Decimal>().unwrap(), value);
        }
        assert_eq!(csv(Value::Int(-40)), "\"-40\"");
        assert_eq!(csv(Value::Int(0)), "\"0\"");
    }

    #[test]
    fn quotes_are_doubled_and_line_ends_kept() {
        assert_eq!(csv(Value::Text("a \"b\"\r\nc")), "\"a \"\"b\"\"\r\nc\"");
        assert_eq!(csv(Value::Null), "\"\"");
    }

    #[test]
    fn null_sorts_first_and_case_does_not_count() {
        assert_eq!(Value::Null.order(Value::Text("a")), Ordering::Less);
        assert_eq!(Value::Text("ÄB").order(Value::Text("äb")), Ordering::Equal);
        assert_eq!(Value::Int(2).order(Value::Decimal("1.5".parse().unwrap())), Ordering::Greater);
    }
}
