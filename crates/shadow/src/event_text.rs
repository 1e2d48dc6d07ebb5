//! The text of an event's value, as Bulk or REST would have sent it.
//!
//! Avro carries money as binary floating point and times as numbers; which text they stand for depends on the field's
//! type and scale, which only describe knows. From the text on, an event's values take the way of every read
//! ([`crate::prepare`]), so that the same record has the same canonical form whatever the source.

use std::borrow::Cow;

use crate::describe::FieldType;
use crate::event::EventValue;
use crate::value::{Moment, write_decimal, write_moment};

/// A whole number below this is a count of days, not of milliseconds: it would be the year 29,000, while as
/// milliseconds it lies within three hours of 1970, which no day but the first does.
const MOST_DAYS: i64 = 10_000_000;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Returns the text of a value for a field of this type; `None` is null.
///
/// - **Units:** decimals rounded half up to `scale` digits from the shortest text that names the double, so that what
///   15 or 16 digits can say is exact; moments as `YYYY-MM-DDTHH:MM:SS.sssZ`, days as `YYYY-MM-DD`, times of day as
///   `HH:MM:SS.sssZ`.
/// - **Errors:** none. A value that is not of its field's type keeps a text that is no value of the type either, so
///   that its record is rejected as broken instead of stored wrongly.
pub fn event_text(field_type: FieldType, scale: u32, value: &EventValue) -> Option<Cow<'_, str>> {
    match value {
        // What is withheld is nobody's to lay over: see [`crate::fold`].
        EventValue::Null | EventValue::Withheld => None,
        // Empty is null, as in every read.
        EventValue::Text(text) => (!text.is_empty()).then_some(Cow::Borrowed(text)),
        EventValue::Boolean(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
        EventValue::Double(number) => Some(Cow::Owned(match field_type {
            FieldType::Decimal => at_scale(round_half_up(&number.to_string(), scale), scale),
            FieldType::Integer => round_half_up(&number.to_string(), 0),
            _ => number.to_string(),
        })),
        EventValue::Whole(number) => Some(Cow::Owned(match field_type {
            FieldType::DateTime => moment_text(*number),
            FieldType::Date => {
                let ms = if number.abs() < MOST_DAYS { number.saturating_mul(DAY_MS) } else { *number };
                let mut text = moment_text(ms);
                text.truncate(10);
                text
            }
            // A time of day is the end of its moment's text.
            FieldType::Decimal => at_scale(number.to_string(), scale),
            FieldType::Time if (0..DAY_MS).contains(number) => moment_text(*number).split_off(11),
            _ => number.to_string(),
        })),
    }
}

/// A decimal with as many digits behind the point as a stored one has, so that the two can be compared as texts.
fn at_scale(number: String, scale: u32) -> String {
    let mut text = Vec::with_capacity(number.len() + 3);
    match write_decimal(&number, scale, &mut text) {
        Ok(()) => String::from_utf8(text).unwrap_or_default(),
        Err(_) => number,
    }
}

fn moment_text(ms: i64) -> String {
    let mut text = Vec::with_capacity(24);
    write_moment(Moment(ms), &mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// Rounds a plain decimal text (sign, digits, point; no exponent) to `scale` digits behind the point, halves away from
/// zero. Another text comes back as it is.
fn round_half_up(text: &str, scale: u32) -> String {
    let scale = scale as usize;
    let Some((whole, fraction)) = text.split_once('.') else { return text.to_owned() };
    if fraction.len() <= scale {
        return text.to_owned();
    }
    let (kept, cut) = fraction.split_at(scale);
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let mut digits: Vec<u8> = whole.bytes().chain(kept.bytes()).collect();
    if cut.as_bytes()[0] >= b'5' {
        let nines = digits.iter().rev().take_while(|digit| **digit == b'9').count();
        let end = digits.len();
        digits[end - nines..].fill(b'0');
        match end.checked_sub(nines + 1) {
            Some(place) => digits[place] += 1,
            None => digits.insert(0, b'1'),
        }
    }
    let fraction = digits.split_off(digits.len() - scale);
    let text = |digits: Vec<u8>| String::from_utf8(digits).unwrap_or_default();
    if scale == 0 {
        format!("{sign}{}", text(digits))
    } else {
        format!("{sign}{}.{}", text(digits), text(fraction))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rust_decimal::{Decimal, RoundingStrategy};

    use super::*;
    use crate::value::write_json;

    fn text(field_type: FieldType, scale: u32, value: &EventValue) -> String {
        event_text(field_type, scale, value).unwrap().into_owned()
    }

    #[test]
    fn money_is_rounded_half_up_to_its_scale() {
        for (number, scale, expected) in [
            (0.1 + 0.2, 2, "0.30"),
            (1.005, 2, "1.01"),
            (-1.005, 2, "-1.01"),
            (9.995, 2, "10.00"),
            (99.99, 2, "99.99"),
            (1e15, 2, "1000000000000000.00"),
            (123_456_789_012.345_67, 2, "123456789012.35"),
            (2.5, 0, "3"),
            (-0.001, 2, "0.00"),
            (25_000.0, 2, "25000.00"),
        ] {
            assert_eq!(text(FieldType::Decimal, scale, &EventValue::Double(number)), expected, "{number}");
        }
    }

    #[test]
    fn moments_days_and_times_are_told_apart_by_the_fields_type() {
        let whole = EventValue::Whole;
        assert_eq!(text(FieldType::DateTime, 0, &whole(1_777_886_101_000)), "2026-05-04T09:15:01.000Z");
        assert_eq!(text(FieldType::Date, 0, &whole(1_777_852_800_000)), "2026-05-04");
        assert_eq!(text(FieldType::Date, 0, &whole(20_577)), "2026-05-04");
        assert_eq!(text(FieldType::Date, 0, &whole(-1)), "1969-12-31");
        assert_eq!(text(FieldType::Date, 0, &EventValue::Text("2026-05-04".to_owned())), "2026-05-04");
        assert_eq!(text(FieldType::Time, 0, &whole(36_900_000)), "10:15:00.000Z");
        assert_eq!(text(FieldType::Integer, 0, &whole(12)), "12");
        assert_eq!(text(FieldType::Decimal, 2, &whole(12)), "12.00");
    }

    #[test]
    fn a_value_of_another_type_stays_broken() {
        for (field_type, value) in [
            (FieldType::Decimal, EventValue::Double(f64::NAN)),
            (FieldType::Boolean, EventValue::Whole(1)),
            (FieldType::Time, EventValue::Whole(-5)),
            (FieldType::Date, EventValue::Boolean(true)),
        ] {
            let text = event_text(field_type, 2, &value);
            assert!(write_json(field_type, 2, text.as_deref(), &mut Vec::new()).is_err(), "{value:?}");
        }
        assert_eq!(event_text(FieldType::Text, 0, &EventValue::Null), None);
    }

    proptest! {
        /// A price that Salesforce holds exactly comes back exactly, although it travelled as a double.
        #[test]
        fn what_fits_into_fifteen_digits_comes_back_exactly(cents in -99_999_999_999_999_i64..99_999_999_999_999, scale in 0_u32..6) {
            let exact = Decimal::new(cents, scale);
            let double: f64 = exact.to_string().parse().unwrap();
            let text = text(FieldType::Decimal, scale, &EventValue::Double(double));
            prop_assert_eq!(text.parse::<Decimal>().unwrap(), exact);
        }

        #[test]
        fn rounding_is_that_of_decimal_arithmetic(mantissa in -1_000_000_000_i64..1_000_000_000, places in 0_u32..8, scale in 0_u32..8) {
            let number = Decimal::new(mantissa, places);
            let rounded = round_half_up(&number.to_string(), scale);
            let expected = number.round_dp_with_strategy(scale, RoundingStrategy::MidpointAwayFromZero);
            prop_assert_eq!(rounded.parse::<Decimal>().unwrap(), expected);
        }
    }
}
