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
        /// Whether every answer is Salesforce's, and held against the shadow.
        CompareReads = "compare-reads",
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
            Self::ShadowReads | Self::CompareReads | Self::Pause => false,
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

/// Why readers were taken off the shadow, whatever the flags say. It stands until a person resets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trip {
    /// Why, in words for a person.
    pub reason: String,
    /// Who: a person, or the comparison itself.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
struct StoredTrip {
    reason: String,
    by: String,
}

const TRIP: &str = "trip.shadow-reads";

/// The trip that stands; none if readers may have the shadow.
pub async fn trip(store: &Store) -> Result<Option<Trip>, Error> {
    let stored = settings::get_with_time::<StoredTrip>(store, TRIP).await?;
    Ok(stored.map(|(stored, at)| Trip { reason: stored.reason, by: stored.by, at }))
}

/// Takes readers off the shadow in every process. Returns whether they still had it: a trip that stands keeps its reason.
pub async fn set_trip(store: &Store, reason: &str, by: &str) -> Result<bool, Error> {
    let value = serde_json::json!({ "reason": reason, "by": by });
    let set = sqlx::query!(
        "insert into shadow_sync.settings (name, value) values ($1, $2) on conflict (name) do nothing",
        TRIP,
        value,
    )
    .execute(store.pool())
    .await?
    .rows_affected();
    Ok(set == 1)
}

/// Lifts a trip. Returns whether one stood.
pub async fn reset_trip(store: &Store) -> Result<bool, Error> {
    let gone = sqlx::query!("delete from shadow_sync.settings where name = $1", TRIP)
        .execute(store.pool())
        .await?
        .rows_affected();
    Ok(gone == 1)
}
