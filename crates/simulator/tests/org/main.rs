//! The simulated org, seen from outside: what real clients rely on, request by request.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod broken_stream;
mod bulk;
mod changes;
mod client;
mod control;
mod copy;
mod describe;
mod event_bodies;
mod export;
mod faults;
mod listener;
mod load;
mod pubsub;
mod query;
mod replay;
mod selection;
mod sign_in;
mod transactions;
