//! The way of an event from the org to the shadow, step by step.

use store::change_log::StoredEvent;
use store::event_outcomes::RecordOutcome as Kept;

use super::why::{Healed, why};
use super::{EventStep, StepState, millis};

/// The way of an event: committed, stored, decoded, applied.
pub(super) fn steps(
    stored: &StoredEvent,
    outcomes: &[Kept],
    unreadable: Option<&str>,
    healed: &Healed,
) -> Vec<EventStep> {
    let mut steps = vec![
        EventStep {
            at: Some(stored.committed_at),
            ms: None,
            title: "Committed in Salesforce".to_owned(),
            why: format!("Transaction {}, number {}", stored.transaction_key, stored.sequence_number),
            state: StepState::Done,
        },
        EventStep {
            at: Some(stored.received_at),
            ms: Some(0),
            title: "Stored in the change log".to_owned(),
            why: format!("Position {}, from {}", stored.position, stored.channel),
            state: StepState::Done,
        },
    ];
    steps.push(match unreadable {
        None => EventStep {
            at: None,
            ms: None,
            title: "Decoded".to_owned(),
            why: format!("By its writer schema {}", stored.schema_id),
            state: StepState::Done,
        },
        Some(reason) => EventStep {
            at: None,
            ms: None,
            title: "Not decoded".to_owned(),
            why: reason.to_owned(),
            state: StepState::Failed,
        },
    });
    let Some(first) = outcomes.first() else {
        steps.push(EventStep {
            at: None,
            ms: None,
            title: "Waits to be applied".to_owned(),
            why: "Events of a channel are applied in order".to_owned(),
            state: StepState::Waits,
        });
        return steps;
    };
    let (title, state) = match first.outcome {
        shadow::EventOutcome::Applied | shadow::EventOutcome::Deleted => ("Applied", StepState::Done),
        shadow::EventOutcome::Rejected => ("Applied to a rejected record", StepState::Done),
        shadow::EventOutcome::Dirty | shadow::EventOutcome::Hole => ("Handed to a fetch", StepState::Done),
        shadow::EventOutcome::Skipped | shadow::EventOutcome::Unmapped => ("Left out", StepState::Skipped),
        shadow::EventOutcome::DeadLetter => ("Parked as a dead letter", StepState::Failed),
    };
    steps.push(EventStep {
        at: Some(first.applied_at),
        ms: Some(millis(first.applied_at - stored.received_at)),
        title: title.to_owned(),
        why: why(first, stored.position, healed),
        state,
    });
    steps
}
