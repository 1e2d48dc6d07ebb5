//! Who runs the stream: the process that holds the lease. Daemons lead; a console only where no daemon was seen for
//! 30 s, and it hands back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use store::leases::{self, Lease, LeaseKey, LeaseTimes};
use store::{Disposition, Store, checkpoints, workers};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::channels::channels;
use super::term::Term;
use super::{apply, fetch, holes, members, receive, samples, schedule};
use crate::config;
use crate::engine::HostName;
use crate::environment::OpenEnvironment;
use crate::notice::View;
use crate::problem::{Answer, MendAct, Problem};
use crate::supervisor::Supervisor;

/// The lease of who receives and applies: one per database, whatever channels there are.
pub(crate) const STREAM: &str = "stream";
/// How often a standby looks whether the lease is free.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A console leads only if no daemon was seen for so long.
const NO_DAEMON_FOR: Duration = Duration::from_secs(30);
/// A console that leads hands back when a daemon was seen within so long.
const DAEMON_IS_BACK: Duration = Duration::from_secs(10);
/// How long the tasks of a term may take to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs the stream whenever this process may, until it is told to stop.
pub(crate) async fn lead(environment: Arc<OpenEnvironment>, stop: CancellationToken) -> Answer<()> {
    loop {
        match environment.database.unless_lost(take(&environment)).await {
            Ok(Some((store, lease))) => {
                let outcome = run_term(&environment, &store, lease, &stop).await;
                environment.live.board.clear();
                environment.notices.publish(&[View::Status, View::Stream]);
                if let Err(problem) = outcome {
                    cannot_lead(&environment, *problem);
                }
            }
            Ok(None) => {
                environment.live.board.problem(None);
            }
            Err(problem) => {
                cannot_lead(&environment, *problem);
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Says once why this process does not run the stream, where a person looks and in the log.
fn cannot_lead(environment: &OpenEnvironment, problem: Problem) {
    let (code, title) = (problem.code.clone(), problem.title.clone());
    if environment.live.board.problem(Some(problem)) {
        tracing::warn!(problem.code = code, "this process cannot run the stream: {title}");
        environment.notices.publish(&[View::Status, View::Stream]);
    }
}

/// Takes the lease if this process may lead and nobody else does.
async fn take(environment: &Arc<OpenEnvironment>) -> Answer<Option<(Store, Lease)>> {
    let Some(store) = environment.database.try_store() else { return Ok(None) };
    if environment.host.name == HostName::Console
        && workers::daemon_seen_within(&store, NO_DAEMON_FOR).await?
    {
        return Ok(None);
    }
    if leases::holder(&store, STREAM).await?.is_some() {
        return Ok(None);
    }
    environment.sign_in.client()?;
    if !belongs(environment, &store).await? {
        return Ok(None);
    }
    let holder = environment.host.holder();
    Ok(leases::acquire_for(&store, STREAM, &holder, LeaseTimes::STREAM).await?.map(|lease| (store, lease)))
}

/// Whether this process's sign-in is the one whose eyes the database has. A daemon binds a database that is not bound
/// yet; a console leaves that to the first load, because whoever looks around need not be the sync user.
async fn belongs(environment: &Arc<OpenEnvironment>, store: &Store) -> Answer<bool> {
    if environment.host.name != HostName::Daemon && store::binding::get(store).await?.is_none() {
        return Ok(false);
    }
    crate::binding::bind(environment, store).await?;
    Ok(true)
}

async fn run_term(
    environment: &Arc<OpenEnvironment>,
    store: &Store,
    lease: Lease,
    stop: &CancellationToken,
) -> Answer<()> {
    let mut changes = environment.database.changes();
    let ending = stop.child_token();
    let key = lease.key().clone();
    tracing::info!(worker = environment.host.holder(), "this process runs the stream");
    let begun = environment.database.unless_lost(begin(environment, store, &key, &ending)).await;
    let outcome = match begun {
        Ok(supervisor) => {
            environment.live.board.problem(None);
            let lease = hold(environment, store, lease, &mut changes, &ending).await;
            ending.cancel();
            supervisor.stop(PATIENCE).await;
            give_back(store, lease).await;
            Ok(())
        }
        Err(problem) => {
            ending.cancel();
            give_back(store, Some(lease)).await;
            Err(problem)
        }
    };
    tracing::info!("this process no longer runs the stream");
    outcome
}

/// Starts the tasks of a term.
async fn begin(
    environment: &Arc<OpenEnvironment>,
    store: &Store,
    lease: &LeaseKey,
    ending: &CancellationToken,
) -> Answer<Supervisor> {
    let client = environment.sign_in.client()?;
    let config = &environment.config;
    let channels = channels(config.channel.as_deref(), &shadow::Mapping::built_in())
        .map_err(|_| Box::new(no_channel(config)))?;
    let pubsub = environment.new_pubsub()?;
    environment.live.keep_pubsub(&pubsub);
    // Channels of an earlier configuration: what they left must not wait for an applier that never comes.
    let names: Vec<_> = channels.iter().map(|channel| channel.name.clone()).collect();
    let given_up = checkpoints::retire_others(store, lease, &names).await?;
    if given_up > 0 {
        tracing::warn!(
            events = given_up,
            "another channel was configured; what the one before left is caught up"
        );
    }
    for (object, problem) in environment.live.mappings.describe_all(environment, &client).await {
        tracing::warn!(object.name = %object, problem.code = problem.code, "an object cannot be mapped: {}", problem.title);
    }
    let term =
        Arc::new(Term::new(environment.clone(), store.clone(), client, pubsub, lease.clone(), channels));
    let supervisor = Supervisor::new(ending.clone());
    for channel in term.channels.clone() {
        let (receiving, applying) = (term.clone(), term.clone());
        let applied = channel.clone();
        supervisor.run("receive", move |stop| receive::receive(receiving.clone(), channel.clone(), stop));
        supervisor.run("apply", move |stop| apply::apply(applying.clone(), applied.clone(), stop));
    }
    let shared = || term.clone();
    let (fetching, confirming, sampling, keeping, closing) =
        (shared(), shared(), shared(), shared(), shared());
    supervisor.run("fetch", move |stop| fetch::fetch(fetching.clone(), stop));
    supervisor.run("members", move |stop| members::confirm(confirming.clone(), stop));
    supervisor.run("samples", move |stop| samples::sample(sampling.clone(), stop));
    supervisor.run("schedule", move |stop| schedule::run(keeping.clone(), stop));
    supervisor.run("holes", move |stop| holes::close(closing.clone(), stop));
    Ok(supervisor)
}

/// Renews the lease until it is lost, the process is told to stop, or a console hands back.
async fn hold(
    environment: &Arc<OpenEnvironment>,
    store: &Store,
    mut lease: Lease,
    changes: &mut watch::Receiver<u32>,
    ending: &CancellationToken,
) -> Option<Lease> {
    let mut renewed = Instant::now();
    loop {
        tokio::select! {
            () = ending.cancelled() => return Some(lease),
            // Everything that the term has read and planned is of the server before.
            _ = changes.changed() => return Some(lease),
            () = tokio::time::sleep(LeaseTimes::STREAM.renew_every) => {}
        }
        match tokio::time::timeout(LeaseTimes::STREAM.renew_every, leases::renew(store, &mut lease)).await {
            Ok(Ok(())) => {
                renewed = Instant::now();
                environment.database.saw(lease.log_seen());
            }
            Ok(Err(error)) if error.disposition() == Disposition::Stop => {
                tracing::warn!(%error, "the stream belongs to another process now");
                return None;
            }
            // Its own connection broke: the lease is free at once.
            Ok(Err(error)) => {
                tracing::warn!(%error, "the lease of the stream could not be renewed");
                return Some(lease);
            }
            Err(_) => {}
        }
        if renewed.elapsed() > LeaseTimes::STREAM.give_up_after {
            tracing::warn!("the lease of the stream could not be renewed in time");
            return Some(lease);
        }
        if environment.host.name == HostName::Console
            && workers::daemon_seen_within(store, DAEMON_IS_BACK).await.unwrap_or(false)
        {
            tracing::info!("a daemon is there: it runs the stream from here on");
            return Some(lease);
        }
    }
}

async fn give_back(store: &Store, lease: Option<Lease>) {
    let Some(lease) = lease else { return };
    let released = tokio::time::timeout(Duration::from_secs(1), leases::release(store, lease)).await;
    if !matches!(released, Ok(Ok(()))) {
        tracing::info!("the lease of the stream could not be given back; it runs out by itself");
    }
}

fn no_channel(config: &config::Environment) -> Problem {
    let shown: String = config.channel.as_deref().unwrap_or_default().chars().take(80).collect();
    Problem::new(
        "SS-5301",
        format!("`{shown}` is not a channel of change events"),
        "The configured channel cannot be subscribed, so nothing is received.",
    )
    .step("Set `channel` to a name such as /data/ShadowSync__chn, or remove it: then every object's own topic is used.")
    .act(MendAct::OpenSettings)
}
