//! Compare mode: Salesforce answers, and the shadow is looked at as well.
//!
//! A shadow that is a moment behind is not wrong: where the two differ the shadow is looked at again a while later, and
//! only what differs still counts against it. When too many do, readers are taken off the shadow in every process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use store::read_comparisons::{self, Tally};
use store::{Store, flags};
use tokio_util::sync::CancellationToken;

use super::Asked;
use super::question::{Question, Shadowed};
use super::standing::standing;
use crate::environment::OpenEnvironment;
use crate::notice::View;
use crate::problem::Answer;

/// How often what was compared is written down.
const WRITE_EVERY: std::time::Duration = std::time::Duration::from_secs(1);
/// The longest key of an example that is kept.
const SHOWN: usize = 200;
/// So many comparisons wait for their second look at one time; more are not looked at twice and not counted.
const MOST_WAITING: usize = 256;

/// What was compared and is not written down yet.
#[derive(Debug, Default)]
pub(crate) struct Board {
    tallies: Mutex<BTreeMap<&'static str, Tally>>,
    waiting: Arc<std::sync::atomic::AtomicUsize>,
}

/// How one comparison came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Equal at once.
    Agreed,
    /// Equal a while later.
    Late,
    /// Different, still.
    Differed,
}

impl Verdict {
    /// Its word in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::Late => "late",
            Self::Differed => "differed",
        }
    }
}

impl Board {
    fn count(&self, question: &'static str, verdict: Verdict) {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies.entry(question).or_default();
        match verdict {
            Verdict::Agreed => tally.agreed += 1,
            Verdict::Late => tally.late += 1,
            Verdict::Differed => tally.differed += 1,
        }
    }

    fn take(&self) -> BTreeMap<&'static str, Tally> {
        std::mem::take(&mut *self.tallies.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Looks at the shadow, beside the answer that a reader has had by now.
pub(super) fn later<Q: Question>(environment: &Asked, question: Q, live: Option<Q::Value>) {
    use std::sync::atomic::Ordering;
    let waiting = environment.reads.tally.waiting.clone();
    if waiting.fetch_add(1, Ordering::Relaxed) >= MOST_WAITING {
        waiting.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let (asked, stop) = (environment.clone(), environment.cancel.clone());
    environment.tasks.spawn(async move {
        let _ = stop.run_until_cancelled(look(&asked, question, live)).await;
        waiting.fetch_sub(1, Ordering::Relaxed);
    });
}

async fn look<Q: Question>(environment: &Asked, question: Q, live: Option<Q::Value>) {
    let Some(differences) = differences(environment, &question, live.as_ref()).await else { return };
    if differences.is_empty() {
        return note::<Q>(environment, Verdict::Agreed);
    }
    tokio::time::sleep(environment.reads.settings.compare_grace).await;
    // Salesforce is not asked again: what it said first must have come by now, or something newer.
    match self::differences(environment, &question, live.as_ref()).await {
        Some(differences) if differences.is_empty() => note::<Q>(environment, Verdict::Late),
        Some(differences) => {
            note::<Q>(environment, Verdict::Differed);
            let key: String = question.key().chars().take(SHOWN).collect();
            let mut names = differences.names;
            names.sort();
            names.dedup();
            let detail: String = names.join(", ").chars().take(SHOWN).collect();
            tracing::warn!(question = Q::WORD, "the shadow differs from Salesforce: {detail}");
            let Some(store) = environment.database.try_store() else { return };
            if let Err(error) = read_comparisons::note(&store, Q::WORD, &key, &detail).await {
                tracing::warn!(%error, "an example could not be kept");
            }
        }
        None => {}
    }
}

/// Where the shadow differs from an answer now; none where the shadow does not say.
async fn differences<Q: Question>(
    environment: &Asked,
    question: &Q,
    live: Option<&Q::Value>,
) -> Option<super::question::Differences> {
    let store = environment.database.try_store()?;
    let standing = standing(environment, &store).await.ok()?;
    let readers = environment.reads.readers(&store);
    match question.in_shadow(&readers, &standing).await.ok()? {
        Shadowed::Found { value, .. } => Some(Q::differences(Some(&value), live)),
        Shadowed::Absent(_) => Some(Q::differences(None, live)),
        // A reader would have been answered by Salesforce.
        Shadowed::Doubtful => None,
    }
}

fn note<Q: Question>(environment: &Asked, verdict: Verdict) {
    environment.reads.tally.count(Q::WORD, verdict);
    environment.live.metrics.reads.compared(Q::WORD, verdict.as_str());
}

/// Writes down what was compared, and trips when too much differs, until the process ends.
pub(crate) async fn keep_tally(environment: Arc<OpenEnvironment>, stop: CancellationToken) -> Answer<()> {
    loop {
        let is_ending = stop.is_cancelled();
        let tallies = environment.reads.tally.take();
        if !tallies.is_empty()
            && let Some(store) = environment.database.try_store()
        {
            for (question, tally) in tallies {
                read_comparisons::add(&store, question, tally).await?;
            }
            judge(&environment, &store).await?;
            environment.notices.publish(&[View::Flags]);
        }
        if is_ending {
            return Ok(());
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(WRITE_EVERY) => {}
        }
    }
}

/// Trips when the share of what differs passes the threshold.
async fn judge(environment: &OpenEnvironment, store: &Store) -> Answer<()> {
    let settings = &environment.reads.settings;
    let tally = read_comparisons::within(store, settings.compare_window).await?;
    let compared = tally.compared();
    let share = if compared == 0 { 0.0 } else { tally.differed as f64 / compared as f64 };
    if compared < i64::from(settings.compare_least) || share <= settings.compare_share {
        return Ok(());
    }
    let reason = format!(
        "{} of {compared} answers differed from Salesforce's within {}; {:.1} % are accepted",
        tally.differed,
        words(settings.compare_window),
        settings.compare_share * 100.0
    );
    if flags::set_trip(store, &reason, "comparison").await? {
        tracing::error!("readers are taken off the shadow: {reason}");
        let sentence = format!("Took readers off the shadow: {reason}");
        environment.record("flags.trip", &sentence, "done", None).await;
        environment.reads.standing.forget();
        environment.notices.publish(&[View::Flags, View::Status]);
    }
    Ok(())
}

fn words(window: std::time::Duration) -> String {
    match window.as_secs() {
        seconds if seconds >= 120 && seconds % 60 == 0 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}
