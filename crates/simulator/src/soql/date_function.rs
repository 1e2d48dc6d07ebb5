//! Parts of a time, and spans of days relative to today. All in UTC.

use crate::{
    calendar::{DAY_MS, civil, day_number},
    schema::Kind,
    value::{Owned, Value},
};

/// A part of a time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DateFunction {
    /// The year; the fiscal year is the same here.
    Year,
    /// 1 to 4.
    Quarter,
    /// 1 to 12.
    Month,
    /// 1 to 53, from January 1.
    WeekInYear,
    /// 1 to 5, from the first of the month.
    WeekInMonth,
    /// 1 to 366.
    DayInYear,
    /// 1 to 31.
    DayInMonth,
    /// 1 (Sunday) to 7.
    DayInWeek,
    /// The day itself.
    DayOnly,
    /// 0 to 23.
    HourInDay,
}

impl DateFunction {
    /// The function of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "CALENDAR_YEAR" | "FISCAL_YEAR" => Self::Year,
            "CALENDAR_QUARTER" | "FISCAL_QUARTER" => Self::Quarter,
            "CALENDAR_MONTH" | "FISCAL_MONTH" => Self::Month,
            "WEEK_IN_YEAR" => Self::WeekInYear,
            "WEEK_IN_MONTH" => Self::WeekInMonth,
            "DAY_IN_YEAR" => Self::DayInYear,
            "DAY_IN_MONTH" => Self::DayInMonth,
            "DAY_IN_WEEK" => Self::DayInWeek,
            "DAY_ONLY" => Self::DayOnly,
            "HOUR_IN_DAY" => Self::HourInDay,
            _ => return None,
        })
    }

    /// The type of the result.
    pub fn kind(self) -> Kind {
        if self == Self::DayOnly { Kind::Date } else { Kind::Int }
    }

    /// Reports whether a date will do, where others need a time.
    pub fn takes_dates(self) -> bool {
        !matches!(self, Self::DayOnly | Self::HourInDay)
    }

    /// The part of a value.
    pub fn of(self, value: Value<'_>) -> Owned {
        let (day, ms) = match value {
            Value::Time(ms) => (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS)),
            Value::Date(day) => (day, 0),
            _ => return Owned::Null,
        };
        let (year, month, day_of_month) = civil(day);
        let day_of_year = day - day_number(year, 1, 1);
        Owned::Int(match self {
            Self::DayOnly => return Owned::Date(day),
            Self::Year => year,
            Self::Quarter => i64::from((month - 1) / 3 + 1),
            Self::Month => month.into(),
            Self::WeekInYear => day_of_year / 7 + 1,
            Self::WeekInMonth => i64::from((day_of_month - 1) / 7 + 1),
            Self::DayInYear => day_of_year + 1,
            Self::DayInMonth => day_of_month.into(),
            Self::DayInWeek => (day + 4).rem_euclid(7) + 1,
            Self::HourInDay => ms / 3_600_000,
        })
    }
}

/// The days of a relative span: from the first to before the last.
pub fn relative_days(name: &str, count: i64, now_ms: i64) -> (i64, i64) {
    let today = now_ms.div_euclid(DAY_MS);
    let (year, month, _) = civil(today);
    let week = today - (today + 4).rem_euclid(7);
    let months = |by: i64| {
        let zero_based = year * 12 + i64::from(month) - 1 + by;
        let month = u32::try_from(zero_based.rem_euclid(12)).unwrap_or(0) + 1;
        day_number(zero_based.div_euclid(12), month, 1)
    };
    match name {
        "YESTERDAY" => (today - 1, today),
        "TOMORROW" => (today + 1, today + 2),
        "THIS_WEEK" => (week, week + 7),
        "LAST_WEEK" => (week - 7, week),
        "THIS_MONTH" => (months(0), months(1)),
        "LAST_MONTH" => (months(-1), months(0)),
        "NEXT_MONTH" => (months(1), months(2)),
        "THIS_YEAR" => (day_number(year, 1, 1), day_number(year + 1, 1, 1)),
        "LAST_YEAR" => (day_number(year - 1, 1, 1), day_number(year, 1, 1)),
        "LAST_90_DAYS" => (today - 90, today + 1),
        "NEXT_90_DAYS" => (today + 1, today + 91),
        "LAST_N_DAYS" => (today - count, today + 1),
        "NEXT_N_DAYS" => (today + 1, today + 1 + count),
        "N_DAYS_AGO" => (today - count, today - count + 1),
        _ => (today, today + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::parse_time;

    #[test]
    fn parts_of_a_time() {
        let time = Value::Time(parse_time("2026-05-04T23:15:01Z").unwrap());
        for (function, expected) in [
            ("CALENDAR_YEAR", 2026),
            ("CALENDAR_QUARTER", 2),
            ("CALENDAR_MONTH", 5),
            ("DAY_IN_WEEK", 2),
            ("DAY_IN_YEAR", 124),
            ("HOUR_IN_DAY", 23),
        ] {
            assert_eq!(DateFunction::named(function).unwrap().of(time), Owned::Int(expected), "{function}");
        }
    }

    #[test]
    fn spans_around_new_year() {
        let now = parse_time("2026-01-02T03:04:05Z").unwrap();
        let day = day_number(2026, 1, 2);
        assert_eq!(relative_days("TODAY", 0, now), (day, day + 1));
        assert_eq!(relative_days("LAST_MONTH", 0, now), (day_number(2025, 12, 1), day_number(2026, 1, 1)));
        assert_eq!(relative_days("LAST_N_DAYS", 3, now), (day - 3, day + 1));
    }
}
