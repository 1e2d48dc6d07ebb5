//! The org's clock: the machine's, moved by as much as a test says.

use std::sync::atomic::{AtomicI64, Ordering};

/// Milliseconds since 1970 as the org sees them. Servers and clients need not agree on the time.
#[derive(Debug, Default)]
pub struct Clock {
    ahead_ms: AtomicI64,
}

impl Clock {
    /// The time now.
    #[expect(clippy::disallowed_methods, reason = "this is the simulator's clock")]
    pub fn now_ms(&self) -> i64 {
        chrono::Utc::now().timestamp_millis() + self.ahead_ms.load(Ordering::Relaxed)
    }

    /// The time now in whole seconds, as records are stamped.
    pub fn stamp_ms(&self) -> i64 {
        self.now_ms().div_euclid(1_000) * 1_000
    }

    /// How far the clock is ahead of the machine's.
    pub fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Relaxed)
    }

    /// Moves the clock ahead of the machine's; negative is behind.
    pub fn set_ahead_ms(&self, ahead_ms: i64) {
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }
}
