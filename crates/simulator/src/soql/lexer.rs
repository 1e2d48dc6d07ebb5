//! Cuts the text of a query into words, numbers, texts and signs.

use rust_decimal::Decimal;

use super::{
    Refusal,
    tree::{Pattern, PatternPart},
};
use crate::calendar;

/// A piece of a query and the byte at which it starts.
#[derive(Clone, PartialEq, Debug)]
pub struct Token {
    /// The piece.
    pub kind: TokenKind,
    /// The byte at which it starts.
    pub at: usize,
}

/// What a piece is.
#[derive(Clone, PartialEq, Debug)]
pub enum TokenKind {
    /// A word, with dots and colons inside it: `Product2.Name`, `LAST_N_DAYS:3`.
    Word(String),
    /// A number.
    Number(Decimal),
    /// A moment.
    Time(i64),
    /// A day.
    Date(i64),
    /// A quoted text.
    Text(String, Pattern),
    /// One of `( ) , = != < <= > >=`.
    Sign(&'static str),
    /// The end of the text.
    End,
}

const SIGNS: [&str; 10] = ["!=", "<>", "<=", ">=", "(", ")", ",", "=", "<", ">"];

/// Cuts a query into pieces, the last of which is the end.
pub fn tokens(query: &str) -> Result<Vec<Token>, Refusal> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = query[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (kind, length) = token(query, at, first)?;
        tokens.push(Token { kind, at });
        at += length;
    }
    tokens.push(Token { kind: TokenKind::End, at: query.len() });
    Ok(tokens)
}

fn token(query: &str, at: usize, first: char) -> Result<(TokenKind, usize), Refusal> {
    let rest = &query[at..];
    if first == '\'' {
        return text(query, at);
    }
    if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
        return Ok((TokenKind::Sign(if sign == "<>" { "!=" } else { sign }), sign.len()));
    }
    if first.is_ascii_digit()
        || ((first == '-' || first == '+') && rest[1..].starts_with(|next: char| next.is_ascii_digit()))
    {
        return number(query, at);
    }
    if first.is_alphabetic() || first == '_' {
        let length = rest
            .find(|letter: char| !(letter.is_alphanumeric() || matches!(letter, '_' | '.' | ':')))
            .unwrap_or(rest.len());
        return Ok((TokenKind::Word(rest[..length].to_owned()), length));
    }
    let reason = format!("unexpected token: '{first}'");
    Err(Refusal::at("MALFORMED_QUERY", query, at, &reason))
}

fn number(query: &str, at: usize) -> Result<(TokenKind, usize), Refusal> {
    let rest = &query[at..];
    let length = rest
        .find(|letter: char| !(letter.is_ascii_alphanumeric() || matches!(letter, '.' | ':' | '-' | '+')))
        .unwrap_or(rest.len());
    let word = &rest[..length];
    let kind = if let Some(day) = calendar::parse_date(word) {
        TokenKind::Date(day)
    } else if let Some(ms) = calendar::parse_time(word).filter(|_| has_offset(word)) {
        TokenKind::Time(ms)
    } else if let Ok(number) =
        word.trim_start_matches('+').parse::<Decimal>().or_else(|_| Decimal::from_scientific(word))
    {
        TokenKind::Number(number)
    } else {
        let reason = format!("unexpected token: '{word}'");
        return Err(Refusal::at("MALFORMED_QUERY", query, at, &reason));
    };
    Ok((kind, length))
}

/// A moment without an offset is no literal of the language.
fn has_offset(word: &str) -> bool {
    let time = word.get(10..).unwrap_or_default();
    time.ends_with(['Z', 'z']) || time.contains(['+', '-'])
}

fn text(query: &str, at: usize) -> Result<(TokenKind, usize), Refusal> {
    let mut value = String::new();
    let mut pattern = Vec::new();
    let mut letters = query[at + 1..].char_indices();
    while let Some((offset, letter)) = letters.next() {
        match letter {
            '\'' => return Ok((TokenKind::Text(value, Pattern(pattern)), offset + 2)),
            '\\' => {
                let Some((_, escaped)) = letters.next() else { break };
                let Some(resolved) = resolve(escaped) else {
                    let reason = "Illegal quoted string format";
                    return Err(Refusal::at("MALFORMED_QUERY", query, at + 1 + offset, reason));
                };
                value.push(resolved);
                pattern.extend(resolved.to_lowercase().map(PatternPart::Is));
            }
            '%' | '_' => {
                value.push(letter);
                pattern.push(if letter == '%' { PatternPart::Many } else { PatternPart::One });
            }
            _ => {
                value.push(letter);
                pattern.extend(letter.to_lowercase().map(PatternPart::Is));
            }
        }
    }
    Err(Refusal::at("MALFORMED_QUERY", query, at, "missing closing quote"))
}

fn resolve(escaped: char) -> Option<char> {
    Some(match escaped {
        'n' | 'N' => '\n',
        'r' | 'R' => '\r',
        't' | 'T' => '\t',
        'b' | 'B' => '\u{8}',
        'f' | 'F' => '\u{c}',
        '\'' | '"' | '\\' | '%' | '_' => escaped,
        _ => return None,
    })
}
