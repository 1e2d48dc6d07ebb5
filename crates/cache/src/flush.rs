//! Deleting every key that matches a pattern.

use redis::{Pipeline, Value};
use tokio_util::sync::CancellationToken;

use crate::cluster::grouped;
use crate::delete::BATCH;
use crate::lease::{is_lease, lease_pattern};
use crate::sweep::{Sought, Sweep};
use crate::{Cache, Error, pattern};

/// How far a flush has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Keys that were found; one may be found twice when servers change meanwhile.
    pub seen: u64,
    /// Keys that were there and are gone.
    pub deleted: u64,
}

/// What a flush did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flushed {
    /// Keys that were found; one may be found twice when servers change meanwhile.
    pub seen: u64,
    /// Keys that were there and are gone.
    pub deleted: u64,
    /// Whether it ended because it was told to.
    pub stopped: bool,
}

impl Cache {
    /// Deletes every key that matches `pattern`, and every lease of such a key. May be repeated.
    ///
    /// What matched throughout is gone at the end, on all masters; what a reader stores meanwhile with a lease that it
    /// took before is gone too. What is stored meanwhile otherwise may stay.
    ///
    /// - **Shape:** `progress` hears of it page by page; `stop` ends it between two pages.
    /// - **Errors:** a pattern that makes no sense; a server that stays away for longer than the patience.
    pub async fn flush(
        &self,
        pattern: &str,
        progress: &(dyn Fn(Progress) + Send + Sync),
        stop: &CancellationToken,
    ) -> Result<Flushed, Error> {
        pattern::checked(pattern)?;
        // The leases first, in a walk of their own: in a common one a value could be stored behind the walk's back
        // with a lease that the walk has not met yet.
        let leases = Sought { pattern: lease_pattern(pattern), expires: true };
        let keys = Sought { pattern: pattern.to_owned(), expires: false };
        let mut sweep = Sweep::new(&self.options, vec![leases, keys], stop);
        let mut flushed = Flushed::default();
        let mut along = Pipeline::new();
        let mut sent: Vec<Batch> = Vec::new();
        while let Some(page) = sweep.next(along).await? {
            along = Pipeline::new();
            // A walk that had to begin again brings no answers; its keys come again.
            let answered = sent.drain(..).zip(page.answers);
            if let Err(error) = self.count(answered, &sweep, &mut flushed).await {
                sweep.endure(error).await?;
                continue;
            }
            let (leases, keys): (Vec<_>, Vec<_>) = page.keys.into_iter().partition(|key| is_lease(key));
            flushed.seen += keys.len() as u64;
            sent = [(leases, false), (keys, true)]
                .into_iter()
                .flat_map(|(keys, is_counted)| self.batches(keys, is_counted))
                .collect();
            for batch in &sent {
                along.cmd("UNLINK").arg(&batch.keys);
            }
            progress(Progress { seen: flushed.seen, deleted: flushed.deleted });
        }
        flushed.stopped = sweep.is_stopped();
        Ok(flushed)
    }

    async fn count(
        &self,
        answered: impl Iterator<Item = (Batch, Value)>,
        sweep: &Sweep<'_>,
        flushed: &mut Flushed,
    ) -> Result<(), Error> {
        for (batch, answer) in answered {
            let deleted = self.answered(sweep, &batch, answer).await?;
            if batch.is_counted {
                flushed.deleted += deleted;
            }
        }
        Ok(())
    }

    fn batches(&self, keys: Vec<Vec<u8>>, is_counted: bool) -> Vec<Batch> {
        grouped(&self.options.topology, keys)
            .iter()
            .flat_map(|group| group.chunks(BATCH))
            .map(|keys| Batch { keys: keys.to_vec(), is_counted })
            .collect()
    }

    /// How many keys a batch deleted. A slot that is being moved to another master is followed there.
    async fn answered(&self, sweep: &Sweep<'_>, batch: &Batch, answer: Value) -> Result<u64, Error> {
        let error = match answer.extract_error().and_then(|answer| Ok(redis::from_redis_value(answer)?)) {
            Ok(deleted) => return Ok(deleted),
            Err(error) => error,
        };
        if !error.is_cluster_error() {
            return Err(sweep.refused(&error, "UNLINK"));
        }
        self.unlink(&batch.keys).await
    }
}

struct Batch {
    keys: Vec<Vec<u8>>,
    /// Keys are counted, leases are not.
    is_counted: bool,
}
