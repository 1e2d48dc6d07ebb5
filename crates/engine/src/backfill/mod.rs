//! Backfills: loads run one after the other, parents before their children, each under a lease.
//!
//! `run` drives one job from describe to counts; `pages` downloads and merges; `fetch` reads records by id. What must
//! survive this process is in the store; `progress` holds what only matters while somebody watches.

mod compare;
mod ending;
mod fetch;
mod keeper;
mod pages;
mod progress;
mod run;
mod side;
mod view;
mod window;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use salesforce::{Client, Purpose};
use shadow::JobId;
use tokio::sync::watch;

pub(crate) use compare::consent;
pub(crate) use ending::end_orphan;
pub(crate) use fetch::{CALL_RECORDS, sweep, unreadable};
pub(crate) use keeper::{held, lease_name};
pub(crate) use pages::PAGE_RECORDS;
pub use progress::Progress;
pub(crate) use run::drive;
pub(crate) use side::{mends, volatile};
pub(crate) use view::job_view;

/// What is asked of a running job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To go on.
    Run,
    /// To stop after the rows in flight, and to be resumed by a person.
    Pause,
    /// To stop after the rows in flight, for good.
    Cancel,
    /// To stop because this process ends; whoever comes next resumes.
    Leave,
}

/// A job that runs in this process.
#[derive(Debug)]
pub struct Live {
    /// The job.
    pub id: JobId,
    /// How far it is.
    pub progress: Progress,
    /// When it started to run here.
    pub since: Instant,
    wish: watch::Sender<Wish>,
    calls: Mutex<CountedCalls>,
}

/// API calls of a job: what its purposes cost since it began here, and what it fetched by id.
#[derive(Debug, Default)]
struct CountedCalls {
    client: Option<Client>,
    /// Calls of its earlier runs less what the purposes had cost when this one began.
    offset: i128,
    fetches: u64,
}

/// The purposes that only jobs have. Records by id are fetched for others too, so those of a job are counted one by one.
const JOB_PURPOSES: [Purpose; 6] = [
    Purpose::Backfill,
    Purpose::CatchUp,
    Purpose::Formula,
    Purpose::IdComparison,
    Purpose::Describe,
    Purpose::Count,
];

impl Live {
    fn new(id: JobId, progress: Progress, since: Instant) -> Arc<Self> {
        Arc::new(Self { id, progress, since, wish: watch::Sender::new(Wish::Run), calls: Mutex::default() })
    }

    /// Counts the calls of a client for this job from now on, beside those of its earlier runs.
    pub(crate) fn count_calls(&self, client: Client, before: u64) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.offset = i128::from(before) - i128::from(of_jobs(&client));
        calls.client = Some(client);
    }

    /// Notes one call that fetched records by id.
    pub(crate) fn fetched(&self) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).fetches += 1;
    }

    /// API calls so far, earlier runs included.
    pub fn calls(&self) -> u64 {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = calls.client.as_ref().map_or(0, of_jobs);
        u64::try_from(i128::from(spent) + calls.offset).unwrap_or_default() + calls.fetches
    }

    /// What is asked of it.
    pub fn wish(&self) -> Wish {
        *self.wish.borrow()
    }

    /// Asks something of it. Leaving is not taken back, and cancelling only for leaving.
    pub fn ask(&self, wish: Wish) {
        self.wish.send_if_modified(|held| {
            let stronger = match (*held, wish) {
                (Wish::Leave, _) | (Wish::Cancel, Wish::Run | Wish::Pause) => false,
                (before, after) => before != after,
            };
            if stronger {
                *held = wish;
            }
            stronger
        });
    }

    /// Waits until it should stop, and says how.
    pub async fn stopped(&self) -> Wish {
        let mut wish = self.wish.subscribe();
        match wish.wait_for(|wish| *wish != Wish::Run).await {
            Ok(wish) => *wish,
            Err(_) => Wish::Leave,
        }
    }
}

fn of_jobs(client: &Client) -> u64 {
    JOB_PURPOSES.into_iter().map(|purpose| client.calls(purpose)).sum()
}

/// A job that waits for its turn in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    /// The job.
    pub id: JobId,
    /// Whether every record is read whole, even where a comparison of stamps would do.
    pub whole: bool,
}

/// The loads of this process.
#[derive(Debug, Default)]
pub struct Loads(Mutex<Desk>);

#[derive(Debug, Default)]
struct Desk {
    queue: VecDeque<Turn>,
    live: HashMap<JobId, Arc<Live>>,
    /// The job whose turn it is, from leaving the queue until it has ended.
    current: Option<JobId>,
    is_driven: bool,
    is_closed: bool,
}

impl Loads {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues jobs; true if the caller must start the driver, because none runs.
    pub(crate) fn enqueue(&self, turns: impl IntoIterator<Item = Turn>) -> bool {
        let mut desk = self.desk();
        for turn in turns {
            if !desk.queue.contains(&turn) && !desk.live.contains_key(&turn.id) {
                desk.queue.push_back(turn);
            }
        }
        !std::mem::replace(&mut desk.is_driven, true)
    }

    /// Queues a job before all others: a person asked for it to go on.
    pub(crate) fn enqueue_first(&self, turn: Turn) -> bool {
        let mut desk = self.desk();
        desk.queue.retain(|queued| queued.id != turn.id);
        if !desk.live.contains_key(&turn.id) {
            desk.queue.push_front(turn);
        }
        !std::mem::replace(&mut desk.is_driven, true)
    }

    /// The next job; none ends the driver.
    pub(crate) fn next(&self) -> Option<Turn> {
        let mut desk = self.desk();
        let next = if desk.is_closed { None } else { desk.queue.pop_front() };
        desk.is_driven = next.is_some();
        desk.current = next.map(|turn| turn.id);
        next
    }

    /// Takes a job out of the queue.
    pub(crate) fn forget(&self, id: JobId) {
        self.desk().queue.retain(|turn| turn.id != id);
    }

    pub(crate) fn began(&self, live: &Arc<Live>) {
        let mut desk = self.desk();
        if desk.is_closed {
            live.ask(Wish::Leave);
        }
        desk.live.insert(live.id, live.clone());
    }

    pub(crate) fn ended(&self, id: JobId) {
        let mut desk = self.desk();
        desk.live.remove(&id);
        desk.current = None;
    }

    /// Whether this process will run the job, or does.
    pub(crate) fn is_ours(&self, id: JobId) -> bool {
        let desk = self.desk();
        desk.current == Some(id) || desk.queue.iter().any(|turn| turn.id == id)
    }

    /// The job, if it runs here.
    pub fn live(&self, id: JobId) -> Option<Arc<Live>> {
        self.desk().live.get(&id).cloned()
    }

    /// Lets every job that runs end where it stands; whoever drives them takes them up again.
    pub(crate) fn leave_all(&self) {
        for live in self.desk().live.values() {
            live.ask(Wish::Leave);
        }
    }

    /// Lets every job stop after its rows in flight, and begins none.
    pub(crate) fn stop_all(&self) {
        let mut desk = self.desk();
        desk.is_closed = true;
        desk.queue.clear();
        for live in desk.live.values() {
            live.ask(Wish::Leave);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::backfills::RowsView;

    #[test]
    fn a_cancelled_load_is_not_revived_by_pausing() {
        let live = Live::new(
            JobId(1),
            Progress::resumed(Instant::now(), 0, RowsView::default(), Vec::new()),
            Instant::now(),
        );
        live.ask(Wish::Pause);
        live.ask(Wish::Cancel);
        live.ask(Wish::Run);
        assert_eq!(live.wish(), Wish::Cancel);
    }

    #[test]
    fn one_driver_takes_all_turns_in_order() {
        let loads = Loads::default();
        let turn = |id| Turn { id: JobId(id), whole: false };
        assert!(loads.enqueue([turn(1), turn(2)]));
        assert!(!loads.enqueue([turn(2), turn(3)]));
        let order: Vec<_> = std::iter::from_fn(|| loads.next()).map(|turn| turn.id.0).collect();
        assert_eq!(order, [1, 2, 3]);
        assert!(loads.enqueue([turn(4)]));
    }
}
