//! Days, times and their texts, without an allocation per value.
//!
//! Times are milliseconds, dates are days, both counted from 1970-01-01 in UTC.

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

/// The year, month (1 to 12) and day (1 to 31) of a day number.
pub fn civil(day: i64) -> (i64, u32, u32) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, u32::try_from(month).unwrap_or(1), u32::try_from(day_of_month).unwrap_or(1))
}

/// The day number of a year, month and day.
pub fn day_number(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Which ending a time is written with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Zone {
    /// `2026-05-04T09:15:01.000Z`, as in Bulk CSV.
    Z,
    /// `2026-05-04T09:15:01.000+0000`, as in REST JSON.
    Offset,
}

/// Appends a date as `2026-05-04`.
pub fn write_date(out: &mut Vec<u8>, day: i64) {
    let (year, month, day) = civil(day);
    let mut text = *b"0000-00-00";
    digits(&mut text[0..4], year.unsigned_abs());
    digits(&mut text[5..7], month.into());
    digits(&mut text[8..10], day.into());
    out.extend_from_slice(&text);
}

/// Appends a time of milliseconds since 1970.
pub fn write_time(out: &mut Vec<u8>, ms: i64, zone: Zone) {
    write_date(out, ms.div_euclid(DAY_MS));
    let of_day = ms.rem_euclid(DAY_MS).unsigned_abs();
    let mut text = *b"T00:00:00.000";
    digits(&mut text[1..3], of_day / 3_600_000);
    digits(&mut text[4..6], of_day / 60_000 % 60);
    digits(&mut text[7..9], of_day / 1_000 % 60);
    digits(&mut text[10..13], of_day % 1_000);
    out.extend_from_slice(&text);
    out.extend_from_slice(match zone {
        Zone::Z => b"Z",
        Zone::Offset => b"+0000",
    });
}

/// A time as a string, for bodies that are built piece by piece.
pub fn time_text(ms: i64) -> String {
    let mut out = Vec::with_capacity(28);
    write_time(&mut out, ms, Zone::Offset);
    String::from_utf8(out).unwrap_or_default()
}

/// Reads `YYYY-MM-DD`.
pub fn parse_date(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let (year, month, day) = (number(&bytes[0..4])?, number(&bytes[5..7])?, number(&bytes[8..10])?);
    let (month, day) = (u32::try_from(month).ok()?, u32::try_from(day).ok()?);
    let days = day_number(year, month, day);
    (civil(days) == (year, month, day)).then_some(days)
}

/// Reads a time with `T` or a space, any fraction up to nine digits, and `Z`, `+00:00`, `+0000` or no offset (UTC).
pub fn parse_time(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() < 19 || !matches!(bytes[10], b'T' | b't' | b' ') || bytes[13] != b':' || bytes[16] != b':'
    {
        return None;
    }
    let day = parse_date(text.get(..10)?)?;
    let (hour, minute, second) = (number(&bytes[11..13])?, number(&bytes[14..16])?, number(&bytes[17..19])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = &bytes[19..];
    let mut ms = 0;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 || length > 9 {
            return None;
        }
        let mut padded = *b"000";
        let kept = length.min(3);
        padded[..kept].copy_from_slice(&fraction[..kept]);
        ms = number(&padded)?;
        rest = &fraction[length..];
    }
    let offset_minutes = parse_offset(rest)?;
    Some(day * DAY_MS + ((hour * 60 + minute - offset_minutes) * 60 + second) * 1_000 + ms)
}

fn parse_offset(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text {
        [] | b"Z" | b"z" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest {
        [_, _, b':', _, _] => (number(&rest[..2])?, number(&rest[3..])?),
        [_, _, _, _] => (number(&rest[..2])?, number(&rest[2..])?),
        _ => return None,
    };
    Some(sign * (hours * 60 + minutes))
}

fn digits(place: &mut [u8], mut number: u64) {
    for byte in place.iter_mut().rev() {
        *byte = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0_i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Datelike, TimeDelta};

    use super::*;

    #[test]
    fn days_agree_with_a_calendar_that_others_wrote() {
        for day in (-200_000..200_000).step_by(37) {
            let date = (DateTime::UNIX_EPOCH + TimeDelta::days(day)).date_naive();
            assert_eq!(civil(day), (i64::from(date.year()), date.month(), date.day()));
            assert_eq!(day_number(date.year().into(), date.month(), date.day()), day);
        }
    }

    #[test]
    fn times_are_written_as_the_two_apis_write_them() {
        let ms = parse_time("2026-05-04T09:15:01Z").unwrap();
        let mut out = Vec::new();
        write_time(&mut out, ms, Zone::Z);
        assert_eq!(out, b"2026-05-04T09:15:01.000Z");
        assert_eq!(time_text(ms), "2026-05-04T09:15:01.000+0000");
    }

    #[test]
    fn every_spelling_of_a_time_is_read_alike() {
        let ms = parse_time("2026-03-01T00:00:00Z").unwrap();
        for text in [
            "2026-03-01T01:00:00+01:00",
            "2026-02-28T19:00:00-0500",
            "2026-03-01T00:00:00.000+0000",
            "2026-03-01 00:00:00",
            "2026-03-01T00:00:00.000000000Z",
        ] {
            assert_eq!(parse_time(text), Some(ms), "{text}");
        }
        for text in ["2026-02-30T00:00:00Z", "2026-03-01T25:00:00Z", "2026-03-01T00:00:00+1", "2026-03-01"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
