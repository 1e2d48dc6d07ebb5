//! The shell: tasks, time, configuration and transactions; and the use cases that every host calls.

pub mod api;
pub mod clock;
pub mod config;
pub mod notice;
pub mod problem;

pub use problem::{Answer, Problem};
