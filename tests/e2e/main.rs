//! The real window, driven through WebDriver: WebKitGTK, the console's own program, a simulated org, a database.
//!
//! Needs a display, `WebKitWebDriver` and a built console (`cargo build -p shadow-sync-desktop`); says so where one
//! is missing, and fails.

mod backfill;
mod cache;
mod connect;
mod live;
mod look_around;
mod org;
mod redis;
mod window;
