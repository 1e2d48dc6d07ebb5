//! The store on a real PostgreSQL: one fresh database per test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod applying;
mod change_log;
mod children;
mod control;
mod custom_mapping;
mod events;
mod frozen;
mod histories;
mod holes;
mod invalidations;
mod keeping;
mod live;
mod merging;
mod rebinding;
mod removing;
mod retention;
mod side;
mod skus;
mod stamps;
mod taking_over;
mod upgrading;
mod world;
