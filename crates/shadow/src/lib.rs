//! The core: what a record is, which state is newer, what a change does.
//!
//! Pure: no clock, no randomness, no input or output. Callers pass values in and act on what comes out.

pub mod describe;
pub mod ids;
pub mod rows;

pub use describe::{FieldInfo, FieldType, ObjectInfo};
pub use ids::{JobId, ObjectName, OrgId, RecordId, UserId};
pub use rows::{Row, RowChunk, RowError};
