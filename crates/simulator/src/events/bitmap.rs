//! Bitmaps of fields, as `changedFields`, `nulledFields` and `diffFields` carry them.

use std::fmt::Write;

/// The bitmap of these positions: `0x`, then big-endian hexadecimal digits in pairs, without leading zero bytes.
/// Nothing if there is no position.
pub fn bitmap(positions: &[usize]) -> Option<String> {
    let highest = positions.iter().max()?;
    let mut bytes = vec![0_u8; highest / 8 + 1];
    let last = bytes.len() - 1;
    for position in positions {
        bytes[last - position / 8] |= 1 << (position % 8);
    }
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("0x");
    for byte in bytes {
        write!(text, "{byte:02X}").expect("writing to a string cannot fail");
    }
    Some(text)
}

/// The elements for fields of the record itself and of its compounds: the former first, then one per compound.
///
/// `nested` holds pairs of the compound's own position and the position inside it.
pub fn elements(top: &[usize], nested: &[(usize, usize)]) -> Vec<String> {
    let mut elements: Vec<String> = bitmap(top).into_iter().collect();
    let mut parents: Vec<usize> = nested.iter().map(|(parent, _)| *parent).collect();
    parents.sort_unstable();
    parents.dedup();
    for parent in parents {
        let inside: Vec<usize> = nested.iter().filter(|(of, _)| *of == parent).map(|(_, at)| *at).collect();
        elements.extend(bitmap(&inside).map(|bits| format!("{parent}-{bits}")));
    }
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worked_examples_come_out_as_written() {
        for (positions, text) in [
            (vec![3], "0x08"),
            (vec![4, 7], "0x90"),
            (vec![3, 7], "0x88"),
            (vec![8], "0x0100"),
            (vec![5, 8], "0x0120"),
            (vec![4, 7, 8], "0x0190"),
            (vec![7, 9, 13], "0x2280"),
            (vec![1, 22], "0x400002"),
            (vec![3, 22, 24], "0x01400008"),
            (vec![22, 44], "0x100000400000"),
            (vec![70], "0x400000000000000000"),
            (vec![16, 22], "0x410000"),
            (vec![16], "0x010000"),
            (vec![11, 22], "0x400800"),
            (vec![5, 6, 7, 10, 24, 26, 29, 30], "0x650004E0"),
        ] {
            assert_eq!(bitmap(&positions).unwrap(), text, "{positions:?}");
        }
        assert_eq!(bitmap(&[]), None);
    }

    #[test]
    fn components_of_a_compound_have_an_element_of_their_own() {
        assert_eq!(elements(&[22], &[(4, 1), (4, 2)]), ["0x400000", "4-0x06"]);
        assert_eq!(elements(&[], &[(4, 3)]), ["4-0x08"]);
        assert_eq!(elements(&[22], &[(5, 0), (4, 10)]), ["0x400000", "4-0x0400", "5-0x01"]);
    }
}
