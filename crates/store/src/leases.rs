//! Leases: who may do a piece of work that only one process may do at a time.
//!
//! A lease is a row with a random token and the database's clock. It belongs to a connection of its own: when that
//! connection's server process is gone, because the holder died, the lease is free at once. Behind a pooler, where
//! nobody has a connection of their own, leases go by time alone. On another server, which has the row because it was a
//! standby or was restored, no lease holds: what its holder read and planned was of the server before.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgTransaction;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::error::Error;
use crate::log_head;
use crate::session::Store;

/// How long a load's lease lasts without being renewed.
pub const LEASE_TIME: Duration = LeaseTimes::LOAD.lasts;

/// How often its holder renews it.
pub const RENEW_EVERY: Duration = LeaseTimes::LOAD.renew_every;

/// After so long without a renewal its holder stops by itself: two thirds of its time.
pub const GIVE_UP_AFTER: Duration = LeaseTimes::LOAD.give_up_after;

/// How long a lease lasts, and what its holder does meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTimes {
    /// How long it lasts without being renewed.
    pub lasts: Duration,
    /// How often its holder renews it.
    pub renew_every: Duration,
    /// After so long without a renewal its holder stops by itself: before it runs out.
    pub give_up_after: Duration,
}

impl LeaseTimes {
    /// Of a load: it may take long, and nobody waits for it by the second.
    pub const LOAD: Self = Self {
        lasts: Duration::from_secs(15),
        renew_every: Duration::from_secs(3),
        give_up_after: Duration::from_secs(10),
    };

    /// Of a stream: another process goes on within 10 s.
    pub const STREAM: Self = Self {
        lasts: Duration::from_secs(8),
        renew_every: Duration::from_secs(2),
        give_up_after: Duration::from_secs(5),
    };

    fn lasts_ms(self) -> i32 {
        i32::try_from(self.lasts.as_millis()).unwrap_or(i32::MAX)
    }
}

/// A lease held by this process. Dropping it closes its connection, which frees it.
#[derive(Debug)]
pub struct Lease {
    key: LeaseKey,
    connection: Option<PgConnection>,
    /// The end of the change log when it was last renewed: on a log that ends earlier it does not hold.
    log_seen: i64,
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

    /// The end of the change log when the lease was taken or last renewed.
    pub fn log_seen(&self) -> i64 {
        self.log_seen
    }
}

impl LeaseKey {
    /// The lease's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Takes a lease for a load: [`acquire_for`] with [`LeaseTimes::LOAD`].
pub async fn acquire(store: &Store, name: &str, holder: &str) -> Result<Option<Lease>, Error> {
    acquire_for(store, name, holder, LeaseTimes::LOAD).await
}

/// Takes a lease if it is free, run out, or its holder's connection is gone; `None` if somebody holds it.
///
/// Who takes over a lease that ran out ends the sessions of the holder before it that still hold on to it, so that a
/// frozen process keeps nobody waiting. The server may refuse that to our role; then their own time limits end them.
///
/// - `holder`: how the holder is shown, such as `shadow-sync on shop-db-1, process 4711`.
pub async fn acquire_for(
    store: &Store,
    name: &str,
    holder: &str,
    times: LeaseTimes,
) -> Result<Option<Lease>, Error> {
    let Found::Free { before } = look(store, name).await? else { return Ok(None) };
    let token = Uuid::new_v4();
    let pooled = store.options().pooled;
    let mut connection = if pooled { None } else { Some(store.own_connection().await?) };
    let won = match &mut connection {
        Some(connection) => {
            let me = sqlx::query_scalar!(r#"select pg_backend_pid() as "pid!""#)
                .fetch_one(&mut *connection)
                .await?;
            let taking = take(connection, name, token, holder, times, true);
            tokio::pin!(taking);
            loop {
                tokio::select! {
                    won = &mut taking => break won?,
                    () = tokio::time::sleep(PATIENCE) => end_writers(store, name, me).await,
                }
            }
        }
        None => take(&mut *store.pool().acquire().await?, name, token, holder, times, false).await?,
    };
    if won && let (Some(before), false) = (before, pooled) {
        end_backend(store, before).await;
    }
    if !won {
        return Ok(None);
    }
    let log_seen = log_head::position(store).await?;
    Ok(Some(Lease { key: LeaseKey { name: name.to_owned(), token }, connection, log_seen }))
}

/// How long a successor waits for transactions of the holder before it.
const PATIENCE: Duration = Duration::from_millis(300);

/// What a look at a lease found.
enum Found {
    Held,
    Free {
        /// The server process of a holder whose time ran out.
        before: Option<Backend>,
    },
}

struct Backend {
    pid: i32,
    start: DateTime<Utc>,
}

/// Looks whether a lease can be had, without waiting for who holds it.
async fn look(store: &Store, name: &str) -> Result<Found, Error> {
    let row = sqlx::query!(
        r#"select held.backend_pid, held.backend_start,
                  held.expires_at < clock_timestamp() or held.server_started_at <> pg_postmaster_start_time()
                      is true as "ran_out!",
                  held.backend_pid is null or exists (
                      select from pg_stat_activity as other
                       where other.pid = held.backend_pid
                         and (other.backend_start is null or held.backend_start is null
                              or other.backend_start = held.backend_start)) as "is_there!"
             from shadow_sync.leases as held where name = $1"#,
        name,
    )
    .fetch_optional(store.pool())
    .await?;
    let Some(row) = row else { return Ok(Found::Free { before: None }) };
    if row.is_there && !row.ran_out {
        return Ok(Found::Held);
    }
    let before = row.backend_pid.zip(row.backend_start).map(|(pid, start)| Backend { pid, start });
    Ok(Found::Free { before: before.filter(|_| row.is_there) })
}

/// Ends the sessions of ours that keep this one from a lease that ran out. Refusals are nobody's fault.
async fn end_writers(store: &Store, name: &str, waiting: i32) {
    let ended = sqlx::query!(
        "select pg_terminate_backend(other.pid)
           from pg_stat_activity as other
          where other.pid = any(pg_blocking_pids($2)) and other.datname = current_database()
            and other.application_name = 'shadow-sync'
            and exists (select from shadow_sync.leases where name = $1 and expires_at < clock_timestamp())",
        name,
        waiting,
    )
    .fetch_all(store.pool())
    .await;
    match ended {
        Ok(sessions) if sessions.is_empty() => {}
        Ok(sessions) => {
            tracing::warn!(
                lease.name = name,
                sessions = sessions.len(),
                "ended sessions that held a lease past its time"
            );
        }
        Err(error) => {
            tracing::info!(lease.name = name, %error, "sessions of the holder before cannot be ended");
        }
    }
}

/// Ends the session of a holder whose time ran out.
async fn end_backend(store: &Store, backend: Backend) {
    let ended = sqlx::query!(
        "select pg_terminate_backend(pid) from pg_stat_activity where pid = $1 and backend_start = $2",
        backend.pid,
        backend.start,
    )
    .fetch_all(store.pool())
    .await;
    if let Err(error) = ended {
        tracing::info!(%error, "the session of the holder before cannot be ended");
    }
}

async fn take(
    connection: &mut PgConnection,
    name: &str,
    token: Uuid,
    holder: &str,
    times: LeaseTimes,
    own: bool,
) -> Result<bool, Error> {
    // A backend is the same one only if it also began at the same time: process numbers are used again. The time
    // is hidden from roles that may not see the holder's session; then the number has to do.
    let rows = sqlx::query!(
        "insert into shadow_sync.leases as held
                (name, token, holder, backend_pid, backend_start, expires_at, lasts_ms, server_started_at)
         select $1, $2, $3, me.pid, me.backend_start, clock_timestamp() + $5::int * interval '1 millisecond', $5,
                pg_postmaster_start_time()
           from (select 1) as one
           left join pg_stat_activity as me on $4 and me.pid = pg_backend_pid()
         on conflict (name) do update
            set token = excluded.token, holder = excluded.holder, backend_pid = excluded.backend_pid,
                backend_start = excluded.backend_start, acquired_at = now(),
                expires_at = clock_timestamp() + $5::int * interval '1 millisecond', lasts_ms = excluded.lasts_ms,
                server_started_at = excluded.server_started_at
          where held.expires_at < clock_timestamp() or held.server_started_at <> pg_postmaster_start_time()
             or (held.backend_pid is not null and not exists (
                    select from pg_stat_activity as other
                     where other.pid = held.backend_pid
                       and (other.backend_start is null or held.backend_start is null
                            or other.backend_start = held.backend_start)))",
        name,
        token,
        holder,
        own,
        times.lasts_ms(),
    )
    .execute(connection)
    .await?
    .rows_affected();
    Ok(rows == 1)
}

/// Prolongs a lease.
///
/// - **Errors:** [`Error::LeaseLost`] if another process has it, or the change log ends earlier than it did: a restored
///   backup may hold the lease's row, and none of what was read under it; [`Error::Unreachable`] if its connection
///   broke, which frees it too.
pub async fn renew(store: &Store, lease: &mut Lease) -> Result<(), Error> {
    let (key, seen) = (lease.key.clone(), lease.log_seen);
    let renewed = match &mut lease.connection {
        Some(connection) => prolong(connection, &key, seen).await?,
        None => prolong(&mut *store.pool().acquire().await?, &key, seen).await?,
    };
    lease.log_seen = renewed.ok_or(Error::LeaseLost { name: key.name })?;
    Ok(())
}

/// Prolongs a lease if it is held and the change log ends no earlier than it was seen to; answers where it ends.
async fn prolong(connection: &mut PgConnection, key: &LeaseKey, seen: i64) -> Result<Option<i64>, Error> {
    Ok(sqlx::query_scalar!(
        "update shadow_sync.leases as held
            set expires_at = clock_timestamp() + held.lasts_ms * interval '1 millisecond'
           from shadow_sync.log_head as head
          where held.name = $1 and held.token = $2 and head.position >= $3
            and coalesce(held.server_started_at = pg_postmaster_start_time(), true)
         returning head.position",
        key.name,
        key.token,
        seen,
    )
    .fetch_optional(connection)
    .await?)
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
            and coalesce(server_started_at = pg_postmaster_start_time(), true)
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
              and coalesce(server_started_at = pg_postmaster_start_time(), true)
              for key share"#,
        key.name,
        key.token,
    )
    .fetch_optional(&mut **tx)
    .await?;
    held.map(drop).ok_or_else(|| Error::LeaseLost { name: key.name.clone() })
}
