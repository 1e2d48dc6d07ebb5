//! The business's API quota is not ours: background work asks here first, and every call is counted per purpose.

mod calls;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use salesforce::Purpose;
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

/// How often counted calls are written down: a process that is killed forgets no more.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// The purpose of calls that readers cause.
const READ: &str = Purpose::Read.as_str();
/// How often the own use of all processes is read where this one calls nobody.
const READ_EVERY: Duration = Duration::from_secs(10);

/// Who says whether background work may spend calls.
#[derive(Debug)]
pub(crate) struct Governor {
    calls: Arc<Calls>,
    limits: Limits,
    /// Calls of all our processes in the last 24 hours, as last read, without those that wait here.
    own_used: Mutex<i64>,
    /// The same for calls that readers caused: their budget is their own (design 2.8).
    readers_used: Mutex<i64>,
    readers_share: f64,
}

impl Governor {
    pub(crate) fn new(config: &Environment, calls: Arc<Calls>) -> Self {
        let limits = Limits { org_stop: config.quota_stop.of_one(), own_share: config.quota_share.of_one() };
        let readers_share = config.reads.fallback_share.of_one();
        Self { calls, limits, own_used: Mutex::new(0), readers_used: Mutex::new(0), readers_share }
    }

    /// The limits that are kept to.
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// What was used, as far as it is known here.
    pub(crate) fn used(&self) -> Use {
        let own = *self.own_used.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = i64::from(self.calls.pending()) - self.readers_waiting();
        let told = self.calls.usage().map(|(usage, _)| usage);
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Use {
            daily_limit: told.map_or(0, |usage| whole(usage.max)),
            org_used: told.map_or(0, |usage| whole(usage.used)),
            own_used: own + waiting,
        }
    }

    /// Calls that readers caused and that are not written down yet.
    fn readers_waiting(&self) -> i64 {
        let waiting = self.calls.waiting();
        waiting.iter().filter(|(_, purpose, _)| *purpose == READ).map(|(_, _, calls)| i64::from(*calls)).sum()
    }

    /// Whether readers may have Salesforce asked: within their share of the org's daily calls. An unknown quota stops
    /// nobody.
    pub(crate) fn readers_may(&self) -> bool {
        let Some((usage, _)) = self.calls.usage() else { return true };
        let used = *self.readers_used.lock().unwrap_or_else(PoisonError::into_inner) + self.readers_waiting();
        usage.max == 0 || (used as f64) < usage.max as f64 * self.readers_share
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
    let mut read: Option<Instant> = None;
    loop {
        let is_due = read.is_none_or(|read| read.elapsed() >= READ_EVERY);
        if let Some(store) =
            environment.database.try_store().filter(|_| is_due || environment.calls.pending() > 0)
        {
            write_down(&environment, &store).await?;
            read = Some(Instant::now());
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
    let used = api_usage::last_hours(store, clock::now(), 24).await?;
    let of_readers = used.iter().filter(|hour| hour.purpose == READ).map(|hour| hour.calls).sum::<i64>();
    let own = used.iter().map(|hour| hour.calls).sum::<i64>() - of_readers;
    *environment.quota.own_used.lock().unwrap_or_else(PoisonError::into_inner) = own;
    *environment.quota.readers_used.lock().unwrap_or_else(PoisonError::into_inner) = of_readers;
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
