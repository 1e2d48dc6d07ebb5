//! The store on a real PostgreSQL: one fresh database per test.

mod control;
mod merging;
mod removing;
mod skus;
mod stamps;
mod world;
