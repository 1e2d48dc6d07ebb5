//! Keys by name: read them, delete them.

use std::collections::HashSet;
use std::hash::Hash;

use crate::lease::lease_key;
use crate::{Cache, Error};

/// How many keys one command names. Texts are freed at once, whatever Redis frees in the background: a hundred of a
/// megabyte take it 5 ms, small ones a tenth of a millisecond.
pub(crate) const BATCH: usize = 100;

impl Cache {
    /// Deletes keys and their leases. May be repeated.
    ///
    /// - **Shape:** how many of the keys were there; leases are not counted. After an error some may be gone already.
    pub async fn delete(&self, keys: &[String]) -> Result<u64, Error> {
        let mut deleted = 0;
        for batch in keys.chunks(BATCH) {
            // The leases first: what a reader still fills before its lease goes is there when its key goes.
            let leases: Vec<String> = batch.iter().map(|key| lease_key(key)).collect();
            self.unlink(&leases).await?;
            deleted += self.unlink(batch).await?;
        }
        Ok(deleted)
    }

    /// Reads one key.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.keyed.ask("GET", redis::cmd("GET").arg(key)).await
    }

    /// Reads several keys; the answers are in their order.
    pub async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let mut values = Vec::with_capacity(keys.len());
        for batch in keys.chunks(BATCH) {
            values
                .extend(self.keyed.ask::<Vec<Option<Vec<u8>>>>("MGET", redis::cmd("MGET").arg(batch)).await?);
        }
        Ok(values)
    }

    /// Frees keys. A cluster's client splits the command by slot and adds the answers up.
    pub(crate) async fn unlink<K: redis::ToRedisArgs + Hash + Eq>(&self, keys: &[K]) -> Result<u64, Error> {
        let distinct: HashSet<&K> = keys.iter().collect();
        match distinct.len() {
            0 => return Ok(0),
            1 => return self.unlink_together(&distinct).await,
            _ => {}
        }
        match self.unlink_together(&distinct).await {
            // Of several keys in a slot that is being moved some may be here and some there: one by one they are found.
            Err(Error::ClusterDown { .. }) => {
                let mut deleted = 0;
                for key in distinct {
                    deleted += self.unlink_together(&HashSet::from([key])).await?;
                }
                Ok(deleted)
            }
            answer => answer,
        }
    }

    async fn unlink_together<K: redis::ToRedisArgs>(&self, keys: &HashSet<&K>) -> Result<u64, Error> {
        let mut command = redis::cmd("UNLINK");
        for key in keys {
            command.arg(key);
        }
        self.keyed.ask("UNLINK", &command).await
    }
}
