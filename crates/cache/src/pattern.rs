//! Patterns of keys, as Redis' `MATCH` reads them.

use crate::Error;

/// Refuses what Redis would read otherwise than it looks.
///
/// - **Errors:** an empty pattern; a `[` that is not closed or a `\` at the end, which would swallow what we add to
///   find the leases.
pub(crate) fn checked(pattern: &str) -> Result<(), Error> {
    let refuse = |problem| Err(Error::Pattern { pattern: pattern.to_owned(), problem });
    if pattern.is_empty() {
        return refuse("it is empty; `*` means every key");
    }
    let mut is_escaped = false;
    let mut is_class = false;
    for letter in pattern.chars() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '[' => is_class = true,
            ']' => is_class = false,
            _ => {}
        }
    }
    if is_escaped {
        return refuse("it ends in a backslash; write two for a key that ends in one");
    }
    if is_class {
        return refuse("a `[` is not closed; write \\[ for a key that has one");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_mean_something_else_than_they_look_are_refused() {
        for pattern in ["", "catalog:\\", "catalog:[ab", "a[\\]"] {
            assert!(checked(pattern).is_err(), "{pattern}");
        }
        for pattern in ["*", "catalog:*", "catalog:[ab]?", "a\\[b", "a\\\\", "a]"] {
            assert_eq!(checked(pattern), Ok(()), "{pattern}");
        }
    }
}
