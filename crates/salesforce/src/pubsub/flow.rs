//! How many events the server may still send: never more than can be stored, never none for long.

use std::time::Duration;

use tokio::time::Instant;

/// The most events that one request may ask for.
const MOST_PER_REQUEST: u32 = 100;

/// The server closes a stream that is owed nothing for 60 s; one event is asked for well before that.
const LONGEST_AT_NONE: Duration = Duration::from_secs(25);

/// After this time without a request of ours the server's own count is the truth.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// The count of events asked for and not yet received.
///
/// It is kept here, because the count in an answer leaves out the requests that were still on their way to the server.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    window: u32,
    outstanding: u32,
    asked_at: Instant,
    /// Since when nothing is outstanding.
    none_since: Option<Instant>,
}

impl Flow {
    /// A flow that has asked for nothing yet.
    pub fn new(window: u32, now: Instant) -> Self {
        Self { window, outstanding: 0, asked_at: now, none_since: None }
    }

    /// How many events may be outstanding from now on. What was asked for cannot be taken back.
    pub fn set_window(&mut self, window: u32) {
        self.window = window;
    }

    /// How many events the server may still send.
    pub fn outstanding(&self) -> u32 {
        self.outstanding
    }

    /// Begins anew with another stream; returns what its first request asks for.
    pub fn restart(&mut self, now: Instant) -> u32 {
        self.outstanding = 0;
        let first = self.window.clamp(1, MOST_PER_REQUEST);
        self.asked(first, now);
        first
    }

    /// Takes note of an answer: its events, and what the server says it still owes.
    pub fn received(&mut self, events: usize, pending: i32, now: Instant) {
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        let pending = u32::try_from(pending).unwrap_or_default();
        let counted = self.outstanding.saturating_sub(events);
        let settled = now.duration_since(self.asked_at) >= SETTLED_AFTER;
        self.outstanding = if settled { pending } else { counted.max(pending) };
        self.note_none(now);
    }

    /// How many events to ask for now; 0 for none.
    pub fn wanted(&self, now: Instant) -> u32 {
        if let Some(since) = self.none_since
            && self.window == 0
        {
            return u32::from(now.duration_since(since) >= LONGEST_AT_NONE);
        }
        if self.outstanding > self.window / 2 {
            return 0;
        }
        (self.window - self.outstanding).min(MOST_PER_REQUEST)
    }

    /// Takes note of a request that was sent.
    pub fn asked(&mut self, events: u32, now: Instant) {
        self.outstanding = self.outstanding.saturating_add(events);
        self.asked_at = now;
        self.note_none(now);
    }

    /// When something must be asked for although no answer came.
    pub fn ask_by(&self) -> Option<Instant> {
        self.none_since.map(|since| since + LONGEST_AT_NONE)
    }

    fn note_none(&mut self, now: Instant) {
        self.none_since = match (self.outstanding, self.none_since) {
            (0, None) => Some(now),
            (0, since) => since,
            _ => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn open(window: u32, now: Instant) -> Flow {
        let mut flow = Flow::new(window, now);
        flow.restart(now);
        flow
    }

    #[test]
    fn more_is_asked_for_at_half_the_window() {
        let now = Instant::now();
        let mut flow = open(100, now);
        assert_eq!((flow.outstanding(), flow.wanted(now)), (100, 0));
        flow.received(49, 51, now);
        assert_eq!(flow.wanted(now), 0);
        flow.received(1, 50, now);
        assert_eq!(flow.wanted(now), 50);
    }

    #[test]
    fn back_pressure_keeps_one_event_on_the_way_before_half_a_minute() {
        let now = Instant::now();
        let mut flow = open(10, now);
        flow.set_window(0);
        flow.received(10, 0, now);
        assert_eq!(flow.wanted(now + 24 * SECOND), 0);
        let due = flow.ask_by().expect("nothing is outstanding");
        assert!(due < now + 30 * SECOND);
        assert_eq!(flow.wanted(due), 1);
        flow.asked(1, due);
        assert_eq!((flow.wanted(due + 60 * SECOND), flow.ask_by()), (0, None));
    }

    #[test]
    fn a_request_on_its_way_is_not_forgotten() {
        let now = Instant::now();
        let mut flow = open(100, now);
        flow.received(60, 40, now);
        flow.asked(60, now);
        // This answer was sent before the request arrived.
        flow.received(10, 30, now);
        assert_eq!(flow.outstanding(), 90);
    }

    #[test]
    fn a_server_that_lost_count_is_believed_once_things_have_settled() {
        let now = Instant::now();
        let mut flow = open(100, now);
        flow.received(0, 0, now + 6 * SECOND);
        assert_eq!(flow.outstanding(), 0);
        assert_eq!(flow.wanted(now + 6 * SECOND), 100);
    }

    proptest! {
        /// Against a server that counts rightly and answers late, the window is never passed.
        #[test]
        fn never_more_than_the_window(
            window in 1_u32..300,
            steps in prop::collection::vec((0_u32..40, 0_u64..8), 1..60),
        ) {
            let mut now = Instant::now();
            let mut flow = open(window, now);
            let mut owed = flow.outstanding();
            for (events, seconds) in steps {
                now += Duration::from_secs(seconds);
                let sent = events.min(owed);
                owed -= sent;
                flow.received(sent as usize, i32::try_from(owed).unwrap(), now);
                let wanted = flow.wanted(now);
                if wanted > 0 {
                    flow.asked(wanted, now);
                    owed += wanted;
                }
                prop_assert!(owed <= window);
                prop_assert!(owed > 0);
                prop_assert_eq!(owed, flow.outstanding());
            }
        }
    }
}
