//! Which objects are received and applied now: flags, pauses, and whether there is a table to speak of.

use std::sync::Arc;

use shadow::{Mapping, ObjectName, ObjectState, ResolvedMapping};
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

/// Whose events are applied, and whose are not although they have a table.
pub(crate) struct Eligible {
    /// Not paused, and loaded or being loaded. What an object's first load will read anyway need not be fetched record
    /// by record before.
    pub applied: Vec<Arc<ResolvedMapping>>,
    /// Paused, or with fields that cannot be looked up: what their events say is a hole, to be closed later.
    pub missed: Vec<ObjectName>,
}

/// Sorts the mapped objects.
///
/// Asked after the events were read: a load that began meanwhile took its mark before them, so that they are in it.
pub(crate) async fn eligible(term: &Term) -> Result<Eligible, store::Error> {
    let mut found = Eligible { applied: Vec::new(), missed: Vec::new() };
    let rows = objects::list(&term.store).await?;
    for known in Mapping::built_in() {
        let Some(row) = rows.iter().find(|row| row.object == known.object) else { continue };
        if row.loaded_at.is_none() && !has_begun(&term.store, &row.object).await? {
            continue;
        }
        match term.environment.live.mappings.get(&known.object) {
            Some(mapping) if row.state != ObjectState::Paused => found.applied.push(mapping),
            _ => found.missed.push(known.object),
        }
    }
    Ok(found)
}

/// Whether a load of an object runs or can be resumed.
async fn has_begun(store: &Store, object: &ObjectName) -> Result<bool, store::Error> {
    let latest = jobs::list(store, Some(object), 1).await?.pop();
    Ok(latest.is_some_and(|job| {
        matches!(job.state, JobState::Pending | JobState::Running | JobState::Paused | JobState::Failed)
    }))
}
