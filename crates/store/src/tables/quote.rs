//! Names and texts in SQL that is rendered at run time.

/// A name as an identifier: in double quotes, those in it doubled. NUL, which no identifier holds, is left out.
pub(crate) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('\0', "").replace('"', "\"\""))
}

/// A text as a string constant, for the names of JSON members. Values are bound, never rendered.
pub(crate) fn literal(text: &str) -> String {
    let text = text.replace('\0', "");
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_quotes() {
        assert_eq!(ident("sku"), "\"sku\"");
        assert_eq!(ident("a\"; drop table x; --"), "\"a\"\"; drop table x; --\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("\\'"), "E'\\\\'''");
    }
}
