//! Pausing objects and letting them go on.

use std::sync::Arc;

use shadow::ObjectName;
use store::Store;
use store::jobs::{self, JobState, Requested};

use super::backfills::begin;
use crate::backfill::Turn;
use crate::engine::Engine;
use crate::environment::OpenEnvironment;
use crate::live::SYSTEM;
use crate::mapped::mapped;
use crate::notice::View;
use crate::problem::Answer;

/// Pauses the named objects, or all: a running load stops after the rows in flight, a new one is refused.
/// Answers which are paused now.
pub async fn pause(engine: &Engine, objects: Vec<String>) -> Answer<Vec<String>> {
    set(engine, objects, true).await
}

/// Lets the named objects, or all, go on. An interrupted load is taken up by the next backfill.
pub async fn resume(engine: &Engine, objects: Vec<String>) -> Answer<Vec<String>> {
    set(engine, objects, false).await
}

/// Lets jobs that nobody asked for go on: nobody would resume them.
async fn go_on(open: &Arc<OpenEnvironment>, store: &Store, object: &ObjectName) -> Answer<()> {
    let mut turns = Vec::new();
    for job in jobs::open(store).await? {
        if job.object == *object && job.started_by == SYSTEM && job.state == JobState::Paused {
            let job = jobs::request(store, job.id, Requested::Run).await?;
            turns.push(Turn { id: job.id, whole: false });
        }
    }
    if !turns.is_empty() {
        begin(open, turns);
    }
    open.live.holes.notify_one();
    Ok(())
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
            go_on(&open, &store, &mapping.object).await?;
        }
        changed.push(mapping.object.to_string());
    }
    let (act, word) = if is_pause { ("pause", "Paused") } else { ("resume", "Resumed") };
    open.record(act, &format!("{word} {}", changed.join(", ")), "done", None).await;
    engine.publish(&[View::Status, View::Jobs]);
    Ok(changed)
}
