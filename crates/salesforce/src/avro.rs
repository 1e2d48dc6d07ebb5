//! Change events as Salesforce writes them: Avro datums, read with the schema of whoever wrote them.
//!
//! A writer schema never changes and is named by its fingerprint, so it is parsed once. What an event says of its
//! records is decided here; which of it a mapping keeps, and how it reads as text, is not.

mod bitmap;
mod body;
mod datum;
mod layout;
mod names;

use std::fmt;

use shadow::event::{ChangeEvent, EventHeader};

use self::layout::Layout;

/// Why a schema or an event could not be read. Messages hold no content of a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AvroError {
    /// Not an Avro schema.
    #[error("the schema `{id}` is not a valid Avro schema: {reason}")]
    Schema {
        /// The schema's id.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The schema of something else than a change event.
    #[error("the schema `{id}` is not that of a change event")]
    NotAChangeEvent {
        /// The schema's id.
        id: String,
    },
    /// Bytes that do not fit the schema: cut, damaged, or written with another one.
    #[error("the event's bytes do not fit the schema they name")]
    Corrupt,
    /// A header that lacks what it must have, or holds what cannot be.
    #[error("the event's header has no usable `{0}`")]
    Header(&'static str),
}

/// One writer schema.
pub struct Schema {
    id: String,
    avro: serde_avro_fast::Schema,
    layout: Layout,
}

impl Schema {
    /// Reads a schema as `GetSchema` returns it.
    ///
    /// - **Errors:** [`AvroError::Schema`], [`AvroError::NotAChangeEvent`].
    pub fn parse(id: &str, json: &str) -> Result<Self, AvroError> {
        let wrong = |reason: String| AvroError::Schema { id: id.to_owned(), reason };
        let avro = json.parse::<serde_avro_fast::Schema>().map_err(|error| wrong(error.to_string()))?;
        let tree = serde_json::from_str(json).map_err(|error| wrong(error.to_string()))?;
        let layout = Layout::read(&tree).map_err(|reason| wrong(reason.to_owned()))?;
        if layout.header.is_none() {
            return Err(AvroError::NotAChangeEvent { id: id.to_owned() });
        }
        Ok(Self { id: id.to_owned(), avro, layout })
    }

    /// The fingerprint under which events name it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The names of the record's fields in their order, which is that of the bitmaps' bits.
    pub fn field_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.layout.fields.iter().map(|field| field.name.as_str())
    }

    /// Reads an event's header and nothing behind it.
    ///
    /// - **Errors:** [`AvroError::Corrupt`], [`AvroError::Header`].
    pub fn header(&self, payload: &[u8]) -> Result<EventHeader, AvroError> {
        datum::read_header(&self.avro, payload)?.check()
    }

    /// Reads a whole event.
    ///
    /// - **Shape:** values under describe's flat names; of an UPDATE the changed and nulled fields and no others.
    /// - **Units:** as [`shadow::event::EventValue`] says; microseconds are turned into milliseconds.
    /// - **Errors:** [`AvroError::Corrupt`] also where bytes are left over, [`AvroError::Header`]. A body that is
    ///   readable but does not say what changed is no error: it asks for the records to be fetched.
    pub fn decode(&self, payload: &[u8]) -> Result<ChangeEvent, AvroError> {
        let mut datum = datum::read(&self.avro, payload)?;
        let body = body::of(&self.layout, &mut datum);
        Ok(ChangeEvent { header: datum.header.check()?, body })
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
