//! How far a channel's stream has proven that nothing is missing (design 5.4).

use crate::value::Moment;

/// How much earlier than its arrival a response without events proves, in milliseconds: commits may still be on their
/// way to the stream.
pub const SILENCE_MARGIN_MS: i64 = 10_000;

/// What one response of a subscription brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// Events, the last of which was committed at this time.
    Events {
        /// Commit time of the last event, in Salesforce's time.
        last_committed_at: Moment,
    },
    /// No events: a keep-alive.
    Silence {
        /// When it arrived, in Salesforce's time.
        arrived_at: Moment,
    },
}

impl Response {
    /// Up to when it proves the channel complete, in Salesforce's time.
    ///
    /// - **Source:** design 5.4. A response with events proves only up to its last event; one without up to its
    ///   arrival less 10 s.
    pub fn proves(self) -> Moment {
        match self {
            Self::Events { last_committed_at } => last_committed_at,
            Self::Silence { arrived_at } => Moment(arrived_at.0.saturating_sub(SILENCE_MARGIN_MS)),
        }
    }

    /// Whether its `latest_replay_id` may become the checkpoint: the position of a response with events lies at its
    /// last event, and nothing behind that was received yet.
    pub fn moves_checkpoint_to_latest(self) -> bool {
        matches!(self, Self::Silence { .. })
    }
}

/// Up to when a channel is proven once a response was stored: never earlier than before, because events that come
/// again prove nothing less.
pub fn proven_until(before: Option<Moment>, response: Response) -> Moment {
    before.map_or(response.proves(), |before| before.max(response.proves()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_prove_up_to_their_last_commit_and_silence_nearly_up_to_now() {
        assert_eq!(Response::Events { last_committed_at: Moment(90_000) }.proves(), Moment(90_000));
        assert_eq!(Response::Silence { arrived_at: Moment(90_000) }.proves(), Moment(80_000));
    }

    #[test]
    fn what_was_proven_stays_proven_when_events_come_again() {
        let again = Response::Events { last_committed_at: Moment(5) };
        assert_eq!(proven_until(Some(Moment(80_000)), again), Moment(80_000));
        assert_eq!(proven_until(None, again), Moment(5));
    }

    #[test]
    fn only_a_keep_alive_moves_the_checkpoint_behind_the_last_event() {
        assert!(Response::Silence { arrived_at: Moment(0) }.moves_checkpoint_to_latest());
        assert!(!Response::Events { last_committed_at: Moment(0) }.moves_checkpoint_to_latest());
    }
}
