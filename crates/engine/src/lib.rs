//! The shell: tasks, time, configuration and transactions; and the use cases that every host calls.

pub mod api;
mod backfill;
pub mod clock;
pub mod config;
mod counting;
mod database;
pub mod doctor;
mod engine;
mod environment;
mod mapped;
mod memory;
pub mod notice;
pub mod org;
pub mod problem;
mod recognise;
pub mod secrets;
pub mod session;
pub mod sign_in;
mod statement;

pub use engine::{Engine, Host, HostName};
pub use environment::OpenEnvironment;
pub use problem::{Answer, Problem};
