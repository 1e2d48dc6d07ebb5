//! Roll-out flags.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use store::Store;
use store::flags::{self, Flag};

use crate::engine::Engine;
use crate::notice::View;
use crate::problem::{Answer, Problem};

/// The flags there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "kebab-case")]
pub enum FlagName {
    /// Whether readers are served from the shadow.
    ShadowReads,
    /// Whether stored events are applied. Receiving and storing go on without, so that nothing expires.
    EventConsumer,
}

/// One flag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct FlagView {
    /// Which.
    pub name: FlagName,
    /// Whether it is on in this process.
    pub is_on: bool,
    /// What it does, and what its present value means.
    pub explanation: String,
    /// The variable that overrides the database in this process, if one does.
    pub overridden_by: Option<String>,
    /// Who set it last.
    pub set_by: Option<String>,
    /// When it was last set.
    pub set_at: Option<DateTime<Utc>>,
}

/// The variable that turns readers to the shadow in the process that has it.
const SHADOW_READS_VARIABLE: &str = "ENABLE_SF_SHADOW_READS";

/// Both flags.
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
    };
    flags::set(&store, flag, on, &open.actor()).await?;
    let sentence = format!("Switched {} {}", flag.as_str(), if on { "on" } else { "off" });
    open.record("flags.set", &sentence, "done", None).await;
    engine.publish(&[View::Flags, View::Status]);
    views(&store).await
}

async fn views(store: &Store) -> Answer<Vec<FlagView>> {
    let consumer = flags::get(store, Flag::EventConsumer).await?;
    let reads = flags::get(store, Flag::ShadowReads).await?;
    let forced = std::env::var(SHADOW_READS_VARIABLE).ok().and_then(|value| is_on(&value));
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
        },
        FlagView {
            name: FlagName::ShadowReads,
            is_on: forced.unwrap_or(reads.on),
            explanation: if forced.unwrap_or(reads.on) {
                "Readers are served from the shadow."
            } else {
                "Readers are served by Salesforce."
            }
            .to_owned(),
            overridden_by: forced.map(|_| SHADOW_READS_VARIABLE.to_owned()),
            set_by: reads.set_by,
            set_at: reads.set_at,
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
