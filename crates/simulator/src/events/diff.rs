//! Long texts as differences, where that is shorter.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Characters from which a text may be sent as a difference.
const LONG: usize = 1_000;

/// The difference from one text to another as a unified diff without context, if the new text is long and the
/// difference is shorter. The line of the new text names its SHA-256.
pub fn text_diff(before: &str, after: &str) -> Option<String> {
    if after.chars().count() < LONG {
        return None;
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (before.split('\n').collect(), after.split('\n').collect());
    let head = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
    let (removed, added) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);

    let mut diff = String::from("--- \n+++ ");
    for byte in Sha256::digest(after.as_bytes()) {
        write!(diff, "{byte:02x}").expect("writing to a string cannot fail");
    }
    write!(diff, "\n@@ -{},{} +{},{} @@", head + 1, removed.len(), head + 1, added.len())
        .expect("writing to a string cannot fail");
    for (sign, lines) in [('-', removed), ('+', added)] {
        for line in lines {
            diff.push('\n');
            diff.push(sign);
            diff.push_str(line);
        }
    }
    (diff.len() < after.len()).then_some(diff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_changed_line_of_a_long_text_is_a_short_difference() {
        let lines: Vec<String> =
            (0..60).map(|line| format!("This is line {line} of a description.")).collect();
        let before = lines.join("\n");
        let after = before.replace("line 30 ", "line thirty ");
        let diff = text_diff(&before, &after).unwrap();
        assert!(diff.len() < 250, "{diff}");
        assert!(diff.starts_with("--- \n+++ "));
        assert!(diff.ends_with(
            "\n@@ -31,1 +31,1 @@\n-This is line 30 of a description.\n+This is line thirty of a description."
        ));
    }

    #[test]
    fn short_texts_and_wholly_new_texts_come_whole() {
        assert_eq!(text_diff("a", "b"), None);
        assert_eq!(text_diff("short", &"new ".repeat(400)), None);
    }
}
