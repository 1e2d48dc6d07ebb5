//! The order of every answer: the cache, the shadow, then Salesforce where the shadow is too old or does not know, then the shadow
//! again, marked stale.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use store::Store;
use tokio::time::timeout;

use super::compare;
use super::fallback::{Fallback, NotAsked};
use super::flights::Landed;
use super::question::{Question, Shadowed};
use super::standing::{Serving, Standing, standing};
use super::write_through::{Looked, WriteThrough};
use super::{Asked, Source, Told, nobody};
use crate::problem::{Answer, Problem};

/// How long a reader waits to learn how the tables stand before Salesforce is asked.
const PATIENCE: Duration = Duration::from_secs(2);

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
        let now = environment.calls.salesforce_now();
        // Before the row is read: what is read now may be cached only if no flush comes in between.
        let ticket = match look.cache(environment, &question).await {
            Looked::Hit(told) if !is_older(told.as_of, limit, now) => {
                return Ok(Told { as_of: told.as_of.min(now), ..told });
            }
            Looked::Hit(_) | Looked::Nothing => None,
            Looked::Leased(ticket) => Some(ticket),
        };
        let seen = look.shadow(environment, &question).await;
        let now = environment.calls.salesforce_now();
        if let Some(told) = seen.and_then(|seen| tell(seen, now)) {
            if !is_older(told.as_of, limit, now) {
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
        && let Some(told) = tell(seen, environment.calls.salesforce_now())
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
        match timeout(PATIENCE, standing(environment, &store)).await {
            Ok(Ok(standing)) => {
                let is_ready = standing.is_ready(Q::objects());
                return Self { store: Some(store), standing: Some(standing), is_ready };
            }
            Ok(Err(problem)) => doubted(environment, &problem),
            Err(_) => {
                tracing::warn!("readers cannot be given the shadow: the database does not answer in time");
                environment.database.doubt();
            }
        }
        Self { store: None, standing: None, is_ready: false }
    }

    fn serving(&self) -> Serving {
        self.standing.as_ref().map_or(Serving::Salesforce, |standing| standing.serving)
    }

    /// What the cache says.
    async fn cache<Q: Question>(&self, environment: &Asked, question: &Q) -> Looked<Q::Value> {
        let key = self.standing.as_ref().and_then(|standing| question.cache_key(standing));
        match (key, &self.store) {
            (Some(key), Some(store)) => WriteThrough::look(environment, store, key).await,
            _ => Looked::Nothing,
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
///
/// - `now`: by Salesforce's clock. No answer is newer, whatever a clock that was wrong for a while wrote down.
fn tell<T>(seen: Shadowed<T>, now: DateTime<Utc>) -> Option<Told<T>> {
    // Where nobody knows how complete a table is, its answer is as old as can be.
    let told = |value, as_of: Option<DateTime<Utc>>| {
        let as_of = as_of.unwrap_or(DateTime::UNIX_EPOCH).min(now);
        Some(Told { value, source: Source::Shadow, as_of, is_stale: false })
    };
    match seen {
        Shadowed::Found { value, as_of } => told(Some(value), as_of),
        Shadowed::Absent(as_of) => told(None, as_of),
        Shadowed::Doubtful => None,
    }
}

/// Whether an answer is older than a reader takes it; to who takes no age at all, every answer is.
fn is_older(as_of: DateTime<Utc>, limit: TimeDelta, now: DateTime<Utc>) -> bool {
    limit <= TimeDelta::zero() || now - as_of > limit
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

fn delta(span: Duration) -> TimeDelta {
    TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn who_takes_no_age_at_all_is_answered_by_salesforce_whatever_the_time_of_an_answer() {
        assert!(is_older(at(1_000), TimeDelta::zero(), at(10)));
        assert!(is_older(at(10), TimeDelta::zero(), at(10)));
        assert!(!is_older(at(5), TimeDelta::seconds(5), at(10)));
        assert!(is_older(at(4), TimeDelta::seconds(5), at(10)));
    }

    #[test]
    fn no_answer_is_newer_than_now() {
        let as_of = |seen| tell::<()>(seen, at(10)).map(|told| told.as_of);
        assert_eq!(as_of(Shadowed::Found { value: (), as_of: Some(at(600)) }), Some(at(10)));
        assert_eq!(as_of(Shadowed::Absent(Some(at(600)))), Some(at(10)));
        assert_eq!(as_of(Shadowed::Absent(Some(at(7)))), Some(at(7)));
        assert_eq!(as_of(Shadowed::Doubtful), None);
    }
}
