//! PostgreSQL: the only crate that knows SQL.
//!
//! One module per control table; [`merge`] writes the shadow tables. Text of SQL is rendered at run time only in
//! `tables`, where a mapping decides on names; everything else is checked against the schema at build time.

pub mod audit;
pub mod binding;
pub mod comparison;
pub mod counts;
pub mod dirty;
pub mod embedded;
mod error;
pub mod failpoint;
pub mod jobs;
pub mod leases;
pub mod merge;
pub mod objects;
pub mod reads;
pub mod rejects;
mod schema;
mod server;
mod session;
pub mod settings;
pub mod stamps;
mod tables;
pub mod tombstones;

pub use error::{Disposition, Error};
pub use schema::{MIGRATOR, SchemaState};
pub use server::ServerFacts;
pub use session::{Store, StoreOptions};
