//! Looking at single records of the shadow tables.

use serde_json::Value;
use shadow::{Mapping, RecordId};

use crate::error::{Error, corrupt};
use crate::session::Store;
use crate::tables::shape::TableShape;

/// A row as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRecord {
    /// The record.
    pub id: RecordId,
    /// Position of the change log up to which the row is complete.
    pub as_of: i64,
    /// Its canonical form: every selected field by its name.
    pub payload: Value,
}

/// The rows of some ids; those that have none are left out.
pub async fn rows(store: &Store, mapping: &Mapping, ids: &[RecordId]) -> Result<Vec<StoredRecord>, Error> {
    let shape = TableShape::of(mapping, store.tables_schema());
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    let found: Vec<(String, i64, Value)> =
        sqlx::query_as(shape.as_of_and_payload()).bind(&ids).fetch_all(store.pool()).await?;
    found
        .into_iter()
        .map(|(id, as_of, payload)| {
            let id = RecordId::parse(&id).map_err(|_| corrupt("record id", &id))?;
            Ok(StoredRecord { id, as_of, payload })
        })
        .collect()
}

/// Per table, the seconds since the row written longest ago was written; tables without rows are left out.
pub async fn oldest_writes(store: &Store, mappings: &[Mapping]) -> Result<Vec<(String, f64)>, Error> {
    let mut ages = Vec::new();
    for mapping in mappings {
        let shape = TableShape::of(mapping, store.tables_schema());
        let age: Option<f64> = sqlx::query_scalar(shape.oldest_write()).fetch_one(store.pool()).await?;
        ages.extend(age.map(|age| (mapping.table.clone(), age)));
    }
    Ok(ages)
}
