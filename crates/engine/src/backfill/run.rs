//! One job from describe to counts.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures::FutureExt;
use salesforce::bulk::{Operation, PollSchedule};
use salesforce::{Client, Purpose};
use shadow::{JobId, ResolvedMapping};
use store::holes::{self, Closing};
use store::jobs::{self, BulkJob, Job, JobKind, JobStage, JobState};
use store::leases::LeaseKey;
use store::{Store, failpoint, reads};

use super::ending::{end, mark_object};
use super::keeper::Keeper;
use super::pages::Pages;
use super::progress::Progress;
use super::{Live, Turn, Wish, compare, fetch, pages, side, view, window};
use crate::api::backfills::JobStage as ShownStage;
use crate::binding::bind;
use crate::environment::OpenEnvironment;
use crate::notice::View;
use crate::problem::{self, Answer, Problem};
use crate::resolving::resolve_for_sync;

/// How often a Bulk job that Salesforce fails is created anew before a person is asked.
const BULK_TRIES: u32 = 3;
/// How long the end of a job waits for dirty marks of its own reads; holes stay open if some are left.
pub(super) const MARKS_PATIENCE: Duration = Duration::from_secs(90);
/// How long a load waits until the stream has its first position, so that no change falls between the two.
const STREAM_PATIENCE: Duration = Duration::from_secs(20);

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Everything is accounted for.
    Done,
    /// It was asked to stop.
    Stopped(Wish),
}

/// Stops the work with `return Ok(Ended::Stopped(..))` where something was asked of the job.
macro_rules! go_on {
    ($outcome:expr) => {
        match $outcome {
            Ended::Done => {}
            stopped @ Ended::Stopped(_) => return Ok(stopped),
        }
    };
}
pub(super) use go_on;

/// What every step of a run needs.
pub(super) struct Run {
    pub environment: Arc<OpenEnvironment>,
    pub store: Store,
    pub client: Client,
    pub lease: LeaseKey,
    pub live: Arc<Live>,
    pub mapping: Arc<ResolvedMapping>,
    pub id: JobId,
    came: Mutex<Came>,
}

/// What was read, once it is complete: the commit that ends the job closes the holes that it mends.
#[derive(Debug, Default)]
pub(super) struct Came {
    /// Whole records, or what changed within a window.
    pub closing: Option<Closing>,
    /// Fields of every record.
    pub brought: Option<Vec<String>>,
}

/// Takes jobs of the queue one after the other until none is left.
pub(crate) async fn drive(environment: Arc<OpenEnvironment>) {
    let mut changes = environment.database.changes();
    while let Some(turn) = environment.loads.next() {
        // A fault of ours in one job must not keep the others from their turn; the job counts as interrupted.
        let work = Box::pin(environment.database.unless_lost(take_turn(&environment, turn)));
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => {
                tracing::warn!(job.id = turn.id.0, problem.code = problem.code, "{}", problem.title);
            }
            Err(_) => tracing::error!(job.id = turn.id.0, "a job ended unexpectedly"),
        }
        environment.loads.ended(turn.id);
        // On another server it goes on from what that one has of it; nobody asked for it to stop.
        if environment.database.has_changed(&mut changes).await {
            environment.loads.enqueue_first(turn);
        }
        environment.live.holes.notify_one();
        environment.notices.publish(&[View::Jobs, View::Status, View::Counts, View::Rejects, View::Audit]);
    }
}

async fn take_turn(environment: &Arc<OpenEnvironment>, turn: Turn) -> Answer<()> {
    let store = environment.store().await?;
    let job = jobs::get(&store, turn.id).await?;
    if !matches!(job.state, JobState::Pending | JobState::Running) {
        return Ok(());
    }
    let holder = environment.host.holder();
    let mut keeper = Keeper::take(&store, &job.object, &holder).await?;
    let pages = jobs::pages(&store, turn.id).await?;
    let progress = Progress::resumed(
        Instant::now(),
        u64::try_from(job.counts.read).unwrap_or_default(),
        view::rows(&job.counts),
        pages.iter().map(view::page).collect(),
    );
    let live = Live::new(turn.id, progress, Instant::now());
    environment.loads.began(&live);
    keeper.watch(&store, &live);
    let lease = keeper.key().clone();
    let (outcome, came) = match run(environment, &store, &lease, &live, &job, turn.whole).await {
        Ok((outcome, came)) => (outcome, came),
        Err(problem) => (Err(problem), Came::default()),
    };
    let ended = end(environment, &store, &lease, &job, &live, outcome, came).await;
    keeper.give_back(&store).await;
    ended
}

async fn run(
    environment: &Arc<OpenEnvironment>,
    store: &Store,
    lease: &LeaseKey,
    live: &Arc<Live>,
    job: &Job,
    whole: bool,
) -> Answer<(Answer<Ended>, Came)> {
    let purpose = match job.kind {
        JobKind::Backfill | JobKind::Partial | JobKind::Fields => Purpose::Backfill,
        JobKind::CatchUp => Purpose::CatchUp,
        JobKind::Formulas => Purpose::Formula,
    };
    let client = environment.sign_in.client()?.with_purpose(purpose);
    live.count_calls(client.clone(), u64::try_from(job.api_calls).unwrap_or_default());
    jobs::started(store, lease, job.id).await?;
    mark_object(store, job, JobState::Running, None).await?;
    failpoint::reach("job.recorded");
    bind(environment, store).await?;
    live.progress.stage(ShownStage::Describing);
    jobs::set_stage(store, lease, job.id, JobStage::Describing).await?;
    let described_at = crate::clock::now();
    let mapping = Arc::new(resolve_for_sync(environment, &client, &job.object).await?);
    environment.live.mappings.take(&mapping, described_at);
    let run = Run {
        environment: environment.clone(),
        store: store.clone(),
        client,
        lease: lease.clone(),
        live: live.clone(),
        mapping,
        id: job.id,
        came: Mutex::default(),
    };
    let outcome = match job.kind {
        JobKind::Backfill | JobKind::Partial => run.load(job, whole).await,
        JobKind::CatchUp => run.catch_up(job).await,
        JobKind::Formulas => side::refresh(&run, job).await,
        JobKind::Fields => side::fill(&run, job).await,
    };
    let calls = live.calls().saturating_sub(u64::try_from(job.api_calls).unwrap_or_default());
    jobs::set_numbers(store, lease, job.id, None, i64::try_from(calls).unwrap_or_default()).await?;
    let came = std::mem::take(&mut *run.came.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((outcome, came))
}

/// Does something for a job that has ended, under its object's lease and with its mapping.
pub(super) async fn beside<T>(
    environment: &Arc<OpenEnvironment>,
    store: &Store,
    job: &Job,
    work: impl AsyncFnOnce(&Run) -> Answer<T>,
) -> Answer<T> {
    let client = environment.sign_in.client()?.with_purpose(Purpose::Fetch);
    bind(environment, store).await?;
    let mapping = Arc::new(resolve_for_sync(environment, &client, &job.object).await?);
    let mut keeper = Keeper::take(store, &job.object, &environment.host.holder()).await?;
    let progress = Progress::resumed(Instant::now(), 0, view::rows(&job.counts), Vec::new());
    let live = Live::new(job.id, progress, Instant::now());
    keeper.watch(store, &live);
    let run = Run {
        environment: environment.clone(),
        store: store.clone(),
        client,
        lease: keeper.key().clone(),
        live,
        mapping,
        id: job.id,
        came: Mutex::default(),
    };
    let outcome = work(&run).await;
    keeper.give_back(store).await;
    outcome
}

impl Run {
    /// Says on screen and in the store what the job does now.
    pub(super) async fn stage(&self, stage: JobStage) -> Answer<Ended> {
        self.live.progress.stage(view::stage(stage));
        self.environment.notices.publish(&[View::Jobs]);
        let requested = jobs::set_stage(&self.store, &self.lease, self.id, stage).await?;
        Ok(self.asked(requested))
    }

    /// Hears what another process may have asked by way of the store.
    pub(super) fn asked(&self, requested: jobs::Requested) -> Ended {
        match requested {
            jobs::Requested::Run => {}
            jobs::Requested::Pause => self.live.ask(Wish::Pause),
            jobs::Requested::Cancel => self.live.ask(Wish::Cancel),
        }
        match self.live.wish() {
            Wish::Run => Ended::Done,
            wish => Ended::Stopped(wish),
        }
    }

    /// Reads the window of a catch-up, compares ids if that was asked for, and waits for what its reads left dirty.
    async fn catch_up(&self, job: &Job) -> Answer<Ended> {
        let read = match window::read(self, job).await? {
            Ok(read) => read,
            Err(stopped) => return Ok(stopped),
        };
        go_on!(self.stage(JobStage::Fetching).await?);
        go_on!(fetch::dirty(self).await?);
        let with_ids = job.window.is_some_and(|window| window.with_ids);
        if with_ids {
            go_on!(self.compare(job).await?);
        }
        self.close_behind(Closing { from: Some(read.from), up_to: read.up_to, compared_ids: with_ids }).await
    }

    /// Compares ids and stamps of every record with Salesforce's, and counts both sides.
    async fn compare(&self, job: &Job) -> Answer<Ended> {
        let stamps = job.bulk.clone().filter(|bulk| bulk.stamps_only);
        let bulk = match stamps {
            Some(bulk) => bulk,
            None => self.create_bulk(job, false).await?,
        };
        self.load_bulk(job, &bulk).await
    }

    /// Says that everything is read up to a time, and waits until no record is dirty that was dirty by then. What stays
    /// dirty keeps the holes open: somebody else closes them later.
    async fn close_behind(&self, closing: Closing) -> Answer<Ended> {
        jobs::reads_ended(&self.store, &self.lease, self.id).await?;
        let began = Instant::now();
        while holes::waits_for(&self.store, self.id).await? > 0 && began.elapsed() < MARKS_PATIENCE {
            go_on!(fetch::dirty(self).await?);
            tokio::select! {
                wish = self.live.stopped() => return Ok(Ended::Stopped(wish)),
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
            }
        }
        self.came.lock().unwrap_or_else(PoisonError::into_inner).closing = Some(closing);
        Ok(Ended::Done)
    }

    /// Says that every record's fields of these names were read.
    pub(super) fn brought(&self, fields: Vec<String>) {
        self.came.lock().unwrap_or_else(PoisonError::into_inner).brought = Some(fields);
    }

    /// How many records a condition selects.
    pub(super) async fn counted(&self, condition: &str) -> Answer<u64> {
        let client = self.client.with_purpose(Purpose::Count);
        Ok(client.count(self.mapping.object(), Some(condition)).await?.count)
    }

    /// Waits, where a stream runs, until it has its first position: what changes from there on comes by the stream.
    async fn wait_for_stream(&self) -> Answer<()> {
        let began = Instant::now();
        while began.elapsed() < STREAM_PATIENCE
            && self.live.wish() == Wish::Run
            && crate::live::is_connecting(&self.store, self.mapping.object()).await?
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn load(&self, job: &Job, whole: bool) -> Answer<Ended> {
        let mut tries = 0;
        loop {
            tries += 1;
            let resumed = job.bulk.clone().filter(|bulk| tries == 1 && self.can_resume(bulk));
            let (bulk, is_new) = match resumed {
                Some(bulk) => (bulk, false),
                None => (self.create_bulk(job, whole).await?, true),
            };
            match self.load_bulk(job, &bulk).await {
                Err(problem) if Self::may_begin_anew(&problem, tries, is_new) => {
                    tracing::warn!(
                        job.id = self.id.0,
                        problem.code = problem.code,
                        "the Bulk job is created anew"
                    );
                }
                other => return other,
            }
        }
    }

    /// Results that are gone, and Bulk jobs that Salesforce failed, are asked for again; a resumed one always once.
    pub(super) fn may_begin_anew(found: &Problem, tries: u32, is_new: bool) -> bool {
        let is_bulk = found.code == problem::QUERY_JOB_FAILED || found.code == problem::QUERY_JOB_GONE;
        is_bulk && (tries < BULK_TRIES || !is_new)
    }

    fn can_resume(&self, bulk: &BulkJob) -> bool {
        bulk.stamps_only || bulk.shape == self.mapping.shape()
    }

    async fn create_bulk(&self, job: &Job, whole: bool) -> Answer<BulkJob> {
        let object = store::objects::get(&self.store, &job.object).await?;
        let shape = self.mapping.shape();
        let is_comparison = job.kind == JobKind::CatchUp;
        let stamps_only = is_comparison
            || !whole
                && job.kind == JobKind::Backfill
                && object.loaded_at.is_some()
                && object.loaded_shape.as_deref() == Some(shape.as_str());
        let condition = job.condition.as_deref();
        let soql =
            if stamps_only { self.mapping.stamps_soql(condition) } else { self.mapping.soql(condition) };

        let counted = self.client.with_purpose(Purpose::Count).count(&job.object, condition).await?;
        self.live.progress.total(counted.count);
        jobs::set_numbers(&self.store, &self.lease, self.id, i64::try_from(counted.count).ok(), 0).await?;

        if !is_comparison {
            self.wait_for_stream().await?;
            jobs::reads_begin(&self.store, &self.lease, self.id).await?;
        }
        let mark = reads::begin(&self.store).await?;
        let created = self.client.create_query_job(Operation::Query, &soql).await?;
        failpoint::reach("bulk.created");
        let bulk = BulkJob {
            id: created.id,
            api_version: self.client.api_version().to_string(),
            soql,
            shape,
            stamps_only,
            mark,
            began_at: None,
        };
        jobs::set_bulk(&self.store, &self.lease, self.id, &bulk).await?;
        failpoint::reach("bulk.recorded");
        Ok(bulk)
    }

    async fn load_bulk(&self, job: &Job, bulk: &BulkJob) -> Answer<Ended> {
        let version = bulk.api_version.parse().unwrap_or_else(|_| self.client.api_version());
        let client = self.client.with_api_version(version);
        go_on!(self.stage(JobStage::Preparing).await?);
        let Some(read_end) = self.wait_for(&client, bulk).await? else {
            return Ok(Ended::Stopped(self.live.wish()));
        };
        go_on!(
            self.stage(if bulk.stamps_only { JobStage::ComparingStamps } else { JobStage::Loading }).await?
        );
        go_on!(pages::load(self, &client, bulk, read_end, Pages::of(bulk)).await?);
        go_on!(self.stage(JobStage::Fetching).await?);
        go_on!(fetch::differing(self).await?);
        go_on!(fetch::dirty(self).await?);
        if matches!(job.kind, JobKind::Backfill | JobKind::CatchUp) {
            go_on!(self.stage(JobStage::ComparingIds).await?);
            go_on!(compare::ids(self).await?);
            go_on!(self.stage(JobStage::Counting).await?);
            crate::counting::count(&self.store, &self.client, &self.mapping.mapping).await?;
        }
        if job.kind == JobKind::Backfill {
            self.loaded(read_end).await?;
            // What a comparison of stamps finds equal was not read: a change that moved no stamp is not in it.
            let from = bulk.stamps_only.then_some(DateTime::UNIX_EPOCH);
            // The end is told to the second, and cut: it lies within the second that it names.
            let up_to = read_end + chrono::TimeDelta::seconds(1);
            go_on!(self.close_behind(Closing { from, up_to, compared_ids: true }).await?);
        }
        // The results would count against the org's storage for a week; a job that cannot be deleted is no failure.
        if let Err(error) = client.delete_query_job(&bulk.id).await {
            tracing::info!(%error, "the Bulk job's results could not be deleted");
        }
        Ok(Ended::Done)
    }

    /// Waits until Salesforce has prepared the results; nothing if the job was asked to stop.
    pub(super) async fn wait_for(&self, client: &Client, bulk: &BulkJob) -> Answer<Option<DateTime<Utc>>> {
        if let Some(read_end) = jobs::get(&self.store, self.id).await?.read_end {
            return Ok(Some(read_end));
        }
        let cancel = tokio_util::sync::CancellationToken::new();
        let schedule = PollSchedule::default();
        let waiting = client.wait_for_query_job(&bulk.id, &schedule, &cancel, |seen| {
            tracing::debug!(
                bulk.id = seen.id,
                bulk.records = seen.number_records_processed,
                "asked after a job"
            );
        });
        let complete = tokio::select! {
            complete = waiting => complete?,
            _ = self.live.stopped() => return Ok(None),
        };
        failpoint::reach("bulk.complete");
        let announced = i64::try_from(complete.number_records_processed).ok().filter(|records| *records > 0);
        if let Some(announced) = announced {
            self.live.progress.total(announced.unsigned_abs());
        }
        jobs::set_complete(&self.store, &self.lease, self.id, complete.at, announced).await?;
        failpoint::reach("bulk.complete-recorded");
        Ok(Some(complete.at))
    }

    /// Makes the object loaded and ready.
    async fn loaded(&self, read_end: DateTime<Utc>) -> Answer<()> {
        store::objects::loaded(&self.store, &self.mapping, read_end).await?;
        store::objects::ready(&self.store, self.mapping.object()).await?;
        failpoint::reach("counts.committed");
        Ok(())
    }
}
