//! Dead letters: events that could not be processed. They are kept until their records are fetched.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use store::dead_letters::{self, CauseGroup, DeadLetter, Letters};

use super::events::parse_object;
use crate::engine::Engine;
use crate::notice::View;
use crate::problem::{Answer, Problem};

/// Open dead letters by cause, most first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct DeadLettersView {
    /// How many are open in all.
    pub total: u32,
    /// By cause.
    pub groups: Vec<DeadLetterGroup>,
}

/// Dead letters of one cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterGroup {
    /// A stable word, e.g. `unknown-schema`.
    pub cause: String,
    /// The cause as a heading.
    pub title: String,
    /// What mends it.
    pub cure: String,
    /// The newest of them.
    pub letters: Vec<DeadLetterView>,
    /// How many there are; `letters` may hold fewer.
    pub total: u32,
}

/// One dead letter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterView {
    /// Its id.
    pub id: String,
    /// Position of its event in the change log; none if its header could not be read, so that it has none.
    #[specta(type = Option<u32>)]
    pub position: Option<i64>,
    /// When it was received.
    pub received_at: DateTime<Utc>,
    /// From which channel.
    pub channel: String,
    /// Its object; none where the header cannot be read.
    pub object: Option<String>,
    /// Its first record.
    pub record_id: Option<String>,
    /// How many records it is about.
    pub records: u32,
    /// A stable word for the cause.
    pub cause: String,
    /// The cause in a sentence.
    pub explanation: String,
    /// How often its records were fetched in vain.
    pub attempts: u32,
}

/// Dead letters of one cause that are shown where nobody says how many.
const USUAL: u32 = 50;

/// Open dead letters by cause, most first; of one object if given, at most `per_cause` of each cause.
pub async fn list(engine: &Engine, object: Option<String>, per_cause: u32) -> Answer<DeadLettersView> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let object = object.as_deref().map(parse_object).transpose()?;
    let limit = if per_cause == 0 { USUAL } else { per_cause };
    let groups = dead_letters::list(&store, object.as_ref(), i64::from(limit)).await?;
    Ok(DeadLettersView {
        total: groups.iter().map(|group| whole(group.total)).sum(),
        groups: groups.iter().map(group).collect(),
    })
}

/// Has the records of dead letters fetched, and closes them: those named, or all. Answers how many records that are.
pub async fn retry(engine: &Engine, ids: Vec<String>) -> Answer<u32> {
    close(engine, ids, false).await
}

/// Gives dead letters up: their records are fetched instead of forgotten. Answers how many records that are.
pub async fn discard(engine: &Engine, ids: Vec<String>) -> Answer<u32> {
    close(engine, ids, true).await
}

async fn close(engine: &Engine, ids: Vec<String>, discard: bool) -> Answer<u32> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let letters = if ids.is_empty() {
        Letters::All
    } else {
        let named = ids.iter().map(|id| parse(id)).collect::<Answer<Vec<i64>>>()?;
        let open = dead_letters::open_of(&store, &named).await?;
        if let Some(id) = named.iter().find(|id| !open.contains(id)) {
            return Err(Box::new(not_open(*id)));
        }
        Letters::These(named)
    };
    let done = dead_letters::retry(&store, &letters, discard, &open.actor()).await?;
    let (act, words) =
        if discard { ("dead-letters.discard", "Discarded") } else { ("dead-letters.retry", "Retried") };
    let sentence = format!("{words} {} dead letters; {} records are fetched", done.letters, done.records);
    open.record(act, &sentence, "done", None).await;
    engine.publish(&[View::DeadLetters, View::Events, View::Status]);
    Ok(u32::try_from(done.records).unwrap_or(u32::MAX))
}

fn group(group: &CauseGroup) -> DeadLetterGroup {
    let (title, cure) = words(&group.cause);
    DeadLetterGroup {
        cause: group.cause.clone(),
        title: title.to_owned(),
        cure: cure.to_owned(),
        letters: group.letters.iter().map(view).collect(),
        total: whole(group.total),
    }
}

fn view(letter: &DeadLetter) -> DeadLetterView {
    DeadLetterView {
        id: letter.id.to_string(),
        position: Some(letter.position),
        received_at: letter.received_at,
        channel: letter.channel.to_string(),
        object: letter.object.as_ref().map(ToString::to_string),
        record_id: letter.record.map(|id| id.to_string()),
        records: u32::from(letter.record.is_some()),
        cause: letter.cause.clone(),
        explanation: letter.message.clone(),
        attempts: u32::try_from(letter.attempts).unwrap_or_default(),
    }
}

/// A cause as a heading, and what mends it.
fn words(cause: &str) -> (&'static str, &'static str) {
    match cause {
        "header-unreadable" => (
            "Headers that could not be read",
            "A catch-up reads what they may have said; nothing needs to be done. Discard them once it has ended.",
        ),
        "unknown-schema" | "schema" => (
            "Events of a schema that Salesforce does not know",
            "Retry: their records are fetched as they are now.",
        ),
        "unreadable" | "corrupt" | "decode" => {
            ("Events whose content could not be read", "Retry: their records are fetched as they are now.")
        }
        _ => ("Events that the database refused", "Look at the reason, mend it, then retry."),
    }
}

fn not_open(id: i64) -> Problem {
    Problem::new(
        "SS-7103",
        format!("There is no open dead letter {id}"),
        "There never was one of this number, or it was closed already. Nothing was done.",
    )
    .step("List them: shadow-sync dead-letters list")
}

fn parse(id: &str) -> Answer<i64> {
    id.parse().map_err(|_| {
        let shown: String = id.chars().take(40).collect();
        Box::new(
            Problem::new("SS-7103", format!("`{shown}` is not a dead letter"), "The id of one is a number.")
                .step("List them: shadow-sync dead-letters list"),
        )
    })
}

fn whole(number: i64) -> u32 {
    u32::try_from(number).unwrap_or_default()
}
