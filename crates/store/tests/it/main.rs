//! The store on a real PostgreSQL: one fresh database per test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod control;
mod custom_mapping;
mod merging;
mod removing;
mod skus;
mod stamps;
mod world;
