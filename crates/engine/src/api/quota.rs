//! The org's API quota: how much is used, by whom, for what, and what stops when.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use shadow::quota::{Seen, Work, forecast};
use store::{Store, api_usage};

use crate::clock;
use crate::engine::Engine;
use crate::environment::OpenEnvironment;
use crate::problem::Answer;

/// Background work, in the order in which it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "lowercase")]
pub enum BackgroundWork {
    /// Comparing both sides.
    Verification,
    /// Reads by the clock: catch-ups, formula columns, polls in place of the stream.
    Polling,
    /// Fetching dirty records, closing holes.
    Healing,
}

/// The quota and how it is spent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct QuotaView {
    /// Calls of everyone in the last 24 hours, as Salesforce's last answer told; 0 before the first. Never fewer than ours,
    /// which go on after that answer.
    pub used: u32,
    /// Calls that the org may make in 24 hours; 0 before the first answer.
    pub max: u32,
    /// Our own calls of the last 24 hours, over all processes.
    pub ours: u32,
    /// The share of the allowance that background work leaves alone, 0 to 1.
    pub reserve: f64,
    /// The share of the allowance that is ours at most, 0 to 1.
    pub own_share: f64,
    /// Our calls of the last 24 hours by purpose, most first.
    pub purposes: Vec<PurposeUse>,
    /// Our calls by hour, oldest first.
    pub hours: Vec<HourUse>,
    /// When the allowance would be spent at the pace of the last hours; none: not within a day.
    pub exhausted_at: Option<DateTime<Utc>>,
    /// What waits for calls to come back.
    pub stopped: Vec<BackgroundWork>,
    /// Other limits of the org that matter, such as delivered events.
    pub limits: Vec<LimitUse>,
    /// When Salesforce told it.
    pub at: Option<DateTime<Utc>>,
}

/// Calls for one purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct PurposeUse {
    /// The purpose, e.g. `backfill`.
    pub purpose: String,
    /// Calls of the last 24 hours.
    pub calls: u32,
}

/// Calls of one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct HourUse {
    /// Its beginning.
    pub hour: DateTime<Utc>,
    /// Our calls.
    pub calls: u32,
}

/// One limit of the org.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct LimitUse {
    /// Salesforce's name, e.g. `DailyDeliveredPlatformEvents`.
    pub name: String,
    /// Used.
    pub used: u32,
    /// The allowance.
    pub max: u32,
    /// When that was told.
    pub at: DateTime<Utc>,
}

/// Limits that are shown beside the daily calls.
const OTHERS: [&str; 3] =
    ["DailyDeliveredPlatformEvents", "DailyBulkV2QueryJobs", "DailyBulkV2QueryFileStorageMB"];
/// The daily calls, by Salesforce's name.
const CALLS: &str = "DailyApiRequests";

/// The quota and how it is spent. Asks nobody.
pub async fn get(engine: &Engine) -> Answer<QuotaView> {
    let open = engine.environment()?;
    let store = open.store().await?;
    view(&open, &store).await
}

pub(crate) async fn view(open: &OpenEnvironment, store: &Store) -> Answer<QuotaView> {
    let now = clock::now();
    let used = open.quota.used();
    let limits = open.quota.limits();
    let seen = api_usage::quota_since(store, CALLS, now - TimeDelta::hours(6)).await?;
    let samples: Vec<Seen> =
        seen.iter().map(|sample| Seen { at: sample.at, org_used: sample.used }).collect();
    // What this process heard last may not be written down yet; what another heard later is.
    let last = seen.last().map(|last| (last.at, last.used, last.maximum));
    let heard = open.calls.usage().map(|(_, at)| (at, used.org_used, used.daily_limit));
    let (at, org_used, max) = last
        .into_iter()
        .chain(heard)
        .max_by_key(|(at, ..)| *at)
        .map_or((None, used.org_used, used.daily_limit), |(at, used, max)| (Some(at), used, max));
    let mut purposes: BTreeMap<String, u32> = BTreeMap::new();
    let mut hours: BTreeMap<DateTime<Utc>, u32> = BTreeMap::new();
    let waiting = open.calls.waiting();
    for (hour, purpose, calls) in waiting {
        *purposes.entry(purpose.to_owned()).or_default() += calls;
        *hours.entry(hour).or_default() += calls;
    }
    for usage in api_usage::last_hours(store, now, 24).await? {
        *purposes.entry(usage.purpose).or_default() += whole(usage.calls);
        *hours.entry(usage.hour).or_default() += whole(usage.calls);
    }
    let mut purposes: Vec<PurposeUse> =
        purposes.into_iter().map(|(purpose, calls)| PurposeUse { purpose, calls }).collect();
    purposes.sort_by(|a, b| b.calls.cmp(&a.calls).then_with(|| a.purpose.cmp(&b.purpose)));
    let mut others = Vec::new();
    for name in OTHERS {
        let kept = api_usage::quota_since(store, name, now - TimeDelta::hours(25)).await?;
        if let Some(last) = kept.last() {
            others.push(LimitUse {
                name: name.to_owned(),
                used: whole(last.used),
                max: whole(last.maximum),
                at: last.at,
            });
        }
    }
    let ours = purposes.iter().map(|purpose| purpose.calls).sum();
    Ok(QuotaView {
        used: whole(org_used).max(ours),
        max: whole(max),
        ours,
        reserve: 1.0 - limits.org_stop,
        own_share: limits.own_share,
        purposes,
        hours: hours.into_iter().map(|(hour, calls)| HourUse { hour, calls }).collect(),
        exhausted_at: forecast(&samples, max, limits).and_then(|forecast| forecast.spent_at),
        stopped: open.quota.stopped().into_iter().filter_map(background).collect(),
        limits: others,
        at,
    })
}

fn background(work: Work) -> Option<BackgroundWork> {
    match work {
        Work::Verification => Some(BackgroundWork::Verification),
        Work::Polling => Some(BackgroundWork::Polling),
        Work::Healing => Some(BackgroundWork::Healing),
        Work::Person => None,
    }
}

fn whole(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}
