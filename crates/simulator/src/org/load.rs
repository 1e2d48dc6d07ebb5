//! Many changes on a steady clock, for measurements.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep_until};

use super::Org;
use crate::error::Error;

/// How many changes are made before others may run, when they are made as fast as possible.
const AT_ONCE: u64 = 64;

/// Changes to make: each is a transaction of its own with one event.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct Load {
    /// The object, whose records are changed in turn.
    pub object: String,
    /// The text field that is written.
    pub field: String,
    /// How many changes.
    pub changes: u64,
    /// How many of them a second; nothing means as fast as possible.
    pub per_second: Option<u32>,
    /// Characters of the text: an event is about 250 bytes larger.
    pub characters: usize,
}

/// What became of a load.
#[derive(Clone, PartialEq, Serialize, Debug)]
pub struct LoadReport {
    /// Changes that were made.
    pub changes: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// The most that a change was later than its moment.
    pub latest: Duration,
}

impl Org {
    /// Changes records one after the other, on a clock that does not drift: a change that comes late is not waited for,
    /// the next ones come all the sooner.
    ///
    /// - **Shape:** record `i` of the object, counted in id order and from the start again, gets a text that no other
    ///   change writes.
    /// - **Errors:** the object or field is not there, or the org has no record to change.
    pub async fn run_load(&self, load: &Load) -> Result<LoadReport, Error> {
        let ids = self.ids(&load.object, 0, load.changes);
        if ids.is_empty() && load.changes > 0 {
            return Err(Error::NoRecord { object: load.object.clone(), id: "any".to_owned() });
        }
        let start = Instant::now();
        let mut latest = Duration::ZERO;
        for (at, id) in (0..load.changes).zip(ids.iter().cycle()) {
            match load.per_second {
                Some(per_second) => {
                    let moment =
                        start + Duration::from_secs(1).mul_f64(at as f64 / f64::from(per_second.max(1)));
                    sleep_until(moment).await;
                    latest = latest.max(moment.elapsed());
                }
                None if at % AT_ONCE == 0 => tokio::task::yield_now().await,
                None => {}
            }
            self.update(&load.object, id.as_str(), &fields(load, at))?;
        }
        Ok(LoadReport { changes: load.changes, elapsed: start.elapsed(), latest })
    }
}

fn fields(load: &Load, at: u64) -> Json {
    let mut text = format!("Change {at}: ");
    let filler = "the offer was revised, its terms and its price stay as they are; ";
    text.extend(filler.chars().cycle().take(load.characters.saturating_sub(text.len())));
    json!({load.field.as_str(): text})
}
