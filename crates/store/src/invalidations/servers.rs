//! The cache's servers as they were when keys were last deleted there. One that comes back as another may hold what was
//! deleted on the one before.

use std::time::Duration;

use chrono::{DateTime, Utc};
use shadow::ObjectName;

use super::order_whole_in;
use crate::error::Error;
use crate::leases::{self, LeaseKey};
use crate::session::Store;

/// A server of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheServer {
    /// Where it is.
    pub address: String,
    /// Drawn by the server each time it starts.
    pub run_id: String,
    /// When it started, by its own clock.
    pub started_at: Option<DateTime<Utc>>,
    /// When keys were last deleted there, by the database's clock.
    pub seen_at: DateTime<Utc>,
}

/// The servers as they were.
pub async fn known_servers(store: &Store) -> Result<Vec<CacheServer>, Error> {
    let servers = sqlx::query_as!(
        CacheServer,
        "select address, run_id, started_at, seen_at from shadow_sync.cache_servers order by address"
    )
    .fetch_all(store.pool())
    .await?;
    Ok(servers)
}

/// What is delivered again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redelivery {
    /// Nothing: the servers are the same.
    Nothing,
    /// Orders of the last time: so long before the servers were last seen, and everything since.
    Recent(Duration),
    /// Everything of these objects: what the servers hold may be of any age.
    Everything(Vec<ObjectName>),
}

/// Notes which servers there are, and lets orders that were done wait again, in one commit. Returns how many wait again.
pub async fn note_servers(
    store: &Store,
    lease: &LeaseKey,
    servers: &[CacheServer],
    redelivery: &Redelivery,
) -> Result<u64, Error> {
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    let mut again = 0;
    match redelivery {
        Redelivery::Nothing => {}
        Redelivery::Recent(before) => {
            again = sqlx::query!(
                "update shadow_sync.invalidations
                    set keys_at = null, keys_again_at = null, patterns_at = null, patterns_again_at = null,
                        done_at = null, seen_lsn = null
                  where keys_at is not null
                    and created_at >= coalesce((select min(seen_at) from shadow_sync.cache_servers), clock_timestamp())
                                      - $1::int * interval '1 millisecond'",
                i32::try_from(before.as_millis()).unwrap_or(i32::MAX),
            )
            .execute(&mut *tx)
            .await?
            .rows_affected();
        }
        Redelivery::Everything(objects) => order_whole_in(&mut tx, objects).await?,
    }
    let addresses: Vec<&str> = servers.iter().map(|server| server.address.as_str()).collect();
    let run_ids: Vec<&str> = servers.iter().map(|server| server.run_id.as_str()).collect();
    let started: Vec<Option<DateTime<Utc>>> = servers.iter().map(|server| server.started_at).collect();
    sqlx::query!(
        "delete from shadow_sync.cache_servers where address <> all($1::text[])",
        &addresses as &[&str]
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "insert into shadow_sync.cache_servers (address, run_id, started_at, seen_at)
         select address, run_id, started_at, clock_timestamp()
           from unnest($1::text[], $2::text[], $3::timestamptz[]) as new (address, run_id, started_at)
         on conflict (address) do update
            set run_id = excluded.run_id, started_at = excluded.started_at, seen_at = excluded.seen_at",
        &addresses as &[&str],
        &run_ids as &[&str],
        &started as &[Option<DateTime<Utc>>],
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(again)
}
