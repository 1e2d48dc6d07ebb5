//! One commit of applied events.

use std::collections::BTreeMap;

use shadow::event::ChangeKind;
use shadow::{EventOutcome, HoleWhy, RecordId};

use super::batch::{Batch, Ledger};
use super::{Applied, Apply, Piece, object};
use crate::dead_letters::{self, NewDeadLetter, Stage};
use crate::error::Error;
use crate::holes::{self, NewHole};
use crate::{checkpoints, event_outcomes, failpoint, leases};

impl Apply<'_> {
    /// Applies a piece in one transaction.
    pub(super) async fn once(&self, piece: &Piece<'_, '_>) -> Result<Applied, Error> {
        let batch = Batch::of(self.mappings, piece);
        let mut ledger = Ledger::default();
        let mut tx = self.store.begin().await?;
        leases::check(&mut tx, self.lease).await?;
        for events in &batch.objects {
            object::apply(&mut tx, self, piece, events, &mut ledger).await?;
        }
        failpoint::reach("apply.planned");
        for place in &batch.unmapped {
            ledger.note(&piece.events[*place], None, EventOutcome::Unmapped, None);
        }
        let mut opened = Vec::new();
        for place in &batch.nameless {
            let event = &piece.events[*place];
            let why =
                if event.stored.kind == ChangeKind::Overflow { HoleWhy::Overflow } else { HoleWhy::Wildcard };
            let at = Some(event.stored.committed_at);
            opened.push(NewHole::new(&event.stored.object, why).on(self.channel).from(at).until(at));
            ledger.note(event, None, EventOutcome::Hole, Some(why.as_str()));
        }
        holes::open_in(&mut tx, &opened).await?;
        dead_letters::park_in(&mut tx, &letters(piece, &ledger)).await?;
        event_outcomes::record_in(&mut tx, &ledger.outcomes).await?;
        let events = i64::try_from(piece.events.len()).unwrap_or(i64::MAX);
        checkpoints::advance_in(&mut tx, self.channel, piece.up_to, events).await?;
        tx.commit().await?;
        if ledger.applied.rows > 0 {
            self.store.ordered();
        }
        failpoint::reach("apply.committed");
        let mut applied = ledger.applied;
        applied.holes = opened.len() as u64;
        applied.dead_letters = ledger.parked.len() as u64;
        applied.commits = 1;
        Ok(applied)
    }
}

/// The events that are parked, each with those of its records for which it is not known otherwise.
fn letters(piece: &Piece<'_, '_>, ledger: &Ledger) -> Vec<NewDeadLetter> {
    let mut records: BTreeMap<usize, Vec<RecordId>> = BTreeMap::new();
    for (place, id) in &ledger.parked {
        records.entry(*place).or_default().push(*id);
    }
    records
        .into_iter()
        .map(|(place, ids)| {
            let event = &piece.events[place];
            let (stage, cause, message) = match (&event.event, &piece.refusal) {
                (Err(message), _) => (Stage::Decode, "unreadable", message.as_str()),
                (Ok(_), Some(refusal)) => (Stage::Apply, refusal.cause.as_str(), refusal.message.as_str()),
                (Ok(_), None) => (Stage::Apply, "refused-unknown", ""),
            };
            // The database takes no NUL, and what cannot be parked would stop the stream.
            let message = message.replace('\0', "");
            let letter = NewDeadLetter::of(event.stored, stage, cause, &message);
            NewDeadLetter { records: Some(ids), ..letter }
        })
        .collect()
}
