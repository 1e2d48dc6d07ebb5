//! Receives one channel: subscribes from the checkpoint, stores what comes, and keeps to it whatever breaks.
//!
//! A position is saved only in the commit that stored its events. What could not be received is a hole, opened in the
//! commit that saves the position behind it. A silent stream is a dead stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use rand::Rng;
use salesforce::pubsub::{Backoff, Message, Start, Subscription};
use shadow::checkpoint::Response;
use store::change_log::{self, NewEvent};
use store::checkpoints;
use store::holes::{HoleWhy, NewHole};
use tokio_util::sync::CancellationToken;

use super::channels::Channel;
use super::gaps;
use super::reaction::{Reaction, reaction};
use super::standing::ChannelStanding;
use super::term::Term;
use crate::api::stream::StreamState;
use crate::clock;
use crate::notice::View;
use crate::problem::{Answer, Problem};

/// Wall clock and monotonic clock apart by so much: the machine slept.
const SLEPT: TimeDelta = TimeDelta::seconds(30);
/// At once, but for a server that closes every stream as soon as it is opened.
const AFTER_ORDER: Duration = Duration::from_millis(200);
/// How often the clocks, the pause and the sign-in are looked at.
const TICK: Duration = Duration::from_secs(2);

/// How a subscription ended.
enum Ended {
    /// This process was told to stop.
    Stopped,
    /// A person paused it.
    Paused,
    /// The server closed it in order.
    InOrder,
    /// The machine slept.
    Slept,
    /// Salesforce or the network.
    Broken(salesforce::Error),
}

/// Receives a channel until the term ends.
pub(crate) async fn receive(term: Arc<Term>, channel: Channel, stop: CancellationToken) -> Answer<()> {
    let mut receiver =
        Receiver { term, channel, backoff: Backoff::default(), begins_anew: false, outage: None };
    while !stop.is_cancelled() {
        if receiver.is_paused().await? {
            receiver.show(ChannelStanding::plain(StreamState::Paused)).await?;
            wait(&stop, TICK).await;
            continue;
        }
        let ended = receiver.subscription(&stop).await?;
        receiver.after(ended, &stop).await?;
    }
    Ok(())
}

struct Receiver {
    term: Arc<Term>,
    channel: Channel,
    /// The pause before the next try; it doubles with each, and a message resets it.
    backoff: Backoff,
    /// The saved position is no longer known: it begins at the latest, and the first position saved opens a hole.
    begins_anew: bool,
    /// Why nothing is received, where only Salesforce or a person can end that.
    outage: Option<HoleWhy>,
}

impl Receiver {
    async fn is_paused(&self) -> Answer<bool> {
        Ok(super::eligible::is_paused(&self.term.store, &self.channel.objects).await?)
    }

    /// Shows where the channel stands, here and in the database.
    async fn show(&self, standing: ChannelStanding) -> Answer<()> {
        if !self.term.environment.live.board.channel(self.channel.name.as_str(), standing.clone()) {
            return Ok(());
        }
        let worker = self.term.environment.host.holder();
        let problem = standing.problem.as_ref().and_then(|problem| serde_json::to_value(problem).ok());
        let (store, lease, name) = (&self.term.store, &self.term.lease, &self.channel.name);
        checkpoints::set_state(store, lease, name, standing.stored(), &worker, problem.as_ref()).await?;
        self.term.environment.notices.publish(&[View::Status, View::Stream]);
        Ok(())
    }

    /// Subscribes and stores until it ends.
    async fn subscription(&mut self, stop: &CancellationToken) -> Answer<Ended> {
        let board = self.term.environment.live.board.now();
        let stands = board.channels.get(self.channel.name.as_str()).map(|channel| channel.state);
        // A channel that failed stays shown as failed until it is heard: its problem is of use to a person.
        if !matches!(stands, Some(StreamState::Failed | StreamState::Polling | StreamState::Backoff)) {
            self.show(ChannelStanding::plain(StreamState::Connecting)).await?;
        }
        let checkpoint = checkpoints::get(&self.term.store, &self.channel.name).await?;
        let start = match checkpoint.and_then(|checkpoint| checkpoint.replay_id) {
            Some(replay_id) if !self.begins_anew => Start::After(replay_id),
            saved => {
                self.begins_anew |= saved.is_some();
                Start::Latest
            }
        };
        let is_first = matches!(start, Start::Latest);
        let subscribed = tokio::select! {
            () = stop.cancelled() => return Ok(Ended::Stopped),
            subscribed = self.term.pubsub.subscribe(&self.channel.name, start) => subscribed,
        };
        match subscribed {
            Ok(subscription) => self.listen(subscription, is_first, stop).await,
            Err(error) => Ok(Ended::Broken(error)),
        }
    }

    /// Stores what comes.
    async fn listen(
        &mut self,
        mut subscription: Subscription,
        mut needs_first: bool,
        stop: &CancellationToken,
    ) -> Answer<Ended> {
        let mut clocks = Clocks::start();
        let mut is_accepted = false;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Ended::Stopped),
                message = subscription.next() => match message {
                    Ok(Some(message)) => {
                        let arrived = self.term.environment.calls.salesforce_now();
                        self.end_outage(arrived).await?;
                        if let Some(broken) = self.store(&message, arrived, &mut needs_first).await? {
                            return Ok(Ended::Broken(broken));
                        }
                        self.backoff.heard();
                        self.live().await?;
                    }
                    Ok(None) => return Ok(Ended::InOrder),
                    Err(error) => return Ok(Ended::Broken(error)),
                },
                _ = ticks.tick() => {
                    if clocks.jumped() {
                        return Ok(Ended::Slept);
                    }
                    if self.is_paused().await? {
                        return Ok(Ended::Paused);
                    }
                    // In a quiet org the first message may take minutes; Salesforce has said that it is subscribed.
                    if subscription.is_open() && self.outage.is_none() {
                        if !is_accepted {
                            self.accepted(&mut needs_first).await?;
                            is_accepted = true;
                        }
                        self.live().await?;
                    }
                }
            }
        }
    }

    /// Salesforce accepted the subscription: it is heard, and what lies before it need not wait for the first message.
    async fn accepted(&self, needs_first: &mut bool) -> Answer<()> {
        let (store, lease, channel) = (&self.term.store, &self.term.lease, &self.channel.name);
        if !*needs_first {
            return Ok(checkpoints::accepted(store, lease, channel, None).await?);
        }
        let timing = self.term.environment.timing;
        let effective = self.term.environment.calls.salesforce_now() + timing.takes_effect;
        let holes = gaps::before_first(&self.term, &self.channel, effective, self.begins_anew).await?;
        checkpoints::accepted(store, lease, channel, Some((effective, &holes))).await?;
        *needs_first = false;
        self.term.look_at_holes();
        Ok(())
    }

    /// The channel lives, and what was wrong with it is over.
    async fn live(&self) -> Answer<()> {
        let board = self.term.environment.live.board.now();
        let standing = board.channels.get(self.channel.name.as_str());
        if standing.is_some_and(|channel| channel.state == StreamState::Live) {
            return Ok(());
        }
        self.show(ChannelStanding::live(clock::now())).await
    }

    /// Something is received again: the hole of the outage ends here, and can be closed.
    async fn end_outage(&mut self, arrived: DateTime<Utc>) -> Answer<()> {
        let Some(why) = self.outage else { return Ok(()) };
        gaps::open_since_proven(&self.term, &self.channel, &self.channel.objects, why, arrived).await?;
        self.outage = None;
        self.term.look_at_holes();
        Ok(())
    }

    /// Stores one response; answers what Salesforce said where its events could not be looked at.
    async fn store(
        &mut self,
        message: &Message,
        arrived: DateTime<Utc>,
        needs_first: &mut bool,
    ) -> Answer<Option<salesforce::Error>> {
        let store = &self.term.store;
        let (lease, channel) = (&self.term.lease, &self.channel.name);
        let saves_position = !message.events.is_empty() || message.latest_replay_id.is_some();
        let holes: Vec<NewHole> = if *needs_first && saves_position {
            gaps::before_first(&self.term, &self.channel, arrived, self.begins_anew).await?
        } else {
            Vec::new()
        };
        if message.events.is_empty() {
            if let Some(latest) = &message.latest_replay_id {
                let proven_until = Response::Silence { arrived_at: arrived }.proves();
                change_log::keep_alive(store, lease, channel, latest, proven_until, &holes).await?;
            }
        } else {
            let mut events = Vec::with_capacity(message.events.len());
            for event in &message.events {
                // A schema that cannot be had at the moment ends the stream: the event comes again. One that Salesforce
                // does not know leaves the event without a header.
                let header = match self.term.pubsub.schema(&event.schema_id).await {
                    Ok(schema) => schema.header(&event.payload).map_err(|error| error.to_string()),
                    Err(error) if error.is_about_the_schema() => Err(error.to_string()),
                    Err(error) => return Ok(Some(error)),
                };
                events.push(NewEvent {
                    replay_id: event.replay_id.clone(),
                    schema_id: event.schema_id.clone(),
                    payload: event.payload.clone(),
                    header,
                });
            }
            let stored =
                change_log::append(store, lease, channel, &events, &self.channel.objects, &holes).await?;
            self.term.environment.live.metrics.stored(&stored);
            self.term.arrived(channel);
            if stored.unreadable > 0 {
                self.term.look_at_holes();
            }
        }
        if saves_position {
            if !holes.is_empty() {
                self.term.look_at_holes();
            }
            *needs_first = false;
            self.begins_anew = false;
        }
        Ok(None)
    }

    /// What follows from the end of a subscription.
    async fn after(&mut self, ended: Ended, stop: &CancellationToken) -> Answer<()> {
        let error = match ended {
            Ended::Stopped | Ended::Paused => return Ok(()),
            Ended::InOrder => {
                tracing::info!(channel.name = %self.channel.name, "Salesforce closed the stream in order; it goes on at once");
                wait(stop, AFTER_ORDER).await;
                return Ok(());
            }
            Ended::Slept => {
                tracing::info!(channel.name = %self.channel.name, "the machine slept; the stream begins again");
                self.term.pubsub.forget_connection().await;
                self.show(ChannelStanding::plain(StreamState::Connecting)).await?;
                return Ok(());
            }
            Ended::Broken(error) => error,
        };
        let problem = Problem::from(&error);
        self.term.environment.live.metrics.failed("receive", &problem.code);
        tracing::warn!(channel.name = %self.channel.name, %error, problem.code = problem.code, "the stream broke off");
        match reaction(&error) {
            Reaction::AgainSoon => self.back_off(&error, problem, stop).await,
            Reaction::PositionLost => {
                self.begins_anew = true;
                Ok(())
            }
            Reaction::Later { state, after, outage } => {
                if let Some(why) = outage {
                    let now = self.term.environment.calls.salesforce_now();
                    gaps::open_since_proven(&self.term, &self.channel, &self.channel.objects, why, now)
                        .await?;
                    self.outage = Some(why);
                    self.term.look_at_holes();
                }
                let after = after.min(self.term.environment.timing.longest_retry);
                let retry_at = clock::now() + after;
                self.show(ChannelStanding::waiting(state, problem, Some(retry_at))).await?;
                wait(stop, after).await;
                Ok(())
            }
        }
    }

    async fn back_off(
        &mut self,
        error: &salesforce::Error,
        problem: Problem,
        stop: &CancellationToken,
    ) -> Answer<()> {
        let random = rand::rng().random_range(0.0..=1.0);
        let pause = self.backoff.pause(error.pace(), random).min(self.term.environment.timing.longest_retry);
        let retry_at = clock::now() + pause;
        self.show(ChannelStanding::waiting(StreamState::Backoff, problem, Some(retry_at))).await?;
        wait(stop, pause).await;
        Ok(())
    }
}

async fn wait(stop: &CancellationToken, pause: Duration) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(pause) => {}
    }
}

/// Two clocks that part when the machine sleeps: one goes on, the other does not.
struct Clocks {
    wall: DateTime<Utc>,
    monotonic: Instant,
}

impl Clocks {
    fn start() -> Self {
        Self { wall: clock::now(), monotonic: Instant::now() }
    }

    fn jumped(&mut self) -> bool {
        let now = Self::start();
        let jumped = part(now.wall - self.wall, now.monotonic - self.monotonic) > SLEPT;
        *self = now;
        jumped
    }
}

/// How far the two clocks parted.
fn part(wall: TimeDelta, monotonic: Duration) -> TimeDelta {
    (wall - TimeDelta::from_std(monotonic).unwrap_or(TimeDelta::MAX)).abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_slept_is_found_out_by_its_clocks() {
        assert!(part(TimeDelta::seconds(61), Duration::from_secs(1)) > SLEPT);
        assert!(part(TimeDelta::seconds(-40), Duration::from_secs(1)) > SLEPT);
        assert!(part(TimeDelta::milliseconds(1_010), Duration::from_secs(1)) < SLEPT);
    }
}
