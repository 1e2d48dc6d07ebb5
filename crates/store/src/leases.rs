//! Leases: who may do a piece of work that only one process may do at a time.
//!
//! A lease is a row with a random token and the database's clock. It belongs to a connection of its own: when that
//! connection's server process is gone, because the holder died, the lease is free at once. Behind a pooler, where
//! nobody has a connection of their own, leases go by time alone.

use std::time::Duration;

use sqlx::PgTransaction;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::error::Error;
use crate::session::Store;

/// How long a lease lasts without being renewed.
pub const LEASE_TIME: Duration = Duration::from_secs(15);

/// How often its holder renews it.
pub const RENEW_EVERY: Duration = Duration::from_secs(3);

/// After so long without a renewal its holder stops by itself: two thirds of its time.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

/// A lease held by this process. Dropping it closes its connection, which frees it.
#[derive(Debug)]
pub struct Lease {
    key: LeaseKey,
    connection: Option<PgConnection>,
}

/// What a transaction needs to check that a lease is still held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseKey {
    name: String,
    token: Uuid,
}

impl Lease {
    /// What a transaction needs to check that the lease is still held.
    pub fn key(&self) -> &LeaseKey {
        &self.key
    }
}

impl LeaseKey {
    /// The lease's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Takes a lease if it is free, run out, or its holder's connection is gone; `None` if somebody holds it.
///
/// - `holder`: how the holder is shown, such as `shadow-sync on shop-db-1, process 4711`.
pub async fn acquire(store: &Store, name: &str, holder: &str) -> Result<Option<Lease>, Error> {
    let token = Uuid::new_v4();
    let pooled = store.options().pooled;
    let mut connection = if pooled { None } else { Some(store.own_connection().await?) };
    let won = match &mut connection {
        Some(connection) => take(connection, name, token, holder, true).await?,
        None => take(&mut *store.pool().acquire().await?, name, token, holder, false).await?,
    };
    Ok(won.then(|| Lease { key: LeaseKey { name: name.to_owned(), token }, connection }))
}

async fn take(
    connection: &mut PgConnection,
    name: &str,
    token: Uuid,
    holder: &str,
    own: bool,
) -> Result<bool, Error> {
    // A backend is the same one only if it also began at the same time: process numbers are used again. The time
    // is hidden from roles that may not see the holder's session; then the number has to do.
    let rows = sqlx::query!(
        "insert into shadow_sync.leases as held (name, token, holder, backend_pid, backend_start, expires_at)
         select $1, $2, $3, me.pid, me.backend_start, clock_timestamp() + make_interval(secs => $5)
           from (select 1) as one
           left join pg_stat_activity as me on $4 and me.pid = pg_backend_pid()
         on conflict (name) do update
            set token = excluded.token, holder = excluded.holder, backend_pid = excluded.backend_pid,
                backend_start = excluded.backend_start, acquired_at = now(), expires_at = excluded.expires_at
          where held.expires_at < clock_timestamp()
             or (held.backend_pid is not null and not exists (
                    select from pg_stat_activity as other
                     where other.pid = held.backend_pid
                       and (other.backend_start is null or held.backend_start is null
                            or other.backend_start = held.backend_start)))",
        name,
        token,
        holder,
        own,
        LEASE_TIME.as_secs_f64(),
    )
    .execute(connection)
    .await?
    .rows_affected();
    Ok(rows == 1)
}

/// Prolongs a lease.
///
/// - **Errors:** [`Error::LeaseLost`] if another process has it; [`Error::Unreachable`] if its connection broke,
///   which frees it too.
pub async fn renew(store: &Store, lease: &mut Lease) -> Result<(), Error> {
    let key = lease.key.clone();
    let renewed = match &mut lease.connection {
        Some(connection) => prolong(connection, &key).await?,
        None => prolong(&mut *store.pool().acquire().await?, &key).await?,
    };
    if renewed { Ok(()) } else { Err(Error::LeaseLost { name: key.name }) }
}

async fn prolong(connection: &mut PgConnection, key: &LeaseKey) -> Result<bool, Error> {
    let renewed = sqlx::query!(
        "update shadow_sync.leases set expires_at = clock_timestamp() + make_interval(secs => $3)
          where name = $1 and token = $2",
        key.name,
        key.token,
        LEASE_TIME.as_secs_f64(),
    )
    .execute(connection)
    .await?
    .rows_affected();
    Ok(renewed == 1)
}

/// Gives a lease back; one that was lost is nobody's to give.
pub async fn release(store: &Store, lease: Lease) -> Result<(), Error> {
    sqlx::query!(
        "delete from shadow_sync.leases where name = $1 and token = $2",
        lease.key.name,
        lease.key.token
    )
    .execute(store.pool())
    .await?;
    Ok(())
}

/// How the holder of a lease named itself; `None` if the lease is free, run out or orphaned.
pub async fn holder(store: &Store, name: &str) -> Result<Option<String>, Error> {
    let holder = sqlx::query_scalar!(
        "select holder from shadow_sync.leases as held
          where name = $1 and expires_at >= clock_timestamp()
            and (backend_pid is null or exists (
                    select from pg_stat_activity as other
                     where other.pid = held.backend_pid
                       and (other.backend_start is null or held.backend_start is null
                            or other.backend_start = held.backend_start)))",
        name,
    )
    .fetch_optional(store.pool())
    .await?;
    Ok(holder)
}

/// Holds the lease still until the transaction ends, so that whatever it writes was written by the holder. The
/// holder may prolong it meanwhile; a successor, who changes the token, waits.
pub(crate) async fn check(tx: &mut PgTransaction<'_>, key: &LeaseKey) -> Result<(), Error> {
    let held = sqlx::query!(
        r#"select 1 as "one!" from shadow_sync.leases
            where name = $1 and token = $2 and expires_at >= clock_timestamp()
              for key share"#,
        key.name,
        key.token,
    )
    .fetch_optional(&mut **tx)
    .await?;
    held.map(drop).ok_or_else(|| Error::LeaseLost { name: key.name.clone() })
}
