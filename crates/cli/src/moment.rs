//! TIME on the command line: RFC 3339, or how long ago.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

/// What a person gave where a command takes TIME.
///
/// - **Shape:** `2026-05-04T09:15:00Z`, `2026-05-04T11:15:00+02:00`, or a whole number with `s`, `m`, `h`, `d` or `w`.
/// - **Errors:** anything else, a number too large to be a time, and nought: that would be now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A point in time.
    At(DateTime<Utc>),
    /// So long before now.
    Ago(TimeDelta),
}

/// From where a replay reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The earliest event there is.
    Earliest,
    /// Events stored since then.
    Moment(Moment),
}

impl Moment {
    /// The point in time that is meant, if it is `now`.
    pub fn before(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now.checked_sub_signed(ago).unwrap_or(DateTime::UNIX_EPOCH),
        }
    }
}

impl FromStr for Moment {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::At(at.to_utc()));
        }
        let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let seconds = match &text[number.len()..] {
            "s" => 1,
            "m" | "min" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return Err(NotAMoment),
        };
        // Only digits: `parse` would also take a sign.
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotAMoment);
        }
        let number: i64 = number.parse().map_err(|_| NotAMoment)?;
        let ago = number.checked_mul(seconds).and_then(TimeDelta::try_seconds).ok_or(NotAMoment)?;
        if ago.is_zero() {
            return Err(NotAMoment);
        }
        Ok(Self::Ago(ago))
    }
}

impl FromStr for From {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "earliest" { Ok(Self::Earliest) } else { text.parse().map(Self::Moment) }
    }
}

/// The text is no TIME.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAMoment;

impl std::error::Error for NotAMoment {}

impl fmt::Display for NotAMoment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("expected a time such as 2026-05-04T09:15:00Z, or how long ago: 90s, 15m, 2h, 3d")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_point_or_so_long_ago() {
        let now: DateTime<Utc> = "2026-05-04T09:15:00Z".parse().unwrap();
        let read = |text: &str| text.parse::<Moment>().map(|moment| moment.before(now).to_rfc3339());
        assert_eq!(read("2026-05-04T11:00:00+02:00").unwrap(), "2026-05-04T09:00:00+00:00");
        assert_eq!(read("90s").unwrap(), "2026-05-04T09:13:30+00:00");
        assert_eq!(read("15m").unwrap(), "2026-05-04T09:00:00+00:00");
        assert_eq!(read("2h").unwrap(), "2026-05-04T07:15:00+00:00");
        assert_eq!(read("3d").unwrap(), "2026-05-01T09:15:00+00:00");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "h", "2", "0h", "-2h", "+2h", "2 h", "2y", "yesterday", "99999999999999d", "2026-05-04"]
        {
            assert_eq!(text.parse::<Moment>(), Err(NotAMoment), "{text}");
        }
    }

    #[test]
    fn a_replay_may_begin_with_the_earliest() {
        assert_eq!("earliest".parse(), Ok(From::Earliest));
        assert_eq!("2h".parse(), Ok(From::Moment(Moment::Ago(TimeDelta::hours(2)))));
        assert!("first".parse::<From>().is_err());
    }
}
