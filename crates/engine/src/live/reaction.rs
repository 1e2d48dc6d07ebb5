//! What follows when the stream breaks off.

use std::time::Duration;

use salesforce::pubsub::StreamRefusal;
use salesforce::{Disposition, Error};
use store::holes::HoleWhy;

use crate::api::stream::StreamState;

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// It is tried again from the checkpoint, after a pause that doubles.
    AgainSoon,
    /// Salesforce does not know the saved position: it begins at the latest one, and a hole is opened.
    PositionLost,
    /// Only Salesforce or a person can mend it: shown, and tried again after a while all the same.
    Later {
        /// How it is shown.
        state: StreamState,
        /// When it is tried again.
        after: Duration,
        /// The hole that opens meanwhile, if events may be missed.
        outage: Option<HoleWhy>,
    },
}

/// The allocation of delivered events comes back within a day: it is asked for every hour.
const ALLOCATION: Duration = Duration::from_hours(1);
/// A permission or a selection takes effect within ten minutes.
const PERMISSION: Duration = Duration::from_mins(1);
/// A fault in what we ask, which a person must look at.
const FAULT: Duration = Duration::from_mins(5);

/// What follows from an error of the stream. No wildcard arm: a new disposition must choose.
pub(crate) fn reaction(error: &Error) -> Reaction {
    let later = |state, after, outage| Reaction::Later { state, after, outage };
    match error.disposition() {
        Disposition::Retry | Disposition::RetryPage | Disposition::StartAnew => Reaction::AgainSoon,
        Disposition::PositionLost => Reaction::PositionLost,
        Disposition::AllocationSpent => later(StreamState::Polling, ALLOCATION, Some(HoleWhy::Allocation)),
        Disposition::Park => {
            let is_unknown =
                matches!(error, Error::StreamRefused { refusal: StreamRefusal::TopicNotFound, .. });
            let why = if is_unknown { HoleWhy::Selection } else { HoleWhy::Permission };
            later(StreamState::Failed, PERMISSION, Some(why))
        }
        Disposition::Reauthenticate => later(StreamState::Failed, Duration::from_secs(10), None),
        Disposition::Pause => later(StreamState::Failed, PERMISSION, None),
        Disposition::Stop | Disposition::Cancelled => later(StreamState::Failed, FAULT, None),
    }
}
