//! Why an event's outcome came about, in words.

use serde_json::Value;
use shadow::RecordId;
use store::Store;
use store::change_log::LoggedEvent;
use store::dead_letters::{self, ClosedLetter, LetterEnd};
use store::event_outcomes::RecordOutcome as Kept;

/// Dead letters that are closed: what could not be processed was made good in another way.
pub(super) struct Healed(Vec<ClosedLetter>);

impl Healed {
    /// Those of some events.
    pub(super) async fn of(store: &Store, events: &[LoggedEvent]) -> Result<Self, store::Error> {
        let is_letter = |event: &&LoggedEvent| {
            event.outcome.as_ref().is_some_and(|kept| kept.outcome == shadow::EventOutcome::DeadLetter)
        };
        let parked: Vec<i64> = events.iter().filter(is_letter).map(|event| event.position).collect();
        if parked.is_empty() {
            return Ok(Self(Vec::new()));
        }
        Ok(Self(dead_letters::closed_of(store, &parked).await?))
    }

    /// How an event's record was made good; none if it waits still.
    fn of_record(&self, position: i64, record: Option<RecordId>) -> Option<String> {
        let letter = self.0.iter().rfind(|letter| letter.position == position && letter.record == record)?;
        let at = letter.closed_at.format("%Y-%m-%d %H:%M:%S UTC");
        Some(match letter.how {
            LetterEnd::Retried | LetterEnd::Discarded | LetterEnd::Fetched => {
                format!("its record was fetched whole instead, {at}")
            }
            LetterEnd::Deleted => format!("its record is gone since, {at}"),
        })
    }
}

/// Why an outcome came about, in words.
pub(super) fn why(kept: &Kept, position: i64, healed: &Healed) -> String {
    let detail = kept.detail.as_ref();
    let word = |name: &str| detail.and_then(|detail| detail.get(name)).and_then(Value::as_str);
    match kept.outcome {
        shadow::EventOutcome::Applied => "Its values are in the row".to_owned(),
        shadow::EventOutcome::Skipped => "The row was as new already".to_owned(),
        shadow::EventOutcome::Deleted => "The record left the shadow".to_owned(),
        shadow::EventOutcome::Unmapped => "The object is not mapped, or was never loaded".to_owned(),
        shadow::EventOutcome::Hole => "It names no records: a hole was opened and is being closed".to_owned(),
        shadow::EventOutcome::Rejected => match word("reason") {
            Some(reason) => format!("The record cannot be stored: {reason}"),
            None => "The record cannot be stored".to_owned(),
        },
        shadow::EventOutcome::DeadLetter => {
            let cause = match word("message").or_else(|| word("cause")) {
                Some(cause) => format!("It could not be processed: {cause}"),
                None => "It could not be processed".to_owned(),
            };
            match healed.of_record(position, kept.record) {
                Some(healed) => format!("{cause}; {healed}"),
                None => format!("{cause}; its record is to be fetched instead"),
            }
        }
        shadow::EventOutcome::Dirty => match word("reason").or_else(|| word("why")) {
            Some(reason) => format!("The record is fetched whole ({})", fetched_because(reason)),
            None => "The record is fetched whole".to_owned(),
        },
    }
}

/// Why a record is fetched, in words for the word in the database.
fn fetched_because(reason: &str) -> &str {
    match reason {
        "unknown" => "it was not known here",
        "gap" => "the event does not say how it changed",
        "difference" => "a long text came as a difference",
        "bitmap" => "the event names fields that its schema does not have",
        "ambiguous" => "it was read at the same time",
        "incomplete" => "the event does not carry all of its fields",
        "claim" => "several records claim one code",
        "doubt" => "which state is newer could not be told",
        "dead-letter" => "an earlier event of it could not be processed",
        other => other,
    }
}
