//! The one place of the engine that reads the wall clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// How far a test let the wall clock run ahead, in milliseconds.
static SKIPPED_MS: AtomicI64 = AtomicI64::new(0);

/// The time now, by this machine's clock.
///
/// Salesforce's own time comes from its answers, never from here.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now() + TimeDelta::milliseconds(SKIPPED_MS.load(Ordering::Relaxed))
}

/// Lets this process's wall clock jump ahead, as it does when a machine wakes up. For tests, each in a process of its own.
#[doc(hidden)]
pub fn skip_for_tests(span: Duration) {
    SKIPPED_MS.fetch_add(i64::try_from(span.as_millis()).unwrap_or_default(), Ordering::Relaxed);
}
