//! Partitions of the log's tables: one per UTC day, named by it. Pure text.

use chrono::{Days, NaiveDate};
use sqlx::AssertSqlSafe;

use super::quote::literal;
use super::shape::Statement;

/// A table of ours that is partitioned by the day on which an event was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Partitioned {
    ChangeLog,
    EventOutcomes,
}

impl Partitioned {
    pub(crate) const ALL: [Self; 2] = [Self::ChangeLog, Self::EventOutcomes];

    /// The table as a whole.
    pub(crate) const fn table(self) -> &'static str {
        match self {
            Self::ChangeLog => "change_log",
            Self::EventOutcomes => "event_outcomes",
        }
    }

    /// The partition of a day.
    pub(crate) fn partition(self, day: NaiveDate) -> String {
        format!("{}_{}", self.table(), day.format("%Y%m%d"))
    }

    /// The day of a partition; none for a table that is named otherwise.
    pub(crate) fn day_of(self, partition: &str) -> Option<NaiveDate> {
        let day = partition.strip_prefix(self.table())?.strip_prefix('_')?;
        NaiveDate::parse_from_str(day, "%Y%m%d").ok()
    }

    /// Makes the partition of a day and attaches it: that lets others read and write the table meanwhile, which
    /// `create table … partition of` does not.
    pub(crate) fn create(self, day: NaiveDate) -> Statement {
        let (table, partition) = (self.table(), self.partition(day));
        let next = day.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX);
        let midnight = |day: NaiveDate| literal(&format!("{day} 00:00:00+00"));
        AssertSqlSafe(format!(
            "create table shadow_sync.{partition} (like shadow_sync.{table} including defaults including constraints
                 including indexes including storage);
             alter table shadow_sync.{table} attach partition shadow_sync.{partition}
                 for values from ({from}) to ({to})",
            from = midnight(day),
            to = midnight(next),
        ))
    }

    /// Takes the partition of a day away, with all that is in it.
    pub(crate) fn take_away(self, day: NaiveDate) -> Statement {
        let (table, partition) = (self.table(), self.partition(day));
        AssertSqlSafe(format!(
            "alter table shadow_sync.{table} detach partition shadow_sync.{partition};
             drop table shadow_sync.{partition}"
        ))
    }
}

/// Whether the change log's partition of a day has an event that is not applied.
pub(crate) fn has_unapplied(day: NaiveDate) -> Statement {
    AssertSqlSafe(format!(
        "select exists (
             select from shadow_sync.checkpoints c
              where exists (select from shadow_sync.{} l where l.channel = c.channel and l.position > c.applied_position))",
        Partitioned::ChangeLog.partition(day),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_named_by_its_day() {
        let day = NaiveDate::from_ymd_opt(2026, 12, 31).unwrap();
        for table in Partitioned::ALL {
            assert_eq!(table.day_of(&table.partition(day)), Some(day));
        }
        assert_eq!(Partitioned::ChangeLog.partition(day), "change_log_20261231");
        assert_eq!(Partitioned::ChangeLog.day_of("change_log_default"), None);
        let create = Partitioned::ChangeLog.create(day).0;
        assert!(create.contains("from ('2026-12-31 00:00:00+00') to ('2027-01-01 00:00:00+00')"), "{create}");
    }
}
