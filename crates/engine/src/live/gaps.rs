//! Holes that the receiver opens: what lies before the first position, behind a lost one, and in an outage that only
//! Salesforce or a person can end.

use chrono::{DateTime, Utc};
use shadow::ObjectName;
use shadow::event::ChannelName;
use store::change_log::StoredEvent;
use store::checkpoints;
use store::holes::{self, HoleWhy, NewHole};
use store::jobs::{self, JobKind, JobState};

use super::channels::Channel;
use super::term::Term;
use crate::problem::Answer;

/// The holes before a subscription that begins at the latest position, to be opened in the commit that says so.
///
/// - `arrived`: when the first position arrived, or when the accepted subscription surely delivers, in Salesforce's time.
/// - `is_lost`: whether there was a position before that Salesforce no longer knows.
pub(crate) async fn before_first(
    term: &Term,
    channel: &Channel,
    arrived: DateTime<Utc>,
    is_lost: bool,
) -> Result<Vec<NewHole>, store::Error> {
    let known = checkpoints::get(&term.store, &channel.name).await?;
    // An earlier subscription may have been accepted and broken off before its first position came.
    let proven = known.as_ref().and_then(|known| known.proven_until);
    let has_position = known.is_some_and(|known| known.replay_id.is_some());
    let other = if proven.is_some() { None } else { proven_elsewhere(term, channel).await? };
    let mut opened = Vec::with_capacity(channel.objects.len());
    for object in &channel.objects {
        let since = match proven {
            Some(proven) => Some(proven),
            None => read_since(term, object).await?,
        };
        let (from, why) = match other {
            _ if has_position && is_lost => (since, HoleWhy::PositionLost),
            Some(proven) => (Some(proven), HoleWhy::ChannelChanged),
            None => (since, HoleWhy::FirstPosition),
        };
        opened.push(NewHole::new(object, why).on(&channel.name).from(from).until(Some(arrived)));
    }
    Ok(opened)
}

/// Up to when another channel, by which these objects came before, is proven.
async fn proven_elsewhere(term: &Term, channel: &Channel) -> Result<Option<DateTime<Utc>>, store::Error> {
    let others = checkpoints::list(&term.store).await?;
    let is_ours = |name: &ChannelName| term.channels.iter().any(|ours| ours.name == *name);
    let left: Vec<_> = others
        .into_iter()
        .filter(|other| {
            other.channel != channel.name && !is_ours(&other.channel) && other.replay_id.is_some()
        })
        .collect();
    Ok(left.iter().filter_map(|other| other.proven_until).min())
}

/// From when on an object's changes are not in its table: the beginning of its last whole load, or of the one that
/// runs; none if there is none.
async fn read_since(term: &Term, object: &ObjectName) -> Result<Option<DateTime<Utc>>, store::Error> {
    let jobs = jobs::list(&term.store, Some(object), 20).await?;
    let load = jobs.into_iter().find(|job| {
        let counts = matches!(job.state, JobState::Done | JobState::Running | JobState::Paused);
        job.kind == JobKind::Backfill && counts
    });
    Ok(load.map(|job| job.created_at))
}

/// Opens a hole, or widens the one there is, from what the channel has proven until now.
pub(crate) async fn open_since_proven(
    term: &Term,
    channel: &Channel,
    objects: &[ObjectName],
    why: HoleWhy,
    now: DateTime<Utc>,
) -> Answer<()> {
    let saved = checkpoints::get(&term.store, &channel.name).await?;
    let proven = saved.and_then(|saved| saved.proven_until);
    let mut opened = Vec::with_capacity(objects.len());
    for object in objects {
        let from = match proven {
            Some(proven) => Some(proven),
            None => read_since(term, object).await?,
        };
        opened.push(NewHole::new(object, why).on(&channel.name).from(from).until(Some(now)));
    }
    Ok(holes::open(&term.store, &term.lease, &opened).await?)
}

/// Events of these objects are not applied although they have tables: what they say is a hole, opened before they are
/// passed over.
pub(crate) async fn miss(
    term: &Term,
    channel: &Channel,
    missed: &[ObjectName],
    events: &[StoredEvent],
) -> Answer<()> {
    let mut opened = Vec::new();
    for object in missed {
        let times = || events.iter().filter(|event| event.object == *object).map(|event| event.committed_at);
        if let (Some(first), Some(last)) = (times().min(), times().max()) {
            let hole = NewHole::new(object, HoleWhy::StreamLag).on(&channel.name);
            opened.push(hole.from(Some(first)).until(Some(last)));
        }
    }
    if opened.is_empty() {
        return Ok(());
    }
    Ok(holes::open(&term.store, &term.lease, &opened).await?)
}
