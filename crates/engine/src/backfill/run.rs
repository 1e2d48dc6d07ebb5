//! One job from describe to counts.

use std::sync::Arc;
use std::time::Instant;

use salesforce::bulk::{Operation, PollSchedule};
use salesforce::{Client, CurrencyAnswer, Purpose};
use shadow::{JobId, Mapping, ObjectState, OrgFacts, ResolvedMapping, resolve};
use store::jobs::{self, BulkJob, Job, JobKind, JobStage, JobState};
use store::leases::LeaseKey;
use store::{Store, failpoint, reads};

use super::keeper::Keeper;
use super::progress::Progress;
use super::{Live, Turn, Wish, compare, fetch, pages, view};
use crate::api::backfills::JobStage as ShownStage;
use crate::environment::OpenEnvironment;
use crate::notice::View;
use crate::org::{Binding, check_load};
use crate::problem::{self, Answer, MendAct, Problem};

/// How often a Bulk job that Salesforce fails is created anew before a person is asked.
const BULK_TRIES: u32 = 3;

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
}

/// Takes jobs of the queue one after the other until none is left.
pub(crate) async fn drive(environment: Arc<OpenEnvironment>) {
    while let Some(turn) = environment.loads.next() {
        if let Err(problem) = take_turn(&environment, turn).await {
            tracing::warn!(job.id = turn.id.0, problem.code = problem.code, "{}", problem.title);
        }
        environment.loads.ended(turn.id);
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
    let outcome = run(environment, &store, &lease, &live, &job, turn.whole).await;
    let ended = end(environment, &store, &lease, &job, &live, outcome).await;
    keeper.give_back(&store).await;
    ended
}

/// Writes down how the run ended.
async fn end(
    environment: &OpenEnvironment,
    store: &Store,
    lease: &LeaseKey,
    job: &Job,
    live: &Live,
    outcome: Answer<Ended>,
) -> Answer<()> {
    let took_ms = i64::try_from(live.since.elapsed().as_millis()).unwrap_or(i64::MAX);
    let (state, problem) = match &outcome {
        Ok(Ended::Done) => (JobState::Done, None),
        Ok(Ended::Stopped(Wish::Cancel)) => (JobState::Cancelled, None),
        Ok(Ended::Stopped(Wish::Pause)) => (JobState::Paused, None),
        // The row stays as it is: without a lease it counts as interrupted, and whoever comes next resumes it.
        Ok(Ended::Stopped(Wish::Leave | Wish::Run)) => return Ok(()),
        Err(problem) => (JobState::Failed, Some(problem)),
    };
    let as_json = problem.and_then(|problem| serde_json::to_value(problem).ok());
    jobs::finish(store, lease, job.id, state, as_json.as_ref()).await?;
    mark_object(store, job, state, as_json.as_ref()).await?;
    failpoint::reach("job.ended");
    let (result, words) = match state {
        JobState::Done => ("done", "Loaded"),
        JobState::Failed => ("failed", "Failed to load"),
        JobState::Cancelled => ("cancelled", "Cancelled the load of"),
        JobState::Paused | JobState::Pending | JobState::Running => ("done", "Paused the load of"),
    };
    environment.record("backfill.end", &format!("{words} {}", job.object), result, Some(took_ms)).await;
    outcome.map(|_| ())
}

async fn run(
    environment: &Arc<OpenEnvironment>,
    store: &Store,
    lease: &LeaseKey,
    live: &Arc<Live>,
    job: &Job,
    whole: bool,
) -> Answer<Ended> {
    let client = environment.sign_in.client()?.with_purpose(Purpose::Backfill);
    let calls_before = client.calls_in_all();
    jobs::started(store, lease, job.id).await?;
    mark_object(store, job, JobState::Running, None).await?;
    failpoint::reach("job.recorded");
    bind(environment, store).await?;
    live.progress.stage(ShownStage::Describing);
    jobs::set_stage(store, lease, job.id, JobStage::Describing).await?;
    let mapping = Arc::new(mapping_of(environment, &client, job).await?);
    let run = Run {
        environment: environment.clone(),
        store: store.clone(),
        client,
        lease: lease.clone(),
        live: live.clone(),
        mapping,
        id: job.id,
    };
    let outcome = run.load(job, whole).await;
    let calls = run.client.calls_in_all().saturating_sub(calls_before);
    jobs::set_numbers(store, lease, job.id, None, i64::try_from(calls).unwrap_or_default()).await?;
    outcome
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
    let mapping = Arc::new(mapping_of(environment, &client, job).await?);
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
    fn may_begin_anew(found: &Problem, tries: u32, is_new: bool) -> bool {
        let is_bulk = found.code == problem::QUERY_JOB_FAILED || found.code == problem::QUERY_JOB_GONE;
        is_bulk && (tries < BULK_TRIES || !is_new)
    }

    fn can_resume(&self, bulk: &BulkJob) -> bool {
        bulk.stamps_only || bulk.shape == self.mapping.shape()
    }

    async fn create_bulk(&self, job: &Job, whole: bool) -> Answer<BulkJob> {
        let object = store::objects::get(&self.store, &job.object).await?;
        let shape = self.mapping.shape();
        let stamps_only = !whole
            && job.kind == JobKind::Backfill
            && object.loaded_at.is_some()
            && object.loaded_shape.as_deref() == Some(shape.as_str());
        let condition = job.condition.as_deref();
        let soql =
            if stamps_only { self.mapping.stamps_soql(condition) } else { self.mapping.soql(condition) };

        let counted = self.client.with_purpose(Purpose::Count).count(&job.object, condition).await?;
        self.live.progress.total(counted.count);
        jobs::set_numbers(&self.store, &self.lease, self.id, i64::try_from(counted.count).ok(), 0).await?;

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
        go_on!(pages::load(self, &client, bulk, read_end).await?);
        go_on!(self.stage(JobStage::Fetching).await?);
        go_on!(fetch::differing(self).await?);
        go_on!(fetch::dirty(self).await?);
        if job.kind == JobKind::Backfill {
            go_on!(self.stage(JobStage::ComparingIds).await?);
            go_on!(compare::ids(self).await?);
            go_on!(self.stage(JobStage::Counting).await?);
            self.count(read_end).await?;
        }
        // The results would count against the org's storage for a week; a job that cannot be deleted is no failure.
        if let Err(error) = client.delete_query_job(&bulk.id).await {
            tracing::info!(%error, "the Bulk job's results could not be deleted");
        }
        Ok(Ended::Done)
    }

    /// Waits until Salesforce has prepared the results; nothing if the job was asked to stop.
    async fn wait_for(
        &self,
        client: &Client,
        bulk: &BulkJob,
    ) -> Answer<Option<chrono::DateTime<chrono::Utc>>> {
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

    /// Counts both sides, and makes the object ready.
    async fn count(&self, read_end: chrono::DateTime<chrono::Utc>) -> Answer<()> {
        crate::counting::count(&self.store, &self.client, &self.mapping.mapping).await?;
        let object = self.mapping.object();
        store::objects::loaded(&self.store, object, read_end, &self.mapping.shape()).await?;
        store::objects::ready(&self.store, object).await?;
        failpoint::reach("counts.committed");
        Ok(())
    }
}

/// Writes down where a job's object stands, unless the object has been ready for long: then only a failure counts.
async fn mark_object(
    store: &Store,
    job: &Job,
    state: JobState,
    problem: Option<&serde_json::Value>,
) -> Answer<()> {
    let is_ready = store::objects::get(store, &job.object).await?.ready_at.is_some();
    let next = match state {
        JobState::Failed => ObjectState::Failed,
        _ if is_ready => ObjectState::Live,
        JobState::Running | JobState::Pending | JobState::Paused => ObjectState::Backfilling,
        JobState::Cancelled | JobState::Done => ObjectState::Pending,
    };
    Ok(store::objects::set_state(store, &job.object, next, problem).await?)
}

/// Ends a job whose process is gone, under its lease.
pub(crate) async fn end_orphan(environment: &OpenEnvironment, store: &Store, job: &Job) -> Answer<()> {
    let keeper = Keeper::take(store, &job.object, &environment.host.holder()).await?;
    let ended = jobs::finish(store, keeper.key(), job.id, JobState::Cancelled, None).await;
    keeper.give_back(store).await;
    ended?;
    mark_object(store, job, JobState::Cancelled, None).await
}

/// Refuses another org and another user before a byte is written, and binds a database that is not bound yet.
async fn bind(environment: &OpenEnvironment, store: &Store) -> Answer<()> {
    let facts = environment.sign_in.facts().ok_or(salesforce::Error::SignInNeeded)?;
    let bound = store::binding::get(store).await?.map(|(bound, _)| bound);
    let is_for_demos = environment.config.database == crate::config::Database::Embedded
        || crate::database::is_for_demos(store).await?;
    let known = bound.map(|bound| Binding { org_id: bound.org_id, user_id: bound.user_id });
    check_load(&environment.config, is_for_demos, known.as_ref(), &facts.identity)?;
    store::binding::bind(
        store,
        &store::binding::Binding {
            org_id: facts.identity.org_id,
            org_name: facts.organization.name.clone(),
            user_id: facts.identity.user_id,
            user_name: facts.user.preferred_username.clone(),
            is_simulated: facts.identity.org_id.is_simulated(),
        },
    )
    .await?;
    Ok(())
}

/// Holds the mapping against what the org's describe shows.
async fn mapping_of(environment: &OpenEnvironment, client: &Client, job: &Job) -> Answer<ResolvedMapping> {
    let all = Mapping::built_in();
    let mapping = all.iter().find(|mapping| mapping.object == job.object).ok_or_else(|| {
        Box::new(
            Problem::new(
                "SS-2010",
                format!("{} is not mapped", job.object),
                "No table is known for this object, so there is nothing to load it into.",
            )
            .act(MendAct::OpenSettings),
        )
    })?;
    let info = client.with_purpose(Purpose::Describe).describe(&job.object).await.map_err(|error| {
        // What refuses a describe is about the object; its name belongs to the first line that a person reads.
        let mut problem = Problem::from(&error);
        problem.title = format!("{}: {}", job.object, problem.title);
        Box::new(problem)
    })?;
    let facts = environment.sign_in.facts().ok_or(salesforce::Error::SignInNeeded)?;
    let org = match &facts.currency {
        CurrencyAnswer::Single(code) => OrgFacts { currency: Some(code.clone()), multi_currency: false },
        CurrencyAnswer::PerRecord => {
            OrgFacts { currency: environment.config.currency.clone(), multi_currency: true }
        }
        CurrencyAnswer::Unknown => {
            OrgFacts { currency: environment.config.currency.clone(), multi_currency: false }
        }
    };
    Ok(resolve(mapping, &all, &info, &org)?)
}
