//! What keys are made of now: rows as texts, with their parents'.

use shadow::Mapping;
use shadow::keys::{Columns, RowState};

use crate::error::{Error, corrupt};
use crate::session::Store;
use crate::tables::shape::TableShape;

/// A row, as far as keys are made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyState {
    /// Its id.
    pub id: String,
    /// Its columns.
    pub own: Columns,
    /// Those of its parent's row.
    pub parent: Option<Columns>,
    /// Its parent's id, where the row was looked up by that.
    pub parent_id: Option<String>,
}

impl KeyState {
    /// What a template takes.
    pub fn state(&self) -> RowState<'_> {
        RowState { own: &self.own, parent: self.parent.as_ref() }
    }
}

/// The rows of some ids; an id without a row is left out.
pub async fn key_states(
    store: &Store,
    mapping: &Mapping,
    parent: Option<&Mapping>,
    ids: &[&str],
) -> Result<Vec<KeyState>, Error> {
    let schema = store.tables_schema();
    let (shape, parent) =
        (TableShape::of(mapping, schema), parent.map(|parent| TableShape::of(parent, schema)));
    let rows: Vec<(String, String, Option<String>)> =
        sqlx::query_as(shape.key_states(parent.as_ref())).bind(ids).fetch_all(store.pool()).await?;
    rows.into_iter()
        .map(|(id, own, parent)| {
            Ok(KeyState {
                id,
                own: columns(&own)?,
                parent: parent.as_deref().map(columns).transpose()?,
                parent_id: None,
            })
        })
        .collect()
}

/// Up to `limit` rows of the children of some parents, by id, behind the id `after`.
pub async fn key_states_of_children(
    store: &Store,
    child: &Mapping,
    parent: &Mapping,
    parents: &[String],
    after: &str,
    limit: i64,
) -> Result<Vec<KeyState>, Error> {
    let schema = store.tables_schema();
    let (shape, parent) = (TableShape::of(child, schema), TableShape::of(parent, schema));
    let Some(statement) = shape.key_states_of_children(&parent) else { return Ok(Vec::new()) };
    let rows: Vec<(String, String, Option<String>, String)> =
        sqlx::query_as(statement).bind(parents).bind(after).bind(limit).fetch_all(store.pool()).await?;
    rows.into_iter()
        .map(|(id, own, parent, parent_id)| {
            let parent = parent.as_deref().map(columns).transpose()?;
            Ok(KeyState { id, own: columns(&own)?, parent, parent_id: Some(parent_id) })
        })
        .collect()
}

/// The ids of rows with some values in a column.
pub async fn ids_by(
    store: &Store,
    mapping: &Mapping,
    column: &str,
    values: &[&str],
) -> Result<Vec<String>, Error> {
    let is_there = column == mapping.key || mapping.column(column).is_some();
    if !is_there {
        return Ok(Vec::new());
    }
    let statement = TableShape::of(mapping, store.tables_schema()).ids_by(column);
    Ok(sqlx::query_scalar(statement).bind(values).fetch_all(store.pool()).await?)
}

fn columns(text: &str) -> Result<Columns, Error> {
    serde_json::from_str(text).map_err(|error| corrupt("row", error))
}
