//! Which object and fields fill which table and columns.
//!
//! A [`Mapping`] is data: three are built in, more come from the database. [`resolve`] holds it against what the
//! org's describe shows and gives a [`ResolvedMapping`]: the fields to select, and where each value goes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::describe::FieldType;
use crate::ids::ObjectName;

mod built_in;
mod growth;
mod resolve;

pub use growth::HeldFields;
pub use resolve::{resolve, resolve_keeping};

/// Fields that every read selects, whatever the mapping names.
pub const ALWAYS_READ: [&str; 4] = ["Id", "SystemModstamp", "CreatedDate", "IsDeleted"];

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnKind {
    /// `text`.
    Text,
    /// `numeric(precision, scale)`: a value that does not fit exactly is refused, never rounded.
    Numeric {
        /// Most digits in all.
        precision: u32,
        /// Digits behind the point.
        scale: u32,
    },
    /// `bigint`.
    Integer,
    /// `boolean`.
    Boolean,
    /// `date`.
    Date,
    /// `timestamptz`.
    Timestamp,
}

/// What fills a column where the org has none of its source fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// Null.
    Null,
    /// The org's one currency.
    OrgCurrency,
}

/// One column and the fields that fill it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnMapping {
    /// Column of the shadow table.
    pub name: String,
    /// Fields in order of preference: per record the first that is not empty fills the column.
    pub sources: Vec<String>,
    /// What the column holds.
    pub kind: ColumnKind,
    /// Whether a record without a value is rejected.
    pub required: bool,
    /// What fills it where the org has none of the sources.
    pub fallback: Fallback,
}

/// The column that points to a record of another mapped object, which must be in its shadow table first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentReference {
    /// Column of this mapping's table.
    pub column: String,
    /// The object it points to.
    pub object: ObjectName,
}

/// Which fields `raw_payload` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PayloadFields {
    /// Every field that the sync user may select.
    All,
    /// Those that fill columns.
    Mapped,
    /// Those that fill columns, and these.
    List(Vec<String>),
}

/// Which object and fields fill which table and columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// The object.
    pub object: ObjectName,
    /// Its shadow table, without a schema.
    pub table: String,
    /// The column of the record id.
    pub key: String,
    /// The other columns.
    pub columns: Vec<ColumnMapping>,
    /// The column whose values only one record may hold.
    pub unique: Option<String>,
    /// The column that points to a parent.
    pub parent: Option<ParentReference>,
    /// Which fields `raw_payload` holds, besides those of [`ALWAYS_READ`].
    pub payload_fields: PayloadFields,
    /// Whether an active record (`IsActive`) comes before an inactive one when both claim a unique value.
    #[serde(default)]
    pub active_first: bool,
}

impl Mapping {
    /// Where a column stands in `columns`.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The field that names the parent, if there is one: the first source of the parent's column.
    pub fn parent_field(&self) -> Option<&str> {
        let place = self.column(&self.parent.as_ref()?.column)?;
        self.columns[place].sources.first().map(String::as_str)
    }
}

/// What the org says of its currencies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrgFacts {
    /// The org's currency, or its default one; `None` if neither the org nor the configuration says.
    pub currency: Option<String>,
    /// Whether the org keeps a currency per record.
    pub multi_currency: bool,
}

/// Something that a person should know about a mapping in this org.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The object.
    pub object: ObjectName,
    /// The field or column concerned.
    pub field: String,
    /// Whether the object cannot be loaded like this.
    pub blocks: bool,
    /// What is the matter and what follows from it.
    pub message: String,
}

/// The object cannot be loaded with this mapping.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object} cannot be mapped: {}", .findings.iter().filter(|f| f.blocks).map(|f| f.message.as_str()).collect::<Vec<_>>().join("; "))]
pub struct Unmappable {
    /// The object.
    pub object: ObjectName,
    /// Everything found, at least one of it blocking.
    pub findings: Vec<Finding>,
}

/// A field that every read of the object selects, and `raw_payload` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectedField {
    /// API name in describe's letter case.
    pub name: String,
    /// How its values are read.
    pub field_type: FieldType,
    /// Digits behind the point of a decimal number.
    pub scale: u32,
    /// Whether change events carry its changes; formulas and what derives from other records they do not
    /// ([`crate::derived`]).
    pub in_events: bool,
    /// Whether the sync user may no longer see it: no read selects it, and records keep its last value.
    pub is_frozen: bool,
}

/// What fills a column in this org.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnSource {
    /// The first non-empty of these fields, by their places in [`ResolvedMapping::fields`].
    Fields(Vec<usize>),
    /// The same text for every record.
    Constant(String),
    /// Nothing.
    Null,
}

/// Where the fields stand that every read selects, in [`ResolvedMapping::fields`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlwaysRead {
    /// `Id`.
    pub id: usize,
    /// `SystemModstamp`.
    pub system_modstamp: usize,
    /// `CreatedDate`.
    pub created_date: usize,
    /// `IsDeleted`; an object without a recycle bin has none.
    pub is_deleted: Option<usize>,
}

/// A mapping held against one org's describe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedMapping {
    /// The mapping itself.
    pub mapping: Arc<Mapping>,
    /// The mapping that its parent column points to.
    pub parent: Option<Arc<Mapping>>,
    /// The mappings whose parent this one is.
    pub children: Vec<Arc<Mapping>>,
    /// The fields of `raw_payload`, sorted by name; frozen ones among them, which are not selected.
    pub fields: Vec<SelectedField>,
    /// What fills each column of the mapping.
    pub columns: Vec<ColumnSource>,
    /// Where the always-read fields stand.
    pub always: AlwaysRead,
    /// What a person should know; none of it blocks.
    pub findings: Vec<Finding>,
}

impl ResolvedMapping {
    /// The object.
    pub fn object(&self) -> &ObjectName {
        &self.mapping.object
    }

    /// The names of the fields to select.
    pub fn field_names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(|field| !field.is_frozen).map(|field| field.name.as_str())
    }

    /// The names of the fields of `raw_payload`: the selected and the frozen ones.
    pub fn payload_names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.name.as_str())
    }

    /// The names of the fields that records keep although no read brings them any more.
    pub fn frozen_names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(|field| field.is_frozen).map(|field| field.name.as_str())
    }

    /// The query that reads every record whole: `SELECT … FROM …`, with a condition if given.
    pub fn soql(&self, condition: Option<&str>) -> String {
        let fields = self.field_names().collect::<Vec<_>>().join(",");
        select(&fields, self.object(), condition)
    }

    /// The query that reads only what tells whether a record changed: `SELECT Id,SystemModstamp FROM …`.
    pub fn stamps_soql(&self, condition: Option<&str>) -> String {
        select("Id,SystemModstamp", self.object(), condition)
    }

    /// The query that reads some fields of every record on the side.
    pub fn side_soql(&self, fields: &[&str]) -> String {
        let all: Vec<&str> = ["Id", "SystemModstamp"].into_iter().chain(fields.iter().copied()).collect();
        select(&all.join(","), self.object(), None)
    }

    /// What the rows' content depends on besides the records: 16 hexadecimal digits that change when the fields
    /// to select or the ways into the columns do. Rows of another shape must be read again.
    pub fn shape(&self) -> String {
        /// What of a field the content depends on.
        #[derive(Debug)]
        #[expect(dead_code, reason = "read by its Debug form")]
        struct SelectedField<'a> {
            name: &'a str,
            field_type: FieldType,
            scale: u32,
        }
        let fields: Vec<SelectedField<'_>> = self
            .fields
            .iter()
            .map(|field| SelectedField {
                name: &field.name,
                field_type: field.field_type,
                scale: field.scale,
            })
            .collect();
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{:?}{:?}{:?}", fields, self.columns, self.mapping.columns).as_bytes());
        // Who holds a value that several claim is decided anew.
        if self.mapping.active_first {
            hasher.update(b"active first");
        }
        hasher.finalize().to_hex()[..16].to_owned()
    }
}

fn select(fields: &str, object: &ObjectName, condition: Option<&str>) -> String {
    match condition {
        Some(condition) => format!("SELECT {fields} FROM {object} WHERE {condition}"),
        None => format!("SELECT {fields} FROM {object}"),
    }
}
