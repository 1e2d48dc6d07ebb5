//! Keeps the lease of a load: renews it, and stops the load by itself when it cannot.

use std::sync::Arc;
use std::time::Instant;

use shadow::ObjectName;
use store::leases::{self, GIVE_UP_AFTER, Lease, LeaseKey, RENEW_EVERY};
use store::{Disposition, Store};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Live, Wish};
use crate::problem::{Answer, Problem};

/// The lease under which an object's table is loaded.
pub(crate) fn lease_name(object: &ObjectName) -> String {
    format!("load:{object}")
}

/// A lease and the task that renews it.
pub(super) struct Keeper {
    key: LeaseKey,
    lease: Option<Lease>,
    renewing: Option<(oneshot::Sender<()>, JoinHandle<Lease>)>,
}

impl Keeper {
    /// Takes the lease.
    ///
    /// - **Errors:** SS-4002 if another process loads the object.
    pub(super) async fn take(store: &Store, object: &ObjectName, holder: &str) -> Answer<Self> {
        let name = lease_name(object);
        if let Some(lease) = leases::acquire(store, &name, holder).await? {
            return Ok(Self { key: lease.key().clone(), lease: Some(lease), renewing: None });
        }
        let holder = leases::holder(store, &name).await?;
        Err(Box::new(held(object, holder.as_deref().unwrap_or("Another process"))))
    }

    /// What transactions check.
    pub(super) fn key(&self) -> &LeaseKey {
        &self.key
    }

    /// Begins to renew it; the load stops when that fails for too long.
    pub(super) fn watch(&mut self, store: &Store, live: &Arc<Live>) {
        let Some(lease) = self.lease.take() else { return };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(renew(store.clone(), live.clone(), lease, stopped));
        self.renewing = Some((stop, task));
    }

    /// Stops renewing and gives the lease back; a database that does not answer frees it by its time.
    pub(super) async fn give_back(mut self, store: &Store) {
        let lease = match self.renewing.take() {
            Some((stop, task)) => {
                let _ = stop.send(());
                task.await.ok()
            }
            None => self.lease.take(),
        };
        if let Some(lease) = lease
            && let Err(error) = leases::release(store, lease).await
        {
            tracing::info!(%error, "a lease could not be given back; it runs out by itself");
        }
    }
}

async fn renew(store: Store, live: Arc<Live>, mut lease: Lease, mut stopped: oneshot::Receiver<()>) -> Lease {
    let mut renewed = Instant::now();
    loop {
        tokio::select! {
            _ = &mut stopped => return lease,
            () = tokio::time::sleep(RENEW_EVERY) => {}
        }
        match tokio::time::timeout(RENEW_EVERY, leases::renew(&store, &mut lease)).await {
            Ok(Ok(())) => renewed = Instant::now(),
            Ok(Err(error)) if error.disposition() == Disposition::Stop => {
                tracing::warn!(%error, "the lease is gone; the load stops");
                live.ask(Wish::Leave);
            }
            Ok(Err(_)) | Err(_) => {}
        }
        if renewed.elapsed() > GIVE_UP_AFTER {
            // Somebody else may begin soon: nothing may be written under this lease any more.
            live.ask(Wish::Leave);
        }
    }
}

/// Another process loads the object.
pub(crate) fn held(object: &ObjectName, holder: &str) -> Problem {
    Problem::new(
        "SS-4002",
        format!("{object} is being loaded already"),
        format!("{holder} does it; two loads of one object would be in each other's way."),
    )
    .step("Wait for it, or cancel it: shadow-sync jobs list, then shadow-sync jobs cancel ID")
}
