//! Complaints about the file: each names the line, the key, what is there and what would be right.

use toml_edit::{Item, Table, TableLike};

use super::Error;
use super::file::Reader;
use super::value::variable_of;

impl Reader<'_> {
    /// The complaint about a value that came from the file or from a variable.
    pub(super) fn wrong_value(&self, key: &str, table: &dyn TableLike, expected: &str) -> Error {
        let variable = variable_of(key);
        match table.get(key) {
            _ if (self.variable)(&variable).is_some() => Error::Variable {
                variable,
                found: "cannot be used".to_owned(),
                expected: expected.to_owned(),
            },
            Some(item) => self.wrong(key, item, expected),
            None => self.malformed_at(1, key, "is missing", expected),
        }
    }

    pub(super) fn wrong(&self, key: &str, item: &Item, expected: &str) -> Error {
        // A value may be an address with a password, so a text is never repeated.
        let found = match item {
            Item::Value(value) => format!("is {} that cannot be used", article(value.type_name())),
            Item::Table(_) | Item::ArrayOfTables(_) => "is a table".to_owned(),
            Item::None => "is missing".to_owned(),
        };
        self.malformed(key, item, &found, expected)
    }

    pub(super) fn missing(&self, key: &str, environment: &Item, expected: &str) -> Error {
        self.malformed(key, environment, "is missing", expected)
    }

    pub(super) fn malformed(&self, key: &str, item: &Item, found: &str, expected: &str) -> Error {
        let line = item
            .span()
            .or_else(|| item.as_table().and_then(Table::span))
            .map_or(1, |span| self.line_at(span.start));
        self.malformed_at(line, key, found, expected)
    }

    pub(super) fn malformed_at(&self, line: usize, key: &str, found: &str, expected: &str) -> Error {
        Error::Malformed {
            path: self.path.to_owned(),
            line,
            key: key.to_owned(),
            found: found.to_owned(),
            expected: expected.to_owned(),
        }
    }

    pub(super) fn line_at(&self, offset: usize) -> usize {
        self.text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
    }
}

fn article(type_name: &str) -> String {
    let vowel = type_name.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {type_name}", if vowel { "an" } else { "a" })
}
