//! Flags of the roll-out, and the pause of everything: switched by a person, seen by every process.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::session::Store;
use crate::settings;
use crate::words::words;

words! {
    /// A switch.
    Flag {
        /// Whether stored events are applied. Receiving and storing go on without it.
        EventConsumer = "event-consumer",
        /// Whether readers are given the shadow.
        ShadowReads = "shadow-reads",
        /// Whether all work is stopped: receiving too.
        Pause = "pause",
    }
}

impl Flag {
    /// The setting that holds it.
    fn setting(self) -> String {
        format!("flag.{}", self.as_str())
    }

    /// What it is until somebody switches it.
    pub const fn at_first(self) -> bool {
        match self {
            Self::EventConsumer => true,
            Self::ShadowReads | Self::Pause => false,
        }
    }
}

/// How a switch stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagState {
    /// Whether it is on.
    pub on: bool,
    /// Who switched it; none: nobody yet.
    pub set_by: Option<String>,
    /// When.
    pub set_at: Option<DateTime<Utc>>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    on: bool,
    by: String,
}

/// How a switch stands.
pub async fn get(store: &Store, flag: Flag) -> Result<FlagState, Error> {
    let stored = settings::get_with_time::<Stored>(store, &flag.setting()).await?;
    Ok(match stored {
        Some((stored, at)) => FlagState { on: stored.on, set_by: Some(stored.by), set_at: Some(at) },
        None => FlagState { on: flag.at_first(), set_by: None, set_at: None },
    })
}

/// Switches a flag. Returns whether that changed anything.
pub async fn set(store: &Store, flag: Flag, on: bool, who: &str) -> Result<bool, Error> {
    let before = get(store, flag).await?;
    if before.on == on && before.set_at.is_some() {
        return Ok(false);
    }
    settings::set(store, &flag.setting(), &Stored { on, by: who.to_owned() }).await?;
    Ok(before.on != on)
}
