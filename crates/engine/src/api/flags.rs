//! Roll-out flags.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use store::Store;
use store::flags::{self, Flag};
use store::workers;

use crate::engine::Engine;
use crate::notice::View;
use crate::problem::{Answer, Problem};

/// The flags there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "kebab-case")]
pub enum FlagName {
    /// Whether readers are served from the shadow.
    ShadowReads,
    /// Whether every answer is Salesforce's, and the shadow is held against it.
    CompareReads,
    /// Whether stored events are applied. Receiving and storing go on without, so that nothing expires.
    EventConsumer,
}

/// One flag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct FlagView {
    /// Which.
    pub name: FlagName,
    /// Whether it is on in this process; off while it is tripped.
    pub is_on: bool,
    /// What it does, and what its present value means.
    pub explanation: String,
    /// The variable that overrides the database in this process, if one does.
    pub overridden_by: Option<String>,
    /// Who set it last.
    pub set_by: Option<String>,
    /// When it was last set.
    pub set_at: Option<DateTime<Utc>>,
    /// Why it is off whatever it was set to, until a person resets that.
    pub trip: Option<TripView>,
}

/// Why readers were taken off the shadow in every process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct TripView {
    /// In words.
    pub reason: String,
    /// A person, or `comparison`.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// A process that was not seen for so long is gone.
const SEEN_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

/// The variable that turns readers to the shadow in the process that has it.
const SHADOW_READS_VARIABLE: &str = "ENABLE_SF_SHADOW_READS";

/// All flags.
pub async fn get(engine: &Engine) -> Answer<Vec<FlagView>> {
    let open = engine.environment()?;
    views(&open.store().await?).await
}

/// Switches a flag.
///
/// - **Errors:** SS-7104 where readers would be turned to a shadow of which an object is not ready.
pub async fn set(engine: &Engine, name: FlagName, on: bool) -> Answer<Vec<FlagView>> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let flag = match name {
        FlagName::EventConsumer => Flag::EventConsumer,
        FlagName::ShadowReads => {
            if on {
                refuse_unready(&store).await?;
            }
            Flag::ShadowReads
        }
        FlagName::CompareReads => {
            if on {
                refuse_unready(&store).await?;
                // What was compared before says nothing of this time.
                store::read_comparisons::begin_anew(&store).await?;
            }
            Flag::CompareReads
        }
    };
    flags::set(&store, flag, on, &open.actor()).await?;
    let sentence = format!("Switched {} {}", flag.as_str(), if on { "on" } else { "off" });
    open.record("flags.set", &sentence, "done", None).await;
    open.reads.look_anew();
    engine.publish(&[View::Flags, View::Status]);
    views(&store).await
}

/// Takes readers off the shadow in every process, whatever the flags and variables say, until [`reset`].
pub async fn trip(engine: &Engine, reason: &str) -> Answer<Vec<FlagView>> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let reason = if reason.trim().is_empty() { "taken back by hand" } else { reason.trim() };
    if flags::set_trip(&store, reason, &open.actor()).await? {
        open.record("flags.trip", &format!("Took readers off the shadow: {reason}"), "done", None).await;
    }
    open.reads.look_anew();
    engine.publish(&[View::Flags, View::Status]);
    views(&store).await
}

/// Whether a process's readers have the shadow, as the process itself says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct ProcessReads {
    /// Program, machine and process.
    pub holder: String,
    /// `on`, `off`, `tripped`.
    pub shadow_reads: String,
    /// When it said so.
    pub seen_at: DateTime<Utc>,
}

/// What each process that has readers says of itself, as of its last heartbeat.
pub async fn processes(engine: &Engine) -> Answer<Vec<ProcessReads>> {
    let store = engine.environment()?.store().await?;
    let seen = workers::list(&store, SEEN_WITHIN).await?;
    let reading = seen.into_iter().filter_map(|seen| {
        let shadow_reads = seen.worker.shadow_reads?.as_str().to_owned();
        Some(ProcessReads { holder: seen.worker.holder, shadow_reads, seen_at: seen.seen_at })
    });
    Ok(reading.collect())
}

/// Lifts a trip: the flags and variables hold again, and a comparison begins to count anew.
pub async fn reset(engine: &Engine) -> Answer<Vec<FlagView>> {
    let open = engine.environment()?;
    let store = open.store().await?;
    store::read_comparisons::begin_anew(&store).await?;
    if flags::reset_trip(&store).await? {
        open.record("flags.reset", "Lifted the trip of shadow-reads", "done", None).await;
    }
    open.reads.look_anew();
    engine.publish(&[View::Flags, View::Status]);
    views(&store).await
}

/// What the variable of this process says of readers, if it says anything.
pub(crate) fn forced_shadow_reads() -> Option<bool> {
    std::env::var(SHADOW_READS_VARIABLE).ok().and_then(|value| is_on(&value))
}

async fn views(store: &Store) -> Answer<Vec<FlagView>> {
    let consumer = flags::get(store, Flag::EventConsumer).await?;
    let reads = flags::get(store, Flag::ShadowReads).await?;
    let compare = flags::get(store, Flag::CompareReads).await?;
    let trip = flags::trip(store).await?;
    let forced = forced_shadow_reads();
    let is_served = trip.is_none() && forced.unwrap_or(reads.on);
    Ok(vec![
        FlagView {
            name: FlagName::EventConsumer,
            is_on: consumer.on,
            explanation: if consumer.on {
                "Stored events are applied as they come."
            } else {
                "Events are received and stored, but not applied: nothing expires, and the backlog grows."
            }
            .to_owned(),
            overridden_by: None,
            set_by: consumer.set_by,
            set_at: consumer.set_at,
            trip: None,
        },
        FlagView {
            name: FlagName::ShadowReads,
            is_on: is_served,
            explanation: if trip.is_some() {
                "Readers were taken off the shadow and are served by Salesforce, until a person resets the trip."
            } else if is_served {
                "Readers are served from the shadow."
            } else {
                "Readers are served by Salesforce."
            }
            .to_owned(),
            overridden_by: forced.map(|_| SHADOW_READS_VARIABLE.to_owned()),
            set_by: reads.set_by,
            set_at: reads.set_at,
            trip: trip.map(|trip| TripView { reason: trip.reason, by: trip.by, at: trip.at }),
        },
        FlagView {
            name: FlagName::CompareReads,
            is_on: compare.on,
            explanation: if compare.on {
                "Readers are served by Salesforce, and every answer is held against the shadow."
            } else {
                "Answers are not held against Salesforce's."
            }
            .to_owned(),
            overridden_by: None,
            set_by: compare.set_by,
            set_at: compare.set_at,
            trip: None,
        },
    ])
}

fn is_on(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "on" | "yes" => Some(true),
        "0" | "false" | "off" | "no" => Some(false),
        _ => None,
    }
}

/// A table that was never complete would answer with too little.
async fn refuse_unready(store: &Store) -> Answer<()> {
    let rows = store::objects::list(store).await?;
    let missing: Vec<&str> =
        rows.iter().filter(|row| row.ready_at.is_none()).map(|row| row.object.as_str()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Box::new(
        Problem::new(
            "SS-7104",
            format!("{} not ready", missing.join(" and ")),
            "Readers may be turned to the shadow only once the first load of every object is complete and counted.",
        )
        .step("Load what is missing: shadow-sync backfill"),
    ))
}
