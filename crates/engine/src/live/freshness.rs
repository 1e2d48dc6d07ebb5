//! How far each object's table is complete, and how far it trails: what the status, the samples and the metrics say.

use chrono::{DateTime, TimeDelta, Utc};
use shadow::live_through::{Facts, HoleStart, is_confirmed as confirmed_lately, live_through};
use shadow::value::Moment;
use store::live_facts::LiveFacts;

/// How an object stands at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Freshness {
    /// The Salesforce time up to which its table is known to be complete.
    pub live_through: Option<DateTime<Utc>>,
    /// How far that lies back.
    pub lag: Option<TimeDelta>,
    /// How long the oldest of its stored events waits.
    pub backlog_age: Option<TimeDelta>,
}

/// Judges an object.
///
/// - `now`: by this machine's clock, which the database's is taken to agree with.
/// - `salesforce_now`: by Salesforce's.
pub(crate) fn freshness(facts: &LiveFacts, now: DateTime<Utc>, salesforce_now: DateTime<Utc>) -> Freshness {
    let moment = |time: Option<DateTime<Utc>>| time.map(Moment::from);
    let stream = facts.stream.as_ref();
    let proven = stream.and_then(|stream| {
        let heard = stream.heard_at.map(|heard| heard + (salesforce_now - now));
        // Salesforce's clock may have been ahead for a while: what it stamped then proves no more than that it was heard.
        stream.proven_until.map(|until| if until > salesforce_now { heard.unwrap_or(until) } else { until })
    });
    let judged = Facts {
        loaded: moment(facts.loaded_at),
        caught_up: moment(facts.watermark),
        stream: moment(proven),
        is_confirmed: is_confirmed(facts, now),
        oldest_unapplied: moment(facts.oldest_unapplied),
        oldest_dirty: moment(facts.oldest_dirty),
        oldest_dead_letter: moment(facts.oldest_dead_letter),
        oldest_hole: match (facts.hole_since_ever, facts.oldest_hole) {
            (true, _) => Some(HoleStart::Ever),
            (false, start) => start.map(|start| HoleStart::At(start.into())),
        },
    };
    // Reads may have been stamped by a clock that was ahead as well.
    let live_through =
        live_through(&judged).and_then(Moment::to_utc).map(|through| through.min(salesforce_now));
    Freshness {
        live_through,
        lag: live_through.map(|through| shadow::lag::lag(through, salesforce_now)),
        backlog_age: facts.oldest_received_at.map(|oldest| shadow::lag::backlog_age(Some(oldest), now)),
    }
}

/// Whether the stream speaks for an object: its permission was confirmed lately, and the channel is known to carry it.
pub(crate) fn is_confirmed(facts: &LiveFacts, now: DateTime<Utc>) -> bool {
    let lately = |at: Option<DateTime<Utc>>| confirmed_lately(at.map(Moment::from), now.into());
    // Membership changes with the org's setup; who may not look at that learns it by the object's events.
    facts.stream.as_ref().is_some_and(|stream| lately(stream.permitted_at) && stream.member_at.is_some())
}

/// Milliseconds for a screen.
pub(crate) fn millis(span: TimeDelta) -> u32 {
    u32::try_from(span.num_milliseconds().max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use shadow::event::ChannelName;
    use shadow::{ObjectName, ObjectState};
    use store::live_facts::StreamFacts;

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "every time of the facts may be unknown")]
    fn at(seconds: i64) -> Option<DateTime<Utc>> {
        Some(DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds))
    }

    /// An object whose stream was heard at second 990 and is proven until another.
    fn proven(until: i64) -> LiveFacts {
        LiveFacts {
            object: ObjectName::product(),
            state: ObjectState::Live,
            ready_at: at(10),
            loaded_at: at(10),
            watermark: None,
            compared_at: None,
            formula_refreshed_at: None,
            stream: Some(StreamFacts {
                channel: ChannelName::parse("/data/Product2ChangeEvent").expect("a channel"),
                proven_until: at(until),
                heard_at: at(990),
                permitted_at: at(990),
                member_at: at(990),
            }),
            backlog_events: 0,
            oldest_unapplied: None,
            oldest_received_at: None,
            dirty: 0,
            oldest_dirty: None,
            dead_letters: 0,
            oldest_dead_letter: None,
            holes: 0,
            oldest_hole: None,
            hole_since_ever: false,
        }
    }

    fn through(facts: &LiveFacts) -> Option<DateTime<Utc>> {
        let now = at(1_000).expect("a time");
        freshness(facts, now, now).live_through
    }

    #[test]
    fn what_a_clock_that_was_ahead_stamped_proves_no_more_than_that_it_was_heard() {
        assert_eq!(through(&proven(980)), at(980));
        assert_eq!(through(&proven(1_600)), at(990));
    }

    #[test]
    fn no_table_is_complete_up_to_a_time_to_come() {
        assert_eq!(through(&LiveFacts { watermark: at(1_600), ..proven(980) }), at(1_000));
    }
}
