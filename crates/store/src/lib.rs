//! PostgreSQL: the only crate that knows SQL.
//!
//! One module per control table; [`merge`] writes the shadow tables. Text of SQL is rendered at run time only in
//! `tables`, where a mapping decides on names; everything else is checked against the schema at build time.

pub mod api_usage;
pub mod apply_events;
pub mod audit;
pub mod binding;
pub mod cache_rules;
pub mod change_log;
pub mod channel_members;
pub mod checkpoints;
pub mod comparison;
pub mod counts;
pub mod dead_letters;
pub mod dirty;
pub mod embedded;
mod error;
pub mod event_outcomes;
pub mod failpoint;
pub mod flags;
pub mod flushes;
pub mod frozen_fields;
pub mod holes;
pub mod invalidations;
pub mod jobs;
pub mod lag_samples;
pub mod leases;
pub mod live_facts;
pub mod log_head;
pub mod merge;
pub mod objects;
pub mod parents;
mod partitions;
pub mod read_comparisons;
pub mod readers;
pub mod reads;
pub mod records;
pub mod rejects;
pub mod retention;
pub mod schedules;
mod schema;
pub mod selected_fields;
mod server;
mod session;
pub mod settings;
pub mod stamps;
mod tables;
pub mod tombstones;
mod words;
pub mod workers;

pub use error::{Disposition, Error};
pub use schema::{MIGRATOR, SchemaState};
pub use server::{ServerChange, ServerFacts, ServerIdentity, TakenOn};
pub use session::{Store, StoreOptions};
