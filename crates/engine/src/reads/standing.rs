//! How the tables and the flags stand, looked at once a second at most while somebody reads.
//!
//! An answer may be judged by a look that is a second old: what was complete up to a time stays so, because tables
//! never go backwards.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use shadow::mapping::ColumnMapping;
use shadow::{Mapping, SelectedField};
use store::flags::{self, Flag};
use store::readers::{Kept, ReadStanding};
use store::workers::ShadowReads;
use store::{Store, invalidations, live_facts, selected_fields};

use super::Asked;
use super::question::ObjectPlace;
use super::write_through::key_of;
use crate::api::flags::forced_shadow_reads;
use crate::clock;
use crate::environment::OpenEnvironment;
use crate::invalidate::{Rules, held, rules};
use crate::live;
use crate::problem::Answer;

/// A look is good for so long.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// A look that is older is not used while a new one is taken.
const USABLE_FOR: Duration = Duration::from_secs(3);
/// Readers go without the cache while orders to delete wait for longer than this, or than twice the flush delay.
const OVERDUE: Duration = Duration::from_secs(5);

/// Whom readers are answered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serving {
    /// The shadow.
    Shadow,
    /// Salesforce.
    Salesforce,
    /// Salesforce, and the shadow is looked at as well.
    Compared,
}

/// How an object stands for its readers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ObjectStanding {
    /// Whether its first load was complete and counted.
    pub is_ready: bool,
    /// The Salesforce time up to which what readers see of it is complete.
    pub live_through: Option<DateTime<Utc>>,
    /// Whether readers see a column that no event carries.
    pub by_reads: bool,
}

impl ObjectStanding {
    /// The time up to which a row is complete.
    ///
    /// - **Source:** design 8: the later of when it was written and live through, earlier if it is dirty. A row with a
    ///   formula is as old as its last read, whatever events wrote since.
    pub(crate) fn as_of<T>(&self, row: &Kept<T>) -> DateTime<Utc> {
        let written = if self.by_reads { row.read_end } else { row.updated_at };
        let complete = self.live_through.map_or(written, |through| through.max(written));
        row.lacks_since.map_or(complete, |since| complete.min(since - TimeDelta::milliseconds(1)))
    }
}

/// One look.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    taken: Instant,
    /// Whom readers are answered by.
    pub serving: Serving,
    /// By which keys answers are cached; none without a cache, or while it may hold what should be deleted.
    rules: Option<Rules>,
    objects: [ObjectStanding; 3],
}

impl Standing {
    /// One object's.
    pub(crate) fn of(&self, place: ObjectPlace) -> ObjectStanding {
        self.objects[place as usize]
    }

    /// The key under which a record is cached of which one column is known.
    pub(crate) fn cache_key(&self, place: ObjectPlace, column: &str, value: &str) -> Option<String> {
        let rules = self.rules.as_ref()?.of(&place.mapping().object)?;
        key_of(rules, column, value)
    }

    /// Whether the tables of all these objects are ready.
    pub(crate) fn is_ready(&self, places: &[ObjectPlace]) -> bool {
        places.iter().all(|place| self.of(*place).is_ready)
    }

    /// The time up to which all these objects' tables are complete.
    pub(crate) fn through(&self, places: &[ObjectPlace]) -> Option<DateTime<Utc>> {
        places.iter().map(|place| self.of(*place).live_through).min().flatten()
    }
}

/// Where the last look is kept.
#[derive(Debug, Default)]
pub(crate) struct Board {
    last: RwLock<Option<Arc<Standing>>>,
    looking: AtomicBool,
    turn: tokio::sync::Mutex<()>,
    /// Objects whose readers see columns that no event carries, and when that was looked up: it changes with the org's
    /// fields.
    by_reads: Mutex<Option<([bool; 3], Instant)>>,
}

/// How long it is believed which columns no event carries.
const FIELDS_FOR: Duration = Duration::from_mins(1);

impl Board {
    fn last(&self) -> Option<Arc<Standing>> {
        self.last.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next reader looks anew: somebody switched something here.
    pub(super) fn forget(&self) {
        *self.last.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// How things stand, at most three seconds ago.
///
/// - **Errors:** those of the database.
pub(super) async fn standing(environment: &Asked, store: &Store) -> Answer<Arc<Standing>> {
    let board = &environment.reads.standing;
    if let Some(last) = board.last() {
        let age = last.taken.elapsed();
        if age < GOOD_FOR {
            return Ok(last);
        }
        if age < USABLE_FOR {
            if !board.looking.swap(true, Ordering::Relaxed) {
                let (environment, store) = (environment.clone(), store.clone());
                environment.tasks.clone().spawn(async move {
                    if let Err(problem) = look(&environment, &store).await {
                        tracing::debug!(problem.code = problem.code, "readers could not look at the tables");
                    }
                    environment.reads.standing.looking.store(false, Ordering::Relaxed);
                });
            }
            return Ok(last);
        }
    }
    let _turn = board.turn.lock().await;
    match board.last().filter(|last| last.taken.elapsed() < GOOD_FOR) {
        // Somebody else looked while this one waited.
        Some(last) => Ok(last),
        None => look(environment, store).await,
    }
}

/// Whether readers of this process have the shadow: what its variable says, else the flag, and no trip.
pub(crate) async fn effective(store: &Store) -> Result<ShadowReads, store::Error> {
    if flags::trip(store).await?.is_some() {
        return Ok(ShadowReads::Tripped);
    }
    let is_on = match forced_shadow_reads() {
        Some(forced) => forced,
        None => flags::get(store, Flag::ShadowReads).await?.on,
    };
    Ok(if is_on { ShadowReads::On } else { ShadowReads::Off })
}

async fn look(environment: &OpenEnvironment, store: &Store) -> Answer<Arc<Standing>> {
    let taken = Instant::now();
    let compared = flags::get(store, Flag::CompareReads).await?.on;
    let shown = effective(store).await?;
    let serving = match (compared, shown) {
        (true, _) => Serving::Compared,
        (false, ShadowReads::On) => Serving::Shadow,
        (false, ShadowReads::Off | ShadowReads::Tripped) => Serving::Salesforce,
    };
    let by_reads = by_reads(environment, store).await?;
    let mut objects = [ObjectStanding::default(); 3];
    for standing in stand(environment, store, by_reads).await? {
        objects[standing.0 as usize] = standing.1;
    }
    let rules = if environment.reads.cache.is_there() && is_kept_clean(environment, store).await? {
        let mappings: Vec<Mapping> = ObjectPlace::ALL.iter().map(|place| place.mapping()).collect();
        Some(rules(store, &mappings).await?)
    } else {
        None
    };
    let standing = Arc::new(Standing { taken, serving, rules, objects });
    *environment.reads.standing.last.write().unwrap_or_else(PoisonError::into_inner) = Some(standing.clone());
    Ok(standing)
}

/// Whether keys are deleted from the cache as they should: nobody holds that back, and nothing waits for long.
async fn is_kept_clean(environment: &OpenEnvironment, store: &Store) -> Result<bool, store::Error> {
    if held(store).await?.is_some() {
        return Ok(false);
    }
    let most = OVERDUE.max(environment.config.flush_delay * 2);
    Ok(invalidations::overdue(store, None).await?.is_none_or(|waited| waited <= most))
}

async fn stand(
    environment: &OpenEnvironment,
    store: &Store,
    by_reads: [bool; 3],
) -> Answer<Vec<(ObjectPlace, ObjectStanding)>> {
    let (now, salesforce_now) = (clock::now(), environment.calls.salesforce_now());
    let all = live_facts::of_objects(store).await?;
    let mut standing = Vec::with_capacity(3);
    for place in ObjectPlace::ALL {
        let mapping = place.mapping();
        let Some(facts) = all.iter().find(|facts| facts.object == mapping.object) else { continue };
        let fresh = live::freshness(facts, now, salesforce_now).live_through;
        let by_reads = by_reads[place as usize];
        let refreshed = facts.formula_refreshed_at.max(facts.loaded_at);
        let live_through = if by_reads { fresh.min(refreshed) } else { fresh };
        standing.push((place, ObjectStanding { is_ready: facts.ready_at.is_some(), live_through, by_reads }));
    }
    Ok(standing)
}

/// What the views for readers by SQL are told.
pub(crate) async fn reader_standing(
    environment: &OpenEnvironment,
    store: &Store,
) -> Answer<Vec<ReadStanding>> {
    let by_reads = by_reads(environment, store).await?;
    let standing = stand(environment, store, by_reads).await?;
    Ok(standing
        .into_iter()
        .map(|(place, one)| ReadStanding {
            object: place.mapping().object,
            live_through: one.live_through,
            by_reads: one.by_reads,
        })
        .collect())
}

async fn by_reads(environment: &OpenEnvironment, store: &Store) -> Answer<[bool; 3]> {
    let kept = *environment.reads.standing.by_reads.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((known, at)) = kept
        && at.elapsed() < FIELDS_FOR
    {
        return Ok(known);
    }
    let mut found = [false; 3];
    for place in ObjectPlace::ALL {
        let mapping = place.mapping();
        let fields = selected_fields::known(store, &mapping.object).await?;
        found[place as usize] = shows_formula(&mapping, &fields);
    }
    let mut kept = environment.reads.standing.by_reads.lock().unwrap_or_else(PoisonError::into_inner);
    *kept = Some((found, Instant::now()));
    Ok(found)
}

/// Whether a column of a mapping is filled by a field that no event carries.
fn shows_formula(mapping: &Mapping, fields: &[SelectedField]) -> bool {
    let fills = |column: &ColumnMapping, field: &SelectedField| {
        column.sources.iter().any(|source| source.eq_ignore_ascii_case(&field.name))
    };
    fields
        .iter()
        .filter(|field| !field.in_events)
        .any(|field| mapping.columns.iter().any(|column| fills(column, field)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn row(written: i64, read: i64, lacks: Option<i64>) -> Kept<()> {
        Kept { value: (), updated_at: at(written), read_end: at(read), lacks_since: lacks.map(at) }
    }

    #[test]
    fn an_answer_is_as_of_the_later_of_its_writing_and_live_through_and_earlier_if_it_is_dirty() {
        let live = ObjectStanding { is_ready: true, live_through: Some(at(100)), by_reads: false };
        assert_eq!(live.as_of(&row(50, 50, None)), at(100));
        assert_eq!(live.as_of(&row(120, 50, None)), at(120));
        assert_eq!(live.as_of(&row(120, 50, Some(90))), at(90) - TimeDelta::milliseconds(1));
        let unknown = ObjectStanding { live_through: None, ..live };
        assert_eq!(unknown.as_of(&row(50, 50, None)), at(50));
    }

    #[test]
    fn a_row_with_a_formula_is_as_old_as_its_last_read() {
        let live = ObjectStanding { is_ready: true, live_through: Some(at(30)), by_reads: true };
        assert_eq!(live.as_of(&row(120, 50, None)), at(50));
        assert_eq!(live.as_of(&row(120, 10, None)), at(30));
    }

    #[test]
    fn a_column_that_no_event_carries_is_known_by_its_fields() {
        let field = |name: &str, in_events| SelectedField {
            name: name.to_owned(),
            field_type: shadow::FieldType::Text,
            scale: 0,
            in_events,
            is_frozen: false,
        };
        let account = Mapping::account();
        assert!(!shows_formula(
            &account,
            &[field("Internet_Eligibility__c", true), field("Other__c", false)]
        ));
        assert!(shows_formula(&account, &[field("Internet_Eligibility__c", false)]));
    }
}
