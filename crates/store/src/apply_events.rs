//! Applying stored change events: what they say goes into the shadow tables, in the order of the change log.
//!
//! Decisions are [`shadow::fold`]'s and [`shadow::plan`]'s; here is one transaction per batch, which locks the tables,
//! reads what is stored of the records that the events name, writes, and moves the channel's apply position. What the
//! database refuses is narrowed down, by transaction, then by event; an event that cannot be applied is parked, its
//! records are fetched, and the stream goes on.

use std::collections::HashMap;
use std::sync::Arc;

use shadow::event::{ChangeEvent, ChangeKind, ChannelName};
use shadow::{EventOutcome, ObjectName, ResolvedMapping};

use crate::change_log::StoredEvent;
use crate::error::{Disposition, Error};
use crate::leases::LeaseKey;
use crate::merge;
use crate::session::Store;

mod batch;
mod commit;
mod known;
mod object;

/// A stored event, and what its payload says.
#[derive(Debug)]
pub struct Decoded<'a> {
    /// As it is in the log.
    pub stored: &'a StoredEvent,
    /// What it says, or why that cannot be read.
    pub event: Result<ChangeEvent, String>,
}

/// What became of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// What was done, per record of each event.
    pub counts: HashMap<(ObjectName, ChangeKind, EventOutcome), u64>,
    /// Rows that came, changed or went, of these objects and their children.
    pub rows: u64,
    /// Records that are dirty now, or whose marks were raised.
    pub dirty: u64,
    /// Parents whose children must be read again may be among what was marked.
    pub children_due: bool,
    /// Holes opened.
    pub holes: u64,
    /// Records of events that were parked.
    pub dead_letters: u64,
    /// Transactions of the database.
    pub commits: u64,
}

impl Applied {
    /// How many records of events had an outcome.
    pub fn count(&self, outcome: EventOutcome) -> u64 {
        self.counts.iter().filter(|((.., found), _)| *found == outcome).map(|(_, count)| count).sum()
    }

    fn add(&mut self, other: Self) {
        for (key, count) in other.counts {
            *self.counts.entry(key).or_default() += count;
        }
        self.rows += other.rows;
        self.dirty += other.dirty;
        self.children_due |= other.children_due;
        self.holes += other.holes;
        self.dead_letters += other.dead_letters;
        self.commits += other.commits;
    }
}

/// Applies events of a channel, and moves its apply position to `up_to`.
///
/// - **`mappings`:** all of the environment. Events of other objects are `unmapped`.
/// - **`events`:** in the order of the log, transactions whole. All are applied in one commit, unless the database
///   refuses some of it.
/// - **Errors:** [`Error::LeaseLost`], and what the database lets nobody do; errors that a repetition may cure are
///   repeated first. After an error nothing, or a first part of the events, is applied, and the apply position says
///   which; the rest can be applied again.
pub async fn apply(
    store: &Store,
    lease: &LeaseKey,
    channel: &ChannelName,
    mappings: &[Arc<ResolvedMapping>],
    events: &[Decoded<'_>],
    up_to: i64,
) -> Result<Applied, Error> {
    let apply = Apply { store, lease, channel, mappings };
    let mut done = Applied::default();
    let mut pieces = vec![Piece { events, up_to, refusal: None }];
    while let Some(piece) = pieces.pop() {
        match apply.patiently(&piece).await {
            Ok(applied) => done.add(applied),
            Err(error) if error.disposition() == Disposition::Park && piece.refusal.is_none() => {
                tracing::warn!(
                    channel = %channel,
                    batch.events = piece.events.len(),
                    sqlstate = error.sqlstate(),
                    "the database refuses some of these events: they are applied in smaller parts",
                );
                pieces.extend(piece.split(&error));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Who applies what.
struct Apply<'a> {
    store: &'a Store,
    lease: &'a LeaseKey,
    channel: &'a ChannelName,
    mappings: &'a [Arc<ResolvedMapping>],
}

/// Events of one commit.
struct Piece<'a, 'e> {
    events: &'a [Decoded<'e>],
    /// The apply position once they are applied.
    up_to: i64,
    /// Why the database refuses the one event, which is parked therefore.
    refusal: Option<Refusal>,
}

/// Why an event is parked that could be read.
#[derive(Debug, Clone)]
struct Refusal {
    /// Stable word.
    cause: String,
    message: String,
}

impl Piece<'_, '_> {
    /// Two smaller pieces, the later one first; cut between two transactions where there is more than one. A single
    /// event comes back to be parked.
    fn split(self, error: &Error) -> Vec<Self> {
        let events = self.events;
        if events.len() <= 1 {
            let state = error.sqlstate().unwrap_or_else(|| "unknown".to_owned());
            let refusal = Refusal { cause: format!("refused-{state}"), message: error.to_string() };
            return vec![Self { refusal: Some(refusal), ..self }];
        }
        let middle = events.len() / 2;
        let is_border =
            |place: &usize| events[*place].stored.transaction_key != events[place - 1].stored.transaction_key;
        let cut =
            (1..events.len()).filter(is_border).min_by_key(|place| place.abs_diff(middle)).unwrap_or(middle);
        let (first, second) = events.split_at(cut);
        let up_to = first.last().map_or(self.up_to, |event| event.stored.position);
        vec![
            Piece { events: second, up_to: self.up_to, refusal: None },
            Piece { events: first, up_to, refusal: None },
        ]
    }
}

impl Apply<'_> {
    /// Applies events, and plans anew while others are in the way.
    async fn patiently(&self, piece: &Piece<'_, '_>) -> Result<Applied, Error> {
        merge::patiently(self.channel, || self.once(piece)).await
    }
}
