//! Retention: what is old goes, but nothing that is still needed.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

use crate::error::{Disposition, Error};
use crate::leases::{self, LeaseKey};
use crate::session::Store;
use crate::tables::partitions::{Partitioned, has_unapplied};
use crate::{lag_samples, partitions};

/// How long what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Days of the change log, never under four: within them a redelivery is known as one.
    pub change_log_days: u32,
    /// Hours of raw samples; later one per minute.
    pub raw_sample_hours: u32,
    /// Days of samples per minute.
    pub sample_days: u32,
    /// Days of the audit log, and of what was closed or ended: holes, dead letters, outages, jobs, counts, API calls.
    pub audit_days: u32,
    /// Days of tombstones.
    pub tombstone_days: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            change_log_days: 7,
            raw_sample_hours: 48,
            sample_days: 30,
            audit_days: 365,
            tombstone_days: 365,
        }
    }
}

/// The fewest days of the change log: Salesforce keeps events for three, and delivers them again for so long.
pub const FEWEST_LOG_DAYS: u32 = 4;

/// What went, and what had to stay though it is old enough.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Days of the change log that went.
    pub days: Vec<NaiveDate>,
    /// Days that stay, because an event of them is not applied or is a dead letter.
    pub days_kept: Vec<NaiveDate>,
    /// Samples that went, raw ones and later ones.
    pub samples: u64,
    /// Entries of the audit log.
    pub audit: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// Ended jobs, with their pages.
    pub jobs: u64,
    /// Comparisons of counts.
    pub counts: u64,
    /// Closed holes and dead letters, ended outages, old API usage, processes long gone.
    pub others: u64,
}

/// Takes away what is old enough. Each step is a commit of its own that checks the lease; what an error leaves is
/// taken by the next run.
///
/// - `now`: the time by which ages are reckoned.
pub async fn run(
    store: &Store,
    lease: &LeaseKey,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Result<Removed, Error> {
    let mut removed = Removed::default();
    let days = u64::from(policy.change_log_days.max(FEWEST_LOG_DAYS));
    let keep_from = now.date_naive().checked_sub_days(Days::new(days)).unwrap_or(NaiveDate::MIN);
    for day in partitions::days(store, Partitioned::ChangeLog).await? {
        if day < keep_from {
            let gone = drop_day(store, lease, Partitioned::ChangeLog, day).await?;
            if gone { &mut removed.days } else { &mut removed.days_kept }.push(day);
        }
    }
    let left = partitions::days(store, Partitioned::ChangeLog).await?;
    for day in partitions::days(store, Partitioned::EventOutcomes).await? {
        if day < keep_from && !left.contains(&day) {
            drop_day(store, lease, Partitioned::EventOutcomes, day).await?;
        }
    }
    let ago = |days: u32| now - TimeDelta::days(i64::from(days));
    removed.samples =
        lag_samples::thin(store, now - TimeDelta::hours(i64::from(policy.raw_sample_hours))).await?;
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    let samples = ago(policy.sample_days);
    for sql in [
        sqlx::query!("delete from shadow_sync.lag_samples where at < $1", samples),
        sqlx::query!("delete from shadow_sync.flow_samples where at < $1", samples),
    ] {
        removed.samples += sql.execute(&mut *tx).await?.rows_affected();
    }
    let audit = ago(policy.audit_days);
    removed.audit = sqlx::query!("delete from shadow_sync.audit where at < $1", audit)
        .execute(&mut *tx)
        .await?
        .rows_affected();
    for sql in [
        sqlx::query!("delete from shadow_sync.holes where closed_at < $1", audit),
        sqlx::query!("delete from shadow_sync.dead_letters where closed_at < $1", audit),
        sqlx::query!("delete from shadow_sync.outages where ended_at < $1", audit),
        sqlx::query!("delete from shadow_sync.api_usage where hour < $1", audit),
        sqlx::query!("delete from shadow_sync.quota_samples where at < $1", samples),
        sqlx::query!("delete from shadow_sync.workers where seen_at < $1", now - TimeDelta::days(1)),
    ] {
        removed.others += sql.execute(&mut *tx).await?.rows_affected();
    }
    // The last whole load of each object stays: it says since when its events count.
    removed.jobs = sqlx::query!(
        "delete from shadow_sync.jobs j
          where j.ended_at < $1 and j.state not in ('pending', 'running', 'paused')
            and j.id <> all (select max(l.id) from shadow_sync.jobs l
                              where l.kind = 'backfill' and l.state = 'done' group by l.object)",
        audit,
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    // The last comparison of each object is what is shown.
    removed.counts = sqlx::query!(
        "delete from shadow_sync.counts c
          where c.shadow_at < $1
            and c.id <> all (select max(l.id) from shadow_sync.counts l group by l.object)",
        audit,
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    tx.commit().await?;
    removed.tombstones = tombstones(store, lease, ago(policy.tombstone_days)).await?;
    Ok(removed)
}

/// Takes a day away, unless an event of it is not applied or a dead letter of it or of an earlier day is open.
async fn drop_day(
    store: &Store,
    lease: &LeaseKey,
    table: Partitioned,
    day: NaiveDate,
) -> Result<bool, Error> {
    let mut tx = store.begin().await?;
    leases::check(&mut tx, lease).await?;
    if table == Partitioned::ChangeLog {
        let needed = sqlx::query_scalar!(
            r#"select exists (select from shadow_sync.dead_letters
                               where closed_at is null and (received_at at time zone 'UTC')::date <= $1) as "needed!""#,
            day,
        )
        .fetch_one(&mut *tx)
        .await?;
        let unapplied: bool = sqlx::query_scalar(has_unapplied(day)).fetch_one(&mut *tx).await?;
        if needed || unapplied {
            return Ok(false);
        }
    }
    // Detaching waits for whoever reads or writes the log, and everybody who comes later waits behind it: not long.
    sqlx::raw_sql("set local lock_timeout = '2s'").execute(&mut *tx).await?;
    match sqlx::raw_sql(table.take_away(day)).execute(&mut *tx).await.map_err(Error::from) {
        Ok(_) => {
            tx.commit().await?;
            Ok(true)
        }
        Err(error) if error.disposition() == Disposition::Replan => {
            tracing::info!(table = table.table(), %day, "a day of the log is in use and stays until the next run");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Takes tombstones away that were left before a time, of each object only those older than whatever could bring a
/// record back: an open job, a day of the log, an open dead letter, a reject, an open hole.
async fn tombstones(store: &Store, lease: &LeaseKey, before: DateTime<Utc>) -> Result<u64, Error> {
    let oldest_day = partitions::days(store, Partitioned::ChangeLog).await?.first().copied();
    let mut gone = 0;
    loop {
        let mut tx = store.begin().await?;
        leases::check(&mut tx, lease).await?;
        let some = sqlx::query!(
            "with needed as (
                 select o.object, least(
                        $1, ($2::date)::timestamp at time zone 'UTC',
                        (select min(created_at) from shadow_sync.jobs j
                          where j.object = o.object and j.state in ('pending', 'running', 'paused')),
                        (select min(received_at) from shadow_sync.dead_letters l
                          where l.closed_at is null and (l.object = o.object or l.object is null)),
                        (select min(since) from shadow_sync.rejects r where r.object = o.object),
                        (select min(coalesce(from_at, '-infinity')) from shadow_sync.holes h
                          where h.object = o.object and h.closed_at is null)) as since
                   from shadow_sync.objects o)
             delete from shadow_sync.tombstones t
              where (t.object, t.record_id) in (
                    select t.object, t.record_id
                      from shadow_sync.tombstones t join needed n on n.object = t.object and t.deleted_at < n.since
                     limit 10000)",
            before,
            oldest_day,
        )
        .execute(&mut *tx)
        .await?
        .rows_affected();
        tx.commit().await?;
        gone += some;
        if some < 10_000 {
            return Ok(gone);
        }
    }
}
