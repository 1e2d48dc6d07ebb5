//! Fields that the sync user may no longer see keep their last values through every read.

use std::collections::HashMap;

use shadow::rows::{FieldText, json_fields};
use shadow::{PreparedChunk, RecordId, ResolvedMapping, RowChunk, RowError, prepare};

use super::state::parse;
use crate::error::{Error, corrupt};
use crate::session::Store;
use crate::tables::shape::TableShape;

/// Takes the frozen values of what is stored over into a chunk that a read brought. Nobody changes them, so that they
/// may be read before the chunk's transaction.
pub(super) async fn keep(
    store: &Store,
    mapping: &ResolvedMapping,
    chunk: PreparedChunk,
) -> Result<PreparedChunk, Error> {
    if chunk.records.is_empty() || mapping.frozen_names().next().is_none() {
        return Ok(chunk);
    }
    let ids: Vec<&str> = chunk.records.iter().map(|record| record.id.as_str()).collect();
    let shape = TableShape::of(&mapping.mapping, store.tables_schema());
    let payloads: Vec<(String, String)> = sqlx::query_as(shape.payloads())
        .bind(&ids)
        .bind(mapping.object().as_str())
        .fetch_all(store.pool())
        .await?;
    let stored: HashMap<RecordId, String> =
        payloads.into_iter().map(|(id, payload)| Ok((parse(&id)?, payload))).collect::<Result<_, Error>>()?;
    let mut kept = overlaid(mapping, &chunk, &stored).map_err(|error| corrupt("payload", error))?;
    kept.stripped_nuls = chunk.stripped_nuls;
    Ok(kept)
}

fn overlaid(
    mapping: &ResolvedMapping,
    chunk: &PreparedChunk,
    stored: &HashMap<RecordId, String>,
) -> Result<PreparedChunk, RowError> {
    let columns: std::sync::Arc<[Box<str>]> = mapping.payload_names().map(Box::from).collect();
    let mut rows = RowChunk::new(columns.clone());
    for record in &chunk.records {
        let payload = std::str::from_utf8(chunk.payload(record)).map_err(|_| RowError::NotUtf8)?;
        let mut fields = json_fields(&columns, payload)?;
        if let Some(stored) = stored.get(&record.id) {
            let before = json_fields(&columns, stored)?;
            for (place, before) in before.into_iter().enumerate() {
                if mapping.fields[place].is_frozen {
                    fields[place] = before;
                }
            }
        }
        for field in &fields {
            let text = if let FieldText::Text(text) = field { text.as_ref() } else { "" };
            rows.push_field(text.as_bytes())?;
        }
        rows.end_row()?;
    }
    prepare(mapping, &rows).map_err(|error| RowError::NotARecord(error.to_string()))
}
