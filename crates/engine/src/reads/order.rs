//! The order of every answer: the cache, the shadow, then Salesforce where the shadow is too old or does not know, then the shadow
//! again, marked stale.

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use store::Store;

use super::compare;
use super::fallback::{Fallback, NotAsked};
use super::flights::Landed;
use super::question::{Question, Shadowed};
use super::standing::{Serving, Standing, standing};
use super::write_through::{Looked, WriteThrough};
use super::{Asked, Source, Told, nobody};
use crate::problem::{Answer, Problem};

/// Answers a question.
///
/// - `max_age`: how old the answer may be; the question's own limit where the reader does not say.
/// - **Errors:** SS-8101 where neither side can answer.
/// - **Source:** design 8.
pub(crate) async fn ask<Q: Question>(
    environment: &Asked,
    question: Q,
    max_age: Option<TimeDelta>,
) -> Answer<Told<Q::Value>> {
    let began = std::time::Instant::now();
    let limit = max_age.unwrap_or_else(|| delta(Q::limit(&environment.reads.settings)));
    let outcome = answer(environment, question, limit).await;
    environment.live.metrics.reads.answered(Q::WORD, &outcome, began.elapsed());
    outcome
}

async fn answer<Q: Question>(environment: &Asked, question: Q, limit: TimeDelta) -> Answer<Told<Q::Value>> {
    let look = Look::take::<Q>(environment).await;
    let mut kept = None;
    if look.serving() == Serving::Shadow && look.is_ready {
        // Before the row is read: what is read now may be cached only if no flush comes in between.
        let ticket = match look.cache(environment, &question).await {
            Looked::Hit(told) if !is_older(told.as_of, limit, environment) => return Ok(told),
            Looked::Hit(_) | Looked::Nothing => None,
            Looked::Leased(ticket) => Some(ticket),
        };
        let seen = look.shadow(environment, &question).await;
        if let Some(told) = seen.and_then(tell) {
            if !is_older(told.as_of, limit, environment) {
                if let (Some(ticket), Some(value)) = (ticket, &told.value) {
                    WriteThrough::fill(environment, ticket, value, told.as_of);
                }
                return Ok(told);
            }
            kept = Some(told);
        }
    }
    match fly(environment, &question).await {
        Ok((live, as_of)) => {
            if look.serving() == Serving::Compared && look.is_ready {
                compare::later(environment, question, live.clone());
            } else if look.is_ready {
                have_fetched::<Q>(environment, kept.as_ref(), live.as_ref());
            }
            Ok(Told { value: live, source: Source::Salesforce, as_of, is_stale: false })
        }
        Err(why) => {
            environment.live.metrics.reads.not_asked(Q::WORD, why.as_str());
            last_resort(environment, &look, &question, kept, &why).await
        }
    }
}

/// What the shadow has, marked stale, because Salesforce cannot be asked.
async fn last_resort<Q: Question>(
    environment: &Asked,
    look: &Look,
    question: &Q,
    kept: Option<Told<Q::Value>>,
    why: &NotAsked,
) -> Answer<Told<Q::Value>> {
    if let Some(kept) = kept {
        return Ok(Told { is_stale: true, ..kept });
    }
    if look.is_ready
        && let Some(seen) = look.shadow(environment, question).await
        && let Some(told) = tell(seen)
    {
        return Ok(Told { is_stale: true, ..told });
    }
    Err(Box::new(nobody(&why.problem())))
}

/// How things stand while one question is answered.
struct Look {
    store: Option<Store>,
    standing: Option<std::sync::Arc<Standing>>,
    /// Whether the tables that answer the question may answer at all.
    is_ready: bool,
}

impl Look {
    async fn take<Q: Question>(environment: &Asked) -> Self {
        let Some(store) = environment.database.try_store() else {
            return Self { store: None, standing: None, is_ready: false };
        };
        match standing(environment, &store).await {
            Ok(standing) => {
                let is_ready = standing.is_ready(Q::objects());
                Self { store: Some(store), standing: Some(standing), is_ready }
            }
            Err(problem) => {
                doubted(environment, &problem);
                Self { store: None, standing: None, is_ready: false }
            }
        }
    }

    fn serving(&self) -> Serving {
        self.standing.as_ref().map_or(Serving::Salesforce, |standing| standing.serving)
    }

    /// What the cache says.
    async fn cache<Q: Question>(&self, environment: &Asked, question: &Q) -> Looked<Q::Value> {
        match self.standing.as_ref().and_then(|standing| question.cache_key(standing)) {
            Some(key) => environment.reads.cache.look(key).await,
            None => Looked::Nothing,
        }
    }

    /// What the shadow says; none if the database does not answer.
    async fn shadow<Q: Question>(&self, environment: &Asked, question: &Q) -> Option<Shadowed<Q::Value>> {
        let (store, standing) = (self.store.as_ref()?, self.standing.as_ref()?);
        let readers = environment.reads.readers(store);
        match question.in_shadow(&readers, standing).await {
            Ok(seen) => Some(seen),
            Err(error) => {
                doubted(environment, &Problem::from(error));
                None
            }
        }
    }
}

fn doubted(environment: &Asked, problem: &Problem) {
    tracing::warn!(problem.code = problem.code, "readers cannot be given the shadow: {}", problem.title);
    environment.database.doubt();
}

/// What the shadow says as an answer; none where it does not know.
fn tell<T>(seen: Shadowed<T>) -> Option<Told<T>> {
    // Where nobody knows how complete a table is, its answer is as old as can be.
    let told = |value, as_of: Option<DateTime<Utc>>| {
        let as_of = as_of.unwrap_or(DateTime::UNIX_EPOCH);
        Some(Told { value, source: Source::Shadow, as_of, is_stale: false })
    };
    match seen {
        Shadowed::Found { value, as_of } => told(Some(value), as_of),
        Shadowed::Absent(as_of) => told(None, as_of),
        Shadowed::Doubtful => None,
    }
}

fn is_older(as_of: DateTime<Utc>, limit: TimeDelta, environment: &Asked) -> bool {
    environment.calls.salesforce_now() - as_of > limit
}

/// Asks Salesforce, or waits for who asks it already.
pub(super) async fn fly<Q: Question>(environment: &Asked, question: &Q) -> Landed<Q::Value> {
    let begin = || {
        let (environment, question) = (environment.clone(), question.clone());
        Fallback::ask(environment, question).boxed()
    };
    Q::flights(&environment.reads).join(question.key(), begin).await
}

/// Has the records fetched in which Salesforce's answer differs from the shadow's, through the merge that everything
/// goes through.
fn have_fetched<Q: Question>(environment: &Asked, kept: Option<&Told<Q::Value>>, live: Option<&Q::Value>) {
    let Some(kept) = kept else { return };
    let differences = Q::differences(kept.value.as_ref(), live);
    if differences.is_empty() {
        return;
    }
    let asked = environment.clone();
    environment.tasks.spawn(async move {
        let Some(store) = asked.database.try_store() else { return };
        for (object, record) in differences.records {
            if let Err(error) = store::readers::doubt(&store, &object, &[record]).await {
                tracing::warn!(%error, "a record that is behind could not be marked to be fetched");
            }
        }
    });
}

fn delta(span: std::time::Duration) -> TimeDelta {
    TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX)
}
