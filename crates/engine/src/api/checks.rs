//! What an object's health is judged by, each check by itself, in the order in which a change meets them (promise 9).
//!
//! Pure: callers pass the facts and the time in. The window and `/health` show the same list.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use shadow::lag::{HEARD_WITHIN, is_heard};
use store::invalidations::Standing;
use store::live_facts::LiveFacts;

use super::backfills::{JobState, JobView};
use super::counts::CountView;
use crate::live::{Freshness, is_confirmed};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// As it should be.
    Good,
    /// Not known: never verified.
    Unknown,
    /// Somebody should look when there is time.
    Late,
    /// Somebody should look now.
    Bad,
}

/// One thing that an object's health is judged by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// `heard`, `stored`, `applied`, `flushed` (where there is a cache), `loaded`, `counted`, `verified`.
    pub name: String,
    /// How it came out.
    pub state: CheckState,
    /// What was found, in a few words.
    pub text: String,
    /// What would be in order, e.g. `≤ 330 s`.
    pub bar: String,
    /// The time that it is of.
    pub at: Option<DateTime<Utc>>,
}

/// Keys of changed rows that wait longer for their deletion are worth a look.
const FLUSHED_WITHIN: TimeDelta = TimeDelta::minutes(1);

/// What the checks are made of, all of one object and one moment; the cache's orders are those of every object.
pub(super) struct Checked<'a> {
    pub facts: &'a LiveFacts,
    pub fresh: &'a Freshness,
    pub count: &'a CountView,
    /// The last backfill.
    pub load: Option<&'a JobView>,
    /// The orders to delete cache keys; none without a cache.
    pub orders: Option<Standing>,
    pub now: DateTime<Utc>,
}

/// The checks of an object.
pub(super) fn checks(of: &Checked<'_>) -> Vec<HealthCheck> {
    [Some(heard(of)), Some(stored(of)), Some(applied(of)), flushed(of), Some(loaded(of)), Some(counted(of))]
        .into_iter()
        .flatten()
        .chain([verified(of)])
        .collect()
}

fn heard(Checked { facts, now, .. }: &Checked<'_>) -> HealthCheck {
    let at = facts.stream.as_ref().and_then(|stream| stream.heard_at);
    let (state, text) = match (facts.stream.is_some(), at) {
        (false, _) => (CheckState::Unknown, "no stream yet".to_owned()),
        (true, None) => (CheckState::Unknown, "never".to_owned()),
        (true, Some(at)) if !is_heard(Some(at), *now) => (CheckState::Bad, ago(*now - at)),
        (true, Some(_)) if !is_confirmed(facts, *now) => {
            (CheckState::Late, "the stream does not speak for it; catch-ups do".to_owned())
        }
        (true, Some(at)) => (CheckState::Good, ago(*now - at)),
    };
    check("heard", state, text, format!("≤ {} s", HEARD_WITHIN.num_seconds()), at)
}

fn stored(Checked { facts, .. }: &Checked<'_>) -> HealthCheck {
    let (state, text) = match (facts.holes, &facts.stream) {
        (0, Some(_)) => (CheckState::Good, "nothing missed".to_owned()),
        (0, None) => (CheckState::Unknown, "no stream yet".to_owned()),
        (holes, _) => (CheckState::Late, format!("{} being closed", some(holes, "hole"))),
    };
    check("stored", state, text, "no hole".to_owned(), None)
}

fn applied(Checked { facts, fresh, .. }: &Checked<'_>) -> HealthCheck {
    let is_old = fresh.backlog_age.is_some_and(|age| age > HEARD_WITHIN);
    let (state, text) = match facts {
        LiveFacts { dead_letters: letters @ 1.., .. } => (CheckState::Bad, some(*letters, "dead letter")),
        LiveFacts { backlog_events: events @ 1.., .. } => {
            let age = fresh.backlog_age.map(|age| format!(", the oldest for {}", span(age)));
            let wait = if *events == 1 { "waits" } else { "wait" };
            let state = if is_old { CheckState::Bad } else { CheckState::Good };
            (state, format!("{events} {wait}{}", age.unwrap_or_default()))
        }
        LiveFacts { dirty: dirty @ 1.., .. } => {
            (CheckState::Late, format!("{} to be fetched", some(*dirty, "record")))
        }
        LiveFacts { stream: None, .. } => (CheckState::Unknown, "no stream yet".to_owned()),
        LiveFacts { .. } => (CheckState::Good, "all that was stored".to_owned()),
    };
    check("applied", state, text, "nothing waits".to_owned(), None)
}

fn flushed(Checked { orders, now, .. }: &Checked<'_>) -> Option<HealthCheck> {
    let orders = (*orders)?;
    let age = orders.oldest.map(|oldest| *now - oldest);
    let (state, text) = match (orders.waiting, age) {
        (0, _) | (_, None) => (CheckState::Good, "every key of what changed".to_owned()),
        (waiting, Some(age)) => {
            let is_late = age > FLUSHED_WITHIN;
            let wait = if waiting == 1 { "waits" } else { "wait" };
            let text = format!("{} {wait}, the oldest for {}", some(waiting, "change"), span(age));
            (if is_late { CheckState::Late } else { CheckState::Good }, text)
        }
    };
    let bar = format!("≤ {} s", FLUSHED_WITHIN.num_seconds());
    Some(check("flushed", state, text, bar, None))
}

fn loaded(Checked { facts, load, .. }: &Checked<'_>) -> HealthCheck {
    let bar = "once, completely".to_owned();
    match load.filter(|load| load.state == JobState::Failed) {
        Some(load) => {
            check("loaded", CheckState::Bad, "the last backfill failed".to_owned(), bar, load.ended_at)
        }
        None if facts.loaded_at.is_some() => {
            check("loaded", CheckState::Good, "completely".to_owned(), bar, facts.loaded_at)
        }
        None => check("loaded", CheckState::Unknown, "never".to_owned(), bar, None),
    }
}

fn counted(Checked { count, .. }: &Checked<'_>) -> HealthCheck {
    let (state, text) = match count.unexplained {
        None => (CheckState::Unknown, "not yet".to_owned()),
        Some(0) => (CheckState::Good, "nothing unexplained".to_owned()),
        Some(left) => (CheckState::Bad, format!("{} unexplained", left.abs())),
    };
    check("counted", state, text, "none unexplained".to_owned(), count.salesforce_at)
}

/// Comparing stamps finds what events missed, but no wrong value under a right stamp.
fn verified(Checked { facts, .. }: &Checked<'_>) -> HealthCheck {
    let text = match facts.compared_at {
        Some(_) => "ids and stamps compared; values never",
        None => "never",
    };
    check("verified", CheckState::Unknown, text.to_owned(), "none differ".to_owned(), facts.compared_at)
}

fn check(name: &str, state: CheckState, text: String, bar: String, at: Option<DateTime<Utc>>) -> HealthCheck {
    HealthCheck { name: name.to_owned(), state, text, bar, at }
}

fn some(number: i64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

fn ago(age: TimeDelta) -> String {
    format!("{} ago", span(age))
}

/// A duration with one unit: `4 s`, `27 min`, `26 h`.
fn span(span: TimeDelta) -> String {
    match span.num_seconds().max(0) {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use shadow::event::ChannelName;
    use shadow::{ObjectName, ObjectState};
    use store::live_facts::StreamFacts;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
    }

    #[expect(clippy::unnecessary_wraps, reason = "every time of the facts may be unknown")]
    fn before(seconds: i64) -> Option<DateTime<Utc>> {
        Some(now() - TimeDelta::seconds(seconds))
    }

    /// An object that is live, loaded and counted.
    fn live() -> (LiveFacts, Freshness, CountView) {
        let stream = StreamFacts {
            channel: ChannelName::parse("/data/Product2ChangeEvent").expect("a channel"),
            proven_until: before(4),
            heard_at: before(4),
            permitted_at: before(4),
            member_at: before(4),
        };
        let facts = LiveFacts {
            object: ObjectName::product(),
            state: ObjectState::Live,
            ready_at: before(9_000),
            loaded_at: before(9_000),
            watermark: None,
            compared_at: None,
            formula_refreshed_at: None,
            stream: Some(stream),
            backlog_events: 0,
            oldest_unapplied: None,
            oldest_received_at: None,
            dirty: 0,
            oldest_dirty: None,
            dead_letters: 0,
            oldest_dead_letter: None,
            holes: 0,
            oldest_hole: None,
            hole_since_ever: false,
        };
        let count = CountView {
            object: "Product2".to_owned(),
            table: "sf_product_shadow".to_owned(),
            salesforce: Some(8_412),
            salesforce_at: before(1_620),
            shadow: Some(8_412),
            shadow_at: before(1_620),
            rejected: 0,
            unexplained: Some(0),
            took_ms: 240,
            problem: None,
        };
        (facts, Freshness { live_through: before(4), lag: None, backlog_age: None }, count)
    }

    fn states(
        change: impl FnOnce(&mut LiveFacts, &mut Freshness, &mut CountView),
    ) -> Vec<(String, CheckState)> {
        let (mut facts, mut fresh, mut count) = live();
        change(&mut facts, &mut fresh, &mut count);
        let of =
            Checked { facts: &facts, fresh: &fresh, count: &count, load: None, orders: None, now: now() };
        checks(&of).into_iter().map(|check| (check.name, check.state)).collect()
    }

    fn state(name: &str, change: impl FnOnce(&mut LiveFacts, &mut Freshness, &mut CountView)) -> CheckState {
        states(change).into_iter().find(|(of, _)| of == name).expect("the check is there").1
    }

    #[test]
    fn everything_holds_while_a_stream_is_heard_but_nothing_is_called_verified() {
        let found = states(|_, _, _| ());
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["heard", "stored", "applied", "loaded", "counted", "verified"]);
        assert!(found[..5].iter().all(|(_, state)| *state == CheckState::Good), "{found:?}");
        assert_eq!(found[5].1, CheckState::Unknown);
        assert_eq!(state("verified", |facts, _, _| facts.compared_at = before(60)), CheckState::Unknown);
    }

    #[test]
    fn a_stream_that_does_not_speak_for_the_object_is_said_and_a_silent_one_fails() {
        let stream = |facts: &mut LiveFacts| facts.stream.clone().expect("there is one");
        let unconfirmed = |facts: &mut LiveFacts| {
            facts.stream = Some(StreamFacts { member_at: None, ..stream(facts) });
        };
        assert_eq!(state("heard", |facts, _, _| unconfirmed(facts)), CheckState::Late);
        let silent = |facts: &mut LiveFacts| {
            facts.stream = Some(StreamFacts { heard_at: before(331), ..stream(facts) });
        };
        assert_eq!(state("heard", |facts, _, _| silent(facts)), CheckState::Bad);
    }

    #[test]
    fn without_a_stream_they_are_unknown_not_good() {
        for name in ["heard", "stored", "applied"] {
            assert_eq!(state(name, |facts, _, _| facts.stream = None), CheckState::Unknown, "{name}");
        }
    }

    #[test]
    fn a_hole_a_dead_letter_a_difference_and_a_failed_count_show() {
        assert_eq!(state("stored", |facts, _, _| facts.holes = 1), CheckState::Late);
        assert_eq!(state("applied", |facts, _, _| facts.dead_letters = 2), CheckState::Bad);
        assert_eq!(state("applied", |facts, _, _| facts.dirty = 3), CheckState::Late);
        assert_eq!(state("counted", |_, _, count| count.unexplained = Some(-37)), CheckState::Bad);
        assert_eq!(state("counted", |_, _, count| count.unexplained = None), CheckState::Unknown);
        assert_eq!(state("loaded", |facts, _, _| facts.loaded_at = None), CheckState::Unknown);
    }

    #[test]
    fn a_short_backlog_is_normal_and_an_old_one_fails() {
        let waits = |seconds: i64| {
            state("applied", |facts, fresh, _| {
                facts.backlog_events = 40;
                fresh.backlog_age = Some(TimeDelta::seconds(seconds));
            })
        };
        assert_eq!(waits(1), CheckState::Good);
        assert_eq!(waits(400), CheckState::Bad);
    }

    #[test]
    fn keys_that_wait_for_long_show_and_without_a_cache_there_is_no_such_check() {
        let (facts, fresh, count) = live();
        let found = |orders| {
            let of = Checked { facts: &facts, fresh: &fresh, count: &count, load: None, orders, now: now() };
            checks(&of).into_iter().find(|check| check.name == "flushed")
        };
        let waits = |seconds| found(Some(Standing { waiting: 12, oldest: before(seconds), second: 0 }));
        assert_eq!(found(None), None);
        assert_eq!(waits(3).map(|check| check.state), Some(CheckState::Good));
        let late = waits(190).expect("there is a cache");
        assert_eq!(
            (late.state, late.text.as_str()),
            (CheckState::Late, "12 changes wait, the oldest for 3 min")
        );
        let none = found(Some(Standing { waiting: 0, oldest: None, second: 7 }));
        assert_eq!(none.map(|check| check.state), Some(CheckState::Good));
    }
}
