//! How many events the org may still deliver: counted per event and subscriber, over the last 24 hours.

use std::collections::VecDeque;

const HOUR_MS: i64 = 3_600_000;
const HOURS: i64 = 24;

/// Delivered events by the hour.
#[derive(Debug)]
pub struct Allocation {
    hours: VecDeque<(i64, u64)>,
    allowed: u64,
}

impl Allocation {
    /// Nothing was delivered yet.
    pub fn new(allowed: u64) -> Self {
        Self { hours: VecDeque::new(), allowed }
    }

    /// How many events may be delivered in 24 hours.
    pub fn allowed(&self) -> u64 {
        self.allowed
    }

    /// How many were delivered in the last 24 hours.
    pub fn used(&self, now_ms: i64) -> u64 {
        let hour = now_ms.div_euclid(HOUR_MS);
        self.hours.iter().filter(|(of, _)| *of > hour - HOURS).map(|(_, count)| count).sum()
    }

    /// How many may still be delivered.
    pub fn left(&self, now_ms: i64) -> u64 {
        self.allowed.saturating_sub(self.used(now_ms))
    }

    /// Notes deliveries.
    pub fn take(&mut self, now_ms: i64, events: u64) {
        let hour = now_ms.div_euclid(HOUR_MS);
        match self.hours.iter_mut().find(|(of, _)| *of == hour) {
            Some((_, count)) => *count += events,
            None => self.hours.push_back((hour, events)),
        }
        self.hours.retain(|(of, _)| *of > hour - HOURS);
    }

    /// Sets what counts as used now, and what is allowed.
    pub fn set(&mut self, now_ms: i64, used: u64, allowed: u64) {
        self.hours.clear();
        self.allowed = allowed;
        self.take(now_ms, used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_delivered_a_day_ago_counts_no_more() {
        let mut allocation = Allocation::new(100);
        allocation.take(0, 60);
        allocation.take(HOUR_MS, 40);
        assert_eq!(allocation.left(HOUR_MS), 0);
        assert_eq!(allocation.left(23 * HOUR_MS), 0);
        assert_eq!(allocation.left(24 * HOUR_MS), 60);
        assert_eq!(allocation.left(25 * HOUR_MS), 100);
    }
}
