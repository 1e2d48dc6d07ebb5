//! Closes holes by themselves: a catch-up with its id comparison for those that a catch-up closes, a load for others
//! and for objects whose fields changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use shadow::ObjectName;
use shadow::quota::Work;
use store::holes::{self, Hole, HoleNeeds};
use store::jobs::{self, JobState, NewCatchUp, NewJob};
use store::objects;
use tokio_util::sync::CancellationToken;

use super::term::Term;
use crate::api::backfills::begin;
use crate::backfill::Turn;
use crate::clock;
use crate::notice::View;
use crate::problem::Answer;

/// Who starts jobs that nobody asked for.
pub(crate) const SYSTEM: &str = "Shadow Sync";
/// How long to wait before looking again unasked.
const SWEEP: Duration = Duration::from_secs(10);
/// How long to wait after a job that left an object's holes open; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// A job that waited so long for its turn may be taken up by the process that leads.
const TURN_PATIENCE: TimeDelta = TimeDelta::minutes(1);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// Closes holes until the term ends.
pub(crate) async fn close(term: Arc<Term>, stop: CancellationToken) -> Answer<()> {
    let mut patience: HashMap<ObjectName, Patience> = HashMap::new();
    resume(&term).await?;
    for row in objects::list(&term.store).await? {
        if let Some(mapping) = term.environment.live.mappings.get(&row.object) {
            objects::keep_held(&term.store, &mapping).await?;
        }
    }
    while !stop.is_cancelled() {
        let open = holes::list_open(&term.store).await?;
        let mut by_object: BTreeMap<ObjectName, Vec<Hole>> = BTreeMap::new();
        for object in of_another_shape(&term).await? {
            by_object.insert(object, Vec::new());
        }
        for hole in open {
            by_object.entry(hole.object.clone()).or_default().push(hole);
        }
        patience.retain(|object, _| by_object.contains_key(object));
        let now = term.environment.calls.salesforce_now();
        let mut pause = SWEEP;
        for (object, holes) in by_object {
            // Before a hole has ended nothing closes it.
            if let Some(left) = holes.iter().filter_map(|hole| hole.until_at).map(|until| until - now).max()
                && let Ok(left) = left.to_std()
            {
                pause = pause.min(left);
                continue;
            }
            let waited = patience.entry(object.clone()).or_default();
            if waited.is_over() && mend(&term, &object, &holes).await? {
                waited.again();
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = term.environment.live.holes.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    Ok(())
}

/// How long an object's holes are left alone after a job that did not close them.
#[derive(Debug, Default)]
struct Patience {
    until: Option<Instant>,
    pause: Duration,
}

impl Patience {
    fn is_over(&self) -> bool {
        self.until.is_none_or(|until| until <= Instant::now())
    }

    fn again(&mut self) {
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.until = Some(Instant::now() + self.pause);
    }
}

/// Starts what closes an object's holes; says whether it did. Not while another job of the object is open, and never
/// the first load: that is a person's to order.
async fn mend(term: &Term, object: &ObjectName, open: &[Hole]) -> Answer<bool> {
    let row = objects::get(&term.store, object).await?;
    if row.loaded_at.is_none()
        || row.state == shadow::ObjectState::Paused
        || !term.environment.quota.may(Work::Healing)
    {
        return Ok(false);
    }
    // A job whose process is gone would stand in the way for ever: it goes on here.
    if let Some(turn) = interrupted(term, Some(object)).await?.pop() {
        begin(&term.environment, vec![turn]);
        return Ok(true);
    }
    if has_open_job(term, object).await? {
        return Ok(false);
    }
    let mapping = term.environment.live.mappings.get(object);
    let is_of_fields = match &mapping {
        Some(mapping) => crate::backfill::mends(&term.store, mapping, open).await?,
        None => false,
    };
    let needs_load = !is_of_fields
        && (open.is_empty()
            || open.iter().any(|hole| hole.needs == HoleNeeds::Backfill || hole.from_at.is_none()));
    let created = if is_of_fields {
        jobs::create_fields(&term.store, object, SYSTEM).await
    } else if needs_load {
        let new = NewJob { object, condition: None, started_by: SYSTEM };
        jobs::create(&term.store, new).await
    } else {
        let from: Option<DateTime<Utc>> = open.iter().filter_map(|hole| hole.from_at).min();
        let new = NewCatchUp { object, from, with_ids: true, started_by: SYSTEM };
        jobs::create_catch_up(&term.store, new).await
    };
    let job = match created {
        Ok(job) => job,
        Err(store::Error::JobOpen(_)) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    for hole in open.iter().filter(|hole| !is_of_fields || hole.fields().is_some()) {
        holes::attach_job(&term.store, hole.id, job.id).await?;
    }
    tracing::info!(object.name = %object, holes = open.len(), job.id = job.id.0, "a job mends what is missing");
    let sentence = match open.len() {
        _ if is_of_fields => format!("Began to fill in fields of {object} that can be seen now"),
        0 => format!("Began to read {object} again, because its fields changed"),
        1 => format!("Began to close a hole of {object}"),
        _ => format!("Began to close holes of {object}"),
    };
    term.environment.record("hole.close", &sentence, "done", None).await;
    begin(&term.environment, vec![Turn { id: job.id, whole: needs_load }]);
    term.environment.notices.publish(&[View::Jobs, View::Holes, View::Status]);
    Ok(true)
}

/// Loaded objects whose rows have another shape than what is selected now: a field came or went, so that every record
/// must be read again.
async fn of_another_shape(term: &Term) -> Result<Vec<ObjectName>, store::Error> {
    let mut found = Vec::new();
    for row in objects::list(&term.store).await? {
        let Some(mapping) = term.environment.live.mappings.get(&row.object) else { continue };
        if row.loaded_at.is_some() && row.loaded_shape.as_deref() != Some(mapping.shape().as_str()) {
            found.push(row.object);
        }
    }
    Ok(found)
}

/// Whether a job of an object is open in some process.
pub(crate) async fn has_open_job(term: &Term, object: &ObjectName) -> Result<bool, store::Error> {
    let latest = jobs::list(&term.store, Some(object), 1).await?.pop();
    Ok(latest
        .is_some_and(|job| matches!(job.state, JobState::Pending | JobState::Running | JobState::Paused)))
}

/// Goes on with jobs that nobody asked for and whose process is gone. What a person began is a person's to resume, unless
/// it stands in the way of a hole.
async fn resume(term: &Term) -> Answer<()> {
    let turns = interrupted(term, None).await?;
    if !turns.is_empty() {
        begin(&term.environment, turns);
    }
    Ok(())
}

/// Jobs whose process is gone: those of an object, or of all objects those that nobody asked for.
async fn interrupted(term: &Term, object: Option<&ObjectName>) -> Result<Vec<Turn>, store::Error> {
    let mut turns = Vec::new();
    for job in jobs::open(&term.store).await? {
        // One that waits for its turn may wait in another process; not for ever.
        let waits_long = clock::now() - job.created_at > TURN_PATIENCE;
        let is_left = job.state == JobState::Running || job.state == JobState::Pending && waits_long;
        let is_meant = match object {
            Some(object) => job.object == *object && is_left,
            None => job.started_by == SYSTEM && job.state != JobState::Paused,
        };
        if is_meant
            && !term.environment.loads.is_ours(job.id)
            && store::leases::holder(&term.store, &crate::backfill::lease_name(&job.object)).await?.is_none()
        {
            let whole = job.kind == jobs::JobKind::Backfill && job.started_by == SYSTEM;
            turns.push(Turn { id: job.id, whole });
        }
    }
    Ok(turns)
}
