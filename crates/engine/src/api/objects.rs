//! Pausing objects and letting them go on.

use crate::engine::Engine;
use crate::mapped::mapped;
use crate::notice::View;
use crate::problem::Answer;
use store::jobs::{self, Requested};

/// Pauses the named objects, or all: a running load stops after the rows in flight, a new one is refused.
/// Answers which are paused now.
pub async fn pause(engine: &Engine, objects: Vec<String>) -> Answer<Vec<String>> {
    set(engine, objects, true).await
}

/// Lets the named objects, or all, go on. An interrupted load is taken up by the next backfill.
pub async fn resume(engine: &Engine, objects: Vec<String>) -> Answer<Vec<String>> {
    set(engine, objects, false).await
}

async fn set(engine: &Engine, objects: Vec<String>, is_pause: bool) -> Answer<Vec<String>> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let mut changed = Vec::new();
    for mapping in mapped(&objects)? {
        if is_pause {
            store::objects::pause(&store, &mapping.object).await?;
            for job in jobs::open(&store).await?.into_iter().filter(|job| job.object == mapping.object) {
                if let Some(live) = open.loads.live(job.id) {
                    live.ask(crate::backfill::Wish::Pause);
                }
                jobs::request(&store, job.id, Requested::Pause).await?;
            }
        } else {
            store::objects::resume(&store, &mapping.object).await?;
        }
        changed.push(mapping.object.to_string());
    }
    let (act, word) = if is_pause { ("pause", "Paused") } else { ("resume", "Resumed") };
    open.record(act, &format!("{word} {}", changed.join(", ")), "done", None).await;
    engine.publish(&[View::Status, View::Jobs]);
    Ok(changed)
}
