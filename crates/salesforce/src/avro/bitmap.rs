//! The three lists of a header that name fields by their position: changed, nulled, sent as a difference.

use super::layout::{Field, Layout};

/// A field, or a part of a compound field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Position in the event's record.
    pub field: usize,
    /// Position within that field's record; none for the field as a whole.
    pub part: Option<usize>,
}

/// A list that does not fit the schema, or is no list of bitmaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Misfit;

/// Reads one of the lists.
///
/// - **Shape:** sorted, without repetition. Each element is `0x…` over the record's fields, `4-0x…` over the fields
///   within field 4, or a field's plain name; in any order, in either letter case, of any width.
/// - **Errors:** [`Misfit`] for a position or name that the writer's schema does not have.
pub(super) fn read(elements: &[String], layout: &Layout) -> Result<Vec<Place>, Misfit> {
    let mut places = Vec::new();
    for element in elements {
        read_element(element, layout, &mut places)?;
    }
    places.sort_unstable();
    places.dedup();
    Ok(places)
}

fn read_element(element: &str, layout: &Layout, places: &mut Vec<Place>) -> Result<(), Misfit> {
    if let Some((parent, bitmap)) = element.split_once('-') {
        let field = parent.parse::<usize>().map_err(|_| Misfit)?;
        let parts = parts_of(layout.fields.get(field).ok_or(Misfit)?)?;
        let digits = digits(bitmap).ok_or(Misfit)?;
        return each_bit(digits, parts, |part| places.push(Place { field, part: Some(part) }));
    }
    if let Some(digits) = digits(element) {
        return each_bit(digits, layout.fields.len(), |field| places.push(Place { field, part: None }));
    }
    places.push(by_name(element, layout)?);
    Ok(())
}

fn parts_of(field: &Field) -> Result<usize, Misfit> {
    field.parts.as_ref().map(|parts| parts.len()).ok_or(Misfit)
}

fn digits(bitmap: &str) -> Option<&str> {
    bitmap.strip_prefix("0x").or_else(|| bitmap.strip_prefix("0X"))
}

/// Walks from the last digit, which holds bits 0 to 3, to the first. Records have more fields than any integer bits.
fn each_bit(digits: &str, fields: usize, mut set: impl FnMut(usize)) -> Result<(), Misfit> {
    for (place, digit) in digits.bytes().rev().enumerate() {
        let four = char::from(digit).to_digit(16).ok_or(Misfit)?;
        for bit in (0..4).filter(|bit| four & (1 << bit) != 0) {
            let position = place * 4 + bit;
            if position >= fields {
                return Err(Misfit);
            }
            set(position);
        }
    }
    Ok(())
}

/// Very old deliveries carry names: `Name`, `BillingAddress.City`.
fn by_name(name: &str, layout: &Layout) -> Result<Place, Misfit> {
    let (parent, part) = name.split_once('.').map_or((name, None), |(parent, part)| (parent, Some(part)));
    let field = layout.position(parent).ok_or(Misfit)?;
    let part = match part {
        Some(part) => {
            let parts = layout.fields[field].parts.as_deref().ok_or(Misfit)?;
            Some(parts.iter().position(|known| known.name == part).ok_or(Misfit)?)
        }
        None => None,
    };
    Ok(Place { field, part })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{super::layout::Part, *};

    /// A record of 80 fields, of which number 4 holds 11 within.
    fn layout() -> Layout {
        let parts: Arc<[Part]> = (0..11).map(|part| Part { name: format!("P{part}"), flat: None }).collect();
        let field = |position: usize| Field {
            name: format!("F{position}"),
            parts: (position == 4).then(|| parts.clone()),
            plain: true,
            micros: false,
        };
        Layout { fields: (0..80).map(field).collect(), header: Some(0) }
    }

    fn positions(elements: &[&str]) -> Result<Vec<(usize, Option<usize>)>, Misfit> {
        let elements: Vec<_> = elements.iter().map(|&element| element.to_owned()).collect();
        Ok(read(&elements, &layout())?.iter().map(|place| (place.field, place.part)).collect())
    }

    fn fields(elements: &[&str]) -> Vec<usize> {
        positions(elements).unwrap().into_iter().map(|(field, _)| field).collect()
    }

    #[test]
    fn positions_are_read_from_salesforces_own_samples() {
        for (bitmap, expected) in [
            ("0x410000", vec![16, 22]),
            ("0x010000", vec![16]),
            ("0x400800", vec![11, 22]),
            ("0x650004E0", vec![5, 6, 7, 10, 24, 26, 29, 30]),
        ] {
            assert_eq!(fields(&[bitmap]), expected, "{bitmap}");
        }
        assert_eq!(positions(&["4-0x06"]), Ok(vec![(4, Some(1)), (4, Some(2))]));
    }

    #[test]
    fn worked_examples_come_out() {
        for (bitmap, expected) in [
            ("0x08", vec![3]),
            ("0x90", vec![4, 7]),
            ("0x88", vec![3, 7]),
            ("0x0100", vec![8]),
            ("0x0120", vec![5, 8]),
            ("0x0190", vec![4, 7, 8]),
            ("0x2280", vec![7, 9, 13]),
            ("0x400002", vec![1, 22]),
            ("0x01400008", vec![3, 22, 24]),
            ("0x100000400000", vec![22, 44]),
            ("0x400000000000000000", vec![70]),
        ] {
            assert_eq!(fields(&[bitmap]), expected, "{bitmap}");
        }
        let nested = Ok(vec![(4, Some(1)), (4, Some(2)), (22, None)]);
        assert_eq!(positions(&["0x400000", "4-0x06"]), nested);
        assert_eq!(positions(&["4-0x06", "0x400000"]), nested);
        assert_eq!(positions(&["4-0x08"]), Ok(vec![(4, Some(3))]));
    }

    #[test]
    fn letter_case_odd_counts_and_names_are_tolerated() {
        assert_eq!(fields(&["0x650004e0"]), [5, 6, 7, 10, 24, 26, 29, 30]);
        assert_eq!(fields(&["0x8"]), [3]);
        assert_eq!(fields(&["0x"]), [0_usize; 0]);
        assert_eq!(fields(&["0x00"]), [0_usize; 0]);
        assert_eq!(positions(&["F7", "F4.P10"]), Ok(vec![(4, Some(10)), (7, None)]));
    }

    #[test]
    fn what_the_schema_does_not_have_is_a_misfit() {
        let beyond = format!("0x1{}", "0".repeat(20));
        for wrong in
            [beyond.as_str(), "4-0x0800", "3-0x01", "99-0x01", "x-0x01", "4-06", "0xZZ", "F80", "F4.P11", ""]
        {
            assert_eq!(positions(&[wrong]), Err(Misfit), "{wrong}");
        }
    }
}
