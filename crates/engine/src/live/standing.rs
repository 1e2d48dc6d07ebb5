//! Where the stream of this process stands.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use store::checkpoints::StreamState as Stored;
use tokio::sync::watch;

use crate::api::stream::StreamState;
use crate::problem::Problem;

/// Where the stream stands, channel by channel.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Standing {
    /// Why this process does not lead although it could: for this process alone.
    pub problem: Option<Problem>,
    /// By the channel's name.
    pub channels: BTreeMap<String, ChannelStanding>,
}

/// Where one channel stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ChannelStanding {
    pub state: StreamState,
    pub problem: Option<Problem>,
    pub retry_at: Option<DateTime<Utc>>,
    pub live_since: Option<DateTime<Utc>>,
}

impl ChannelStanding {
    /// A state without a problem.
    pub(crate) fn plain(state: StreamState) -> Self {
        Self { state, problem: None, retry_at: None, live_since: None }
    }

    /// The word for it in the database.
    pub(crate) fn stored(&self) -> Stored {
        match self.state {
            StreamState::Stopped => Stored::Stopped,
            StreamState::Connecting => Stored::Connecting,
            StreamState::Live => Stored::Live,
            StreamState::Backoff => Stored::Backoff,
            StreamState::Polling => Stored::Polling,
            StreamState::Paused => Stored::Paused,
            StreamState::Failed => Stored::Failed,
        }
    }

    /// Subscribed and heard since a moment.
    pub(crate) fn live(since: DateTime<Utc>) -> Self {
        Self { live_since: Some(since), ..Self::plain(StreamState::Live) }
    }

    /// Not running, for a reason, until it is tried again.
    pub(crate) fn waiting(state: StreamState, problem: Problem, retry_at: Option<DateTime<Utc>>) -> Self {
        Self { problem: Some(problem), retry_at, ..Self::plain(state) }
    }
}

/// How bad a state is; the worst channel speaks for the stream.
pub(crate) fn severity(state: StreamState) -> u8 {
    match state {
        StreamState::Live => 0,
        StreamState::Connecting => 1,
        StreamState::Paused => 2,
        StreamState::Backoff => 3,
        StreamState::Polling => 4,
        StreamState::Stopped => 5,
        StreamState::Failed => 6,
    }
}

/// The standing of this process's stream, and who waits for it to change.
#[derive(Debug)]
pub(crate) struct Board(watch::Sender<Standing>);

impl Default for Board {
    fn default() -> Self {
        Self(watch::Sender::new(Standing::default()))
    }
}

impl Board {
    /// What stands there now.
    pub(crate) fn now(&self) -> Standing {
        self.0.borrow().clone()
    }

    /// Hears of changes.
    pub(crate) fn watch(&self) -> watch::Receiver<Standing> {
        self.0.subscribe()
    }

    /// Writes down where a channel stands; says whether that is new.
    pub(crate) fn channel(&self, name: &str, standing: ChannelStanding) -> bool {
        self.0.send_if_modified(|board| {
            if board.channels.get(name) == Some(&standing) {
                return false;
            }
            board.channels.insert(name.to_owned(), standing);
            true
        })
    }

    /// Writes down why this process does not lead; says whether that is new.
    pub(crate) fn problem(&self, problem: Option<Problem>) -> bool {
        self.0.send_if_modified(|board| {
            let is_new = board.problem != problem;
            board.problem = problem;
            is_new
        })
    }

    /// Forgets the channels: this process runs none.
    pub(crate) fn clear(&self) {
        self.0.send_if_modified(|board| {
            let had = !board.channels.is_empty();
            board.channels.clear();
            had
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_said_again_is_nothing_new() {
        let board = Board::default();
        assert!(board.channel("a", ChannelStanding::live(DateTime::UNIX_EPOCH)));
        assert!(!board.channel("a", ChannelStanding::live(DateTime::UNIX_EPOCH)));
        assert!(board.channel("a", ChannelStanding::plain(StreamState::Backoff)));
    }

    #[test]
    fn a_stream_that_fails_is_worse_than_one_that_waits() {
        assert!(severity(StreamState::Failed) > severity(StreamState::Backoff));
        assert!(severity(StreamState::Backoff) > severity(StreamState::Live));
    }
}
