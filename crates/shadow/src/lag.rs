//! How far a shadow table trails Salesforce.
//!
//! Pure: callers pass the times in. The overview page and the `sf_shadow_lag_seconds` metric both read it here.

use chrono::{DateTime, TimeDelta, Utc};

/// A channel that was silent for longer counts as dead (design 5.6).
pub const HEARD_WITHIN: TimeDelta = TimeDelta::seconds(330);
/// Above this lag a table is late.
pub const LATE: TimeDelta = TimeDelta::seconds(330);
/// Above this lag a table is far behind.
pub const FAR_BEHIND: TimeDelta = TimeDelta::minutes(15);

/// Returns how far a shadow table trails Salesforce: `now - live_through`.
///
/// - **Shape:** one object in, one duration out.
/// - **Units:** millisecond precision, never negative; both times in Salesforce's clock.
/// - **Errors:** none.
/// - **Source:** design 5.4. Keep-alives move `live_through` of a quiet object; a dead stream stops it, so that a dead
///   stream falls behind. The age of the oldest waiting event is another figure, [`backlog_age`].
pub fn lag(live_through: DateTime<Utc>, now: DateTime<Utc>) -> TimeDelta {
    (now - live_through).max(TimeDelta::zero())
}

/// How long the oldest stored event waits to be applied; zero if none waits. Both times in the database's clock.
pub fn backlog_age(oldest_received: Option<DateTime<Utc>>, now: DateTime<Utc>) -> TimeDelta {
    oldest_received.map_or(TimeDelta::zero(), |oldest| (now - oldest).max(TimeDelta::zero()))
}

/// Whether a channel was heard lately enough to count as alive.
pub fn is_heard(heard_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    heard_at.is_some_and(|heard| now - heard <= HEARD_WITHIN)
}

/// How a lag is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pace {
    /// Within what a quiet org's keep-alives allow.
    OnTime,
    /// Later than that.
    Late,
    /// So late that somebody should look.
    FarBehind,
}

/// How a lag is to be taken, by the default limits.
pub fn pace(lag: TimeDelta) -> Pace {
    if lag > FAR_BEHIND {
        Pace::FarBehind
    } else if lag > LATE {
        Pace::Late
    } else {
        Pace::OnTime
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEN: DateTime<Utc> = DateTime::UNIX_EPOCH;

    #[test]
    fn a_dead_stream_falls_behind_even_when_nothing_waits() {
        assert_eq!(lag(THEN, THEN + TimeDelta::hours(1)), TimeDelta::hours(1));
        assert_eq!(backlog_age(None, THEN), TimeDelta::zero());
    }

    #[test]
    fn clocks_that_part_make_no_negative_lag() {
        assert_eq!(lag(THEN + TimeDelta::seconds(3), THEN), TimeDelta::zero());
        assert_eq!(backlog_age(Some(THEN + TimeDelta::seconds(3)), THEN), TimeDelta::zero());
    }

    #[test]
    fn between_keep_alives_a_table_is_on_time() {
        assert_eq!(pace(TimeDelta::seconds(280)), Pace::OnTime);
        assert_eq!(pace(TimeDelta::seconds(331)), Pace::Late);
        assert_eq!(pace(TimeDelta::minutes(16)), Pace::FarBehind);
    }

    #[test]
    fn silence_of_more_than_330_seconds_is_death() {
        assert!(is_heard(Some(THEN), THEN + TimeDelta::seconds(330)));
        assert!(!is_heard(Some(THEN), THEN + TimeDelta::seconds(331)));
        assert!(!is_heard(None, THEN));
    }
}
