//! PostgreSQL: the only crate that knows SQL.

pub mod embedded;
