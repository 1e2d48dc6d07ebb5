//! Which objects are received and applied now: flags, pauses, and whether there is a table to speak of.

use std::sync::Arc;

use shadow::{ObjectName, ObjectState, ResolvedMapping};
use store::flags::{self, Flag};
use store::jobs::{self, JobState};
use store::{Store, objects};

use super::term::Term;

/// Whether a person paused everything, or every one of these objects: then their channel is not even received.
pub(crate) async fn is_paused(store: &Store, of_channel: &[ObjectName]) -> Result<bool, store::Error> {
    if flags::get(store, Flag::Pause).await?.on {
        return Ok(true);
    }
    let rows = objects::list(store).await?;
    let is_paused = |object: &ObjectName| {
        rows.iter().any(|row| row.object == *object && row.state == ObjectState::Paused)
    };
    Ok(!of_channel.is_empty() && of_channel.iter().all(is_paused))
}

/// Whether stored events of a channel are to be applied.
pub(crate) async fn may_apply(store: &Store, of_channel: &[ObjectName]) -> Result<bool, store::Error> {
    Ok(flags::get(store, Flag::EventConsumer).await?.on && !is_paused(store, of_channel).await?)
}

/// The mappings whose events are applied: not paused, and loaded or being loaded. What an object's first load will
/// read anyway need not be fetched record by record before.
///
/// Asked after the events were read: a load that began meanwhile took its mark before them, so that they are in it.
pub(crate) async fn applied(term: &Term) -> Result<Vec<Arc<ResolvedMapping>>, store::Error> {
    let rows = objects::list(&term.store).await?;
    let mut eligible = Vec::new();
    for mapping in term.environment.live.mappings.all() {
        let Some(row) = rows.iter().find(|row| row.object == *mapping.object()) else { continue };
        if row.state == ObjectState::Paused {
            continue;
        }
        if row.loaded_at.is_some() || has_begun(&term.store, &row.object).await? {
            eligible.push(mapping);
        }
    }
    Ok(eligible)
}

/// Whether a load of an object runs or can be resumed.
async fn has_begun(store: &Store, object: &ObjectName) -> Result<bool, store::Error> {
    let latest = jobs::list(store, Some(object), 1).await?.pop();
    Ok(latest.is_some_and(|job| {
        matches!(job.state, JobState::Pending | JobState::Running | JobState::Paused | JobState::Failed)
    }))
}
