//! Which state of a record is newer (design 5.2).
//!
//! `SystemModstamp` is set when a row is written, in whole seconds, and says nothing of when the row was seen.
//! So every row carries `as_of`: the position of our change log up to which it is complete, and, for reads at
//! one position, the number of the request that read it.

use crate::value::Moment;

/// Where a read stands among all reads: taken before its request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReadMark {
    /// The newest stored position of the change log; 0 while there is none.
    pub as_of: i64,
    /// The request's number: a later request has a greater one.
    pub read_no: i64,
}

/// What a stored row, reject or tombstone knows of the state it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredVersion {
    /// Position of the change log up to which it is complete.
    pub as_of: i64,
    /// Its `SystemModstamp`, in milliseconds since 1970.
    pub system_modstamp_ms: i64,
    /// The request that brought it.
    pub read_no: i64,
    /// When that ended, in Salesforce's time.
    pub read_end: Moment,
    /// Its content: payload without `SystemModstamp`, and columns.
    pub hash: [u8; 16],
}

/// A row that was read so soon after its stamp, in milliseconds, may have missed a change that commits later with the same
/// stamp: nobody takes an equal stamp for an equal record then.
pub const SETTLED_AFTER_MS: i64 = 10 * 60_000;

/// The last side read of an object's table: a read of some fields only, which never raises `as_of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sided {
    /// Its request; 0 if there was none.
    pub read_no: i64,
    /// When it ended, in Salesforce's time: rows that it filled carry this as the end of their last read, and the number
    /// that was next when it was merged as their request.
    pub end: Option<Moment>,
}

impl Sided {
    /// No side read yet.
    pub const NONE: Self = Self { read_no: 0, end: None };

    /// A whole read with a lower number than this may be older than the row in the fields that a side read brought.
    ///
    /// Where the side read filled the row, every read that had begun by then overlaps with it; where it found the row
    /// as it is, only those that began before it.
    pub fn fence(&self, stored: &StoredVersion) -> i64 {
        let is_filled = self.end == Some(stored.read_end);
        if is_filled { self.read_no.max(stored.read_no) } else { self.read_no }
    }
}

impl Default for Sided {
    fn default() -> Self {
        Self::NONE
    }
}

/// What a read brought for one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncomingVersion {
    /// Where the read stands.
    pub mark: ReadMark,
    /// `SystemModstamp`, in milliseconds since 1970.
    pub system_modstamp_ms: i64,
    /// Its content, hashed as [`StoredVersion::hash`].
    pub hash: [u8; 16],
}

/// What becomes of a record that a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It replaces what is stored.
    Newer,
    /// It is what is stored: nothing is written.
    Equal,
    /// Only its stamp differs: stamp and mark are written, `updated_at` is not, and no cache is told.
    StampOnly,
    /// What is stored is newer; nothing is written.
    Older,
    /// It cannot be told which is newer: the record is fetched again.
    Doubtful,
}

/// Compares what a read brought with what is stored.
///
/// - `confirmed`: the latest request of this object that found some record equal to its row. An equal record is
///   not rewritten, so its row keeps an earlier number; a request before `confirmed` therefore cannot be trusted
///   to be later than the row, and is in doubt where it would change content without a newer stamp.
/// - `fence`: [`Sided::fence`]. A request before it does not replace the row by its position or stamp alone, because a
///   side read moves neither: the record is fetched anew.
/// - **Source:** design 5.2. A greater `as_of` wins; at one position the greater `SystemModstamp`, then the later
///   request.
pub fn compare(incoming: &IncomingVersion, stored: &StoredVersion, confirmed: i64, fence: i64) -> Verdict {
    let same_content = incoming.hash == stored.hash;
    let same_stamp = incoming.system_modstamp_ms == stored.system_modstamp_ms;
    if same_content && same_stamp {
        return Verdict::Equal;
    }
    if incoming.mark.as_of < stored.as_of {
        // An event raised the row after this read began: whether it saw that change is not known. Where it says the
        // same (an event leaves the stamp behind) there is nothing to find out.
        return if same_content { Verdict::Equal } else { Verdict::Doubtful };
    }
    let is_before =
        incoming.mark.as_of == stored.as_of && incoming.system_modstamp_ms < stored.system_modstamp_ms;
    if is_before {
        return Verdict::Older;
    }
    if incoming.mark.read_no < fence {
        return Verdict::Doubtful;
    }
    if incoming.mark.as_of == stored.as_of && same_stamp {
        if incoming.mark.read_no < stored.read_no {
            return Verdict::Older;
        }
        if incoming.mark.read_no < confirmed {
            return Verdict::Doubtful;
        }
    }
    if same_content { Verdict::StampOnly } else { Verdict::Newer }
}

/// Whether a read that sees a record alive lifts its tombstone.
///
/// - **Source:** design 5.2. At one position a tombstone yields only to a later request, whoever's stamp is
///   greater: a deletion moves the stamp, absence has none.
pub fn lifts_tombstone(incoming: ReadMark, tombstone_as_of: i64, tombstone_read_no: i64) -> bool {
    (incoming.as_of, incoming.read_no) > (tombstone_as_of, tombstone_read_no)
        && incoming.as_of >= tombstone_as_of
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn incoming(as_of: i64, read_no: i64, stamp: i64, content: u8) -> IncomingVersion {
        IncomingVersion { mark: ReadMark { as_of, read_no }, system_modstamp_ms: stamp, hash: [content; 16] }
    }

    fn stored(as_of: i64, read_no: i64, stamp: i64, content: u8) -> StoredVersion {
        StoredVersion { as_of, system_modstamp_ms: stamp, read_no, read_end: Moment(0), hash: [content; 16] }
    }

    #[test]
    fn at_one_position_the_greater_stamp_wins_whoever_asked_later() {
        assert_eq!(compare(&incoming(0, 1, 20, 2), &stored(0, 9, 10, 1), 0, 0), Verdict::Newer);
        assert_eq!(compare(&incoming(0, 9, 10, 2), &stored(0, 1, 20, 1), 0, 0), Verdict::Older);
    }

    #[test]
    fn at_one_stamp_the_later_request_wins() {
        assert_eq!(compare(&incoming(0, 2, 10, 2), &stored(0, 1, 10, 1), 0, 0), Verdict::Newer);
        assert_eq!(compare(&incoming(0, 1, 10, 2), &stored(0, 2, 10, 1), 0, 0), Verdict::Older);
    }

    #[test]
    fn a_repair_is_not_lost_to_the_stamp_of_the_event_that_it_repairs() {
        assert_eq!(compare(&incoming(8, 1, 10, 2), &stored(7, 0, 99, 1), 0, 0), Verdict::Newer);
    }

    #[test]
    fn a_read_that_an_event_overtook_is_in_doubt_unless_it_says_the_same() {
        assert_eq!(compare(&incoming(3, 9, 10, 2), &stored(7, 1, 10, 1), 0, 0), Verdict::Doubtful);
        assert_eq!(compare(&incoming(3, 9, 10, 1), &stored(7, 1, 10, 1), 0, 0), Verdict::Equal);
        // The event left the stamp behind, the read brings the new one.
        assert_eq!(compare(&incoming(3, 9, 20, 1), &stored(7, 1, 10, 1), 0, 0), Verdict::Equal);
    }

    #[test]
    fn a_change_of_stamp_alone_is_told_apart() {
        assert_eq!(compare(&incoming(0, 2, 20, 1), &stored(0, 1, 10, 1), 0, 0), Verdict::StampOnly);
    }

    #[test]
    fn a_read_that_began_before_a_side_read_was_merged_does_not_replace_what_that_filled() {
        let sided = Sided { read_no: 4, end: Some(Moment(90)) };
        // Filled when the next number was 7.
        let filled = StoredVersion { read_end: Moment(90), ..stored(5, 7, 10, 1) };
        assert_eq!(sided.fence(&filled), 7);
        for (as_of, stamp) in [(8, 10), (8, 20), (5, 10), (5, 20)] {
            let early = incoming(as_of, 6, stamp, 2);
            assert_eq!(
                compare(&early, &filled, 0, sided.fence(&filled)),
                Verdict::Doubtful,
                "{as_of} {stamp}"
            );
            let late = incoming(as_of, 8, stamp, 2);
            assert_eq!(compare(&late, &filled, 0, sided.fence(&filled)), Verdict::Newer, "{as_of} {stamp}");
        }
        assert_eq!(compare(&incoming(8, 6, 10, 1), &filled, 0, 7), Verdict::Equal);
        assert_eq!(compare(&incoming(5, 6, 9, 2), &filled, 0, 7), Verdict::Older);
        // What it found as it is holds back only reads that began before it.
        let same = stored(5, 2, 10, 1);
        assert_eq!(compare(&incoming(8, 3, 10, 2), &same, 0, sided.fence(&same)), Verdict::Doubtful);
        assert_eq!(compare(&incoming(8, 6, 10, 2), &same, 0, sided.fence(&same)), Verdict::Newer);
    }

    #[test]
    fn a_tombstone_yields_at_one_position_only_to_a_later_request() {
        let read = |as_of, read_no| ReadMark { as_of, read_no };
        assert!(!lifts_tombstone(read(0, 4), 0, 4));
        assert!(lifts_tombstone(read(0, 5), 0, 4));
        assert!(!lifts_tombstone(read(0, 5), 1, 4));
        assert!(lifts_tombstone(read(2, 1), 1, 4));
    }

    proptest! {
        /// Reads of one record at one position, in any order of arrival: the row ends as the read with the
        /// greatest stamp, then number, unless it asks to be fetched again.
        #[test]
        fn reads_in_any_order_end_at_the_newest_or_in_doubt(
            reads in proptest::collection::vec((1_i64..4, 0_u8..3), 1..8), order in any::<u64>(),
        ) {
            // A read's number is its place; its stamp and content are drawn.
            let all: Vec<_> = reads.iter().enumerate()
                .map(|(no, (stamp, content))| incoming(0, i64::try_from(no).unwrap() + 1, *stamp, *content)).collect();
            let newest = all.iter().max_by_key(|read| (read.system_modstamp_ms, read.mark.read_no)).unwrap();
            let mut arrival = all.clone();
            let mut seed = order;
            for place in (1..arrival.len()).rev() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                arrival.swap(place, usize::try_from(seed >> 33).unwrap() % (place + 1));
            }
            let (mut row, mut confirmed, mut doubt): (Option<StoredVersion>, i64, bool) = (None, 0, false);
            for read in &arrival {
                let verdict = row.as_ref().map_or(Verdict::Newer, |row| compare(read, row, confirmed, 0));
                match verdict {
                    Verdict::Newer | Verdict::StampOnly => row = Some(StoredVersion {
                        as_of: 0, system_modstamp_ms: read.system_modstamp_ms,
                        read_no: read.mark.read_no, read_end: Moment(0), hash: read.hash,
                    }),
                    Verdict::Equal => confirmed = confirmed.max(read.mark.read_no),
                    Verdict::Older => {}
                    Verdict::Doubtful => doubt = true,
                }
            }
            let row = row.unwrap();
            prop_assert!(doubt || (row.system_modstamp_ms, row.hash) == (newest.system_modstamp_ms, newest.hash));
        }
    }
}
