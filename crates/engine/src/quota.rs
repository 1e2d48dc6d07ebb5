//! The business's API quota is not ours: background work asks here first, and every call is counted per purpose.

mod calls;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use shadow::quota::{Limits, Use, Work};
use store::Store;
use store::api_usage::{self, QuotaSample};
use tokio_util::sync::CancellationToken;

pub(crate) use calls::Calls;

use crate::clock;
use crate::config::Environment;
use crate::environment::OpenEnvironment;
use crate::notice::View;
use crate::problem::Answer;

/// How often counted calls are written down, and the own use of all processes is read.
const WRITE_EVERY: Duration = Duration::from_secs(10);

/// Who says whether background work may spend calls.
#[derive(Debug)]
pub(crate) struct Governor {
    calls: Arc<Calls>,
    limits: Limits,
    /// Calls of all our processes in the last 24 hours, as last read, without those that wait here.
    own_used: Mutex<i64>,
}

impl Governor {
    pub(crate) fn new(config: &Environment, calls: Arc<Calls>) -> Self {
        let limits = Limits { org_stop: config.quota_stop.of_one(), own_share: config.quota_share.of_one() };
        Self { calls, limits, own_used: Mutex::new(0) }
    }

    /// The limits that are kept to.
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// What was used, as far as it is known here.
    pub(crate) fn used(&self) -> Use {
        let own = *self.own_used.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = i64::from(self.calls.pending());
        let told = self.calls.usage().map(|(usage, _)| usage);
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Use {
            daily_limit: told.map_or(0, |usage| whole(usage.max)),
            org_used: told.map_or(0, |usage| whole(usage.used)),
            own_used: own + waiting,
        }
    }

    /// Whether some work may spend calls now.
    pub(crate) fn may(&self, work: Work) -> bool {
        self.used().stops(work, self.limits).is_none()
    }

    /// The background work that waits for calls to come back.
    pub(crate) fn stopped(&self) -> Vec<Work> {
        let used = self.used();
        Work::ALL.into_iter().filter(|work| used.stops(*work, self.limits).is_some()).collect()
    }
}

/// Writes down what was counted, until the process ends, and a last time then.
pub(crate) async fn keep_count(environment: Arc<OpenEnvironment>, stop: CancellationToken) -> Answer<()> {
    let mut stopped = Vec::new();
    loop {
        if let Some(store) = environment.database.try_store() {
            write_down(&environment, &store).await?;
        }
        let now_stopped = environment.quota.stopped();
        if now_stopped != stopped {
            stopped = now_stopped;
            environment.notices.publish(&[View::Status, View::Quota]);
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(WRITE_EVERY) => {}
        }
    }
    if let Some(store) = environment.database.try_store() {
        write_down(&environment, &store).await?;
    }
    Ok(())
}

/// Writes down what was counted since the last time.
pub(crate) async fn write_down(environment: &OpenEnvironment, store: &Store) -> Answer<()> {
    let taken = environment.calls.take();
    if let Err(error) = add(store, &taken).await {
        environment.calls.put_back(taken);
        return Err(error.into());
    }
    let own: i64 = api_usage::last_hours(store, clock::now(), 24).await?.iter().map(|hour| hour.calls).sum();
    *environment.quota.own_used.lock().unwrap_or_else(PoisonError::into_inner) = own;
    if let Some((usage, at)) = environment.calls.usage() {
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let sample = QuotaSample { at, used: whole(usage.used), maximum: whole(usage.max) };
        api_usage::record_quota(store, "DailyApiRequests", &sample).await?;
    }
    Ok(())
}

/// Adds calls, hour by hour.
async fn add(store: &Store, taken: &[(DateTime<Utc>, &'static str, u32)]) -> Result<(), store::Error> {
    let mut hours: BTreeMap<DateTime<Utc>, Vec<(&str, i64)>> = BTreeMap::new();
    for (hour, purpose, calls) in taken {
        hours.entry(*hour).or_default().push((*purpose, i64::from(*calls)));
    }
    for (hour, calls) in hours {
        api_usage::add(store, hour, &calls).await?;
    }
    Ok(())
}
