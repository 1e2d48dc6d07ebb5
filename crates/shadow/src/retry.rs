//! When to try again: full-jitter backoff.
//!
//! Pure: the caller draws the random number and waits.

use std::time::Duration;

/// A schedule of growing pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest pause before the first repetition.
    pub first: Duration,
    /// The longest pause ever.
    pub most: Duration,
}

impl Backoff {
    /// Of a stream that broke: 1, 2, 4 … 60 s.
    pub const STREAM: Self = Self { first: Duration::from_secs(1), most: Duration::from_mins(1) };
    /// Of a database that does not answer: 0.1, 0.2, 0.4 … 5 s.
    pub const DATABASE: Self = Self { first: Duration::from_millis(100), most: Duration::from_secs(5) };
    /// Of a dirty record that is fetched in vain: 5, 10, 20, 40, 60 s.
    pub const FETCH: Self = Self { first: Duration::from_secs(5), most: Duration::from_mins(1) };

    /// The longest pause after so many failures in a row; 0 counts as 1.
    pub fn ceiling(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        self.first.saturating_mul(1 << doublings).min(self.most)
    }

    /// The pause after so many failures in a row: any length up to the ceiling, so that many clients do not come back
    /// together.
    ///
    /// - `draw`: a random number from 0 to 1.
    pub fn pause(&self, failures: u32, draw: f64) -> Duration {
        self.ceiling(failures).mul_f64(draw.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit() {
        let ceilings: Vec<u64> = (1..=8).map(|n| Backoff::STREAM.ceiling(n).as_secs()).collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(Backoff::STREAM.ceiling(u32::MAX), Duration::from_mins(1));
        assert_eq!(Backoff::FETCH.ceiling(0), Duration::from_secs(5));
    }

    #[test]
    fn a_pause_is_drawn_from_the_whole_range() {
        assert_eq!(Backoff::STREAM.pause(3, 0.0), Duration::ZERO);
        assert_eq!(Backoff::STREAM.pause(3, 0.5), Duration::from_secs(2));
        assert_eq!(Backoff::STREAM.pause(3, 7.0), Duration::from_secs(4));
    }
}
