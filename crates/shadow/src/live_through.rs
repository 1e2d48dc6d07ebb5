//! Up to which Salesforce time a shadow table is known to be complete (design 5.4).

use crate::value::Moment;

/// For how long a confirmed permission counts, in milliseconds: changes of permissions take effect within it.
pub const CONFIRMED_FOR_MS: i64 = 10 * 60_000;

/// Where the oldest open hole of an object begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoleStart {
    /// Since ever.
    Ever,
    /// At this time.
    At(Moment),
}

/// What is known of one object; all times are Salesforce's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// The end of its last whole load; none while it was never loaded.
    pub loaded: Option<Moment>,
    /// Up to when its last catch-up is complete.
    pub caught_up: Option<Moment>,
    /// Up to when its channel's stream is proven ([`crate::checkpoint`]).
    pub stream: Option<Moment>,
    /// Whether the stream speaks for this object: its permission was confirmed lately, and it is known to be a member
    /// of the channel. An unselected or unpermitted object is silently absent.
    pub is_confirmed: bool,
    /// Commit time of its oldest event that waits to be applied.
    pub oldest_unapplied: Option<Moment>,
    /// Commit time of the oldest change that made one of its records dirty.
    pub oldest_dirty: Option<Moment>,
    /// Commit time of its oldest dead letter.
    pub oldest_dead_letter: Option<Moment>,
    /// Where its oldest open hole begins.
    pub oldest_hole: Option<HoleStart>,
}

/// Returns the time up to which an object's table is complete; `None` while that is unknown.
///
/// - **Shape:** one object in, one time out.
/// - **Units:** Salesforce's time, in milliseconds.
/// - **Errors:** none.
/// - **Source:** design 5.4: the least of what the stream has proven (for an object that it does not speak for: its
///   last catch-up), the time before the oldest change that is not in the table, and the start of the oldest hole.
pub fn live_through(facts: &Facts) -> Option<Moment> {
    let loaded = facts.loaded?;
    let read = facts.caught_up.map_or(loaded, |caught_up| caught_up.max(loaded));
    let proven = match facts.stream {
        Some(stream) if facts.is_confirmed => stream.max(read),
        _ => read,
    };
    let before = |time: Moment| Moment(time.0 - 1);
    let open = [facts.oldest_unapplied, facts.oldest_dirty, facts.oldest_dead_letter];
    let least = open.into_iter().flatten().map(before).fold(proven, Moment::min);
    match facts.oldest_hole {
        None => Some(least),
        Some(HoleStart::Ever) => None,
        Some(HoleStart::At(start)) => Some(least.min(start)),
    }
}

/// Whether a permission that was confirmed then still counts.
pub fn is_confirmed(confirmed_at: Option<Moment>, now: Moment) -> bool {
    confirmed_at.is_some_and(|at| now.0.saturating_sub(at.0) <= CONFIRMED_FOR_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streaming() -> Facts {
        Facts {
            loaded: Some(Moment(1_000)),
            caught_up: Some(Moment(2_000)),
            stream: Some(Moment(9_000)),
            is_confirmed: true,
            ..Facts::default()
        }
    }

    #[test]
    fn a_table_that_was_never_loaded_is_complete_at_no_time() {
        assert_eq!(live_through(&Facts { loaded: None, ..streaming() }), None);
    }

    #[test]
    fn the_stream_moves_an_object_that_it_speaks_for_and_no_other() {
        assert_eq!(live_through(&streaming()), Some(Moment(9_000)));
        assert_eq!(live_through(&Facts { is_confirmed: false, ..streaming() }), Some(Moment(2_000)));
        assert_eq!(
            live_through(&Facts { is_confirmed: false, caught_up: None, ..streaming() }),
            Some(Moment(1_000))
        );
    }

    #[test]
    fn a_catch_up_may_be_ahead_of_a_dead_stream() {
        assert_eq!(live_through(&Facts { stream: Some(Moment(5)), ..streaming() }), Some(Moment(2_000)));
    }

    #[test]
    fn it_ends_before_the_oldest_change_that_is_not_in_the_table() {
        let at = Some(Moment(4_000));
        for facts in [
            Facts { oldest_unapplied: at, ..streaming() },
            Facts { oldest_dirty: at, ..streaming() },
            Facts { oldest_dead_letter: at, ..streaming() },
        ] {
            assert_eq!(live_through(&facts), Some(Moment(3_999)));
        }
    }

    #[test]
    fn it_ends_where_the_oldest_hole_begins() {
        let hole = |start| live_through(&Facts { oldest_hole: Some(start), ..streaming() });
        assert_eq!(hole(HoleStart::At(Moment(3_000))), Some(Moment(3_000)));
        assert_eq!(hole(HoleStart::Ever), None);
    }

    #[test]
    fn a_confirmation_lasts_ten_minutes() {
        assert!(is_confirmed(Some(Moment(0)), Moment(CONFIRMED_FOR_MS)));
        assert!(!is_confirmed(Some(Moment(0)), Moment(CONFIRMED_FOR_MS + 1)));
        assert!(!is_confirmed(None, Moment(0)));
    }
}
