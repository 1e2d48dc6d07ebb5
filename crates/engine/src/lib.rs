//! The shell: tasks, time, configuration and transactions; and the use cases that every host calls.

pub mod api;
mod backfill;
mod binding;
pub mod clock;
mod clockwork;
pub mod config;
mod counting;
mod database;
pub mod doctor;
mod engine;
mod environment;
mod invalidate;
mod live;
mod mapped;
mod memory;
mod metrics;
pub mod notice;
pub mod org;
pub mod problem;
mod quota;
mod reads;
mod recognise;
mod resolving;
pub mod secrets;
mod seen_server;
pub mod session;
pub mod sign_in;
mod statement;
mod supervisor;

pub use engine::{Engine, Host, HostName};
pub use environment::OpenEnvironment;
pub use live::Timing;
pub use problem::{Answer, Problem};
