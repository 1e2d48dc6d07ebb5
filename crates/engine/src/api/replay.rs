//! Replay: what stored events, or Salesforce's own, would have changed. Records that disagree are fetched; an old value
//! is never written.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use salesforce::avro::Schema;
use salesforce::pubsub::Start;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shadow::event::{ChangeEvent, ChannelName, EventBody, EventValue};
use shadow::{Mapping, ObjectName, RecordId, event_text};
use store::Store;
use store::change_log;
use store::dirty::{self, Order};
use store::records::{self, StoredRecord};

use super::events::parse_object;
use crate::engine::Engine;
use crate::environment::OpenEnvironment;
use crate::notice::View;
use crate::problem::Answer;

/// What to replay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplayRequest {
    /// Events stored since then; none: the earliest there are.
    pub from: Option<DateTime<Utc>>,
    /// Of this object only.
    pub object: Option<String>,
    /// Whether Salesforce is asked for its events again, instead of our change log. Every event that it delivers
    /// counts against the org's allocation.
    pub from_salesforce: bool,
}

/// What a replay found, or did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct ReplayView {
    /// Events looked at.
    pub events: u32,
    /// Records that they are about.
    pub records: u32,
    /// Records of which the shadow disagrees with what their events said last.
    pub differing: u32,
    /// Events that Salesforce has and our change log does not; only if Salesforce was asked.
    pub unknown_events: u32,
    /// Records that were marked to be fetched; 0 for a plan.
    pub marked: u32,
    /// API calls that fetching the differing records takes.
    pub api_calls: u32,
    /// From when events are still there.
    pub earliest: Option<DateTime<Utc>>,
    /// What this means, in a sentence.
    pub explanation: String,
    /// The first differing records, at most 200.
    pub differences: Vec<ReplayDifference>,
}

/// One record that disagrees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct ReplayDifference {
    /// The object.
    pub object: String,
    /// The record.
    pub record: String,
    /// Position of the last event about it; none if it is not in our change log.
    #[specta(type = Option<u32>)]
    pub position: Option<i64>,
    /// What the events say and the shadow does not, in words.
    pub what: String,
}

/// Events looked at per read of the change log.
const BATCH: i64 = 2_000;
/// Differences that are listed; all are fetched.
const LISTED: usize = 200;
/// Records of one fetch.
const CALL_RECORDS: usize = 2_000;
/// A stream that replays has reached its end when nothing came for so long.
const QUIET: Duration = Duration::from_secs(5);

/// What a replay would find and fetch. Nothing is changed; asked of Salesforce, it counts against the org's allowance
/// of delivered events.
pub async fn plan(engine: &Engine, request: ReplayRequest) -> Answer<ReplayView> {
    let open = engine.environment()?;
    let store = open.store().await?;
    Ok(compare(&open, &store, &request).await?.0)
}

/// The same, and has the records that disagree fetched.
pub async fn run(engine: &Engine, request: ReplayRequest) -> Answer<ReplayView> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let (mut view, differing) = compare(&open, &store, &request).await?;
    for (object, ids) in differing {
        for ids in ids.chunks(CALL_RECORDS) {
            dirty::order(&store, &object, ids, Order::Replay).await?;
        }
        view.marked += u32::try_from(ids.len()).unwrap_or(u32::MAX);
    }
    let sentence = format!("Replayed {} events; {} records are fetched", view.events, view.marked);
    open.record("replay.run", &sentence, "done", None).await;
    engine.publish(&[View::Status, View::Events]);
    Ok(view)
}

/// What is known of a record after all of its events.
struct Told {
    position: Option<i64>,
    is_gone: bool,
    /// Values that events said last, by field; none if they do not say them.
    values: HashMap<String, Option<String>>,
    /// Events said that it changed, but not how.
    is_vague: bool,
}

type Differing = Vec<(ObjectName, Vec<RecordId>)>;

async fn compare(
    open: &OpenEnvironment,
    store: &Store,
    request: &ReplayRequest,
) -> Answer<(ReplayView, Differing)> {
    crate::binding::refuse_others(open, store).await?;
    let object = request.object.as_deref().map(parse_object).transpose()?;
    describe_missing(open, object.as_ref()).await?;
    let mut told: HashMap<(ObjectName, RecordId), Told> = HashMap::new();
    let (events, unknown_events) = if request.from_salesforce {
        from_salesforce(open, store, request, object.as_ref(), &mut told).await?
    } else {
        (from_log(open, store, request, object.as_ref(), &mut told).await?, 0)
    };
    let mut differences = Vec::new();
    let mut differing: Differing = Vec::new();
    for mapping in Mapping::built_in() {
        let ids: Vec<RecordId> =
            told.keys().filter(|(object, _)| *object == mapping.object).map(|(_, id)| *id).collect();
        let mut disagree = Vec::new();
        for ids in ids.chunks(CALL_RECORDS) {
            let stored: HashMap<RecordId, StoredRecord> =
                records::rows(store, &mapping, ids).await?.into_iter().map(|row| (row.id, row)).collect();
            for id in ids {
                let Some(told) = told.get(&(mapping.object.clone(), *id)) else { continue };
                let Some(what) = difference(told, stored.get(id)) else { continue };
                disagree.push(*id);
                differences.push(ReplayDifference {
                    object: mapping.object.to_string(),
                    record: id.to_string(),
                    position: told.position,
                    what,
                });
            }
        }
        if !disagree.is_empty() {
            differing.push((mapping.object.clone(), disagree));
        }
    }
    let count: usize = differing.iter().map(|(_, ids)| ids.len()).sum();
    let calls: usize = differing.iter().map(|(_, ids)| ids.len().div_ceil(CALL_RECORDS)).sum();
    differences.truncate(LISTED);
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let view = ReplayView {
        events,
        records: small(told.len()),
        differing: small(count),
        unknown_events,
        marked: 0,
        api_calls: small(calls),
        earliest: change_log::earliest(store).await?,
        explanation: explanation(count, unknown_events),
        differences,
    };
    Ok((view, differing))
}

/// Describes what this process has not described yet: only the one that runs the stream has done so by itself.
async fn describe_missing(open: &OpenEnvironment, object: Option<&ObjectName>) -> Answer<()> {
    let client = open.sign_in.client()?;
    for mapping in Mapping::built_in() {
        let is_wanted = object.is_none_or(|object| *object == mapping.object);
        if is_wanted && open.live.mappings.get(&mapping.object).is_none() {
            open.live.mappings.describe(open, &client, &mapping.object).await?;
        }
    }
    Ok(())
}

fn explanation(differing: usize, unknown: u32) -> String {
    let missed = match unknown {
        0 => String::new(),
        1 => " One event of Salesforce's is not in the change log.".to_owned(),
        more => format!(" {more} events of Salesforce's are not in the change log."),
    };
    match differing {
        0 => format!("The shadow agrees with what the events said last.{missed}"),
        1 => format!("One record disagrees with its events and is fetched as it is now.{missed}"),
        more => format!("{more} records disagree with their events and are fetched as they are now.{missed}"),
    }
}

/// How a record's row disagrees with what its events said last.
fn difference(told: &Told, stored: Option<&StoredRecord>) -> Option<String> {
    match (told.is_gone, stored) {
        (true, Some(_)) => Some("It was deleted, and the shadow still has it".to_owned()),
        (false, None) if told.is_vague || !told.values.is_empty() => {
            Some("It changed, and the shadow does not have it".to_owned())
        }
        (true | false, None) => None,
        (false, Some(stored)) => {
            let mut fields: Vec<&str> = told
                .values
                .iter()
                .filter(|(field, value)| {
                    stored.payload.get(field.as_str()).is_some_and(|stored| text(stored) != **value)
                })
                .map(|(field, _)| field.as_str())
                .collect();
            fields.sort_unstable();
            (!fields.is_empty()).then(|| format!("Another value of {}", fields.join(", ")))
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Looks at the events of the change log.
async fn from_log(
    open: &OpenEnvironment,
    store: &Store,
    request: &ReplayRequest,
    object: Option<&ObjectName>,
    told: &mut HashMap<(ObjectName, RecordId), Told>,
) -> Answer<u32> {
    let from = request.from.unwrap_or(DateTime::UNIX_EPOCH);
    let pubsub = open.pubsub()?;
    let (mut after, mut events) = (0, 0);
    loop {
        let batch = change_log::scan(store, from, object, after, BATCH).await?;
        let Some(last) = batch.last() else { return Ok(events) };
        after = last.position;
        for stored in &batch {
            events += 1;
            let schema = pubsub.schema(&stored.schema_id).await;
            let decoded = schema.ok().and_then(|schema| schema.decode(&stored.payload).ok());
            if let Some(event) = decoded {
                hear(open, &event, Some(stored.position), told);
            }
        }
    }
}

/// Asks Salesforce for its events again, and compares; its old values are never written.
async fn from_salesforce(
    open: &OpenEnvironment,
    store: &Store,
    request: &ReplayRequest,
    object: Option<&ObjectName>,
    told: &mut HashMap<(ObjectName, RecordId), Told>,
) -> Answer<(u32, u32)> {
    let pubsub = open.pubsub()?;
    let (mut events, mut unknown) = (0, 0);
    for channel in crate::live::planned_channels(open) {
        if object.is_some_and(|object| {
            !channel.hides_absent_objects() && channel != ChannelName::of_object(object)
        }) {
            continue;
        }
        let mut subscription = pubsub.subscribe(&channel, Start::Earliest).await?;
        let mut is_over = false;
        while !is_over {
            let Ok(message) = tokio::time::timeout(QUIET, subscription.next()).await else { break };
            let Some(message) = message? else { break };
            // A response without events: everything that was kept has been delivered.
            is_over = message.events.is_empty();
            for raw in &message.events {
                let schema: std::sync::Arc<Schema> = pubsub.schema(&raw.schema_id).await?;
                let Ok(event) = schema.decode(&raw.payload) else { continue };
                let header = &event.header;
                let committed = header.committed_at.to_utc();
                let is_wanted = object.is_none_or(|object| *object == header.object)
                    && request.from.is_none_or(|from| committed.is_none_or(|at| at >= from));
                if !is_wanted {
                    continue;
                }
                events += 1;
                let position = change_log::position_of(
                    store,
                    &header.object,
                    &header.transaction_key,
                    header.sequence_number,
                )
                .await?;
                unknown += u32::from(position.is_none());
                hear(open, &event, position, told);
            }
        }
    }
    Ok((events, unknown))
}

/// Takes in what an event says of its records.
fn hear(
    open: &OpenEnvironment,
    event: &ChangeEvent,
    position: Option<i64>,
    told: &mut HashMap<(ObjectName, RecordId), Told>,
) {
    let Some(mapping) = open.live.mappings.get(&event.header.object) else { return };
    for id in event.header.records.ids() {
        let known = told.entry((event.header.object.clone(), *id)).or_insert_with(|| Told {
            position: None,
            is_gone: false,
            values: HashMap::new(),
            is_vague: false,
        });
        known.position = position.or(known.position);
        known.is_gone = event.header.kind.is_deletion();
        match &event.body {
            EventBody::Whole(changes) | EventBody::Patch(changes) => {
                for change in changes {
                    let Some(field) = mapping.fields.iter().find(|field| field.name == change.name) else {
                        continue;
                    };
                    if change.value == EventValue::Withheld {
                        known.values.remove(&change.name);
                        continue;
                    }
                    let text = event_text(field.field_type, field.scale, &change.value);
                    known.values.insert(change.name.clone(), text.map(std::borrow::Cow::into_owned));
                }
            }
            // What it said before may not hold any more.
            EventBody::Fetch(_) => {
                known.values.clear();
                known.is_vague = true;
            }
            EventBody::Nothing => {}
        }
    }
}
