//! Patterns of keys, as Redis reads them: `*`, `?`, `[ab]`, `[^a]`, `[a-z]`, and `\` before what is meant as it is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest pattern or template that is taken.
pub(super) const LONGEST: usize = 4_096;

/// A pattern of keys; never empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// Redis would take it for a pattern that matches nothing, a slip would rather mean everything.
    #[error("An empty pattern is refused. Name what to match, for example catalog:*")]
    Empty,
    /// Longer than any key should be.
    #[error("The pattern is {length} bytes long; the longest is {LONGEST}")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// Redis would read it as something else than it looks like.
    #[error(
        "The pattern has a [ that is not closed, or ends in \\. Put \\ before a character that is meant as it is"
    )]
    Open,
    /// A control character is a slip, and would garble what is shown.
    #[error("The pattern has a control character. Write what to match, for example catalog:*")]
    Control,
}

/// One step of a match.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// `*`
    Any,
    /// `?`
    One,
    Byte(u8),
    Class {
        ranges: Vec<(u8, u8)>,
        is_negated: bool,
    },
}

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        if text.trim().is_empty() {
            return Err(InvalidPattern::Empty);
        }
        if text.len() > LONGEST {
            return Err(InvalidPattern::TooLong { length: text.len() });
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidPattern::Control);
        }
        if is_open(text) {
            return Err(InvalidPattern::Open);
        }
        Ok(Self(text.to_owned()))
    }

    /// The pattern that matches this key and nothing else.
    pub fn exactly(key: &str) -> Self {
        Self(escape(key))
    }

    /// A pattern made of escaped pieces, which is right whatever is in them.
    pub(super) fn rendered(text: String) -> Self {
        Self(text)
    }

    /// As Redis takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing in it stands for itself, so that it may match every key of the server.
    pub fn is_everything(&self) -> bool {
        !self.tokens().iter().any(|token| matches!(token, Token::Byte(_)))
    }

    /// Whether a key matches.
    pub fn matches(&self, key: &str) -> bool {
        let (tokens, key) = (self.tokens(), key.as_bytes());
        let (mut at, mut place) = (0, 0);
        // Where to go back to: behind the last `*`, and the key's place that it was tried at.
        let mut back: Option<(usize, usize)> = None;
        while place < key.len() {
            match tokens.get(at) {
                Some(Token::Any) => {
                    back = Some((at + 1, place));
                    at += 1;
                    continue;
                }
                Some(token) if token.takes(key[place]) => {
                    at += 1;
                    place += 1;
                    continue;
                }
                _ => {}
            }
            let Some((behind, tried)) = back else { return false };
            at = behind;
            place = tried + 1;
            back = Some((behind, place));
        }
        tokens[at..].iter().all(|token| *token == Token::Any)
    }

    fn tokens(&self) -> Vec<Token> {
        let mut bytes = self.0.bytes().peekable();
        let mut tokens = Vec::new();
        while let Some(byte) = bytes.next() {
            tokens.push(match byte {
                b'*' => Token::Any,
                b'?' => Token::One,
                b'\\' => Token::Byte(bytes.next().unwrap_or(b'\\')),
                b'[' => class(&mut bytes),
                other => Token::Byte(other),
            });
        }
        tokens
    }
}

impl Token {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Byte(wanted) => *wanted == byte,
            Self::Class { ranges, is_negated } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != *is_negated
            }
        }
    }
}

/// What stands in brackets; one that is not closed goes to the pattern's end, as Redis has it.
fn class(bytes: &mut std::iter::Peekable<std::str::Bytes<'_>>) -> Token {
    let is_negated = bytes.next_if_eq(&b'^').is_some();
    let mut ranges = Vec::new();
    while let Some(byte) = bytes.next() {
        let low = match byte {
            b']' => break,
            b'\\' => bytes.next().unwrap_or(b'\\'),
            other => other,
        };
        let mut ahead = bytes.clone();
        if ahead.next() == Some(b'-') && ahead.next().is_some() {
            bytes.next();
            let high = bytes.next().unwrap_or(low);
            ranges.push((low.min(high), low.max(high)));
        } else {
            ranges.push((low, low));
        }
    }
    Token::Class { ranges, is_negated }
}

/// Whether a bracket is not closed, or nothing follows the last backslash.
fn is_open(text: &str) -> bool {
    let (mut is_class, mut letters) = (false, text.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.next().is_none() => return true,
            '[' if !is_class => is_class = true,
            ']' => is_class = false,
            _ => {}
        }
    }
    is_class
}

/// A text in which nothing has a meaning to Redis but itself.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Pattern {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, key: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(key)
    }

    #[test]
    fn keys_match_as_in_redis() {
        for (pattern, key, expected) in [
            ("catalog:*", "catalog:product:1", true),
            ("catalog:*", "catalog:", true),
            ("catalog:*", "catalog", false),
            ("*:price", "a:price:price", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a[bc]d", "acd", true),
            ("a[^bc]d", "acd", false),
            ("a[b-d]e", "ace", true),
            ("a[d-b]e", "ace", true),
            ("a\\*c", "a*c", true),
            ("a\\*c", "abc", false),
            ("a[\\]]c", "a]c", true),
            ("*a*b*a*", "xxaxxbxxaxx", true),
            ("*a*b*a*", "xxaxxbxx", false),
        ] {
            assert_eq!(matches(pattern, key), expected, "{pattern} {key}");
        }
    }

    #[test]
    fn an_empty_pattern_is_refused() {
        for text in ["", " ", "\t "] {
            assert_eq!(Pattern::parse(text), Err(InvalidPattern::Empty), "{text:?}");
        }
        assert_eq!(Pattern::parse("a\nb"), Err(InvalidPattern::Control));
        for text in ["a[bc", "a\\", "a[\\]"] {
            assert_eq!(Pattern::parse(text), Err(InvalidPattern::Open), "{text}");
        }
        assert!(Pattern::parse("a[\\]]\\[").is_ok());
        assert!(matches!(Pattern::parse(&"a".repeat(5_000)), Err(InvalidPattern::TooLong { .. })));
    }

    #[test]
    fn what_may_match_every_key_is_known() {
        for text in ["*", "**", "?*", "*?*", "[a-z]*", "[^a]*"] {
            assert!(Pattern::parse(text).unwrap().is_everything(), "{text}");
        }
        for text in ["a*", "*:1", "\\*"] {
            assert!(!Pattern::parse(text).unwrap().is_everything(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_escaped_key_matches_itself_only(key in "[a\\*?\\[\\]^\\\\:é-]{1,12}", other in "[a\\*?\\[\\]^\\\\:é-]{1,12}") {
            let pattern = Pattern::exactly(&key);
            prop_assert!(pattern.matches(&key));
            prop_assert_eq!(pattern.matches(&other), key == other);
        }
    }
}
