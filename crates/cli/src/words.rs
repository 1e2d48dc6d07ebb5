//! Numbers and durations in words, alike in every command.

/// `1234567` → `1,234,567`.
pub fn thousands(number: impl Into<i64>) -> String {
    let number = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        text.push('−');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1, "record", "records"` → `1 record`.
pub fn count(number: u32, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// `1` → `1 key`, `1234` → `1,234 keys`.
pub fn keys(number: u64) -> String {
    let text = thousands(i64::try_from(number).unwrap_or(i64::MAX));
    format!("{text} {}", if number == 1 { "key" } else { "keys" })
}

/// Bytes in the unit that leaves at most four digits: `812 B`, `1.2 kB`, `48 MB`.
pub fn bytes(number: u64) -> String {
    let (mut left, mut unit) = (number as f64, "B");
    for larger in ["kB", "MB", "GB", "TB"] {
        if left < 1_000.0 {
            break;
        }
        (left, unit) = (left / 1_000.0, larger);
    }
    if unit == "B" || left >= 10.0 { format!("{left:.0} {unit}") } else { format!("{left:.1} {unit}") }
}

/// Milliseconds in at most two units: `38 ms`, `1.2 s`, `18 min 26 s`, `3 h 5 min`.
pub fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        10_000..60_000 => format!("{} s", ms / 1_000),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        3_600_000..86_400_000 => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
        _ => format!("{} d {} h", ms / 86_400_000, ms % 86_400_000 / 3_600_000),
    }
}

/// Lays rows out in columns; the first row is the heading. Columns named in `right` are aligned to the right.
pub fn table(rows: &[Vec<String>], right: &[usize]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    rows.iter()
        .map(|row| {
            let cells: Vec<String> = row
                .iter()
                .enumerate()
                .map(|(column, cell)| {
                    let padding = " ".repeat(widths[column] - cell.chars().count());
                    if right.contains(&column) {
                        format!("{padding}{cell}")
                    } else {
                        format!("{cell}{padding}")
                    }
                })
                .collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// A text as it may be shown on a terminal: control characters, which may stand in an argument or in a record, are
/// spelled out. New lines and our own colours stay.
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(colour) = leading_colour(rest) {
            shown.push_str(colour);
            rest = &rest[colour.len()..];
            continue;
        }
        if character.is_control() && character != '\n' {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
        rest = &rest[character.len_utf8()..];
    }
    shown
}

/// The colour that a text begins with: `ESC [ digits m`.
fn leading_colour(text: &str) -> Option<&str> {
    let digits = text.strip_prefix("\u{1b}[")?;
    let end = digits.find(|character: char| !character.is_ascii_digit())?;
    digits[end..].starts_with('m').then(|| &text[..end + 3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_unit_that_can_be_read() {
        let shown: Vec<String> = [0, 812, 1_234, 48_200_000, 9_990_000_000].map(bytes).into();
        assert_eq!(shown, ["0 B", "812 B", "1.2 kB", "48 MB", "10.0 GB"]);
        assert_eq!((keys(1), keys(1_234)), ("1 key".to_owned(), "1,234 keys".to_owned()));
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(thousands(-4_200), "−4,200");
    }

    #[test]
    fn durations_have_two_units_at_most() {
        assert_eq!(duration(38), "38 ms");
        assert_eq!(duration(1_250), "1.2 s");
        assert_eq!(duration(1_106_000), "18 min 26 s");
        assert_eq!(duration(90_000_000), "1 d 1 h");
    }

    #[test]
    fn control_characters_are_spelled_out_and_colours_stay() {
        assert_eq!(harmless("a\u{1b}[2Jb\rc\n"), "a\\u{1b}[2Jb\\rc\n");
        assert_eq!(harmless("\u{1b}[32mgreen\u{1b}[0m ü"), "\u{1b}[32mgreen\u{1b}[0m ü");
        assert_eq!(harmless("\u{9b}1m"), "\\u{9b}1m");
    }

    #[test]
    fn columns_line_up() {
        let rows = vec![vec!["Object".into(), "Rows".into()], vec!["Account".into(), "7".into()]];
        assert_eq!(table(&rows, &[1]), "Object   Rows\nAccount     7");
    }
}
