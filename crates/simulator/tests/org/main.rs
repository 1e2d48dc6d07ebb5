//! The simulated org, seen from outside: what real clients rely on, request by request.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bulk;
mod changes;
mod client;
mod control;
mod describe;
mod export;
mod faults;
mod query;
mod sign_in;
