//! Confirms that the stream speaks for its objects: on a channel of several, one that is not selected or not permitted
//! is silently absent, and a topic of an object that is not selected is silent for ever.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use salesforce::pubsub::StreamRefusal;
use salesforce::{ChannelMember, Error, Purpose};
use shadow::ObjectName;
use shadow::event::ChannelName;
use store::channel_members::{self, Finding};
use store::holes::HoleWhy;
use tokio_util::sync::CancellationToken;

use super::channels::Channel;
use super::gaps;
use super::term::Term;
use crate::notice::View;
use crate::problem::{Answer, MendAct, Mender, Problem};

/// How often the org's metadata is asked, which costs a call; an object's own topic costs none and is asked more often.
const METADATA_EVERY: Duration = Duration::from_hours(1);

/// Confirms until the term ends.
pub(crate) async fn confirm(term: Arc<Term>, stop: CancellationToken) -> Answer<()> {
    let mut metadata = Metadata::default();
    let mut doubtful: HashMap<ObjectName, HoleWhy> = HashMap::new();
    while !stop.is_cancelled() {
        describe_missing(&term).await;
        metadata.refresh(&term).await;
        for channel in &term.channels {
            for object in &channel.objects {
                let found = look(&term, channel, object, &metadata).await?;
                follow(&term, channel, object, found, &mut doubtful).await?;
            }
        }
        // While something is wrong it is looked at more often: it comes back by itself within ten minutes.
        let every = term.environment.timing.confirm_every;
        let pause = if doubtful.is_empty() { every } else { every.min(Duration::from_secs(30)) };
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    Ok(())
}

/// Describes objects that could not be described before: their permission may be back.
async fn describe_missing(term: &Term) {
    let mappings = &term.environment.live.mappings;
    for channel in &term.channels {
        for object in channel.objects.iter().filter(|object| mappings.get(object).is_none()) {
            match mappings.describe(&term.environment, &term.client, object).await {
                Ok(_) => term.look_at_holes(),
                Err(problem) => {
                    tracing::debug!(object.name = %object, problem.code = problem.code, "still cannot be mapped");
                }
            }
        }
    }
}

/// What the org's metadata says of its channels.
#[derive(Default)]
struct Metadata {
    members: Option<Vec<ChannelMember>>,
    read_at: Option<Instant>,
    /// Something was found missing: it is looked at again soon.
    is_doubted: bool,
}

impl Metadata {
    async fn refresh(&mut self, term: &Term) {
        let age = self.read_at.map(|at| at.elapsed());
        if age.is_some_and(|age| age < METADATA_EVERY && !(self.is_doubted && age > Duration::from_mins(5))) {
            return;
        }
        self.read_at = Some(Instant::now());
        match term.client.with_purpose(Purpose::Stream).channel_members().await {
            Ok(members) => {
                let missing = |channel: &Channel| {
                    channel.objects.iter().any(|object| !has(&members, &channel.name, object))
                };
                self.is_doubted = term.channels.iter().any(missing);
                self.members = Some(members);
            }
            Err(error) => {
                // Who may not look into the setup learns it from the events themselves.
                tracing::debug!(%error, "the channels' members could not be read");
                self.members = None;
            }
        }
    }

    /// Whether a channel carries an object; none if the setup may not be looked at.
    fn carries(&self, channel: &ChannelName, object: &ObjectName) -> Option<bool> {
        self.members.as_ref().map(|members| has(members, channel, object))
    }
}

fn has(members: &[ChannelMember], channel: &ChannelName, object: &ObjectName) -> bool {
    members.iter().any(|member| member.is_of(channel, object))
}

/// What is wrong with an object on its channel.
struct Wrong {
    why: HoleWhy,
    problem: Problem,
}

/// Looks at one object, and keeps what was found.
async fn look(
    term: &Term,
    channel: &Channel,
    object: &ObjectName,
    metadata: &Metadata,
) -> Answer<Option<Wrong>> {
    let topic = term.pubsub.topic(&ChannelName::of_object(object)).await;
    let (permitted, refused) = match topic {
        Ok(topic) if topic.can_subscribe => (Some(true), None),
        Ok(_) => (Some(false), Some(refusal(StreamRefusal::NotSubscribable))),
        Err(Error::StreamRefused { refusal: found, .. }) if is_about_the_object(found) => {
            (Some(false), Some(refusal(found)))
        }
        // Nothing was learnt; what was confirmed before holds as long as it holds.
        Err(error) => {
            tracing::debug!(object.name = %object, %error, "an object's topic could not be asked for");
            (None, None)
        }
    };
    let member = match &refused {
        Some(wrong) if wrong.why == HoleWhy::Selection => Some(false),
        _ => metadata.carries(&channel.name, object),
    };
    let is_missing = member == Some(false);
    let wrong = refused.or_else(|| {
        is_missing.then(|| Wrong { why: HoleWhy::Selection, problem: not_selected(&channel.name, object) })
    });
    let problem = wrong.as_ref().and_then(|wrong| serde_json::to_value(&wrong.problem).ok());
    let finding = Finding { permitted, member, problem: problem.as_ref() };
    channel_members::note(&term.store, &channel.name, object, finding).await?;
    Ok(wrong)
}

fn is_about_the_object(refusal: StreamRefusal) -> bool {
    matches!(
        refusal,
        StreamRefusal::TopicNotFound | StreamRefusal::TopicForbidden | StreamRefusal::NotSubscribable
    )
}

fn refusal(refusal: StreamRefusal) -> Wrong {
    let why = if refusal == StreamRefusal::TopicNotFound { HoleWhy::Selection } else { HoleWhy::Permission };
    Wrong { why, problem: crate::problem::stream_refused(refusal) }
}

/// The object's changes send no events to the channel.
pub(crate) fn not_selected(channel: &ChannelName, object: &ObjectName) -> Problem {
    Problem::new(
        "SS-7012",
        format!("{object} is not selected on {channel}"),
        "Its changes send no events there, and the channel does not say so. They are found by the catch-up only.",
    )
    .mended_by(Mender::SalesforceAdmin)
    .step(format!("Add {object} to the channel: Setup, Change Data Capture, or the channel's members."))
    .step("It takes up to ten minutes, and goes on by itself.")
    .act(MendAct::CheckAgain)
}

/// Opens a hole when something is found wrong, and ends it when that is over.
async fn follow(
    term: &Term,
    channel: &Channel,
    object: &ObjectName,
    found: Option<Wrong>,
    doubtful: &mut HashMap<ObjectName, HoleWhy>,
) -> Answer<()> {
    let before = doubtful.get(object).copied();
    let why = match (&found, before) {
        (None, None) => return Ok(()),
        (Some(wrong), _) => wrong.why,
        (None, Some(why)) => why,
    };
    let now = term.environment.calls.salesforce_now();
    gaps::open_since_proven(term, channel, std::slice::from_ref(object), why, now).await?;
    match found {
        Some(_) => doubtful.insert(object.clone(), why),
        None => doubtful.remove(object),
    };
    term.look_at_holes();
    term.environment.notices.publish(&[View::Status, View::Stream, View::Holes]);
    Ok(())
}
