//! Behaviour tests: a simulated org, a fresh database and the engine, all real, in one process.
//!
//! `DATABASE_URL` names a PostgreSQL server on which every test gets a database of its own; `cargo xtask test` starts
//! one.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what cannot be had here fails the test, and tests tell"
)]

mod backfill;
mod bad_input;
mod catch_up;
mod cli;
mod daemon;
mod faults;
mod findings;
mod flush;
mod flush_by_hand;
mod flush_kill;
mod half_rows;
mod hand_over;
mod history;
mod holes;
#[cfg(target_os = "linux")]
mod keychain;
mod kill;
mod leases;
mod new_eyes;
mod one_place;
mod partition;
mod quiet_org;
mod quota;
mod reads;
mod reads_cache;
mod reads_fallback;
mod reads_flags;
mod real_catalogue;
mod redis;
#[cfg(target_os = "linux")]
mod refresh_race;
mod rejects;
mod replaying;
mod serve;
mod server_change;
mod side;
mod signals;
mod steer;
mod stream;
mod wire;
mod world;
