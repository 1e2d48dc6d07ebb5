//! The business's API quota is not ours: when background work stops, and when the quota will be spent.
//!
//! Pure: callers bring the numbers and the time.

use chrono::{DateTime, TimeDelta, Utc};

/// Limits of what we may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Share of the org's daily quota at which all background work has stopped, whoever used it.
    pub org_stop: f64,
    /// Share of the org's daily quota that we may use ourselves.
    pub own_share: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { org_stop: 0.8, own_share: 0.2 }
    }
}

/// What was used of the daily quota.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Use {
    /// The org's quota of calls per rolling day; 0 while unknown.
    pub daily_limit: i64,
    /// Used by everybody.
    pub org_used: i64,
    /// Used by us.
    pub own_used: i64,
}

/// Work that costs calls, in the order in which it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Work {
    /// Looking for drift.
    Verification,
    /// Scheduled catch-ups and refreshes.
    Polling,
    /// Fetching dirty records, closing holes.
    Healing,
    /// What a person asked for: it says its cost and may go on.
    Person,
}

impl Work {
    /// Every kind of work, the first to stop first.
    pub const ALL: [Self; 4] = [Self::Verification, Self::Polling, Self::Healing, Self::Person];

    /// The part of the limits at which it stops; `None` if never.
    fn stops_at(self) -> Option<f64> {
        match self {
            Self::Verification => Some(0.875),
            Self::Polling => Some(0.95),
            Self::Healing => Some(1.0),
            Self::Person => None,
        }
    }
}

/// Which limit stops some work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stop {
    /// The org as a whole has used this share of its quota.
    Org(f64),
    /// We have used this share of the org's quota.
    Own(f64),
}

impl Use {
    /// Share of the quota that the org has used; 0 while the quota is unknown.
    pub fn org_ratio(&self) -> f64 {
        ratio(self.org_used, self.daily_limit)
    }

    /// Share of the quota that we have used.
    pub fn own_ratio(&self) -> f64 {
        ratio(self.own_used, self.daily_limit)
    }

    /// Whether a limit stops this work; `None` if it may go on.
    ///
    /// - **Source:** design 2.8: background work stops at 80 % of the org's quota or 20 % of our own; verification
    ///   first (at 7/8 of these), polling next (at 19/20), healing last. An unknown quota stops nothing.
    pub fn stops(&self, work: Work, limits: Limits) -> Option<Stop> {
        let part = work.stops_at()?;
        let (org, own) = (self.org_ratio(), self.own_ratio());
        if self.daily_limit <= 0 {
            None
        } else if reaches(org, limits.org_stop * part) {
            Some(Stop::Org(org))
        } else if reaches(own, limits.own_share * part) {
            Some(Stop::Own(own))
        } else {
            None
        }
    }
}

/// Whether a share reaches a limit that was itself computed: to a millionth.
fn reaches(share: f64, limit: f64) -> bool {
    share + 1e-6 >= limit
}

fn ratio(used: i64, limit: i64) -> f64 {
    if limit > 0 { used.max(0) as f64 / limit as f64 } else { 0.0 }
}

/// The org's use as it was seen at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: DateTime<Utc>,
    /// Calls that the org had used in its rolling day.
    pub org_used: i64,
}

/// Where the org's use is heading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Calls per hour, over the samples; negative while more calls leave the rolling day than are made.
    pub per_hour: f64,
    /// When the use reaches the share at which background work stops; `None` if not within a day.
    pub stops_at: Option<DateTime<Utc>>,
    /// When the quota is spent; `None` if not within a day.
    pub spent_at: Option<DateTime<Utc>>,
}

/// Draws a line through the last hours' use; `None` with fewer than two samples or less than ten minutes.
///
/// - `seen`: in any order; at least the last hours.
/// - **Units:** least squares over the samples; beyond a day nothing is said, because the day rolls on.
pub fn forecast(seen: &[Seen], daily_limit: i64, limits: Limits) -> Option<Forecast> {
    let first = seen.iter().min_by_key(|sample| sample.at)?;
    let last = seen.iter().max_by_key(|sample| sample.at)?;
    if last.at - first.at < TimeDelta::minutes(10) || daily_limit <= 0 {
        return None;
    }
    let hours = |at: DateTime<Utc>| (at - first.at).num_milliseconds() as f64 / 3_600_000.0;
    let count = seen.len() as f64;
    let mean_x = seen.iter().map(|sample| hours(sample.at)).sum::<f64>() / count;
    let mean_y = seen.iter().map(|sample| sample.org_used as f64).sum::<f64>() / count;
    let covariance: f64 =
        seen.iter().map(|sample| (hours(sample.at) - mean_x) * (sample.org_used as f64 - mean_y)).sum();
    let variance: f64 = seen.iter().map(|sample| (hours(sample.at) - mean_x).powi(2)).sum();
    let per_hour = covariance / variance;
    let reaches = |calls: f64| {
        let left = calls - last.org_used as f64;
        if left <= 0.0 {
            return Some(last.at);
        }
        let hours = left / per_hour;
        (per_hour > 0.0 && hours <= 24.0).then(|| last.at + minutes(hours))
    };
    let limit = daily_limit as f64;
    Some(Forecast { per_hour, stops_at: reaches(limit * limits.org_stop), spent_at: reaches(limit) })
}

/// A part of a day, to the minute.
#[expect(clippy::cast_possible_truncation, reason = "at most a day of minutes")]
fn minutes(hours: f64) -> TimeDelta {
    TimeDelta::minutes((hours * 60.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(org: i64, own: i64) -> Use {
        Use { daily_limit: 100_000, org_used: org, own_used: own }
    }

    fn stopped(used: Use) -> Vec<Work> {
        Work::ALL.into_iter().filter(|work| used.stops(*work, Limits::default()).is_some()).collect()
    }

    #[test]
    fn background_work_stops_in_order_and_a_person_goes_on() {
        assert_eq!(stopped(used(69_000, 0)), []);
        assert_eq!(stopped(used(70_000, 0)), [Work::Verification]);
        assert_eq!(stopped(used(76_000, 0)), [Work::Verification, Work::Polling]);
        assert_eq!(stopped(used(80_000, 0)), [Work::Verification, Work::Polling, Work::Healing]);
        assert_eq!(stopped(used(99_999, 0)).len(), 3);
    }

    #[test]
    fn our_own_share_stops_us_while_the_org_has_plenty() {
        assert_eq!(stopped(used(20_000, 20_000)), [Work::Verification, Work::Polling, Work::Healing]);
        assert_eq!(used(20_000, 17_500).stops(Work::Verification, Limits::default()), Some(Stop::Own(0.175)));
    }

    #[test]
    fn an_unknown_quota_stops_nothing() {
        assert_eq!(stopped(Use { daily_limit: 0, org_used: 9, own_used: 9 }), []);
    }

    fn seen(minutes: i64, org_used: i64) -> Seen {
        Seen { at: DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes), org_used }
    }

    #[test]
    fn steady_use_is_drawn_on() {
        let samples = [seen(0, 10_000), seen(60, 20_000), seen(120, 30_000)];
        let forecast = forecast(&samples, 100_000, Limits::default()).unwrap();
        assert!((forecast.per_hour - 10_000.0).abs() < 1e-6);
        assert_eq!(forecast.stops_at, Some(DateTime::UNIX_EPOCH + TimeDelta::hours(7)));
        assert_eq!(forecast.spent_at, Some(DateTime::UNIX_EPOCH + TimeDelta::hours(9)));
    }

    #[test]
    fn falling_use_and_too_few_samples_forecast_no_end() {
        let falling = forecast(&[seen(0, 30_000), seen(60, 20_000)], 100_000, Limits::default()).unwrap();
        assert_eq!((falling.stops_at, falling.spent_at), (None, None));
        assert_eq!(forecast(&[seen(0, 1)], 100_000, Limits::default()), None);
        assert_eq!(forecast(&[seen(0, 1), seen(5, 2)], 100_000, Limits::default()), None);
    }
}
