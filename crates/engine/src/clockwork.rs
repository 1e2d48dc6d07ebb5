//! When what runs by the clock runs next.

use chrono::{DateTime, SubsecRound, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds};

/// A cron expression of five fields in a time zone.
#[derive(Debug, Clone)]
pub struct Clockwork {
    cron: Cron,
    time_zone: Tz,
}

/// Why a schedule cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// Not a cron expression.
    #[error("`{0}` is no cron expression of five fields such as `30 2 * * *`")]
    Cron(String),
    /// A date that never comes.
    #[error("`{0}` never comes, as the 30th of February; expected a cron expression that some day fits")]
    Never(String),
    /// Not a time zone.
    #[error("`{0}` is no time zone such as `Europe/Berlin`")]
    TimeZone(String),
}

impl Clockwork {
    /// Reads a cron expression (minute, hour, day of the month, month, day of the week) and an IANA time zone.
    pub fn parse(cron: &str, time_zone: &str) -> Result<Self, InvalidSchedule> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
        let clockwork = Self {
            cron: parser.parse(cron).map_err(|_| InvalidSchedule::Cron(cron.to_owned()))?,
            time_zone: time_zone.parse().map_err(|_| InvalidSchedule::TimeZone(time_zone.to_owned()))?,
        };
        // Whatever comes at all comes within a calendar's whole cycle.
        match clockwork.next_after(DateTime::UNIX_EPOCH) {
            Some(_) => Ok(clockwork),
            None => Err(InvalidSchedule::Never(cron.to_owned())),
        }
    }

    /// The first run after a moment; none if there is none any more.
    pub fn next_after(&self, moment: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let there = moment.trunc_subsecs(0).with_timezone(&self.time_zone);
        self.cron.find_next_occurrence(&there, false).ok().map(|next| next.with_timezone(&Utc))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn half_past_two_is_meant_in_the_time_zone() {
        let berlin = Clockwork::parse("30 2 * * *", "Europe/Berlin").unwrap();
        assert_eq!(berlin.next_after(at("2026-01-10T12:00:00Z")), Some(at("2026-01-11T01:30:00Z")));
        assert_eq!(berlin.next_after(at("2026-07-10T12:00:00Z")), Some(at("2026-07-11T00:30:00Z")));
    }

    #[test]
    fn a_night_without_half_past_two_still_has_its_run() {
        let berlin = Clockwork::parse("30 2 * * *", "Europe/Berlin").unwrap();
        let next = berlin.next_after(at("2026-03-28T12:00:00Z")).unwrap();
        assert!(next < at("2026-03-30T12:00:00Z"), "{next}");
    }

    #[test]
    fn a_run_is_due_at_the_full_second() {
        let utc = Clockwork::parse("30 2 * * *", "UTC").unwrap();
        assert_eq!(utc.next_after(at("2026-01-10T02:29:59.900Z")), Some(at("2026-01-10T02:30:00Z")));
        assert_eq!(utc.next_after(at("2026-01-10T02:30:00.100Z")), Some(at("2026-01-11T02:30:00Z")));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        assert!(matches!(Clockwork::parse("whenever", "UTC"), Err(InvalidSchedule::Cron(_))));
        assert!(matches!(Clockwork::parse("0 0 30 2 *", "UTC"), Err(InvalidSchedule::Never(_))));
        assert!(Clockwork::parse("0 0 29 2 *", "UTC").is_ok());
        assert!(matches!(Clockwork::parse("0 3 * * 0", "Mars/Olympus"), Err(InvalidSchedule::TimeZone(_))));
    }
}
