//! Use cases, one file per noun, called by every host: the window, the command line, the daemon.
//!
//! Structs here are what a host shows; they cross into the window as JSON in camel case.
//! Times are RFC 3339, counts are whole numbers, durations carry their unit in the name.

pub mod audit;
pub mod backfills;
pub mod counts;
pub mod environments;
pub mod preflight;
pub mod rejects;
pub mod sign_in;
pub mod status;
