//! Holes: spans in which events may be missing, and what closes them (design 5.3).

use serde::{Deserialize, Serialize};

use crate::value::Moment;

/// How far before a hole its catch-up begins, in milliseconds: a stamp is set when a row is written, up to ten minutes
/// before the transaction commits.
pub const OVERLAP_MS: i64 = 15 * 60_000;

/// Why events may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum HoleWhy {
    /// From the load's start to the first saved position of the stream.
    FirstPosition,
    /// The saved position was refused, has expired, or is missing.
    PositionLost,
    /// The header of an event could not be read: nobody knows whose change it was.
    HeaderUnreadable,
    /// More changed in one transaction than events are sent for.
    Overflow,
    /// All records of the object changed without a stamp: a field's type was converted.
    Wildcard,
    /// The objects' events come by another channel now.
    ChannelChanged,
    /// The object was not selected for change events.
    Selection,
    /// The sync user could not see all records of the object.
    Permission,
    /// The org's allocation of delivered events was spent.
    Allocation,
    /// The stream was too far behind to be waited for.
    StreamLag,
    /// The database was set back to an earlier state: a backup was restored.
    SetBack,
}

/// What closes a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "specta", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum HoleNeeds {
    /// A catch-up of its span, then an id comparison.
    CatchUp,
    /// A backfill: no stamp moved, so that a catch-up would find nothing.
    Backfill,
}

impl HoleNeeds {
    /// The stable word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CatchUp => "catch-up",
            Self::Backfill => "backfill",
        }
    }

    /// Reads the stable word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::CatchUp, Self::Backfill].into_iter().find(|needs| needs.as_str() == word)
    }
}

impl HoleWhy {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::FirstPosition,
        Self::PositionLost,
        Self::HeaderUnreadable,
        Self::Overflow,
        Self::Wildcard,
        Self::ChannelChanged,
        Self::Selection,
        Self::Permission,
        Self::Allocation,
        Self::StreamLag,
        Self::SetBack,
    ];

    /// The stable word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FirstPosition => "first-position",
            Self::PositionLost => "position-lost",
            Self::HeaderUnreadable => "header-unreadable",
            Self::Overflow => "overflow",
            Self::Wildcard => "wildcard",
            Self::ChannelChanged => "channel-changed",
            Self::Selection => "selection",
            Self::Permission => "permission",
            Self::Allocation => "allocation",
            Self::StreamLag => "stream-lag",
            Self::SetBack => "set-back",
        }
    }

    /// Reads the stable word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.as_str() == word)
    }

    /// What closes a hole of this kind.
    pub const fn needs(self) -> HoleNeeds {
        match self {
            Self::Wildcard => HoleNeeds::Backfill,
            Self::FirstPosition
            | Self::PositionLost
            | Self::HeaderUnreadable
            | Self::Overflow
            | Self::ChannelChanged
            | Self::Selection
            | Self::Permission
            | Self::Allocation
            | Self::StreamLag
            | Self::SetBack => HoleNeeds::CatchUp,
        }
    }
}

/// The span of a hole, in Salesforce's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// From when; none if since ever.
    pub from: Option<Moment>,
    /// Until when; none while events may still be missing.
    pub until: Option<Moment>,
}

impl Span {
    /// From when a catch-up of this span must read; none if only the whole object will do.
    pub fn read_from(&self) -> Option<Moment> {
        self.from.map(|from| Moment(from.0.saturating_sub(OVERLAP_MS)))
    }
}

/// What a catch-up or a backfill has come to when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mended {
    /// From which stamp on it read; none if it read everything.
    pub from: Option<Moment>,
    /// Up to when it is complete.
    pub up_to: Moment,
    /// Whether ids were compared after its last page.
    pub compared_ids: bool,
    /// Dirty marks that its own reads left.
    pub dirty_left: i64,
}

/// Whether the end of a job closes a hole.
///
/// - **Source:** design 5.3: only the commit that ends catch-up *and* id comparison, with no mark of its own reads
///   left, and only a hole that lies wholly behind it.
pub fn closes(span: Span, needs: HoleNeeds, job: Mended) -> bool {
    let covers_end = span.until.is_some_and(|until| until <= job.up_to);
    let covers_start = match (job.from, needs) {
        (None, _) => true,
        (Some(_), HoleNeeds::Backfill) => false,
        (Some(from), HoleNeeds::CatchUp) => span.read_from().is_some_and(|needed| from <= needed),
    };
    covers_end && covers_start && job.compared_ids && job.dirty_left == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn span(from: i64, until: i64) -> Span {
        Span { from: Some(Moment(from)), until: Some(Moment(until)) }
    }

    fn job(from: i64, up_to: i64) -> Mended {
        Mended { from: Some(Moment(from)), up_to: Moment(up_to), compared_ids: true, dirty_left: 0 }
    }

    #[test]
    fn words_are_read_back() {
        for why in HoleWhy::ALL {
            assert_eq!(HoleWhy::parse(why.as_str()), Some(why));
            assert_eq!(serde_json::to_value(why).unwrap(), why.as_str());
            assert_eq!(HoleNeeds::parse(why.needs().as_str()), Some(why.needs()));
        }
    }

    #[test]
    fn a_catch_up_closes_a_hole_that_it_read_with_its_overlap() {
        let hole = span(2 * HOUR, 3 * HOUR);
        assert!(closes(hole, HoleNeeds::CatchUp, job(2 * HOUR - OVERLAP_MS, 3 * HOUR)));
        assert!(!closes(hole, HoleNeeds::CatchUp, job(2 * HOUR, 3 * HOUR)));
        assert!(!closes(hole, HoleNeeds::CatchUp, job(0, 3 * HOUR - 1)));
    }

    #[test]
    fn without_id_comparison_or_with_dirty_records_left_it_stays_open() {
        let hole = span(2 * HOUR, 3 * HOUR);
        let done = job(0, 4 * HOUR);
        assert!(!closes(hole, HoleNeeds::CatchUp, Mended { compared_ids: false, ..done }));
        assert!(!closes(hole, HoleNeeds::CatchUp, Mended { dirty_left: 1, ..done }));
    }

    #[test]
    fn a_wildcard_and_a_hole_since_ever_need_a_backfill() {
        assert_eq!(HoleWhy::Wildcard.needs(), HoleNeeds::Backfill);
        let whole = Mended { from: None, ..job(0, 4 * HOUR) };
        assert!(!closes(span(2 * HOUR, 3 * HOUR), HoleNeeds::Backfill, job(0, 4 * HOUR)));
        assert!(closes(span(2 * HOUR, 3 * HOUR), HoleNeeds::Backfill, whole));
        let ever = Span { from: None, until: Some(Moment(0)) };
        assert!(!closes(ever, HoleNeeds::CatchUp, job(0, 4 * HOUR)));
        assert!(closes(ever, HoleNeeds::CatchUp, whole));
    }

    #[test]
    fn a_hole_in_which_events_may_still_be_missing_is_not_closed() {
        let open = Span { from: Some(Moment(HOUR)), until: None };
        assert!(!closes(open, HoleNeeds::CatchUp, job(0, 9 * HOUR)));
    }
}
