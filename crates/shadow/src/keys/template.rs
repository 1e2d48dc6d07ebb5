//! Templates of keys: text with columns in braces, `catalog:price:{parent.sku}:{currency_iso_code}`.
//!
//! Braces that are meant as they are, such as a cluster's hash tag, are doubled: `{{shop}}:{sku}`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::pattern::{LONGEST, Pattern, escape};
use super::{Columns, RowState};
use crate::mapping::Mapping;

/// Stands before a column of the parent.
const PARENT: &str = "parent.";

/// A template of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Own(String),
    Parent(String),
}

/// Why a text is no template, or none for an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// Nothing in it.
    #[error("An empty template is refused. Write keys as catalog:product:{{sku}}")]
    Empty,
    /// Longer than any key should be.
    #[error("The template is {length} bytes long; the longest is {LONGEST}")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// A control character is a slip.
    #[error("The template {template:?} has a control character")]
    Control {
        /// The template.
        template: String,
    },
    /// A brace without its other half, or without a column between.
    #[error(
        "The template {template} has a brace without a column. Write {{column}}, and {{{{ or }}}} for a brace itself"
    )]
    Brace {
        /// The template.
        template: String,
    },
    /// The same key for every record.
    #[error(
        "The template {template} names no column, so every record would have the same key. Use a pattern for that"
    )]
    NoColumn {
        /// The template.
        template: String,
    },
    /// The table has no such column.
    #[error("The template {template} names {{{column}}}, which there is not. Columns are: {known}")]
    UnknownColumn {
        /// The template.
        template: String,
        /// The column.
        column: String,
        /// Those that there are.
        known: String,
    },
    /// The object has no parent.
    #[error("The template {template} names {{parent.{column}}}, but the object has no parent")]
    NoParent {
        /// The template.
        template: String,
        /// The column.
        column: String,
    },
}

impl Template {
    /// Reads a template; whether its columns are there says [`Self::check`].
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        if text.trim().is_empty() {
            return Err(InvalidTemplate::Empty);
        }
        if text.len() > LONGEST {
            return Err(InvalidTemplate::TooLong { length: text.len() });
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidTemplate::Control { template: text.to_owned() });
        }
        let brace = || InvalidTemplate::Brace { template: text.to_owned() };
        let (mut parts, mut plain) = (Vec::new(), String::new());
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '{' if letters.next_if_eq(&'{').is_some() => plain.push('{'),
                '}' if letters.next_if_eq(&'}').is_some() => plain.push('}'),
                '}' => return Err(brace()),
                '{' => {
                    let mut name = String::new();
                    loop {
                        match letters.next() {
                            Some('}') => break,
                            Some('{') | None => return Err(brace()),
                            Some(letter) => name.push(letter),
                        }
                    }
                    let name = name.trim();
                    if name.is_empty() || name == PARENT {
                        return Err(brace());
                    }
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(match name.strip_prefix(PARENT) {
                        Some(column) => Part::Parent(column.to_owned()),
                        None => Part::Own(name.to_owned()),
                    });
                }
                other => plain.push(other),
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        if parts.iter().all(|part| matches!(part, Part::Text(_))) {
            return Err(InvalidTemplate::NoColumn { template: text.to_owned() });
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// Whether every column that it names is there.
    pub fn check(&self, mapping: &Mapping, parent: Option<&Mapping>) -> Result<(), InvalidTemplate> {
        for part in &self.parts {
            let (mapping, column) = match (part, parent) {
                (Part::Text(_), _) => continue,
                (Part::Own(column), _) => (mapping, column),
                (Part::Parent(column), Some(parent)) => (parent, column),
                (Part::Parent(column), None) => {
                    return Err(InvalidTemplate::NoParent {
                        template: self.text.clone(),
                        column: column.clone(),
                    });
                }
            };
            if *column != mapping.key && mapping.column(column).is_none() {
                return Err(InvalidTemplate::UnknownColumn {
                    template: self.text.clone(),
                    column: column.clone(),
                    known: column_names(mapping).collect::<Vec<_>>().join(", "),
                });
            }
        }
        Ok(())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it names a column of the parent.
    pub fn names_parent(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Parent(_)))
    }

    /// The columns of the row itself that it names.
    pub fn own_columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Own(column) => Some(column.as_str()),
            Part::Text(_) | Part::Parent(_) => None,
        })
    }

    /// Whether it names this column of the parent.
    pub fn names_parent_column(&self, name: &str) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Parent(column) if column == name))
    }

    /// The key of a record in a state; none where a value is missing, because then nothing was cached under one.
    pub fn key(&self, state: RowState<'_>) -> Option<String> {
        let mut key = String::with_capacity(self.text.len() + 16);
        for part in &self.parts {
            match part {
                Part::Text(text) => key.push_str(text),
                Part::Own(_) | Part::Parent(_) => key.push_str(part.value(state)?),
            }
        }
        Some(key)
    }

    /// What keys look like of which only some values are known: whatever is in those, only they are matched.
    pub fn pattern(&self, state: RowState<'_>) -> Pattern {
        let piece = |part: &Part| match part {
            Part::Text(text) => escape(text),
            Part::Own(_) | Part::Parent(_) => part.value(state).map_or_else(|| "*".to_owned(), escape),
        };
        Pattern::rendered(self.parts.iter().map(piece).collect())
    }

    /// The values in a key by the columns of the row, if the key can be one of this template's. A value in front of
    /// another text ends at its first occurrence.
    pub fn read<'k>(&self, key: &'k str) -> Option<Vec<(&str, &'k str)>> {
        let mut rest = key;
        let mut values = Vec::new();
        for (place, part) in self.parts.iter().enumerate() {
            let column = match part {
                Part::Text(text) => {
                    rest = rest.strip_prefix(text.as_str())?;
                    continue;
                }
                Part::Own(column) => Some(column),
                Part::Parent(_) => None,
            };
            let behind = &self.parts[place + 1..];
            let end = match behind {
                [] => rest.len(),
                // The last text goes to the key's end: what looks like it before is part of the value.
                [Part::Text(text)] => rest.strip_suffix(text.as_str())?.len(),
                [Part::Text(text), ..] => rest.find(text.as_str())?,
                [Part::Own(_) | Part::Parent(_), ..] => rest.chars().next()?.len_utf8(),
            };
            let (value, after) = rest.split_at(end);
            if value.is_empty() {
                return None;
            }
            values.extend(column.map(|column| (column.as_str(), value)));
            rest = after;
        }
        rest.is_empty().then_some(values)
    }

    /// Whether a pattern matches its keys, judged by keys of different values.
    pub(super) fn is_covered_by(&self, pattern: &Pattern) -> bool {
        ["\u{1}", "\u{1}\u{2}\u{1}", "x:y:z"].iter().all(|value| {
            let piece = |part: &Part| match part {
                Part::Text(text) => text.clone(),
                Part::Own(_) | Part::Parent(_) => (*value).to_owned(),
            };
            pattern.matches(&self.parts.iter().map(piece).collect::<String>())
        })
    }

    /// A pattern that would match its keys.
    pub(super) fn suggested_pattern(&self) -> String {
        let none = Columns::new();
        self.pattern(RowState { own: &none, parent: None }).to_string()
    }
}

impl Part {
    fn value<'a>(&self, state: RowState<'a>) -> Option<&'a str> {
        let (columns, column) = match self {
            Self::Text(_) => return None,
            Self::Own(column) => (state.own, column),
            Self::Parent(column) => (state.parent?, column),
        };
        columns.get(column)?.as_deref().filter(|value| !value.is_empty())
    }
}

/// The columns that a template may name.
pub fn column_names(mapping: &Mapping) -> impl Iterator<Item = &str> {
    std::iter::once(mapping.key.as_str()).chain(mapping.columns.iter().map(|column| column.name.as_str()))
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Template {
    type Error = InvalidTemplate;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(values: &[(&str, &str)]) -> Columns {
        values.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect()
    }

    #[test]
    fn what_is_no_template_is_refused_with_what_would_be() {
        for (text, wanted) in [
            ("", "empty template"),
            ("catalog:{sku", "without a column"),
            ("catalog:sku}", "without a column"),
            ("catalog:{}", "without a column"),
            ("catalog:{parent.}", "without a column"),
            ("catalog:all", "names no column"),
            ("a\n{sku}", "control character"),
        ] {
            let error = Template::parse(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
        let unknown =
            Template::parse("catalog:{code}").unwrap().check(&Mapping::product(), None).unwrap_err();
        assert!(unknown.to_string().contains("product_id, sku, name"), "{unknown}");
        let orphan =
            Template::parse("catalog:{parent.sku}").unwrap().check(&Mapping::product(), None).unwrap_err();
        assert!(orphan.to_string().contains("no parent"), "{orphan}");
    }

    #[test]
    fn braces_of_a_hash_tag_are_doubled() {
        let template = Template::parse("{{shop}}:{sku}").unwrap();
        let columns = own(&[("sku", "A")]);
        let state = RowState { own: &columns, parent: None };
        assert_eq!(template.key(state).as_deref(), Some("{shop}:A"));
        assert_eq!(template.to_string(), "{{shop}}:{sku}");
    }

    #[test]
    fn glob_characters_of_a_value_match_only_themselves() {
        let template = Template::parse("catalog:{sku}:{plan_tier}").unwrap();
        let columns = own(&[("sku", "A*[1]")]);
        let pattern = template.pattern(RowState { own: &columns, parent: None });
        assert_eq!(pattern.as_str(), "catalog:A\\*\\[1\\]:*");
        assert!(pattern.matches("catalog:A*[1]:gold"));
        assert!(!pattern.matches("catalog:AB1:gold") && !pattern.matches("catalog:A*1:gold"));
    }

    #[test]
    fn a_key_is_read_back() {
        let template = Template::parse("catalog:{sku}:{plan_tier}:v1").unwrap();
        assert_eq!(template.read("catalog:A:gold:v1"), Some(vec![("sku", "A"), ("plan_tier", "gold")]));
        assert_eq!(template.read("catalog:A:gold:v1:v1"), Some(vec![("sku", "A"), ("plan_tier", "gold:v1")]));
        for other in ["catalog:A:gold", "catalog::gold:v1", "catalog:A:v1", "shop:A:gold:v1"] {
            assert_eq!(template.read(other), None, "{other}");
        }
    }

    #[test]
    fn a_record_without_a_value_has_no_key() {
        let template = Template::parse("catalog:{plan_tier}").unwrap();
        let columns = Columns::from([("plan_tier".to_owned(), None)]);
        assert_eq!(template.key(RowState { own: &columns, parent: None }), None);
    }
}
