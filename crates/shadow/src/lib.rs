//! The core: what a record is, which state is newer, what a change does.
//!
//! Pure: no clock, no randomness, no input or output. Callers pass values in and act on what comes out.

pub mod checkpoint;
pub mod derived;
pub mod describe;
pub mod event;
mod event_text;
pub mod fold;
pub mod hole;
pub mod ids;
pub mod keys;
pub mod lag;
pub mod lifecycle;
pub mod live_through;
pub mod mapping;
pub mod plan;
pub mod prepare;
pub mod quota;
pub mod reason;
pub mod retry;
pub mod rows;
pub mod side;
pub mod value;
pub mod version;

pub use describe::{FieldInfo, FieldType, ObjectInfo};
pub use event::{
    ChangeEvent, ChangeKind, ChannelName, EventBody, EventHeader, EventValue, FieldChange, Records, ReplayId,
    WhyFetch,
};
pub use event_text::event_text;
pub use fold::EventOutcome;
pub use hole::{HoleNeeds, HoleWhy};
pub use ids::{JobId, ObjectName, OrgId, RecordId, UserId};
pub use lifecycle::ObjectState;
pub use mapping::{
    Finding, Mapping, OrgFacts, ResolvedMapping, SelectedField, Unmappable, resolve, resolve_keeping,
};
pub use prepare::{PreparedChunk, PreparedRecord, UnreadableChunk, prepare};
pub use reason::Reason;
pub use rows::{Row, RowChunk, RowError};
pub use version::ReadMark;
