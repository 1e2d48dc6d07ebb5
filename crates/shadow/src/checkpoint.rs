//! How far a channel's stream has proven that nothing is missing (design 5.4).

use chrono::{DateTime, TimeDelta, Utc};

/// How much earlier than its arrival a response without events proves: commits may still be on their way to the
/// stream.
pub const SILENCE_MARGIN: TimeDelta = TimeDelta::seconds(10);

/// What one response of a subscription brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// Events, the last of which was committed at this time.
    Events {
        /// Commit time of the last event, in Salesforce's time.
        last_committed_at: DateTime<Utc>,
    },
    /// No events: a keep-alive.
    Silence {
        /// When it arrived, in Salesforce's time.
        arrived_at: DateTime<Utc>,
    },
}

impl Response {
    /// Up to when it proves the channel complete, in Salesforce's time. What was proven before stays proven: events
    /// that come again prove nothing less.
    ///
    /// - **Source:** design 5.4. A response with events proves only up to its last event; one without up to its
    ///   arrival less 10 s.
    pub fn proves(self) -> DateTime<Utc> {
        match self {
            Self::Events { last_committed_at } => last_committed_at,
            Self::Silence { arrived_at } => arrived_at - SILENCE_MARGIN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_prove_up_to_their_last_commit_and_silence_nearly_up_to_now() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::hours(1);
        assert_eq!(Response::Events { last_committed_at: now }.proves(), now);
        assert_eq!(Response::Silence { arrived_at: now }.proves(), now - TimeDelta::seconds(10));
    }
}
