//! What was done with each event, per record; written in the commit that did it.

use chrono::{DateTime, Utc};
use serde_json::Value;
use shadow::{EventOutcome, RecordId};
use sqlx::PgTransaction;

use crate::error::{Error, corrupt};
use crate::session::Store;

/// What was done with an event, to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOutcome {
    /// The event.
    pub position: i64,
    /// When the event was received, as its row has it.
    pub received_at: DateTime<Utc>,
    /// The record; none: the event as a whole.
    pub record: Option<RecordId>,
    /// What was done.
    pub outcome: EventOutcome,
    /// Why.
    pub detail: Option<Value>,
}

/// What was done with an event, for one of its records.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordOutcome {
    /// The record; none: the event as a whole.
    pub record: Option<RecordId>,
    /// What was done.
    pub outcome: EventOutcome,
    /// Why.
    pub detail: Option<Value>,
    /// When, by the database's clock.
    pub applied_at: DateTime<Utc>,
}

/// Writes outcomes in the commit that did what they say.
pub async fn record_in(tx: &mut PgTransaction<'_>, outcomes: &[NewOutcome]) -> Result<(), Error> {
    if outcomes.is_empty() {
        return Ok(());
    }
    let positions: Vec<i64> = outcomes.iter().map(|outcome| outcome.position).collect();
    let received: Vec<DateTime<Utc>> = outcomes.iter().map(|outcome| outcome.received_at).collect();
    let records: Vec<Option<&str>> =
        outcomes.iter().map(|outcome| outcome.record.as_ref().map(RecordId::as_str)).collect();
    let words: Vec<&str> = outcomes.iter().map(|outcome| outcome.outcome.as_str()).collect();
    let details: Vec<Option<Value>> = outcomes.iter().map(|outcome| outcome.detail.clone()).collect();
    sqlx::query!(
        "insert into shadow_sync.event_outcomes (position, received_at, record_id, outcome, detail)
         select * from unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::jsonb[])",
        &positions,
        &received,
        &records as &[Option<&str>],
        &words as &[&str],
        &details as &[Option<Value>],
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What was done with an event, by record; empty while it waits.
pub async fn of_event(store: &Store, position: i64) -> Result<Vec<RecordOutcome>, Error> {
    let rows = sqlx::query!(
        "select record_id, outcome, detail, applied_at from shadow_sync.event_outcomes
          where position = $1 order by record_id nulls first, applied_at",
        position
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter()
        .map(|row| {
            let id = |id: String| RecordId::parse(&id).map_err(|_| corrupt("record id", id));
            Ok(RecordOutcome {
                record: row.record_id.map(id).transpose()?,
                outcome: parse(&row.outcome)?,
                detail: row.detail,
                applied_at: row.applied_at,
            })
        })
        .collect()
}

pub(crate) fn parse(word: &str) -> Result<EventOutcome, Error> {
    let found = EventOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == word);
    found.ok_or_else(|| corrupt("outcome", word))
}
