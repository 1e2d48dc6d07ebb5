//! Decimal numbers, exactly.

use super::BrokenValue;

/// Exponents beyond this are no amount of anything; they would only make long rows of zeros.
const MAX_EXPONENT: i32 = 400;

/// A number's text taken apart: its digits, and where the point stands among them.
struct Parts<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i32,
}

/// Appends a decimal number with all its digits, and at least `scale` behind the point.
///
/// Zeros that say nothing go; a digit that says something stays even beyond the scale, so that nothing is rounded.
/// Reads `12`, `-0.5`, `.5`, `12.0`, `1.2E7`, `+3e-2`.
pub fn write_decimal(text: &str, scale: u32, out: &mut Vec<u8>) -> Result<(), BrokenValue> {
    let parts = take_apart(text.as_bytes()).ok_or(BrokenValue)?;
    let scale = scale as usize;
    if parts.exponent != 0 {
        let (whole, fraction) = shifted(&parts);
        write_parts(parts.negative, &whole, &fraction, scale, out);
    } else {
        write_parts(parts.negative, parts.whole, parts.fraction, scale, out);
    }
    Ok(())
}

/// How many digits a canonical decimal has before and behind the point, zeros at either end not counted.
pub fn digits_needed(canonical: &[u8]) -> (usize, usize) {
    let unsigned = canonical.strip_prefix(b"-").unwrap_or(canonical);
    let mut halves = unsigned.splitn(2, |byte| *byte == b'.');
    let whole = without_leading_zeros(halves.next().unwrap_or_default());
    let fraction = without_trailing_zeros(halves.next().unwrap_or_default());
    (whole.len(), fraction.len())
}

fn take_apart(text: &[u8]) -> Option<Parts<'_>> {
    let (negative, rest) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match rest.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(place) => (&rest[..place], parse_exponent(&rest[place + 1..])?),
        None => (rest, 0),
    };
    let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
        Some(place) => (&mantissa[..place], &mantissa[place + 1..]),
        None => (mantissa, &mantissa[..0]),
    };
    let digits = whole.iter().chain(fraction);
    if whole.len() + fraction.len() == 0 || !digits.clone().all(u8::is_ascii_digit) {
        return None;
    }
    Some(Parts { negative, whole, fraction, exponent })
}

fn parse_exponent(text: &[u8]) -> Option<i32> {
    let exponent: i32 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (exponent.abs() <= MAX_EXPONENT).then_some(exponent)
}

/// The digits before and behind the point once it was moved by the exponent.
fn shifted(parts: &Parts<'_>) -> (Vec<u8>, Vec<u8>) {
    let mut whole = parts.whole.to_vec();
    let mut fraction = parts.fraction.to_vec();
    let places = parts.exponent.unsigned_abs() as usize;
    if parts.exponent > 0 {
        fraction.resize(fraction.len().max(places), b'0');
        whole.extend(fraction.drain(..places));
    } else {
        let missing = places.saturating_sub(whole.len());
        whole.splice(0..0, std::iter::repeat_n(b'0', missing));
        let moved = whole.split_off(whole.len() - places);
        fraction.splice(0..0, moved);
    }
    (whole, fraction)
}

fn write_parts(negative: bool, whole: &[u8], fraction: &[u8], scale: usize, out: &mut Vec<u8>) {
    let whole = without_leading_zeros(whole);
    let fraction = without_trailing_zeros(fraction);
    if negative && !(whole.is_empty() && fraction.is_empty()) {
        out.push(b'-');
    }
    if whole.is_empty() {
        out.push(b'0');
    }
    out.extend_from_slice(whole);
    if fraction.len().max(scale) == 0 {
        return;
    }
    out.push(b'.');
    out.extend_from_slice(fraction);
    out.extend(std::iter::repeat_n(b'0', scale.saturating_sub(fraction.len())));
}

fn without_leading_zeros(digits: &[u8]) -> &[u8] {
    &digits[digits.iter().take_while(|byte| **byte == b'0').count()..]
}

fn without_trailing_zeros(digits: &[u8]) -> &[u8] {
    &digits[..digits.len() - digits.iter().rev().take_while(|byte| **byte == b'0').count()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    use super::*;

    fn canonical(text: &str, scale: u32) -> Option<String> {
        let mut out = Vec::new();
        write_decimal(text, scale, &mut out).ok()?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn numbers_have_one_form_at_their_scale() {
        for (text, scale, expected) in [
            ("25000", 2, "25000.00"),
            ("12.0", 0, "12"),
            ("1.0E7", 2, "10000000.00"),
            ("1.5e-3", 2, "0.0015"),
            ("+3E-2", 2, "0.03"),
            (".5", 2, "0.50"),
            ("5.", 2, "5.00"),
            ("-0.0", 2, "0.00"),
            ("-0.001", 2, "-0.001"),
            ("007.1000", 2, "7.10"),
            ("12.3456", 2, "12.3456"),
            ("123.456E1", 0, "1234.56"),
            ("0E400", 0, "0"),
        ] {
            assert_eq!(canonical(text, scale).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", ".", "1e", "1e1000000000", "1,5", "NaN", "0x1", "1.2.3", "1 "] {
            assert_eq!(canonical(text, 2), None, "{text}");
        }
    }

    #[test]
    fn digits_are_counted_without_idle_zeros() {
        assert_eq!(digits_needed(b"25000.00"), (5, 0));
        assert_eq!(digits_needed(b"-0.0150"), (0, 3));
    }

    proptest! {
        #[test]
        fn a_number_keeps_its_value_and_its_form(mantissa in -1_000_000_000_i64..1_000_000_000, places in 0_u32..6, scale in 0_u32..5) {
            let number = Decimal::new(mantissa, places);
            let first = canonical(&number.to_string(), scale).unwrap();
            prop_assert_eq!(first.parse::<Decimal>().unwrap(), number);
            prop_assert_eq!(canonical(&first, scale).unwrap(), first.clone());
            // The same value with an exponent has the same form.
            let scientific = format!("{mantissa}E-{places}");
            prop_assert_eq!(canonical(&scientific, scale).unwrap(), first);
        }
    }
}
