//! The one sentence that says how things stand, and the line under it.

use crate::api::counts::CountView;
use crate::api::sign_in::SignInState;
use crate::api::status::{CacheWaits, DatabaseState, ObjectHealth, ObjectStatus};
use crate::api::stream::{StreamState, StreamView};

/// Keys that wait for longer than this to be deleted are worth a sentence.
const DELETED_WITHIN_MS: u32 = 30_000;

/// What else keeps readers from what changed, whatever the tables say of themselves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hindrances<'a> {
    /// Whether stored events are not applied.
    pub is_consumer_off: bool,
    /// Whether a process is there that may take the stream.
    pub has_worker: bool,
    /// What waits to be deleted in the cache, where there is one.
    pub cache: Option<&'a CacheWaits>,
}

/// What is so, and what a tired person should know next. Worst first.
pub fn statement(
    database: &DatabaseState,
    sign_in: &SignInState,
    objects: &[ObjectStatus],
    stream: Option<&StreamView>,
    hindrances: Hindrances<'_>,
) -> (String, String) {
    match database {
        DatabaseState::Closed => {
            return (
                "No environment is open.".to_owned(),
                "Look around with a demo org, or connect one of yours.".to_owned(),
            );
        }
        DatabaseState::Starting => return ("The database is starting.".to_owned(), String::new()),
        DatabaseState::Failed { problem, .. } => {
            return (format!("{}.", problem.title), problem.cause.clone());
        }
        DatabaseState::Ready { .. } => {}
    }
    if let Some(failing) = objects.iter().find(|object| object.health == ObjectHealth::Failing) {
        let cause = failing.problem.as_ref().map_or_else(String::new, |problem| problem.title.clone());
        return (format!("The load of {} failed.", failing.object), cause);
    }
    if let SignInState::Failed { problem } = sign_in {
        return (format!("{}.", problem.title), problem.cause.clone());
    }
    let is_signed_in = matches!(sign_in, SignInState::SignedIn { .. });
    let base = of_stream(objects, stream).unwrap_or_else(|| of_objects(objects, is_signed_in));
    let found = hindered(objects, stream, hindrances);
    match found.split_first() {
        Some(((what, cure), others)) if is_calm(objects, stream) => (
            what.clone(),
            others.iter().fold(cure.clone(), |text, (what, cure)| format!("{text} {what} {cure}")),
        ),
        _ => {
            let more = found.iter().map(|(what, cure)| format!("{what} {cure}"));
            let detail: Vec<String> =
                [base.1].into_iter().filter(|text| !text.is_empty()).chain(more).collect();
            (base.0, detail.join(" "))
        }
    }
}

/// Whether nothing else is wrong, so that what hinders is the headline.
fn is_calm(objects: &[ObjectStatus], stream: Option<&StreamView>) -> bool {
    let is_quiet = |object: &ObjectStatus| {
        matches!(object.health, ObjectHealth::Live | ObjectHealth::CountsAgree | ObjectHealth::Loaded)
            && object.holes == 0
    };
    let runs = |stream: &StreamView| matches!(stream.state, StreamState::Live | StreamState::Stopped);
    objects.iter().all(is_quiet) && stream.is_none_or(runs)
}

/// What keeps changes from readers, worst first, and what ends it; nothing before the first load.
fn hindered(
    objects: &[ObjectStatus],
    stream: Option<&StreamView>,
    hindrances: Hindrances<'_>,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if objects.iter().all(|object| object.loaded_at.is_none()) {
        return found;
    }
    if let Some(stream) = stream.filter(|stream| stream.worker.is_none()) {
        let cure = match &stream.problem {
            Some(problem) => format!("{}.", problem.title),
            None if hindrances.has_worker => "A process stands by and takes it over.".to_owned(),
            None => "Start `shadow-sync serve` or the console.".to_owned(),
        };
        found.push(("Changes are not received: no process runs the stream.".to_owned(), cure));
    }
    if hindrances.is_consumer_off {
        found.push((
            "Changes are stored, but not applied: event-consumer is off.".to_owned(),
            "Apply them with `shadow-sync flags set event-consumer on`.".to_owned(),
        ));
    }
    if let Some(cache) = hindrances.cache {
        let oldest = cache.oldest_ms.filter(|age| *age > DELETED_WITHIN_MS);
        if let Some(by) = &cache.held_by {
            found.push((
                format!("The deletion of cache keys is held back by {by}."),
                "See what waits with `shadow-sync cache`; `shadow-sync cache release` lets it go on."
                    .to_owned(),
            ));
        } else if let Some(age) = oldest {
            found.push((
                format!("Cache keys wait to be deleted, the oldest for {}.", span(age)),
                "See what is in the way with `shadow-sync cache`.".to_owned(),
            ));
        }
    }
    found
}

/// What is worth saying of the stream before anything is said of loads; nothing before the first load.
fn of_stream(objects: &[ObjectStatus], stream: Option<&StreamView>) -> Option<(String, String)> {
    let stream = stream.filter(|stream| stream.worker.is_some())?;
    let loaded: Vec<&ObjectStatus> = objects.iter().filter(|object| object.loaded_at.is_some()).collect();
    let busy = |object: &&ObjectStatus| {
        matches!(
            object.health,
            ObjectHealth::Backfilling
                | ObjectHealth::Interrupted
                | ObjectHealth::Differs
                | ObjectHealth::NotLoaded
        )
    };
    if loaded.is_empty() || objects.iter().any(|object| busy(&object)) {
        return None;
    }
    let cause = || stream.problem.as_ref().map_or_else(String::new, |problem| format!("{}.", problem.title));
    match stream.state {
        StreamState::Failed => return Some(("Changes are not received.".to_owned(), cause())),
        StreamState::Backoff => {
            return Some(("The stream broke off and is tried again.".to_owned(), cause()));
        }
        StreamState::Polling => return Some(("Changes are polled.".to_owned(), cause())),
        StreamState::Paused => {
            return Some((
                "Sync is paused.".to_owned(),
                "Resume it to go on; nothing is lost for three days.".to_owned(),
            ));
        }
        StreamState::Connecting => {
            return Some(("The stream is connecting.".to_owned(), "Changes arrive in a moment.".to_owned()));
        }
        StreamState::Live | StreamState::Stopped => {}
    }
    let holes: u32 = loaded.iter().map(|object| object.holes).sum();
    if holes > 0 {
        return Some((
            "Changes may have been missed; they are being read.".to_owned(),
            match holes {
                1 => "One hole is open.".to_owned(),
                more => format!("{more} holes are open."),
            },
        ));
    }
    let worst =
        loaded.iter().filter_map(|object| object.lag_ms.map(|lag| (lag, object))).max_by_key(|(lag, _)| *lag);
    let (lag, object) = worst?;
    if object.health == ObjectHealth::Late || object.health == ObjectHealth::FarBehind {
        return Some((format!("{} is {} behind.", object.object, span(lag)), cause()));
    }
    let all_live = loaded.iter().all(|object| object.health == ObjectHealth::Live);
    all_live.then(|| {
        (
            format!("Up to date as of {} ago.", span(lag)),
            "Changes arrive as they happen. Record by record both sides were not compared.".to_owned(),
        )
    })
}

/// A span in words.
fn span(millis: u32) -> String {
    match millis / 1_000 {
        0..=1 => "a second".to_owned(),
        seconds @ 2..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

fn of_objects(objects: &[ObjectStatus], is_signed_in: bool) -> (String, String) {
    let with = |health: ObjectHealth| objects.iter().filter(move |object| object.health == health);
    if let Some(running) = with(ObjectHealth::Backfilling).next() {
        let done = running.job.as_ref().map_or(0, |job| job.done);
        let detail = match running.job.as_ref().and_then(|job| job.total) {
            Some(total) => format!("{} of {} records are merged.", grouped(done), grouped(total)),
            None => format!("{} records are merged.", grouped(done)),
        };
        return (format!("{} is being loaded.", running.object), detail);
    }
    if let Some(left) = with(ObjectHealth::Interrupted).next() {
        return (
            format!("The load of {} was interrupted.", left.object),
            "A backfill takes it up where it stood.".to_owned(),
        );
    }
    if let Some(differing) = with(ObjectHealth::Differs).next() {
        return (format!("{}.", difference(&differing.count)), differs_detail(objects));
    }
    let not_loaded: Vec<&str> = with(ObjectHealth::NotLoaded).map(|object| object.object.as_str()).collect();
    if !not_loaded.is_empty() && not_loaded.len() == objects.len() {
        let next =
            if is_signed_in { "Plan a backfill to fill the shadow." } else { "Sign in, then backfill." };
        return ("Nothing is loaded yet.".to_owned(), next.to_owned());
    }
    if !not_loaded.is_empty() {
        return (
            format!("{} not loaded yet.", enumeration(&not_loaded)),
            "The other objects are loaded.".to_owned(),
        );
    }
    if let Some(paused) = with(ObjectHealth::Paused).next() {
        return (format!("{} is paused.", paused.object), "Resume it to go on.".to_owned());
    }
    let uncounted: Vec<&str> = with(ObjectHealth::Loaded).map(|object| object.object.as_str()).collect();
    if !uncounted.is_empty() {
        return (
            "The shadow is loaded; it was not counted since.".to_owned(),
            format!("Count {} to see whether both sides agree.", uncounted.join(", ")),
        );
    }
    let rejected: u32 = objects.iter().map(|object| object.count.rejected).sum();
    let detail = match rejected {
        0 => {
            "Both sides have the same number of records. Record by record they were not compared.".to_owned()
        }
        1 => "Every record is accounted for; 1 is rejected, with its reason.".to_owned(),
        more => {
            format!("Every record is accounted for; {} are rejected, each with its reason.", grouped(more))
        }
    };
    (counts_agree(objects.len()), detail)
}

fn counts_agree(objects: usize) -> String {
    match objects {
        1 => "The counts of both sides agree.".to_owned(),
        more => format!("The counts of all {more} objects agree."),
    }
}

fn difference(count: &CountView) -> String {
    let unexplained = count.unexplained.unwrap_or_default();
    let all = count.salesforce.unwrap_or_default();
    match unexplained {
        1.. => format!(
            "{} of {} {} records are not in the shadow",
            grouped(unexplained.unsigned_abs()),
            grouped(all),
            count.object
        ),
        _ => format!(
            "The shadow has {} more {} records than Salesforce",
            grouped(unexplained.unsigned_abs()),
            count.object
        ),
    }
}

fn differs_detail(objects: &[ObjectStatus]) -> String {
    let agreeing = objects.iter().filter(|object| object.health == ObjectHealth::CountsAgree).count();
    format!("{agreeing} of {} objects agree. A backfill brings what is missing.", objects.len())
}

fn enumeration(names: &[&str]) -> String {
    match names {
        [one] => format!("{one} is"),
        [rest @ .., last] => format!("{} and {last} are", rest.join(", ")),
        [] => String::new(),
    }
}

/// `8412` → `8,412`.
fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + 4);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Hindrances<'static> = Hindrances { is_consumer_off: false, has_worker: true, cache: None };

    fn object(name: &str, health: ObjectHealth, unexplained: Option<i32>) -> ObjectStatus {
        ObjectStatus {
            object: name.to_owned(),
            table: String::new(),
            health,
            count: CountView {
                object: name.to_owned(),
                table: String::new(),
                salesforce: Some(8_412),
                salesforce_at: None,
                shadow: Some(8_409),
                shadow_at: None,
                rejected: 3,
                unexplained,
                took_ms: 0,
                problem: None,
            },
            ready_at: None,
            loaded_at: None,
            job: None,
            problem: None,
            live_through: None,
            lag_ms: None,
            backlog_events: 0,
            backlog_age_ms: None,
            heard_at: None,
            is_confirmed: false,
            holes: 0,
            dirty: 0,
            dead_letters: 0,
            compared_at: None,
            formula_live_through: None,
            next_catch_up: None,
            checks: Vec::new(),
        }
    }

    fn ready() -> DatabaseState {
        DatabaseState::Ready { server: "PostgreSQL 18".to_owned() }
    }

    #[test]
    fn agreement_is_said_with_what_is_rejected() {
        let objects = [object("Product2", ObjectHealth::CountsAgree, Some(0))];
        let (statement, detail) = statement(&ready(), &SignInState::SignedOut, &objects, None, NOTHING);
        assert_eq!(statement, "The counts of both sides agree.");
        assert_eq!(detail, "Every record is accounted for; 3 are rejected, each with its reason.");
    }

    #[test]
    fn a_difference_is_said_before_what_agrees() {
        let objects = [
            object("Account", ObjectHealth::CountsAgree, Some(0)),
            object("Product2", ObjectHealth::Differs, Some(37)),
        ];
        let (statement, _) = statement(&ready(), &SignInState::SignedOut, &objects, None, NOTHING);
        assert_eq!(statement, "37 of 8,412 Product2 records are not in the shadow.");
    }

    fn live(worker: Option<&str>) -> ([ObjectStatus; 1], StreamView) {
        let loaded = Some(chrono::DateTime::UNIX_EPOCH);
        let object = ObjectStatus {
            loaded_at: loaded,
            lag_ms: Some(3_000),
            ..object("Account", ObjectHealth::Live, Some(0))
        };
        let stream = StreamView {
            channel: "/data/ChangeEvents".to_owned(),
            state: if worker.is_some() { StreamState::Live } else { StreamState::Stopped },
            problem: None,
            live_since: None,
            retry_at: None,
            heard_at: None,
            replay_id: None,
            worker: worker.map(str::to_owned),
            is_here: false,
            backlog_events: 0,
            backlog_age_ms: None,
            channels: Vec::new(),
        };
        ([object], stream)
    }

    fn said(worker: Option<&str>, hindrances: Hindrances<'_>) -> (String, String) {
        let (objects, stream) = live(worker);
        statement(&ready(), &SignInState::SignedOut, &objects, Some(&stream), hindrances)
    }

    #[test]
    fn changes_arrive_as_they_happen_where_nothing_hinders_them() {
        let lately = CacheWaits { waiting: 2, oldest_ms: Some(29_000), held_by: None };
        for cache in [None, Some(&lately)] {
            let (headline, detail) = said(Some("daemon"), Hindrances { cache, ..NOTHING });
            assert_eq!(headline, "Up to date as of 3 s ago.");
            assert!(detail.starts_with("Changes arrive as they happen."), "{detail}");
        }
    }

    #[test]
    fn what_keeps_changes_from_readers_is_the_headline_and_its_cure_follows() {
        let (headline, detail) = said(None, Hindrances { has_worker: false, ..NOTHING });
        assert_eq!(headline, "Changes are not received: no process runs the stream.");
        assert_eq!(detail, "Start `shadow-sync serve` or the console.");
        let (headline, detail) = said(Some("daemon"), Hindrances { is_consumer_off: true, ..NOTHING });
        assert_eq!(headline, "Changes are stored, but not applied: event-consumer is off.");
        assert_eq!(detail, "Apply them with `shadow-sync flags set event-consumer on`.");
        let late = CacheWaits { waiting: 2, oldest_ms: Some(240_000), held_by: None };
        let (headline, detail) = said(Some("daemon"), Hindrances { cache: Some(&late), ..NOTHING });
        assert_eq!(headline, "Cache keys wait to be deleted, the oldest for 4 min.");
        assert_eq!(detail, "See what is in the way with `shadow-sync cache`.");
        let held = CacheWaits { waiting: 0, oldest_ms: None, held_by: Some("ana".to_owned()) };
        let (headline, _) = said(Some("daemon"), Hindrances { cache: Some(&held), ..NOTHING });
        assert_eq!(headline, "The deletion of cache keys is held back by ana.");
    }

    #[test]
    fn what_is_worse_stays_the_headline_and_what_hinders_follows() {
        let (mut objects, stream) = live(Some("daemon"));
        objects[0] = ObjectStatus { lag_ms: Some(600_000), health: ObjectHealth::Late, ..objects[0].clone() };
        let off = Hindrances { is_consumer_off: true, ..NOTHING };
        let (headline, detail) = statement(&ready(), &SignInState::SignedOut, &objects, Some(&stream), off);
        assert_eq!(headline, "Account is 10 min behind.");
        assert!(detail.contains("event-consumer is off"), "{detail}");
    }
}
