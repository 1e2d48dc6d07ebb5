//! Days, times of day and moments.

use chrono::{DateTime, NaiveDate, Utc};

use super::BrokenValue;

/// A moment in milliseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub i64);

impl Moment {
    /// The same as chrono's type; `None` beyond the years that it knows.
    pub fn to_utc(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(self.0)
    }
}

impl From<DateTime<Utc>> for Moment {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.timestamp_millis())
    }
}

const DAY_MS: i64 = 86_400_000;

/// Days between year 1 and 1970, as chrono counts them.
const EPOCH_DAYS: i32 = 719_163;

/// Reads a moment as any of Salesforce's interfaces writes it: offset `Z`, `+0000` or `+00:00`, a fraction of 0
/// to 9 digits, of which three are kept.
pub fn parse_moment(text: &str) -> Option<Moment> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || bytes[10] != b'T' {
        return None;
    }
    let day = parse_day(&bytes[..10])?;
    let (time_ms, rest) = parse_time(&bytes[11..])?;
    let offset_ms = parse_offset(rest)?;
    Some(Moment(i64::from(day - EPOCH_DAYS) * DAY_MS + time_ms - offset_ms))
}

/// Appends a moment as `YYYY-MM-DDTHH:MM:SS.sssZ`.
pub fn write_moment(moment: Moment, out: &mut Vec<u8>) {
    let day = i32::try_from(moment.0.div_euclid(DAY_MS))
        .ok()
        .and_then(|days| NaiveDate::from_num_days_from_ce_opt(days.checked_add(EPOCH_DAYS)?));
    // Parsed moments lie in years of four digits (give or take an offset); others cannot occur.
    write_day(day.unwrap_or_default(), out);
    out.push(b'T');
    write_time_ms(moment.0.rem_euclid(DAY_MS), out);
}

/// Appends a day as `YYYY-MM-DD`.
pub(super) fn write_date(text: &str, out: &mut Vec<u8>) -> Result<(), BrokenValue> {
    parse_day(text.as_bytes()).ok_or(BrokenValue)?;
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Appends a time of day as `HH:MM:SS.sssZ`.
pub(super) fn write_time(text: &str, out: &mut Vec<u8>) -> Result<(), BrokenValue> {
    let (time_ms, rest) = parse_time(text.as_bytes()).ok_or(BrokenValue)?;
    if !matches!(rest, b"" | b"Z" | b"+0000" | b"+00:00") {
        return Err(BrokenValue);
    }
    write_time_ms(time_ms, out);
    Ok(())
}

/// Reads `YYYY-MM-DD` as a count of days.
fn parse_day(text: &[u8]) -> Option<i32> {
    use chrono::Datelike;

    if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let (year, month, day) = (number(&text[..4])?, number(&text[5..7])?, number(&text[8..])?);
    Some(NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?.num_days_from_ce())
}

/// Reads `HH:MM:SS` and a fraction; returns milliseconds of the day and what follows.
fn parse_time(text: &[u8]) -> Option<(i64, &[u8])> {
    if text.len() < 8 || text[2] != b':' || text[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (number(&text[..2])?, number(&text[3..5])?, number(&text[6..8])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = i64::from(hour * 3600 + minute * 60 + second);
    let Some(fraction) = text[8..].strip_prefix(b".") else {
        return Some((seconds * 1000, &text[8..]));
    };
    let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length > 9 {
        return None;
    }
    let ms = (0..3)
        .fold(0, |ms, place| ms * 10 + if place < length { i64::from(fraction[place] - b'0') } else { 0 });
    Some((seconds * 1000 + ms, &fraction[length..]))
}

/// Reads `Z`, `+0100` or `+01:00`, in milliseconds.
fn parse_offset(text: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match text {
        b"Z" => return Some(0),
        [sign, h1, h2, b':', m1, m2] | [sign, h1, h2, m1, m2] => (sign, [*h1, *h2], [*m1, *m2]),
        _ => return None,
    };
    let offset = i64::from(number(&hours)? * 60 + number(&minutes)?) * 60_000;
    match sign {
        b'+' => Some(offset),
        b'-' => Some(-offset),
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    digits
        .iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

fn write_day(day: NaiveDate, out: &mut Vec<u8>) {
    use chrono::Datelike;

    let year = day.year().unsigned_abs();
    write_digits(year / 100, out);
    write_digits(year % 100, out);
    out.push(b'-');
    write_digits(day.month(), out);
    out.push(b'-');
    write_digits(day.day(), out);
}

fn write_time_ms(time_ms: i64, out: &mut Vec<u8>) {
    let ms = u32::try_from(time_ms).unwrap_or_default();
    let seconds = ms / 1000;
    write_digits(seconds / 3600, out);
    out.push(b':');
    write_digits(seconds / 60 % 60, out);
    out.push(b':');
    write_digits(seconds % 60, out);
    out.push(b'.');
    out.push(digit(ms % 1000 / 100));
    write_digits(ms % 100, out);
    out.push(b'Z');
}

fn write_digits(two: u32, out: &mut Vec<u8>) {
    out.push(digit(two / 10));
    out.push(digit(two));
}

fn digit(number: u32) -> u8 {
    b'0' + (number % 10) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_moment_reads_back_whatever_its_form(ms in 0_i64..4_000_000_000_000) {
            let mut out = Vec::new();
            write_moment(Moment(ms), &mut out);
            let text = String::from_utf8(out).unwrap();
            let expected = Moment(ms).to_utc().unwrap().format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
            prop_assert_eq!(&text, &expected);
            for offset in ["Z", "+0000", "+00:00", "-00:00"] {
                prop_assert_eq!(parse_moment(&text.replace('Z', offset)), Some(Moment(ms)));
            }
        }
    }

    #[test]
    fn an_offset_is_taken_off() {
        let utc = parse_moment("2026-03-01T00:30:00Z");
        assert_eq!(parse_moment("2026-03-01T01:30:00+01:00"), utc);
        assert_eq!(parse_moment("2026-02-28T19:30:00.000-0500"), utc);
        assert_eq!(parse_moment("2026-03-01T01:30:00*01:00"), None);
    }
}
