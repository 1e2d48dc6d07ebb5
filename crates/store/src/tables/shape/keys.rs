//! What cache keys are made of: the columns of rows as texts, and those of their parents.

use shadow::mapping::ColumnKind;
use sqlx::AssertSqlSafe;

use super::{Statement, TableShape};
use crate::tables::quote::{ident, literal};

impl TableShape<'_> {
    /// The key and the mapped columns of the row `alias`, as a JSON object of texts. Texts do not depend on settings of
    /// the session.
    fn texts(&self, alias: &str) -> String {
        let value = |name: &str, kind: ColumnKind| {
            let column = format!("{alias}.{}", ident(name));
            match kind {
                ColumnKind::Date => format!("to_char({column}, 'YYYY-MM-DD')"),
                ColumnKind::Timestamp => {
                    format!("to_char({column} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")
                }
                ColumnKind::Text | ColumnKind::Numeric { .. } | ColumnKind::Integer | ColumnKind::Boolean => {
                    format!("{column}::text")
                }
            }
        };
        let mapping = self.mapping;
        let mut names = vec![literal(&mapping.key)];
        names.extend(mapping.columns.iter().map(|column| literal(&column.name)));
        let mut values = vec![value(&mapping.key, ColumnKind::Text)];
        values.extend(mapping.columns.iter().map(|column| value(&column.name, column.kind)));
        // Two arrays, because a function takes a hundred arguments at most.
        format!("json_object(array[{}], array[{}])", names.join(", "), values.join(", "))
    }

    /// The columns of the parent's row of the row `alias`; null where there is none.
    fn parent_texts(&self, alias: &str, parent: Option<&TableShape<'_>>) -> String {
        match (self.parent.as_deref(), parent) {
            (Some(column), Some(parent)) => format!(
                "(select {} from {} as above where above.{} = {alias}.{column})",
                parent.texts("above"),
                parent.table,
                parent.key,
            ),
            _ => "null::json".to_owned(),
        }
    }

    /// What keys may have been made of in the row `alias`: an element of an order's `before`, as text.
    pub(super) fn before(&self, alias: &str, parent: Option<&TableShape<'_>>) -> String {
        let mut members =
            vec![format!("'id', {alias}.{}", self.key), format!("'columns', {}", self.texts(alias))];
        if let Some(column) = self.parent.as_deref() {
            members.push(format!("'parent', {alias}.{column}"));
            members.push(format!("'parentColumns', {}", self.parent_texts(alias, parent)));
        }
        format!("json_build_object({})::text", members.join(", "))
    }

    /// What keys are made of now: id, columns, the parent's columns. `$1` ids.
    pub(crate) fn key_states(&self, parent: Option<&TableShape<'_>>) -> Statement {
        AssertSqlSafe(format!(
            "select t.{key}, ({texts})::text, ({above})::text from {table} as t where t.{key} = any($1)",
            key = self.key,
            texts = self.texts("t"),
            above = self.parent_texts("t", parent),
            table = self.table,
        ))
    }

    /// The same of the children of some parents, by id behind another: `$1` parents, `$2` the id behind which to go on,
    /// `$3` most of them. None without a parent.
    pub(crate) fn key_states_of_children(&self, parent: &TableShape<'_>) -> Option<Statement> {
        let column = self.parent.as_deref()?;
        Some(AssertSqlSafe(format!(
            "select t.{key}, ({texts})::text, ({above})::text, t.{column}
               from {table} as t where t.{column} = any($1) and t.{key} > $2 collate \"C\"
              order by t.{key} limit $3",
            key = self.key,
            texts = self.texts("t"),
            above = self.parent_texts("t", Some(parent)),
            table = self.table,
        )))
    }

    /// The ids of rows that have some values in a column. `$1` values.
    pub(crate) fn ids_by(&self, column: &str) -> Statement {
        AssertSqlSafe(format!(
            "select {key} from {table} where {column}::text = any($1)",
            key = self.key,
            table = self.table,
            column = ident(column),
        ))
    }
}

#[cfg(test)]
mod tests {
    use shadow::Mapping;

    use super::*;

    #[test]
    fn an_entry_carries_its_own_columns_and_its_products() {
        let (entry, product) = (Mapping::pricebook_entry(), Mapping::product());
        let (entry, product) = (TableShape::of(&entry, "shop"), TableShape::of(&product, "shop"));
        let before = entry.before("prev", Some(&product));
        for part in [
            "'id', prev.\"pricebook_entry_id\"",
            "'unit_price'",
            "prev.\"unit_price\"::text",
            "'parent', prev.\"product_id\"",
            "above.\"sku\"::text",
            "from \"shop\".\"sf_product_shadow\" as above",
        ] {
            assert!(before.contains(part), "{part} in {before}");
        }
        assert!(!product.before("prev", None).contains("parent"));
    }
}
