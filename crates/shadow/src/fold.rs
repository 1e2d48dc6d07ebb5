//! What change events do to one record: applied, or to be fetched whole (design 5.2).
//!
//! Pure. The caller brings what is stored of the record and its events in the order of the change log; what comes out
//! is the whole record as it is after them, or that it is gone, or that it must be fetched. A record is never half
//! known: wherever an event's values cannot be laid over a base that is surely the one before it, the record is
//! marked dirty and keeps what is stored of it. The whole record then takes the way of every read through
//! [`crate::prepare`] and [`crate::plan`], so that canonical form, contests for unique values, rejects and parents
//! have one code.

use std::borrow::Cow;

use crate::event::{ChangeKind, EventBody, FieldChange, WhyFetch};
use crate::ids::RecordId;
use crate::value::Moment;

mod fields;

pub use fields::Fields;

/// An event counts as later than a read only if it was committed more than this after the read's end, in
/// milliseconds: commits become visible a little after their time.
pub const READ_MARGIN_MS: i64 = 5_000;

/// `read_end` of a record that was never read, only told by events.
pub const NEVER_READ: Moment = Moment(0);

/// What is stored of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known<'a> {
    /// Nothing.
    Nothing,
    /// A tombstone.
    Gone {
        /// Position up to which it is known to be gone.
        as_of: i64,
        /// Salesforce's time at the end of the read that found it gone; none if an event said so.
        read_end: Option<Moment>,
    },
    /// A row or a rejected record.
    Stored {
        /// Position up to which it is complete.
        as_of: i64,
        /// The last request that brought it.
        read_no: i64,
        /// Salesforce's time at the end of that request; [`NEVER_READ`] if there was none.
        read_end: Moment,
        /// Its `raw_payload`: JSON, in any order of members.
        payload: &'a str,
    },
}

impl Known<'_> {
    fn as_of(&self) -> Option<i64> {
        match self {
            Self::Nothing => None,
            Self::Gone { as_of, .. } | Self::Stored { as_of, .. } => Some(*as_of),
        }
    }

    /// The end of the last read of the record, if it was read.
    fn read_end(&self) -> Option<Moment> {
        match self {
            Self::Nothing => None,
            Self::Gone { read_end, .. } => *read_end,
            Self::Stored { read_end, .. } => Some(*read_end).filter(|end| *end != NEVER_READ),
        }
    }
}

/// One event, as far as it concerns one record.
#[derive(Debug, Clone, Copy)]
pub struct RecordEvent<'a> {
    /// Its position in the change log.
    pub position: i64,
    /// When it was committed, in Salesforce's time.
    pub committed_at: Moment,
    /// How the record changed.
    pub kind: ChangeKind,
    /// What it says of the record's values; `None` if it could not be read, or not be applied.
    pub body: Option<&'a EventBody>,
}

/// Why an event makes its record dirty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MarkReason {
    /// A change of a record that is not stored.
    Unknown,
    /// The event does not say how the record changed.
    Gap,
    /// A long text came as a difference.
    Difference,
    /// The event's bitmaps cannot be read.
    Bitmap,
    /// The last read of the record may or may not have seen the change.
    Ambiguous,
    /// The event could not be read, or not be applied.
    DeadLetter,
    /// The event, or what is stored, lacks fields that the mapping selects.
    Incomplete,
}

impl MarkReason {
    /// The stable word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Gap => "gap",
            Self::Difference => "difference",
            Self::Bitmap => "bitmap",
            Self::Ambiguous => "ambiguous",
            Self::DeadLetter => "dead-letter",
            Self::Incomplete => "incomplete",
        }
    }

    fn of(why: &WhyFetch) -> Self {
        match why {
            WhyFetch::Gap => Self::Gap,
            WhyFetch::Difference { .. } => Self::Difference,
            WhyFetch::Bitmap => Self::Bitmap,
        }
    }
}

/// That a record must be fetched, or that its mark is raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewMark {
    /// Why the first of the events made it dirty.
    pub reason: MarkReason,
    /// Position of the last event: only a fetch that began after it clears the mark.
    pub as_of: i64,
    /// When the earliest of the events was committed: until it is fetched the record is right only before that.
    pub since: Moment,
    /// When the latest of the events was committed.
    pub committed_at: Moment,
    /// Whether the last event said that the record was deleted: then absence is proven.
    pub deleted_noted: bool,
    /// How long the fetch waits, in milliseconds: fetches of one record are 5 s apart.
    pub wait_ms: i64,
}

/// What was done with an event for one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventOutcome {
    /// Its values are in the record.
    Applied,
    /// The record was known to be as new already.
    Skipped,
    /// The record is fetched.
    Dirty,
    /// Its values are in the record, which cannot be stored.
    Rejected,
    /// The record left the shadow.
    Deleted,
    /// No mapping has the object.
    Unmapped,
    /// It could not be read, or not be applied.
    DeadLetter,
    /// It names no records: a hole was opened.
    Hole,
}

impl EventOutcome {
    /// Every outcome.
    pub const ALL: [Self; 8] = [
        Self::Applied,
        Self::Skipped,
        Self::Dirty,
        Self::Rejected,
        Self::Deleted,
        Self::Unmapped,
        Self::DeadLetter,
        Self::Hole,
    ];

    /// The word in the database, in metrics and on screen.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Skipped => "skipped",
            Self::Dirty => "dirty",
            Self::Rejected => "rejected",
            Self::Deleted => "deleted",
            Self::Unmapped => "unmapped",
            Self::DeadLetter => "dead-letter",
            Self::Hole => "hole",
        }
    }
}

/// A whole record as it is after its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patched<'a> {
    /// Position of the last event in it.
    pub as_of: i64,
    /// The last request that brought it; 0 if there was none.
    pub read_no: i64,
    /// The end of that request.
    pub read_end: Moment,
    /// The texts of the mapping's selected fields, in their order.
    pub texts: Vec<Option<Cow<'a, str>>>,
    /// Which of them the events changed, by their places; all of them if they brought the record whole.
    pub changed: Vec<usize>,
}

/// How a record stands after its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End<'a> {
    /// As it is stored.
    Untouched,
    /// Like this.
    Write(Patched<'a>),
    /// Deleted.
    Gone {
        /// Position of the event that says so.
        as_of: i64,
    },
}

/// What some events do to one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded<'a> {
    /// How it stands.
    pub end: End<'a>,
    /// Whether it must be fetched, beside that.
    pub mark: Option<NewMark>,
    /// Whether an older mark goes, because the record was deleted meanwhile.
    pub clears_mark: bool,
    /// Whether an event said that it was deleted or came back.
    pub came_or_went: bool,
    /// What was done with each event, and why it made the record dirty if it did.
    pub outcomes: Vec<(EventOutcome, Option<MarkReason>)>,
}

/// How the record stands between two events.
enum State<'a> {
    /// As it is stored.
    Known(Known<'a>),
    /// As the events so far left it.
    Written(Patched<'a>),
    /// Deleted by an event.
    Gone { as_of: i64 },
}

struct Fold<'f, 'a> {
    fields: &'f Fields<'f>,
    id: &'f RecordId,
    state: State<'a>,
    /// Whether the record is dirty: stored so, or by an event before.
    is_dirty: bool,
    folded: Folded<'a>,
}

/// Decides what some events do to one record.
///
/// - **`stored`:** what is stored of it. **`is_dirty`:** whether it carries a mark.
/// - **`events`:** in the order of the change log; their positions grow.
/// - **Errors:** none; what cannot be decided makes the record dirty.
/// - **Source:** design 5.2.
pub fn fold<'a>(
    fields: &Fields<'_>,
    id: &RecordId,
    stored: Known<'a>,
    is_dirty: bool,
    events: &[RecordEvent<'a>],
) -> Folded<'a> {
    let folded = Folded {
        end: End::Untouched,
        mark: None,
        clears_mark: false,
        came_or_went: false,
        outcomes: Vec::with_capacity(events.len()),
    };
    let mut fold = Fold { fields, id, state: State::Known(stored), is_dirty, folded };
    for event in events {
        let outcome = fold.take(event);
        fold.folded.outcomes.push(outcome);
    }
    fold.folded.end = match fold.state {
        State::Known(_) => End::Untouched,
        State::Written(patched) => End::Write(patched),
        State::Gone { as_of } => End::Gone { as_of },
    };
    fold.folded
}

impl<'a> Fold<'_, 'a> {
    fn as_of(&self) -> Option<i64> {
        match &self.state {
            State::Known(known) => known.as_of(),
            State::Written(patched) => Some(patched.as_of),
            State::Gone { as_of } => Some(*as_of),
        }
    }

    fn read_end(&self) -> Option<Moment> {
        match &self.state {
            State::Known(known) => known.read_end(),
            State::Written(patched) => Some(patched.read_end).filter(|end| *end != NEVER_READ),
            State::Gone { .. } => None,
        }
    }

    fn take(&mut self, event: &RecordEvent<'a>) -> (EventOutcome, Option<MarkReason>) {
        if self.as_of().is_some_and(|as_of| event.position <= as_of) {
            return (EventOutcome::Skipped, None);
        }
        if event.kind.is_deletion() || matches!(event.kind, ChangeKind::Undelete | ChangeKind::GapUndelete) {
            self.folded.came_or_went = true;
        }
        let is_later =
            self.read_end().is_none_or(|end| event.committed_at.0 > end.0.saturating_add(READ_MARGIN_MS));
        if event.kind == ChangeKind::Delete && event.body.is_some() {
            // A tombstone that a read left only grows: the record is gone either way.
            let is_gone = matches!(self.state, State::Known(Known::Gone { .. }));
            return if is_later || (is_gone && !self.is_dirty) {
                self.delete(event)
            } else {
                self.mark(event, MarkReason::Ambiguous)
            };
        }
        let Some(body) = event.body else { return self.dead_letter(event) };
        if self.is_dirty {
            return self.mark(event, MarkReason::Unknown);
        }
        match body {
            EventBody::Fetch(why) => self.mark(event, MarkReason::of(why)),
            EventBody::Nothing => self.mark(event, MarkReason::Gap),
            EventBody::Patch(_) | EventBody::Whole(_) if !is_later => self.mark(event, MarkReason::Ambiguous),
            EventBody::Patch(changes) => self.patch(event, changes),
            EventBody::Whole(changes) => self.create(event, changes),
        }
    }

    fn delete(&mut self, event: &RecordEvent<'a>) -> (EventOutcome, Option<MarkReason>) {
        self.state = State::Gone { as_of: event.position };
        self.folded.mark = None;
        self.folded.clears_mark = true;
        self.is_dirty = false;
        (EventOutcome::Deleted, None)
    }

    fn dead_letter(&mut self, event: &RecordEvent<'a>) -> (EventOutcome, Option<MarkReason>) {
        let (_, reason) = self.mark(event, MarkReason::DeadLetter);
        (EventOutcome::DeadLetter, reason)
    }

    /// Makes the record dirty, or raises its mark.
    fn mark(&mut self, event: &RecordEvent<'a>, reason: MarkReason) -> (EventOutcome, Option<MarkReason>) {
        let is_new = !self.is_dirty;
        self.is_dirty = true;
        let wait_ms = match (reason, self.read_end()) {
            (MarkReason::Ambiguous, Some(end)) if is_new => {
                (end.0 + READ_MARGIN_MS - event.committed_at.0).clamp(0, READ_MARGIN_MS)
            }
            _ => 0,
        };
        let mark = self.folded.mark.get_or_insert(NewMark {
            reason,
            as_of: event.position,
            since: event.committed_at,
            committed_at: event.committed_at,
            deleted_noted: false,
            wait_ms,
        });
        mark.as_of = event.position;
        mark.since = mark.since.min(event.committed_at);
        mark.committed_at = mark.committed_at.max(event.committed_at);
        mark.deleted_noted = event.kind.is_deletion();
        (EventOutcome::Dirty, is_new.then_some(reason))
    }

    fn patch(
        &mut self,
        event: &RecordEvent<'a>,
        changes: &'a [FieldChange],
    ) -> (EventOutcome, Option<MarkReason>) {
        if self.fields.misses(changes) {
            return self.mark(event, MarkReason::Incomplete);
        }
        if let State::Known(Known::Stored { as_of, read_no, read_end, payload }) = self.state {
            let Some(texts) = self.fields.texts_of(payload) else {
                return self.mark(event, MarkReason::Incomplete);
            };
            self.state = State::Written(Patched { as_of, read_no, read_end, texts, changed: Vec::new() });
        }
        let State::Written(patched) = &mut self.state else {
            return self.mark(event, MarkReason::Unknown);
        };
        self.fields.lay_over(changes, &mut patched.texts, &mut patched.changed);
        patched.as_of = event.position;
        (EventOutcome::Applied, None)
    }

    /// Takes over the frozen values of what is stored.
    fn keep_frozen(&self, texts: &mut [Option<Cow<'a, str>>]) {
        if self.fields.mapping.frozen_names().next().is_none() {
            return;
        }
        let before = match &self.state {
            State::Known(Known::Stored { payload, .. }) => self.fields.texts_of(payload),
            State::Written(patched) => Some(patched.texts.clone()),
            State::Known(Known::Nothing | Known::Gone { .. }) | State::Gone { .. } => None,
        };
        for (place, text) in before.into_iter().flatten().enumerate() {
            if self.fields.mapping.fields[place].is_frozen {
                texts[place] = text;
            }
        }
    }

    fn create(
        &mut self,
        event: &RecordEvent<'a>,
        changes: &'a [FieldChange],
    ) -> (EventOutcome, Option<MarkReason>) {
        let Some(mut texts) = self.fields.whole(self.id, changes) else {
            return self.mark(event, MarkReason::Incomplete);
        };
        self.keep_frozen(&mut texts);
        let (read_no, read_end) = match &self.state {
            State::Known(Known::Stored { read_no, read_end, .. }) => (*read_no, *read_end),
            State::Known(Known::Gone { read_end, .. }) => (0, read_end.unwrap_or(NEVER_READ)),
            State::Written(patched) => (patched.read_no, patched.read_end),
            State::Known(Known::Nothing) | State::Gone { .. } => (0, NEVER_READ),
        };
        let all = (0..texts.len()).collect();
        self.state =
            State::Written(Patched { as_of: event.position, read_no, read_end, texts, changed: all });
        (EventOutcome::Applied, None)
    }
}

#[cfg(test)]
mod tests;
