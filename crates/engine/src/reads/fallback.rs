//! Salesforce on behalf of readers: within a budget of calls that is theirs alone, and within a time.
//!
//! A reader has somebody waiting. So an org that is slow, limited or down is left alone for a while, and readers get
//! what there is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use salesforce::{Client, Purpose};
use shadow::mapping::ColumnSource;
use shadow::{Mapping, ObjectName, PreparedChunk, ResolvedMapping, RowChunk, prepare};

use super::Asked;
use super::flights::Landed;
use super::question::Question;
use crate::backfill::unreadable;
use crate::config;
use crate::problem::{Answer, Mender, Problem};
use crate::resolving::resolve_for_readers;

/// So many failures in a row, and Salesforce is left alone.
const FAILURES: u32 = 3;
/// For so long.
const REST: Duration = Duration::from_secs(5);
/// So long where the org said that its limit is reached: nothing else helps.
const LIMIT_REST: Duration = Duration::from_secs(30);
/// How long the description of an object is believed.
const DESCRIBED_FOR: Duration = Duration::from_hours(1);
/// Most records of one question.
const MOST_RECORDS: usize = 20_000;

/// Why Salesforce gave no answer. Cheap to clone, because all who wait for a flight get it.
#[derive(Debug, Clone)]
pub(crate) enum NotAsked {
    /// Readers have used up their calls.
    Spent,
    /// It failed a moment ago and is left alone.
    Resting,
    /// It took too long.
    Slow,
    /// It refused, or could not be reached.
    Failed(Arc<Problem>),
}

impl NotAsked {
    /// Its word in metrics.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Spent => "budget",
            Self::Resting => "resting",
            Self::Slow => "slow",
            Self::Failed(_) => "failed",
        }
    }

    /// The same as a problem.
    pub(crate) fn problem(&self) -> Problem {
        match self {
            Self::Spent => Problem::new(
                "SS-8102",
                "Readers have used up their calls of Salesforce",
                "Readers may use only a share of the org's daily calls, so that a crowd of them cannot spend it.",
            )
            .step("Turn on shadow-reads, raise `fallback_share`, or wait: the day rolls on."),
            Self::Resting => Problem::new(
                "SS-8103",
                "Salesforce is left alone for a moment",
                "Its last answers to readers failed or were too slow.",
            )
            .mended_by(Mender::Itself),
            Self::Slow => Problem::new(
                "SS-8104",
                "Salesforce did not answer in time",
                "Readers wait no longer than `fallback_timeout`.",
            )
            .mended_by(Mender::Itself),
            Self::Failed(problem) => (**problem).clone(),
        }
    }
}

/// The readers' way to Salesforce.
#[derive(Debug)]
pub(crate) struct Fallback {
    timeout: Duration,
    per_minute: u32,
    state: Mutex<State>,
    mappings: Mutex<HashMap<ObjectName, (Arc<ResolvedMapping>, Instant)>>,
}

#[derive(Debug)]
struct State {
    /// Calls that may be made at once; it fills up by `per_minute`.
    tokens: f64,
    filled: Instant,
    failures: u32,
    rests_until: Option<Instant>,
}

impl Fallback {
    pub(super) fn new(settings: &config::Reads) -> Self {
        let state = State {
            tokens: f64::from(settings.fallback_per_minute),
            filled: Instant::now(),
            failures: 0,
            rests_until: None,
        };
        Self {
            timeout: settings.fallback_timeout,
            per_minute: settings.fallback_per_minute,
            state: Mutex::new(state),
            mappings: Mutex::default(),
        }
    }

    /// Takes leave to make a call.
    fn leave(&self, environment: &Asked) -> Result<(), NotAsked> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if state.rests_until.is_some_and(|until| now < until) {
            return Err(NotAsked::Resting);
        }
        let most = f64::from(self.per_minute);
        let filled = (now - state.filled).as_secs_f64() / 60.0 * most;
        state.tokens = (state.tokens + filled).min(most);
        state.filled = now;
        if state.tokens < 1.0 || !environment.quota.readers_may() {
            return Err(NotAsked::Spent);
        }
        state.tokens -= 1.0;
        Ok(())
    }

    fn went_well(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.failures, state.rests_until) = (0, None);
    }

    fn went_badly(&self, rest: Option<Duration>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures += 1;
        let rest = rest.or((state.failures >= FAILURES).then_some(REST));
        if let Some(rest) = rest {
            state.rests_until = Some(Instant::now() + rest);
        }
    }

    /// Asks Salesforce one question, or says why not.
    pub(super) async fn ask<Q: Question>(environment: Asked, question: Q) -> Landed<Q::Value> {
        let fallback = &environment.reads.fallback;
        fallback.leave(&environment)?;
        // Before the request: what changes meanwhile may or may not be in the answer.
        let as_of = environment.calls.salesforce_now();
        let asking = async {
            let client = environment.sign_in.client()?.with_purpose(Purpose::Read);
            let asker = Asker { environment: environment.clone(), client };
            question.in_salesforce(&asker).await
        };
        match tokio::time::timeout(fallback.timeout, asking).await {
            Ok(Ok(found)) => {
                fallback.went_well();
                Ok((found, as_of))
            }
            Ok(Err(problem)) => {
                let is_limit = problem.code.starts_with("SS-12");
                fallback.went_badly(is_limit.then_some(LIMIT_REST));
                tracing::warn!(
                    problem.code = problem.code,
                    "a reader could not be answered by Salesforce: {}",
                    problem.title
                );
                Err(NotAsked::Failed(problem.into()))
            }
            Err(_) => {
                fallback.went_badly(None);
                tracing::warn!("a reader could not be answered by Salesforce in time");
                Err(NotAsked::Slow)
            }
        }
    }
}

/// Who asks Salesforce for a question.
pub(crate) struct Asker {
    environment: Asked,
    client: Client,
}

impl Asker {
    /// What an object's mapped fields are in this org. One call of describe per hour.
    pub(crate) async fn mapping(&self, mapping: Mapping) -> Answer<Arc<ResolvedMapping>> {
        let mappings = &self.environment.reads.fallback.mappings;
        let known = mappings.lock().unwrap_or_else(PoisonError::into_inner).get(&mapping.object).cloned();
        if let Some((known, at)) = known
            && at.elapsed() < DESCRIBED_FOR
        {
            return Ok(known);
        }
        let object = mapping.object.clone();
        let resolved = Arc::new(resolve_for_readers(&self.environment, &self.client, mapping).await?);
        let mut mappings = mappings.lock().unwrap_or_else(PoisonError::into_inner);
        mappings.insert(object, (resolved.clone(), Instant::now()));
        Ok(resolved)
    }

    /// The records that a condition selects, prepared as for storing, and the id of the last that came.
    ///
    /// - `condition`: SOQL in which every value went through [`salesforce::soql::quoted`] or is a record id.
    pub(crate) async fn records(&self, mapping: &ResolvedMapping, condition: &str) -> Answer<PreparedChunk> {
        let soql = mapping.soql(Some(condition));
        let mut pages = std::pin::pin!(self.client.query(&soql));
        let mut chunk = RowChunk::with_columns(mapping.field_names());
        while let Some(page) = pages.next().await {
            let page = page.inspect_err(|_| self.describe_anew(mapping.object()))?;
            for record in &page.records {
                chunk.push_json(record).map_err(|error| Box::new(unreadable(&error)))?;
            }
            if chunk.len() >= MOST_RECORDS {
                break;
            }
        }
        prepare(mapping, &chunk).map_err(|error| {
            let problem = Problem::new(
                "SS-8105",
                "Salesforce's answer to a reader cannot be read",
                "What came is not what was asked for.",
            );
            Box::new(problem.details(error.to_string()))
        })
    }

    /// A refusal may mean that a field went away: the next question looks at the fields anew.
    fn describe_anew(&self, object: &ObjectName) {
        let mappings = &self.environment.reads.fallback.mappings;
        mappings.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }
}

/// The names of the fields that fill a column in this org, in order of preference; none where nothing does.
pub(crate) fn fields_of<'a>(mapping: &'a ResolvedMapping, column: &str) -> Vec<&'a str> {
    let place = mapping.mapping.column(column);
    match place.map(|place| &mapping.columns[place]) {
        Some(ColumnSource::Fields(places)) => {
            places.iter().map(|place| mapping.fields[*place].name.as_str()).collect()
        }
        Some(ColumnSource::Constant(_) | ColumnSource::Null) | None => Vec::new(),
    }
}
