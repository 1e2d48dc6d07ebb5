//! What the window may call: one file per noun, each command one use case of the engine.

pub mod audit;
pub mod backfills;
pub mod cache;
pub mod catch_up;
pub mod counts;
pub mod environments;
pub mod events;
pub mod flags;
pub mod lag;
pub mod objects;
pub mod preflight;
pub mod reads;
pub mod rejects;
pub mod replay;
pub mod sign_in;
pub mod status;
