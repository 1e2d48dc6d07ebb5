//! The shell: tasks, time, configuration and transactions; and the use cases that every host calls.

pub mod api;
pub mod problem;
