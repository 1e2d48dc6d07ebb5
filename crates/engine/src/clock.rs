//! The one place of the engine that reads the wall clock.

use chrono::{DateTime, Utc};

/// The time now, by this machine's clock.
///
/// Salesforce's own time comes from its answers, never from here.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
