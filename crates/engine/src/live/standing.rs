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

impl Standing {
    /// The channel that is worst off: what the stream as a whole is.
    pub(crate) fn worst(&self) -> Option<&ChannelStanding> {
        self.channels.values().max_by_key(|channel| severity(channel.state))
    }
}

/// How bad a state is; the worst channel speaks for the stream.
fn severity(state: StreamState) -> u8 {
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

    /// Whether every channel is subscribed, and there is one.
    pub(crate) fn is_live(&self) -> bool {
        let board = self.0.borrow();
        !board.channels.is_empty()
            && board.channels.values().all(|channel| channel.state == StreamState::Live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_channel_speaks_for_the_stream() {
        let board = Board::default();
        assert!(!board.is_live());
        assert!(board.channel("a", ChannelStanding::live(DateTime::UNIX_EPOCH)));
        assert!(!board.channel("a", ChannelStanding::live(DateTime::UNIX_EPOCH)), "nothing is new");
        assert!(board.is_live());
        board.channel("b", ChannelStanding::plain(StreamState::Backoff));
        assert_eq!(board.now().worst().map(|channel| channel.state), Some(StreamState::Backoff));
        assert!(!board.is_live());
    }
}
