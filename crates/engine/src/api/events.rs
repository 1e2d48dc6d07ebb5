//! Change events: what came, what was done with it, and why.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shadow::event::{ChangeEvent, ChangeKind, EventBody, EventValue, FieldChange, WhyFetch};
use shadow::{ObjectName, RecordId};
use store::change_log::{self, LogFilter, LoggedEvent, StoredEvent};
use store::event_outcomes::{self, RecordOutcome as Kept};

mod steps;
mod why;

use steps::steps;
use why::{Healed, why};

use crate::engine::Engine;
use crate::environment::OpenEnvironment;
use crate::problem::{Answer, Problem};

/// Which events to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase", default)]
pub struct EventFilter {
    /// Of this object only.
    pub object: Option<String>,
    /// Of this kind only.
    pub kind: Option<ChangeKind>,
    /// Only those of which something ended so.
    pub outcome: Option<EventOutcome>,
    /// Only those about this record.
    pub record: Option<String>,
    /// Only events below this position: [`EventsView::next`] of the list before.
    #[specta(type = Option<u32>)]
    pub after: Option<i64>,
    /// At most so many; 0 takes 100.
    pub limit: u32,
}

/// What became of an event, or of one of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "kebab-case")]
pub enum EventOutcome {
    /// The row is as complete or newer: nothing was done.
    Skipped,
    /// The object is not mapped, or was never loaded.
    Unmapped,
    /// Written.
    Applied,
    /// The record left the shadow.
    Deleted,
    /// The record cannot be stored, and is kept with its reason.
    Rejected,
    /// The record is fetched whole instead.
    Dirty,
    /// Nobody knows which records changed: a hole was opened.
    Hole,
    /// It could not be processed.
    DeadLetter,
}

impl From<shadow::EventOutcome> for EventOutcome {
    fn from(outcome: shadow::EventOutcome) -> Self {
        match outcome {
            shadow::EventOutcome::Applied => Self::Applied,
            shadow::EventOutcome::Skipped => Self::Skipped,
            shadow::EventOutcome::Dirty => Self::Dirty,
            shadow::EventOutcome::Rejected => Self::Rejected,
            shadow::EventOutcome::Deleted => Self::Deleted,
            shadow::EventOutcome::Unmapped => Self::Unmapped,
            shadow::EventOutcome::DeadLetter => Self::DeadLetter,
            shadow::EventOutcome::Hole => Self::Hole,
        }
    }
}

impl From<EventOutcome> for shadow::EventOutcome {
    fn from(outcome: EventOutcome) -> Self {
        match outcome {
            EventOutcome::Applied => Self::Applied,
            EventOutcome::Skipped => Self::Skipped,
            EventOutcome::Dirty => Self::Dirty,
            EventOutcome::Rejected => Self::Rejected,
            EventOutcome::Deleted => Self::Deleted,
            EventOutcome::Unmapped => Self::Unmapped,
            EventOutcome::DeadLetter => Self::DeadLetter,
            EventOutcome::Hole => Self::Hole,
        }
    }
}

/// Events, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct EventsView {
    /// The events.
    pub events: Vec<EventRow>,
    /// Give it as [`EventFilter::after`] to read on; none at the end.
    #[specta(type = Option<u32>)]
    pub next: Option<i64>,
}

/// One event as a list shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct EventRow {
    /// Its position in the change log.
    #[specta(type = u32)]
    pub position: i64,
    /// When it was stored, by the database's clock.
    pub received_at: DateTime<Utc>,
    /// When its transaction was committed in Salesforce.
    pub committed_at: DateTime<Utc>,
    /// From which channel.
    pub channel: String,
    /// Its object.
    pub object: String,
    /// How its records changed.
    pub kind: ChangeKind,
    /// The first of its records; none where the event names none (a wildcard, an overflow).
    pub record_id: Option<String>,
    /// What the shadow calls it, or its parent; none where it holds neither.
    pub record_name: Option<String>,
    /// How many records the event names.
    pub records: u32,
    /// What became of it, the most remarkable of its records; none while it waits.
    pub outcome: Option<EventOutcome>,
    /// The reason behind the outcome, in a few words.
    pub why: Option<String>,
    /// From stored to committed rows, in milliseconds; none while it waits.
    pub took_ms: Option<u32>,
}

/// One event with everything that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct EventDetail {
    /// What the list shows.
    pub row: EventRow,
    /// Salesforce's position of it, in hexadecimal digits.
    pub replay_id: String,
    /// The writer schema.
    pub schema_id: String,
    /// Size of the payload in bytes.
    pub payload_bytes: u32,
    /// Groups the events of one transaction.
    pub transaction_key: String,
    /// Order within the transaction.
    pub sequence_number: i32,
    /// Who changed it: a user's id.
    pub changed_by: Option<String>,
    /// What changed it.
    pub change_origin: Option<String>,
    /// Its records, at most 200.
    pub record_ids: Vec<String>,
    /// The fields that it carries.
    pub fields: Vec<EventField>,
    /// From the org to the shadow, step by step.
    pub steps: Vec<EventStep>,
    /// What became of each of its records, at most 200.
    pub outcomes: Vec<RecordOutcome>,
    /// The decoded payload as JSON text, indented; empty where it cannot be decoded, and `steps` says why.
    pub payload: String,
    /// Opens the first record in Salesforce.
    pub url: Option<String>,
}

/// One field that an event carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct EventField {
    /// The field's API name.
    pub field: String,
    /// What the shadow has now, if the event's record is there; the row may have changed since.
    pub stored: Option<String>,
    /// Its new value as the event has it; none if it was emptied.
    pub after: Option<String>,
    /// Whether the mapping reads it; others are ignored.
    pub is_mapped: bool,
}

/// How a step of an event's way went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// It is done.
    Done,
    /// It was left out, for the reason given.
    Skipped,
    /// It is still to come.
    Waits,
    /// It failed.
    Failed,
}

/// One step of an event's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct EventStep {
    /// When.
    pub at: Option<DateTime<Utc>>,
    /// Milliseconds since it was stored.
    pub ms: Option<u32>,
    /// What, e.g. `Stored in the change log`.
    pub title: String,
    /// Why it went as it did.
    pub why: String,
    /// How it went.
    pub state: StepState,
}

/// What became of one record of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct RecordOutcome {
    /// The record; none where the event names none.
    pub record: Option<String>,
    /// What became of it.
    pub outcome: EventOutcome,
    /// Why.
    pub why: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// The most events of one list.
const MOST: u32 = 1_000;
/// Events of a list where nobody says how many.
const USUAL: u32 = 100;
/// Records of one event that are shown.
const RECORDS: usize = 200;

/// Events, newest first.
pub async fn list(engine: &Engine, filter: EventFilter) -> Answer<EventsView> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let record = filter.record.as_deref().filter(|record| !record.is_empty());
    let object = filter.object.as_deref().filter(|object| !object.is_empty());
    let wanted = LogFilter {
        object: object.map(parse_object).transpose()?,
        kind: filter.kind,
        outcome: filter.outcome.map(Into::into),
        waiting: false,
        record: record.map(parse_record).transpose()?,
        below: filter.after,
    };
    let limit = match filter.limit {
        0 => USUAL,
        limit => limit.min(MOST),
    };
    let found = change_log::list(&store, &wanted, i64::from(limit)).await?;
    let is_full = found.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next = found.last().filter(|_| is_full).map(|last| last.position);
    let healed = Healed::of(&store, &found).await?;
    let mut events: Vec<EventRow> = found.iter().map(|event| row(event, &healed)).collect();
    super::record_names::name(&store, &mut events).await?;
    Ok(EventsView { events, next })
}

/// One event with everything that is known of it. It may cost asking Salesforce for a schema, which is no API call.
///
/// - **Errors:** SS-7102 if there is no such event (any more).
pub async fn get(engine: &Engine, position: i64) -> Answer<EventDetail> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let stored = change_log::get(&store, position).await?.ok_or_else(|| Box::new(no_event(position)))?;
    let filter = LogFilter { below: Some(position.saturating_add(1)), ..LogFilter::default() };
    let logged =
        change_log::list(&store, &filter, 1).await?.into_iter().find(|found| found.position == position);
    let logged = logged.ok_or_else(|| Box::new(no_event(position)))?;
    let healed = Healed::of(&store, std::slice::from_ref(&logged)).await?;
    let mut row = row(&logged, &healed);
    super::record_names::name(&store, std::slice::from_mut(&mut row)).await?;
    let outcomes = event_outcomes::of_event(&store, position).await?;
    let decoded = decode(&open, &stored).await;
    let fields = match &decoded {
        Ok(event) => fields(&open, &store, &stored, event).await?,
        Err(_) => Vec::new(),
    };
    let ids = stored.record_ids.clone().unwrap_or_default();
    let facts = open.sign_in.facts();
    let url = ids
        .first()
        .zip(facts)
        .map(|(id, facts)| format!("{}/{id}", facts.instance_url.trim_end_matches('/')));
    let said = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    Ok(EventDetail {
        steps: steps(&stored, &outcomes, decoded.as_ref().err().map(String::as_str), &healed),
        replay_id: stored.replay_id.to_hex(),
        schema_id: stored.schema_id.clone(),
        payload_bytes: u32::try_from(stored.payload.len()).unwrap_or(u32::MAX),
        transaction_key: stored.transaction_key.clone(),
        sequence_number: stored.sequence_number,
        changed_by: decoded.as_ref().ok().and_then(|event| said(&event.header.commit_user)),
        change_origin: decoded.as_ref().ok().and_then(|event| said(&event.header.change_origin)),
        record_ids: ids.iter().take(RECORDS).map(ToString::to_string).collect(),
        fields,
        outcomes: outcomes.iter().take(RECORDS).map(|kept| outcome(kept, position, &healed)).collect(),
        payload: decoded.as_ref().map(as_json).unwrap_or_default(),
        url,
        row,
    })
}

fn row(event: &LoggedEvent, healed: &Healed) -> EventRow {
    let outcome = event.outcome.as_ref();
    EventRow {
        position: event.position,
        received_at: event.received_at,
        committed_at: event.committed_at,
        channel: event.channel.to_string(),
        object: event.object.to_string(),
        kind: event.kind,
        record_id: event.record.map(|id| id.to_string()),
        record_name: None,
        records: u32::try_from(event.records).unwrap_or_default(),
        outcome: outcome.map(|kept| kept.outcome.into()),
        why: outcome.map(|kept| why(kept, event.position, healed)),
        took_ms: outcome.map(|kept| millis(kept.applied_at - event.received_at)),
    }
}

fn outcome(kept: &Kept, position: i64, healed: &Healed) -> RecordOutcome {
    RecordOutcome {
        record: kept.record.map(|id| id.to_string()),
        outcome: kept.outcome.into(),
        why: why(kept, position, healed),
        at: kept.applied_at,
    }
}

async fn decode(open: &OpenEnvironment, stored: &StoredEvent) -> Result<ChangeEvent, String> {
    let pubsub = open.pubsub().map_err(|problem| problem.title)?;
    let schema = pubsub.schema(&stored.schema_id).await.map_err(|error| error.to_string())?;
    schema.decode(&stored.payload).map_err(|error| error.to_string())
}

async fn fields(
    open: &OpenEnvironment,
    store: &store::Store,
    stored: &StoredEvent,
    event: &ChangeEvent,
) -> Answer<Vec<EventField>> {
    let (EventBody::Whole(changes) | EventBody::Patch(changes)) = &event.body else { return Ok(Vec::new()) };
    let mapping = shadow::Mapping::built_in().into_iter().find(|mapping| mapping.object == stored.object);
    let resolved = open.live.mappings.get(&stored.object);
    let payload = match (&mapping, stored.record_ids.as_deref()) {
        (Some(mapping), Some([id])) => {
            store::records::rows(store, mapping, &[*id]).await?.pop().map(|row| row.payload)
        }
        _ => None,
    };
    let is_mapped = |name: &str| match &resolved {
        Some(resolved) => resolved.field_names().any(|known| known == name),
        None => payload.as_ref().is_some_and(|payload| payload.get(name).is_some()),
    };
    Ok(changes
        .iter()
        .map(|change| EventField {
            field: change.name.clone(),
            stored: payload.as_ref().and_then(|payload| payload.get(&change.name)).and_then(text),
            after: shown(change),
            is_mapped: is_mapped(&change.name),
        })
        .collect())
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn shown(change: &FieldChange) -> Option<String> {
    match &change.value {
        EventValue::Null | EventValue::Withheld => None,
        EventValue::Text(text) => Some(text.clone()),
        EventValue::Double(number) => Some(number.to_string()),
        EventValue::Whole(number) => Some(number.to_string()),
        EventValue::Boolean(is) => Some(is.to_string()),
    }
}

/// A decoded event as a person reads it.
fn as_json(event: &ChangeEvent) -> String {
    let header = &event.header;
    let ids: Vec<String> = header.records.ids().iter().map(ToString::to_string).collect();
    let value = |change: &FieldChange| match &change.value {
        EventValue::Null => Value::Null,
        EventValue::Withheld => json!({ "withheld": true }),
        EventValue::Text(text) => json!(text),
        EventValue::Double(number) => json!(number),
        EventValue::Whole(number) => json!(number),
        EventValue::Boolean(is) => json!(is),
    };
    let object = |changes: &[FieldChange]| {
        Value::Object(changes.iter().map(|change| (change.name.clone(), value(change))).collect())
    };
    let body = match &event.body {
        EventBody::Whole(changes) => json!({ "record": object(changes) }),
        EventBody::Patch(changes) => json!({ "changed": object(changes) }),
        EventBody::Nothing => json!({}),
        EventBody::Fetch(WhyFetch::Gap) => json!({ "fetch": "gap" }),
        EventBody::Fetch(WhyFetch::Difference { field }) => json!({ "fetch": "difference", "field": field }),
        EventBody::Fetch(WhyFetch::Bitmap) => json!({ "fetch": "bitmap" }),
    };
    let whole = json!({
        "header": {
            "entityName": header.object.as_str(),
            "changeType": header.kind.as_str(),
            "recordIds": ids,
            "transactionKey": header.transaction_key,
            "sequenceNumber": header.sequence_number,
            "commitTimestamp": header.committed_at.0,
            "commitNumber": header.commit_number.to_string(),
            "commitUser": header.commit_user,
            "changeOrigin": header.change_origin,
        },
        "body": body,
    });
    serde_json::to_string_pretty(&whole).unwrap_or_default()
}

fn millis(span: TimeDelta) -> u32 {
    crate::live::millis(span)
}

pub(crate) fn parse_object(name: &str) -> Answer<ObjectName> {
    let mapped = crate::mapped::mapped(&[name.to_owned()])?;
    mapped.into_iter().next().map(|mapping| mapping.object).ok_or_else(|| Box::new(no_record(name)))
}

fn parse_record(id: &str) -> Answer<RecordId> {
    RecordId::parse(id).map_err(|_| Box::new(no_record(id)))
}

fn no_record(id: &str) -> Problem {
    let shown: String = id.chars().take(40).collect();
    Problem::new(
        "SS-7101",
        format!("`{shown}` is not a record's id"),
        "An id has 15 or 18 letters and digits.",
    )
}

fn no_event(position: i64) -> Problem {
    Problem::new(
        "SS-7102",
        format!("There is no event at position {position}"),
        "There never was one, or its day was removed by retention.",
    )
}
