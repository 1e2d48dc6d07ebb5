//! One subscription: messages in their order, and as many requests for more as the window allows.

use std::fmt;

use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture};
use shadow::event::{ChannelName, ReplayId};
use tokio::{sync::mpsc, time::Instant};
use tonic::{Response, Status, Streaming};

use super::{
    Connection, MAX_RENEWALS, PubSub, client,
    flow::Flow,
    proto::{FetchRequest, FetchResponse, ReplayPreset},
    refusal::{self, Asked},
};
use crate::{AccessToken, Error};

/// Requests that may wait to be sent; one is sent per answer at most.
const WAITING_REQUESTS: usize = 16;

const OPERATION: &str = "events";

/// Where a subscription begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With what happens from now on.
    Latest,
    /// With the oldest event that is still kept.
    Earliest,
    /// After a message received earlier.
    After(ReplayId),
}

/// One event as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEvent {
    /// Its position in the channel.
    pub replay_id: ReplayId,
    /// The schema that wrote it.
    pub schema_id: String,
    /// The Avro datum.
    pub payload: Bytes,
}

/// What came at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The events, in their order; none in a keep-alive.
    pub events: Vec<RawEvent>,
    /// Up to where the channel is known to have been delivered. It counts only without events, and after everything
    /// before it is stored.
    pub latest_replay_id: Option<ReplayId>,
    /// How many events Salesforce still owes, by its own count.
    pub pending: i32,
}

/// A running subscription. Dropping it ends the stream.
///
/// It asks for more by itself whenever [`Subscription::next`] is waited for, so the waiting must go on: a stream that is
/// owed nothing for a minute is closed by Salesforce.
pub struct Subscription {
    pubsub: PubSub,
    channel: ChannelName,
    /// Behind the last message that was handed out.
    position: Start,
    flow: Flow,
    stage: Stage,
    /// Renewals since the last message.
    renewals: u32,
    /// When the last message came, or the stream was opened.
    heard: Instant,
}

type Opening = BoxFuture<'static, Result<Response<Streaming<FetchResponse>>, Status>>;

enum Stage {
    /// The token has expired.
    Renewing { stale: AccessToken },
    /// The connection was dead before anything came of it.
    Reconnecting { token: AccessToken },
    /// The first request is sent, no answer yet.
    Opening { link: Link, opening: Opening },
    /// The answer has begun.
    Open { link: Link, responses: Box<Streaming<FetchResponse>>, answered: bool },
    /// It ended.
    Closed,
}

/// What a stream was opened with.
#[derive(Clone)]
struct Link {
    token: AccessToken,
    connection: Connection,
    requests: mpsc::Sender<FetchRequest>,
}

impl Subscription {
    pub(super) async fn open(pubsub: PubSub, channel: ChannelName, from: Start) -> Result<Self, Error> {
        let now = Instant::now();
        let flow = Flow::new(pubsub.shared.window, now);
        let mut subscription =
            Self { pubsub, channel, position: from, flow, stage: Stage::Closed, renewals: 0, heard: now };
        let token = subscription.pubsub.shared.tokens.current().await?;
        subscription.start(token).await?;
        Ok(subscription)
    }

    /// The channel.
    pub fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// Whether Salesforce has accepted it. It may say so only with its first message, minutes later in a quiet org.
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open { .. })
    }

    /// How many events may come before [`Subscription::next`] asks for more.
    pub fn outstanding(&self) -> u32 {
        self.flow.outstanding()
    }

    /// How many events may be outstanding from now on. With 0 nothing more is asked for, except for one event in time
    /// before Salesforce would close the stream.
    pub fn set_window(&mut self, window: u32) {
        self.flow.set_window(window);
    }

    /// Waits until Salesforce has accepted the subscription, or refuses it. Cancelling it loses nothing.
    pub async fn opened(&mut self) -> Result<(), Error> {
        loop {
            match &mut self.stage {
                Stage::Open { .. } | Stage::Closed => return Ok(()),
                Stage::Opening { .. } => self.finish_opening().await?,
                Stage::Renewing { .. } => self.renew().await?,
                Stage::Reconnecting { token } => {
                    let token = token.clone();
                    self.start(token).await?;
                }
            }
        }
    }

    /// The next message. Cancelling it loses nothing.
    ///
    /// - **Shape:** `None` when Salesforce ended the stream in good order, as it does when it is updated: open another
    ///   one after the last stored message. One that ends before its first message is an error.
    /// - **Errors:** [`Error::StreamSilent`] after [`super::PubSubOptions::silence`] without a message,
    ///   [`Error::StreamRefused`], [`Error::StreamLost`]; the stream has ended then.
    pub async fn next(&mut self) -> Result<Option<Message>, Error> {
        loop {
            self.opened().await?;
            if matches!(self.stage, Stage::Closed) {
                return Ok(None);
            }
            self.ask();
            let silent_at = self.heard + self.pubsub.shared.silence;
            let wake_at = self.flow.ask_by().map_or(silent_at, |ask_by| ask_by.min(silent_at));
            let Stage::Open { responses, .. } = &mut self.stage else { continue };
            match tokio::time::timeout_at(wake_at, responses.next()).await {
                Ok(Some(Ok(response))) => return self.take(response).map(Some),
                Ok(None) => return self.ended(),
                Ok(Some(Err(status))) => self.failed(&status).await?,
                Err(_) if Instant::now() >= silent_at => return Err(self.silent().await),
                Err(_) => {}
            }
        }
    }

    /// Sends the first request of a new stream.
    async fn start(&mut self, token: AccessToken) -> Result<(), Error> {
        let connection = self.pubsub.connection().await?;
        let (requests, waiting) = mpsc::channel(WAITING_REQUESTS);
        let now = Instant::now();
        let asked = self.flow.restart(now);
        let mut first = self.request(asked);
        match &self.position {
            Start::Latest => first.set_replay_preset(ReplayPreset::Latest),
            Start::Earliest => first.set_replay_preset(ReplayPreset::Earliest),
            Start::After(replay_id) => {
                first.set_replay_preset(ReplayPreset::Custom);
                first.replay_id = replay_id.as_bytes().to_vec();
            }
        }
        // The channel is new and has room.
        let _ = requests.try_send(first);
        let waiting = futures::stream::unfold(waiting, |mut waiting| async move {
            let request = waiting.recv().await?;
            Some((request, waiting))
        });
        let request = self.pubsub.signed(tonic::Request::new(waiting), &token)?;
        let mut client = client(&connection);
        let opening = Box::pin(async move { client.subscribe(request).await });
        self.heard = now;
        self.stage = Stage::Opening { link: Link { token, connection, requests }, opening };
        Ok(())
    }

    async fn finish_opening(&mut self) -> Result<(), Error> {
        let silent_at = self.heard + self.pubsub.shared.silence;
        let Stage::Opening { link, opening } = &mut self.stage else { return Ok(()) };
        match tokio::time::timeout_at(silent_at, opening.as_mut()).await {
            Ok(Ok(response)) => {
                let (link, responses) = (link.clone(), Box::new(response.into_inner()));
                self.stage = Stage::Open { link, responses, answered: false };
                Ok(())
            }
            Ok(Err(status)) => self.failed(&status).await,
            Err(_) => Err(self.silent().await),
        }
    }

    async fn renew(&mut self) -> Result<(), Error> {
        let Stage::Renewing { stale } = &self.stage else { return Ok(()) };
        let token = self.pubsub.shared.tokens.refresh(stale).await?;
        self.start(token).await
    }

    /// Asks for more events where there is room for more.
    fn ask(&mut self) {
        let now = Instant::now();
        let wanted = self.flow.wanted(now);
        if wanted == 0 {
            return;
        }
        let request = self.request(wanted);
        if let Stage::Open { link, .. } = &self.stage
            && link.requests.try_send(request).is_ok()
        {
            self.flow.asked(wanted, now);
        }
    }

    fn request(&self, events: u32) -> FetchRequest {
        FetchRequest {
            topic_name: self.channel.as_str().to_owned(),
            num_requested: i32::try_from(events).unwrap_or(i32::MAX),
            ..FetchRequest::default()
        }
    }

    fn take(&mut self, response: FetchResponse) -> Result<Message, Error> {
        let now = Instant::now();
        self.heard = now;
        self.renewals = 0;
        if let Stage::Open { answered, .. } = &mut self.stage {
            *answered = true;
        }
        self.flow.received(response.events.len(), response.pending_num_requested, now);
        let events: Vec<_> = response
            .events
            .into_iter()
            .map(|consumed| {
                let event = consumed.event.unwrap_or_default();
                RawEvent {
                    replay_id: ReplayId::new(consumed.replay_id),
                    schema_id: event.schema_id,
                    payload: event.payload,
                }
            })
            .collect();
        if events.iter().any(|event| event.replay_id.as_bytes().is_empty()) {
            self.stage = Stage::Closed;
            let reason = "an event came without a position".to_owned();
            return Err(Error::Unreadable { operation: OPERATION, reason });
        }
        let latest_replay_id = Some(response.latest_replay_id).filter(|id| !id.is_empty()).map(ReplayId::new);
        let behind = events.last().map(|event| event.replay_id.clone()).or_else(|| latest_replay_id.clone());
        if let Some(behind) = behind {
            self.position = Start::After(behind);
        }
        Ok(Message { events, latest_replay_id, pending: response.pending_num_requested })
    }

    /// The server ended the stream in good order. One that ends before it said anything would be opened again without a
    /// pause, over and over.
    fn ended(&mut self) -> Result<Option<Message>, Error> {
        match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Open { answered: false, .. } => Err(Error::StreamLost {
                operation: OPERATION,
                reason: "the stream ended before its first message".to_owned(),
            }),
            _ => Ok(None),
        }
    }

    /// Reads why the stream ended. A session that has expired is no error: the next round renews it and goes on behind
    /// the last message that was handed out. Before the first one nothing is known of the stream, so that nothing is
    /// lost by beginning once more where it was to begin.
    async fn failed(&mut self, status: &Status) -> Result<(), Error> {
        let stage = std::mem::replace(&mut self.stage, Stage::Closed);
        let (link, is_open, answered) = match stage {
            Stage::Opening { link, .. } => (link, false, false),
            Stage::Open { link, answered, .. } => (link, true, answered),
            Stage::Renewing { .. } | Stage::Reconnecting { .. } | Stage::Closed => return Ok(()),
        };
        let position_at_stake = matches!(self.position, Start::After(_)) && !answered;
        let error = refusal::read(Asked { operation: OPERATION, position_at_stake }, status);
        if error.ends_session() && self.renewals < MAX_RENEWALS {
            self.renewals += 1;
            tracing::info!(channel = %self.channel, "the event stream's session has expired and is renewed");
            self.stage = Stage::Renewing { stale: link.token };
            return Ok(());
        }
        if matches!(error, Error::StreamLost { .. }) {
            self.pubsub.abandon(&link.connection).await;
            if !is_open && !link.connection.is_new {
                tracing::debug!(channel = %self.channel, %error, "the connection was dead, another one is made");
                self.stage = Stage::Reconnecting { token: link.token };
                return Ok(());
            }
        }
        Err(error)
    }

    /// Ends a stream on which nothing comes any more, and its connection, which may be dead without anybody knowing.
    async fn silent(&mut self) -> Error {
        let stage = std::mem::replace(&mut self.stage, Stage::Closed);
        if let Stage::Opening { link, .. } | Stage::Open { link, .. } = stage {
            self.pubsub.abandon(&link.connection).await;
        }
        Error::StreamSilent { waited: self.pubsub.shared.silence }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("channel", &self.channel)
            .field("position", &self.position)
            .field("outstanding", &self.flow.outstanding())
            .finish_non_exhaustive()
    }
}
