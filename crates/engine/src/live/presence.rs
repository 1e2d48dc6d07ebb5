//! The heartbeat by which processes know of each other.

use std::sync::Arc;

use store::Store;
use store::workers::{self, BEAT_EVERY, HostKind, Role, Worker};
use tokio_util::sync::CancellationToken;

use crate::engine::HostName;
use crate::environment::OpenEnvironment;
use crate::problem::Answer;
use crate::reads::effective;

/// Says every few seconds that this process is there, until it ends.
pub(crate) async fn announce(environment: Arc<OpenEnvironment>, stop: CancellationToken) -> Answer<()> {
    let mut board = environment.live.board.watch();
    loop {
        if let Some(store) = environment.database.try_store() {
            let mut worker = worker(&environment);
            if environment.host.name == HostName::Daemon {
                worker.shadow_reads = Some(effective(&store).await?);
            }
            workers::beat(&store, &worker).await?;
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(BEAT_EVERY) => {}
            changed = board.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}

/// Says that this process ends, so that nobody waits for it.
pub(crate) async fn say_goodbye(environment: &OpenEnvironment, store: &Store) {
    if let Err(error) = workers::gone(store, environment.worker_id).await {
        tracing::debug!(%error, "the others will find out by themselves that this process is gone");
    }
}

fn worker(environment: &OpenEnvironment) -> Worker {
    let streaming: Vec<String> = environment.live.board.now().channels.into_keys().collect();
    Worker {
        id: environment.worker_id,
        host_kind: match environment.host.name {
            HostName::Console => HostKind::Console,
            HostName::CommandLine => HostKind::CommandLine,
            HostName::Daemon => HostKind::Daemon,
        },
        holder: environment.host.holder(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        role: match environment.host.name {
            HostName::CommandLine => Role::Observer,
            _ if streaming.is_empty() => Role::Standby,
            _ => Role::Leader,
        },
        streaming,
        shadow_reads: None,
    }
}
