//! The query language: text to tree, tree to a plan that fits the org, plan to rows.

mod aggregate;
mod check;
mod condition;
mod date_function;
mod filter;
mod lexer;
mod parser;
mod plan;
mod run;
mod tree;

pub use check::check;
pub use parser::parse;
pub use plan::{Access, Column, ColumnSource, Groups, Output, Plan};
pub use run::{aggregate, count, select};

/// Why a query was refused: the code and message that Salesforce answers with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Such as `MALFORMED_QUERY`.
    pub code: &'static str,
    /// The offending line, a caret below the place, the place, and the reason.
    pub message: String,
}

impl Refusal {
    /// A refusal that points at a place of the text.
    pub fn at(code: &'static str, query: &str, offset: usize, reason: &str) -> Self {
        let offset = (0..=offset.min(query.len())).rev().find(|at| query.is_char_boundary(*at)).unwrap_or(0);
        let before = &query[..offset];
        let row = before.matches('\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_end = query[offset..].find('\n').map_or(query.len(), |at| offset + at);
        let line: Vec<char> = query[line_start..line_end].chars().collect();
        let column = query[line_start..offset].chars().count();
        // Salesforce shows only the neighbourhood of the place when the line is long.
        let from = column.saturating_sub(40);
        let to = line.len().min(column + 40);
        let shown: String = line[from..to].iter().collect();
        let caret = " ".repeat(column - from);
        let message = format!("\n{shown}\n{caret}^\nERROR at Row:{row}:Column:{}\n{reason}", column + 1);
        Self { code, message }
    }

    /// A refusal that points nowhere.
    pub fn plain(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_shows_the_line_the_caret_and_the_place() {
        let refusal = Refusal::at("INVALID_FIELD", "SELECT Id, Nope FROM Account", 11, "No such column");
        assert_eq!(
            refusal.message,
            "\nSELECT Id, Nope FROM Account\n           ^\nERROR at Row:1:Column:12\nNo such column"
        );
        let refusal = Refusal::at("MALFORMED_QUERY", "SELECT Id\nFRM Account", 10, "unexpected token: 'FRM'");
        assert!(
            refusal.message.contains("\nFRM Account\n^\nERROR at Row:2:Column:1\n"),
            "{}",
            refusal.message
        );
    }
}
