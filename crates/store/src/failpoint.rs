//! Points at which a test ends the process as `kill -9` would.
//!
//! Only builds with debug assertions look; in a release build reaching a point costs nothing and does nothing.
//! The variable `SHADOW_SYNC_FAILPOINT` names one point and which time of reaching it counts: `chunk.committed=3`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Every point of a load, in the order in which it reaches them. The kill runs walk this list.
pub const POINTS: &[&str] = &[
    "job.recorded",
    "bulk.created",
    "bulk.recorded",
    "bulk.complete",
    "bulk.complete-recorded",
    "page.announced",
    "chunk.staged",
    "chunk.planned",
    "chunk.applied",
    "chunk.committed",
    "page.committed",
    "fetch.received",
    "fetch.committed",
    "ids.compared",
    "ids.removed",
    "counts.committed",
    "job.finishing",
    "job.ended",
];

/// Every further point of live work: receiving, applying, catching up.
pub const LIVE_POINTS: &[&str] = &[
    "events.appended",
    "events.committed",
    "keepalive.committed",
    "apply.planned",
    "apply.committed",
    "window.committed",
    "hole.closing",
    "hole.closed",
];

/// Every further point of a side read.
pub const SIDE_POINTS: &[&str] = &["fields.filled"];

/// Every point of the deletion of cache keys that a change ordered.
pub const FLUSH_POINTS: &[&str] = &[
    "keys.due",
    "keys.deleted",
    "keys.marked",
    "keys.again",
    "patterns.due",
    "patterns.deleted",
    "patterns.marked",
];

/// Ends this process here, if the environment asks for it.
#[inline]
pub fn reach(point: &'static str) {
    if cfg!(debug_assertions) {
        let listed =
            [POINTS, LIVE_POINTS, SIDE_POINTS, FLUSH_POINTS].iter().any(|list| list.contains(&point));
        debug_assert!(listed, "{point} is not in a list of points");
        if armed().is_some_and(|armed| armed.is_due(point)) {
            tracing::warn!(point, "ending the process at a failpoint");
            std::process::abort();
        }
    }
}

struct Armed {
    point: String,
    left: AtomicU32,
}

impl Armed {
    fn is_due(&self, point: &str) -> bool {
        self.point == point && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

fn armed() -> Option<&'static Armed> {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    ARMED
        .get_or_init(|| {
            let text = std::env::var("SHADOW_SYNC_FAILPOINT").ok()?;
            let (point, times) = text.split_once('=').unwrap_or((&text, "1"));
            Some(Armed { point: point.to_owned(), left: AtomicU32::new(times.parse().ok()?) })
        })
        .as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_due_at_its_own_count_only() {
        let armed = Armed { point: "chunk.committed".to_owned(), left: AtomicU32::new(2) };
        assert!(!armed.is_due("chunk.staged"));
        assert!(!armed.is_due("chunk.committed"));
        assert!(armed.is_due("chunk.committed"));
        assert!(!armed.is_due("chunk.committed"));
    }
}
