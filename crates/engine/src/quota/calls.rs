//! Every call that leaves this process, counted per hour and purpose, and Salesforce's time as its answers tell it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use salesforce::{ApiUsage, CallMade, CallObserver};

use crate::clock;

/// Calls that were not written down yet, and what answers told of the org.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pending: Mutex<BTreeMap<(DateTime<Utc>, &'static str), u32>>,
    totals: Mutex<BTreeMap<&'static str, u64>>,
    usage: Mutex<Option<(ApiUsage, DateTime<Utc>)>>,
    /// Salesforce's clock minus this machine's, in milliseconds.
    ahead_ms: AtomicI64,
}

impl Calls {
    /// Hears of every call of a client.
    pub(crate) fn observer(self: &Arc<Self>) -> CallObserver {
        let calls = Arc::clone(self);
        Arc::new(move |made| calls.made(made, clock::now()))
    }

    fn made(&self, made: &CallMade, now: DateTime<Utc>) {
        if made.costs {
            let hour = now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now);
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            *pending.entry((hour, made.purpose.as_str())).or_default() += 1;
            let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
            *totals.entry(made.purpose.as_str()).or_default() += 1;
        }
        if let Some(at) = made.at {
            // A Date header is cut to the second, so Salesforce is at least so far.
            self.ahead_ms.store((at - now).num_milliseconds(), Ordering::Relaxed);
        }
        if let Some(usage) = made.usage {
            *self.usage.lock().unwrap_or_else(PoisonError::into_inner) = Some((usage, now));
        }
    }

    /// Takes what was counted since the last time, to be written down. Give it back with [`Self::put_back`] if that
    /// fails.
    pub(crate) fn take(&self) -> Vec<(DateTime<Utc>, &'static str, u32)> {
        let taken = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        taken.into_iter().map(|((hour, purpose), calls)| (hour, purpose, calls)).collect()
    }

    /// Counts again what could not be written down.
    pub(crate) fn put_back(&self, taken: Vec<(DateTime<Utc>, &'static str, u32)>) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        for (hour, purpose, calls) in taken {
            *pending.entry((hour, purpose)).or_default() += calls;
        }
    }

    /// Calls since this process started, by purpose.
    pub(crate) fn totals(&self) -> Vec<(&'static str, u64)> {
        let totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.iter().map(|(purpose, calls)| (*purpose, *calls)).collect()
    }

    /// What waits to be written down, by hour and purpose.
    pub(crate) fn waiting(&self) -> Vec<(DateTime<Utc>, &'static str, u32)> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.iter().map(|((hour, purpose), calls)| (*hour, *purpose, *calls)).collect()
    }

    /// How many calls wait to be written down.
    pub(crate) fn pending(&self) -> u32 {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// What the last answer told of the org's use, and when it came.
    pub(crate) fn usage(&self) -> Option<(ApiUsage, DateTime<Utc>)> {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Salesforce's time now, never later than it is: this machine's clock, put right by the last answer.
    pub(crate) fn salesforce_now(&self) -> DateTime<Utc> {
        clock::now() + TimeDelta::milliseconds(self.ahead_ms.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use salesforce::Purpose;

    use super::*;

    fn call(purpose: Purpose, at: Option<DateTime<Utc>>) -> CallMade {
        CallMade { purpose, operation: "test", status: Some(200), at, usage: None, costs: true }
    }

    #[test]
    fn calls_are_counted_by_hour_and_purpose_and_survive_a_failed_write() {
        let calls = Calls::default();
        let now: DateTime<Utc> = "2026-05-04T09:15:01Z".parse().unwrap();
        calls.made(&call(Purpose::Fetch, None), now);
        calls.made(&call(Purpose::Fetch, None), now);
        calls.made(&call(Purpose::Limits, None), now + TimeDelta::hours(1));
        let taken = calls.take();
        assert_eq!(taken.len(), 2);
        assert!(calls.take().is_empty());
        calls.put_back(taken);
        calls.made(&call(Purpose::Fetch, None), now);
        let fetches: u32 = calls.take().iter().filter(|(_, p, _)| *p == "fetch").map(|(_, _, n)| n).sum();
        assert_eq!(fetches, 3);
    }

    #[test]
    fn a_clock_that_is_minutes_off_is_put_right() {
        let calls = Calls::default();
        let now = clock::now();
        calls.made(&call(Purpose::Limits, Some(now + TimeDelta::minutes(7))), now);
        let ahead = calls.salesforce_now() - clock::now();
        assert!((ahead - TimeDelta::minutes(7)).num_seconds().abs() < 2, "{ahead}");
    }
}
