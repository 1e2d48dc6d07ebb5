//! When a stream is opened again after it failed.

use std::time::Duration;

use shadow::retry;

/// How patient to be after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pace {
    /// The usual: from 1 s.
    Usual,
    /// Salesforce says that it is busy: from 5 s.
    Busy,
    /// Salesforce protects itself or its limits: a minute at least.
    Slow,
}

impl Pace {
    /// What is waited in any case, and the random part on top of it.
    const fn schedule(self) -> (Duration, retry::Backoff) {
        let minute = Duration::from_mins(1);
        match self {
            Self::Usual => (Duration::ZERO, retry::Backoff::STREAM),
            Self::Busy => (Duration::ZERO, retry::Backoff { first: Duration::from_secs(5), most: minute }),
            Self::Slow => {
                (minute, retry::Backoff { first: Duration::from_secs(30), most: Duration::from_mins(4) })
            }
        }
    }
}

/// Full-jitter backoff of one stream: the edge doubles with every failure in a row.
///
/// Pure: the caller brings the randomness and does the waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure.
    ///
    /// - **Shape:** uniformly random below an edge of 1, 2, 4, … 60 s; from 5 s where Salesforce is busy; one to five
    ///   minutes where it protects itself.
    /// - **Input:** `random` from 0.0 to 1.0.
    /// - **Source:** R 4.9 and 4.10.
    pub fn pause(&mut self, pace: Pace, random: f64) -> Duration {
        let (floor, schedule) = pace.schedule();
        self.failures = self.failures.saturating_add(1);
        floor + schedule.pause(self.failures, random)
    }

    /// A message came: the next failure is a first one again. Being connected is not enough.
    pub fn heard(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    pub fn failures(self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edges(pace: Pace, count: usize) -> Vec<u64> {
        let mut backoff = Backoff::default();
        (0..count).map(|_| backoff.pause(pace, 1.0).as_secs()).collect()
    }

    #[test]
    fn edges_double_up_to_a_minute() {
        assert_eq!(edges(Pace::Usual, 8), [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(edges(Pace::Busy, 6), [5, 10, 20, 40, 60, 60]);
        assert_eq!(edges(Pace::Slow, 5), [90, 120, 180, 300, 300]);
    }

    #[test]
    fn only_a_message_starts_over() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.pause(Pace::Usual, 0.5);
        }
        assert_eq!(backoff.failures(), 5);
        backoff.heard();
        assert_eq!(backoff.pause(Pace::Usual, 1.0), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn jitter_stays_between_floor_and_edge(failures in 0_u32..200, random in 0.0_f64..=1.0) {
            for (pace, floor, top) in [(Pace::Usual, 0, 60), (Pace::Busy, 0, 60), (Pace::Slow, 60, 300)] {
                let pause = Backoff { failures }.pause(pace, random);
                prop_assert!(pause >= Duration::from_secs(floor) && pause <= Duration::from_secs(top));
            }
        }
    }
}
