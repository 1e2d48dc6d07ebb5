//! How often and after which pause a call is tried again.

use std::time::Duration;

use rand::Rng;

/// Full-jitter exponential backoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetrySchedule {
    /// The upper edge of the first pause.
    pub first: Duration,
    /// The upper edge that later pauses do not pass.
    pub cap: Duration,
    /// Tries in all, the first one included.
    pub attempts: u32,
}

impl Default for RetrySchedule {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), cap: Duration::from_mins(1), attempts: 6 }
    }
}

impl RetrySchedule {
    /// The pause after try number `attempt` (from 1), or `None` when no try is left.
    ///
    /// - **Shape:** uniformly random between zero and the doubling edge, at least what the server asked for.
    /// - **Source:** 1 to 60 s with full jitter, `Retry-After` obeyed if it comes (capped at five minutes).
    pub fn pause_after(&self, attempt: u32, asked: Option<Duration>) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let edge = self.first.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1))).min(self.cap);
        let jittered = edge.mul_f64(rand::rng().random_range(0.0..=1.0));
        Some(asked.map_or(jittered, |asked| asked.min(Duration::from_mins(5)).max(jittered)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_end() {
        let schedule = RetrySchedule::default();
        for attempt in 1..schedule.attempts {
            let edge = Duration::from_secs(1 << (attempt - 1)).min(schedule.cap);
            assert!(schedule.pause_after(attempt, None).expect("a try is left") <= edge);
        }
        assert_eq!(schedule.pause_after(schedule.attempts, None), None);
    }

    #[test]
    fn a_server_that_asks_for_time_gets_it() {
        let pause = RetrySchedule::default().pause_after(1, Some(Duration::from_secs(20)));
        assert_eq!(pause, Some(Duration::from_secs(20)));
    }
}
