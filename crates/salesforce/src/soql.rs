//! Text into SOQL. Names are checked types; values pass through [`quoted`] and nothing else.

use chrono::{DateTime, SecondsFormat, Utc};

/// A string literal of SOQL, quotes included.
///
/// - **Shape:** backslash, quotes and control characters escaped; everything else as it is.
/// - **Errors:** none.
/// - **Source:** SOQL's escape sequences `\' \" \\ \n \r \t \b \f`.
pub fn quoted(value: &str) -> String {
    let mut literal = String::with_capacity(value.len() + 2);
    literal.push('\'');
    for character in value.chars() {
        match character {
            '\'' | '"' | '\\' => {
                literal.push('\\');
                literal.push(character);
            }
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            '\u{8}' => literal.push_str("\\b"),
            '\u{c}' => literal.push_str("\\f"),
            _ => literal.push(character),
        }
    }
    literal.push('\'');
    literal
}

/// A time literal of SOQL, in UTC with `Z`, because `+` would have to be escaped in an address.
pub fn time(value: DateTime<Utc>) -> String {
    value.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_leave_its_quotes() {
        assert_eq!(quoted("O'Neil"), r"'O\'Neil'");
        assert_eq!(quoted(r"\' OR Id != '"), r"'\\\' OR Id != \''");
        assert_eq!(quoted("a\nb\"c"), r#"'a\nb\"c'"#);
        assert_eq!(quoted("Größe 😀"), "'Größe 😀'");
    }

    #[test]
    fn a_time_carries_no_plus_sign() {
        assert_eq!(time(DateTime::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }
}
