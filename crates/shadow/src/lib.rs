//! The core: what a record is, which state is newer, what a change does.
//!
//! Pure: no clock, no randomness, no input or output. Callers pass values in and act on what comes out.

pub mod describe;
pub mod ids;
pub mod lifecycle;
pub mod mapping;
pub mod plan;
pub mod prepare;
pub mod reason;
pub mod rows;
pub mod value;
pub mod version;

pub use describe::{FieldInfo, FieldType, ObjectInfo};
pub use ids::{JobId, ObjectName, OrgId, RecordId, UserId};
pub use lifecycle::ObjectState;
pub use mapping::{Finding, Mapping, OrgFacts, ResolvedMapping, Unmappable, resolve};
pub use prepare::{PreparedChunk, PreparedRecord, UnreadableChunk, prepare};
pub use reason::Reason;
pub use rows::{Row, RowChunk, RowError};
pub use version::ReadMark;
