//! API calls of ours by the hour and by what they were for, and what the org says of its limits.

use chrono::{DateTime, Utc};

use crate::error::Error;
use crate::session::Store;

/// Calls of one hour for one purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The hour's beginning.
    pub hour: DateTime<Utc>,
    /// What they were for.
    pub purpose: String,
    /// How many.
    pub calls: i64,
}

/// Adds calls to the hour that contains `at`.
pub async fn add(store: &Store, at: DateTime<Utc>, calls: &[(&str, i64)]) -> Result<(), Error> {
    let (purposes, numbers): (Vec<&str>, Vec<i64>) = calls.iter().copied().unzip();
    sqlx::query!(
        "insert into shadow_sync.api_usage as old (hour, purpose, calls)
         select date_trunc('hour', $1::timestamptz, 'UTC'), new.purpose, sum(new.calls)
           from unnest($2::text[], $3::bigint[]) as new (purpose, calls)
          group by new.purpose order by new.purpose
         on conflict (hour, purpose) do update set calls = old.calls + excluded.calls",
        at,
        &purposes as &[&str],
        &numbers,
    )
    .execute(store.pool())
    .await?;
    Ok(())
}

/// Calls since a time, by hour and purpose; the hour that contains it counts whole.
pub async fn since(store: &Store, since: DateTime<Utc>) -> Result<Vec<Usage>, Error> {
    let usage = sqlx::query_as!(
        Usage,
        "select hour, purpose, calls from shadow_sync.api_usage
          where hour >= date_trunc('hour', $1::timestamptz, 'UTC') order by hour, purpose",
        since,
    )
    .fetch_all(store.pool())
    .await?;
    Ok(usage)
}

/// Calls of the hours since `hours` before a time, by hour and purpose: for the last 24 hours, a rolling day.
pub async fn last_hours(store: &Store, now: DateTime<Utc>, hours: i64) -> Result<Vec<Usage>, Error> {
    since(store, now - chrono::TimeDelta::hours(hours)).await
}

/// What the org said of one of its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaSample {
    /// When.
    pub at: DateTime<Utc>,
    /// How much is used up.
    pub used: i64,
    /// Of how much.
    pub maximum: i64,
}

/// Keeps what the org said of a limit, once a minute: the last that was said in it.
///
/// - `limit`: Salesforce's name of it, such as `DailyApiRequests`.
pub async fn record_quota(store: &Store, limit: &str, sample: &QuotaSample) -> Result<(), Error> {
    sqlx::query!(
        "insert into shadow_sync.quota_samples (limit_name, at, used, maximum)
         values ($1, date_trunc('minute', $2::timestamptz), $3, $4)
         on conflict (limit_name, at) do update set used = excluded.used, maximum = excluded.maximum",
        limit,
        sample.at,
        sample.used,
        sample.maximum,
    )
    .execute(store.pool())
    .await?;
    Ok(())
}

/// What the org said of a limit since a time, in order.
pub async fn quota_since(
    store: &Store,
    limit: &str,
    since: DateTime<Utc>,
) -> Result<Vec<QuotaSample>, Error> {
    let samples = sqlx::query_as!(
        QuotaSample,
        "select at, used, maximum from shadow_sync.quota_samples
          where limit_name = $1 and at >= $2 order by at",
        limit,
        since,
    )
    .fetch_all(store.pool())
    .await?;
    Ok(samples)
}
