//! Metrics by the names of design 10. What happens in this process is counted here; what stands in the database is
//! looked up when it is asked for, so that every process tells the same.

mod cache;
mod reads;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use shadow::Mapping;
use store::apply_events::Applied;
use store::change_log::{Appended, StoredEvent};
use store::workers::{self, Role};
use store::{Store, checkpoints, counts, dead_letters, leases, live_facts, rejects};

use crate::clock;
use crate::environment::OpenEnvironment;
use crate::live;
pub(crate) use cache::CacheMetrics;
pub(crate) use reads::ReadMetrics;

/// Labels of counted events.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct EventLabels {
    pub object: String,
    pub change: String,
    pub outcome: String,
}

/// Labels of failures.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct FailureLabels {
    pub stage: String,
    pub reason: String,
}

/// One label each.
macro_rules! labels {
    ($($name:ident { $label:ident })+) => {
        $(
            #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
            pub(crate) struct $name { pub $label: String }
        )+
    };
}

labels! {
    TableLabel { table }
    ReasonLabel { reason }
    PurposeLabel { purpose }
    ChannelLabel { channel }
    RoleLabel { role }
}

/// Labels of drift.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct DriftLabels {
    pub object: String,
    pub kind: String,
}

type Decimal = Gauge<f64, AtomicU64>;

/// What is counted and measured.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    pub events: Family<EventLabels, Counter>,
    pub failures: Family<FailureLabels, Counter>,
    pub apply_seconds: Histogram,
    pub lag: Family<TableLabel, Decimal>,
    pub row_age: Family<TableLabel, Decimal>,
    pub backlog: Gauge,
    pub backlog_age: Decimal,
    pub records: Family<TableLabel, Gauge>,
    pub drift: Family<DriftLabels, Gauge>,
    pub rejected: Family<ReasonLabel, Gauge>,
    pub dirty: Gauge,
    pub holes: Gauge,
    pub dead_letters: Gauge,
    pub requests: Family<PurposeLabel, Counter>,
    pub quota: Decimal,
    pub last_heard: Family<ChannelLabel, Decimal>,
    pub workers: Family<RoleLabel, Gauge>,
    pub leads: Gauge,
    /// What readers were answered.
    pub reads: ReadMetrics,
    /// How soon cache keys are deleted.
    pub cache: CacheMetrics,
    /// Failures by stage, for the samples: a family cannot be summed up.
    failed_so_far: Mutex<BTreeMap<String, i64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        // From half a millisecond to a minute.
        let seconds = || Histogram::new(exponential_buckets(0.000_5, 2.0, 17));
        let metrics = Self {
            registry: Mutex::new(Registry::default()),
            events: Family::default(),
            failures: Family::default(),
            apply_seconds: seconds(),
            lag: Family::default(),
            row_age: Family::default(),
            backlog: Gauge::default(),
            backlog_age: Gauge::default(),
            records: Family::default(),
            drift: Family::default(),
            rejected: Family::default(),
            dirty: Gauge::default(),
            holes: Gauge::default(),
            dead_letters: Gauge::default(),
            requests: Family::default(),
            quota: Gauge::default(),
            last_heard: Family::default(),
            workers: Family::default(),
            leads: Gauge::default(),
            reads: ReadMetrics::default(),
            cache: CacheMetrics::default(),
            failed_so_far: Mutex::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let r = &mut *registry;
        r.register("sf_shadow_sync_events", "Change events by what was done with them", self.events.clone());
        r.register("sf_shadow_sync_failures", "Failures by stage and reason", self.failures.clone());
        r.register_with_unit(
            "sf_shadow_apply",
            "From an event stored to its rows committed",
            Unit::Seconds,
            self.apply_seconds.clone(),
        );
        r.register_with_unit(
            "sf_shadow_lag",
            "How far a table trails Salesforce: now less the time up to which it is known to be complete",
            Unit::Seconds,
            self.lag.clone(),
        );
        r.register(
            "sf_shadow_row_age_seconds_max",
            "Age of the row written longest ago; this is not lag: a record that never changes is never written",
            self.row_age.clone(),
        );
        r.register("sf_shadow_backlog_events", "Stored events that wait to be applied", self.backlog.clone());
        r.register_with_unit(
            "sf_shadow_backlog_age",
            "Age of the oldest stored event that waits to be applied",
            Unit::Seconds,
            self.backlog_age.clone(),
        );
        r.register("sf_shadow_records", "Rows of a shadow table, as last counted", self.records.clone());
        r.register("sf_shadow_drift_records", "Records that differ, as last compared", self.drift.clone());
        r.register("sf_shadow_rejected_records", "Records that cannot be stored", self.rejected.clone());
        r.register("sf_shadow_dirty_records", "Records that must be fetched", self.dirty.clone());
        r.register("sf_shadow_holes_open", "Spans in which events may be missing", self.holes.clone());
        r.register(
            "sf_shadow_dead_letters_open",
            "Events that could not be processed",
            self.dead_letters.clone(),
        );
        r.register(
            "sf_api_requests",
            "Calls of the org's daily limit made by this process",
            self.requests.clone(),
        );
        r.register(
            "sf_api_quota_ratio",
            "Share of the org's daily calls that is used, by everyone",
            self.quota.clone(),
        );
        r.register_with_unit(
            "sf_shadow_last_heard",
            "Time since a channel was last heard",
            Unit::Seconds,
            self.last_heard.clone(),
        );
        r.register("sf_shadow_workers", "Processes that were seen lately, by role", self.workers.clone());
        r.register(
            "sf_shadow_stream_leader",
            "1 where this process runs the stream, else 0",
            self.leads.clone(),
        );
        self.reads.register(r);
        self.cache.register(r);
    }

    /// Something failed.
    pub(crate) fn failed(&self, stage: &str, reason: &str) {
        let labels = FailureLabels { stage: stage.to_owned(), reason: reason.to_owned() };
        self.failures.get_or_create(&labels).inc();
        let mut totals = self.failed_so_far.lock().unwrap_or_else(PoisonError::into_inner);
        *totals.entry(stage.to_owned()).or_default() += 1;
    }

    /// An event's rows were committed so long after it was stored.
    pub(crate) fn took(&self, stored_to_committed: Duration) {
        self.apply_seconds.observe(stored_to_committed.as_secs_f64());
    }

    /// Events were stored.
    pub(crate) fn stored(&self, appended: &Appended) {
        for _ in 0..appended.unreadable {
            self.failed("receive", "header-unreadable");
        }
    }

    /// Events were applied.
    ///
    /// - `now`: of the commit, by a clock that agrees with the database's.
    pub(crate) fn applied(&self, events: &[StoredEvent], applied: &Applied, now: DateTime<Utc>) {
        for ((object, change, outcome), count) in &applied.counts {
            let labels = EventLabels {
                object: object.to_string(),
                change: change.as_str().to_owned(),
                outcome: outcome.as_str().to_owned(),
            };
            self.events.get_or_create(&labels).inc_by(*count);
        }
        for _ in 0..applied.dead_letters {
            self.failed("apply", "dead-letter");
        }
        for event in events {
            self.took((now - event.received_at).to_std().unwrap_or_default());
        }
    }

    /// Failures so far, by stage.
    pub(crate) fn failure_totals(&self) -> BTreeMap<String, i64> {
        self.failed_so_far.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks up what stands in the database and is not counted here.
    pub(crate) async fn look(
        &self,
        environment: &OpenEnvironment,
        store: &Store,
    ) -> Result<(), store::Error> {
        let (now, salesforce_now) = (clock::now(), environment.calls.salesforce_now());
        let seconds = |span: TimeDelta| span.as_seconds_f64();
        let facts = live_facts::of_objects(store).await?;
        let mappings = Mapping::built_in();
        let (mut dirty, mut holes, mut oldest) = (0, 0, None);
        for facts in &facts {
            let Some(mapping) = mappings.iter().find(|mapping| mapping.object == facts.object) else {
                continue;
            };
            let table = TableLabel { table: mapping.table.clone() };
            let fresh = live::freshness(facts, now, salesforce_now);
            match fresh.lag {
                Some(lag) => {
                    self.lag.get_or_create(&table).set(seconds(lag));
                }
                None => {
                    self.lag.remove(&table);
                }
            }
            dirty += facts.dirty;
            holes += facts.holes;
            oldest = oldest.max(fresh.backlog_age);
        }
        self.dirty.set(dirty);
        self.holes.set(holes);
        self.backlog_age.set(oldest.map_or(0.0, seconds));
        self.dead_letters.set(dead_letters::count_open(store).await?);
        let mut backlog = 0;
        for checkpoint in checkpoints::list(store).await? {
            backlog += checkpoint.backlog();
            let channel = ChannelLabel { channel: checkpoint.channel.to_string() };
            if let Some(heard_at) = checkpoint.heard_at {
                self.last_heard.get_or_create(&channel).set(seconds(now - heard_at).max(0.0));
            }
        }
        self.backlog.set(backlog);
        for count in counts::last(store).await? {
            let Some(mapping) = mappings.iter().find(|mapping| mapping.object == count.object) else {
                continue;
            };
            self.records.get_or_create(&TableLabel { table: mapping.table.clone() }).set(count.own.shadow);
            if let Some(unexplained) = count.unexplained() {
                let kind = if unexplained < 0 { "extra" } else { "missing" };
                for (label, value) in [("missing", unexplained.max(0)), ("extra", (-unexplained).max(0))] {
                    let labels = DriftLabels { object: count.object.to_string(), kind: label.to_owned() };
                    self.drift.get_or_create(&labels).set(if label == kind { value } else { 0 });
                }
            }
        }
        self.rejected.clear();
        for reason in rejects::count_by_reason(store, None).await? {
            self.rejected.get_or_create(&ReasonLabel { reason: reason.code }).inc_by(reason.records);
        }
        for (table, age) in store::records::oldest_writes(store, &mappings).await? {
            self.row_age.get_or_create(&TableLabel { table }).set(age);
        }
        self.quota.set(environment.quota.used().org_ratio());
        for (purpose, calls) in environment.calls.totals() {
            let counter = self.requests.get_or_create(&PurposeLabel { purpose: purpose.to_owned() }).clone();
            counter.inc_by(calls.saturating_sub(counter.get()));
        }
        self.cache.look(environment.cache.is_some(), store).await?;
        let holder = leases::holder(store, live::STREAM).await?;
        self.leads.set(i64::from(holder.as_deref() == Some(environment.host.holder().as_str())));
        self.workers.clear();
        for role in [Role::Leader, Role::Standby] {
            self.workers.get_or_create(&RoleLabel { role: role.as_str().to_owned() }).set(0);
        }
        for seen in workers::list(store, Duration::from_secs(30)).await? {
            if seen.worker.role != Role::Observer {
                let role = RoleLabel { role: seen.worker.role.as_str().to_owned() };
                self.workers.get_or_create(&role).inc();
            }
        }
        Ok(())
    }

    /// Every metric as text, in the OpenMetrics format.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing into a string does not fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_dashboards_and_alerts_ask_for() {
        let metrics = Metrics::default();
        let event =
            EventLabels { object: "Account".into(), change: "update".into(), outcome: "applied".into() };
        metrics.events.get_or_create(&event).inc();
        metrics.failed("receive", "SS-7001");
        metrics.took(Duration::from_millis(3));
        let table = TableLabel { table: "sf_product_shadow".into() };
        metrics.lag.get_or_create(&table).set(1.5);
        metrics.row_age.get_or_create(&table).set(9.0);
        metrics.requests.get_or_create(&PurposeLabel { purpose: "fetch".into() }).inc();
        metrics.last_heard.get_or_create(&ChannelLabel { channel: "/data/ChangeEvents".into() }).set(2.0);
        let text = metrics.text();
        for line in [
            "sf_shadow_sync_events_total{object=\"Account\",change=\"update\",outcome=\"applied\"} 1",
            "sf_shadow_sync_failures_total{stage=\"receive\",reason=\"SS-7001\"} 1",
            "sf_shadow_apply_seconds_count 1",
            "sf_shadow_lag_seconds{table=\"sf_product_shadow\"} 1.5",
            "sf_shadow_row_age_seconds_max{table=\"sf_product_shadow\"} 9.0",
            "sf_shadow_backlog_events 0",
            "sf_shadow_backlog_age_seconds 0.0",
            "sf_shadow_dirty_records 0",
            "sf_shadow_holes_open 0",
            "sf_api_requests_total{purpose=\"fetch\"} 1",
            "sf_shadow_last_heard_seconds{channel=\"/data/ChangeEvents\"} 2.0",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
