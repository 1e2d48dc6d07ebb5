//! The simulated org, seen from outside: what real clients rely on, request by request.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bulk;
mod changes;
mod client;
mod control;
mod describe;
mod event_bodies;
mod export;
mod faults;
mod listener;
mod pubsub;
mod query;
mod sign_in;
