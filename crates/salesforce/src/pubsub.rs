//! The Pub/Sub API: topics, schemas, and a subscription that keeps asking for as many events as can be stored.
//!
//! One connection carries all streams. It is made when it is first needed, and made anew after it broke or fell silent.
//! Every call carries the token of the [`TokenSource`]; one that has expired is renewed without the caller noticing, in
//! the middle of a stream too.

mod answer;
mod backoff;
mod connect;
mod flow;
mod proto;
mod refusal;
mod subscription;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use shadow::{OrgId, event::ChannelName};
use tonic::{
    Request, Response, Status,
    metadata::{AsciiMetadataValue, errors::InvalidMetadataValue},
    transport::{Channel, Endpoint},
};
use url::Url;

use self::{
    answer::GrpcOnly,
    connect::{Address, Connector},
    proto::{SchemaInfo, SchemaRequest, TopicInfo, TopicRequest, pub_sub_client::PubSubClient},
    refusal::Asked,
};
pub use self::{
    backoff::{Backoff, Pace},
    refusal::StreamRefusal,
    subscription::{Message, RawEvent, Start, Subscription},
};
use crate::{AccessToken, Error, OriginPolicy, TokenSource, avro::Schema, error::SCHEMA};

/// How this program names itself to Salesforce.
const USER_AGENT: &str = concat!("shadow-sync/", env!("CARGO_PKG_VERSION"));

/// Renewals in a row. The first may bring a token that another program left behind, and that has expired as well.
const MAX_RENEWALS: u32 = 2;

/// Answers hold up to 3 MB by Salesforce's word.
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// How much may be on its way before the reader has to take it.
const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// How often an idle connection is tested, and how long the answer may take.
const PING_EVERY: Duration = Duration::from_secs(45);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a topic or a schema may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Through which proxy the event service is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Proxy {
    /// As the system and `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY` say; none for a service on this machine.
    #[default]
    System,
    /// This one, whatever the system says.
    Through(Url),
}

/// What a [`PubSub`] is built with.
#[derive(Debug, Clone)]
pub struct PubSubOptions {
    /// The event service: `https://api.pubsub.salesforce.com:7443`, or `http://127.0.0.1:PORT` without TLS.
    pub endpoint: Url,
    /// To whom the access token may go, beside Salesforce's own domains.
    pub origins: OriginPolicy,
    /// Further root certificates (DER), beside the system's.
    pub extra_roots: Vec<Vec<u8>>,
    /// The way there.
    pub proxy: Proxy,
    /// How long connecting to one port may take, proxy and TLS included.
    pub connect_timeout: Duration,
    /// After how long without any message a stream counts as dead. Keep-alives come at least every 270 s.
    pub silence: Duration,
    /// How many events a new subscription may have outstanding.
    pub window: u32,
}

impl PubSubOptions {
    /// The usual limits for an endpoint.
    pub fn new(endpoint: Url, origins: OriginPolicy) -> Self {
        Self {
            endpoint,
            origins,
            extra_roots: Vec::new(),
            proxy: Proxy::System,
            connect_timeout: Duration::from_secs(10),
            silence: Duration::from_secs(330),
            window: 100,
        }
    }
}

/// What a topic is to the user who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name as Salesforce writes it.
    pub name: String,
    /// Whether the user may subscribe to it.
    pub can_subscribe: bool,
    /// The newest schema of its events; absent for a channel of several objects.
    pub schema_id: Option<String>,
}

/// The event service of one org. Cheap to clone; all clones share one connection and all schemas.
#[derive(Clone)]
pub struct PubSub {
    shared: Arc<Shared>,
}

struct Shared {
    address: Arc<Address>,
    connector: Connector,
    tokens: Arc<dyn TokenSource>,
    org_id: OrgId,
    silence: Duration,
    window: u32,
    connection: tokio::sync::Mutex<Option<Connection>>,
    connections_made: AtomicU64,
    schemas: Mutex<HashMap<String, Arc<Schema>>>,
}

/// A connection, and how many there were before it.
#[derive(Clone)]
struct Connection {
    channel: Channel,
    number: u64,
    /// Whether nothing was sent on it before. One that was idle may have died without anybody knowing.
    is_new: bool,
}

type GrpcClient = PubSubClient<GrpcOnly<Channel>>;

impl PubSub {
    /// Takes note of where the service is and how it is reached; nothing is sent yet.
    ///
    /// - **Errors:** [`Error::ForeignOrigin`] where the token must not be sent, [`Error::TlsSetup`].
    pub fn new(options: PubSubOptions, tokens: Arc<dyn TokenSource>, org_id: OrgId) -> Result<Self, Error> {
        let PubSubOptions { endpoint, origins, extra_roots, proxy, connect_timeout, silence, window } =
            options;
        let address = Arc::new(Address::of(&endpoint, &origins)?);
        let connector = Connector::new(Arc::clone(&address), extra_roots, &proxy, connect_timeout)?;
        let shared = Shared {
            address,
            connector,
            tokens,
            org_id,
            silence,
            window,
            connection: tokio::sync::Mutex::default(),
            connections_made: AtomicU64::new(0),
            schemas: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What a channel is to the user. Costs no call of the org's quota, and no delivered event.
    ///
    /// - **Errors:** [`Error::StreamRefused`]: `TopicNotFound` where the object was not selected, `TopicForbidden` where
    ///   the user may not read it.
    pub async fn topic(&self, channel: &ChannelName) -> Result<Topic, Error> {
        let request = TopicRequest { topic_name: channel.as_str().to_owned() };
        let answer: TopicInfo = self
            .unary("topic", request, |mut client, request| {
                Box::pin(async move { client.get_topic(request).await })
            })
            .await?;
        Ok(Topic {
            name: answer.topic_name,
            can_subscribe: answer.can_subscribe,
            schema_id: Some(answer.schema_id).filter(|id| !id.is_empty()),
        })
    }

    /// The schema that an event names; asked for once.
    ///
    /// - **Errors:** [`Error::StreamRefused`] with `SchemaUnknown`, [`Error::Unreadable`] if it is no schema of change
    ///   events.
    pub async fn schema(&self, id: &str) -> Result<Arc<Schema>, Error> {
        let known = self.schemas().get(id).cloned();
        if let Some(schema) = known {
            return Ok(schema);
        }
        let request = SchemaRequest { schema_id: id.to_owned() };
        let answer: SchemaInfo = self
            .unary(SCHEMA, request, |mut client, request| {
                Box::pin(async move { client.get_schema(request).await })
            })
            .await?;
        let schema = Schema::parse(id, &answer.schema_json)
            .map_err(|error| Error::Unreadable { operation: SCHEMA, reason: error.to_string() })?;
        Ok(Arc::clone(self.schemas().entry(id.to_owned()).or_insert_with(|| Arc::new(schema))))
    }

    /// Opens a subscription.
    ///
    /// - **Shape:** it begins with the first message after `from`; nothing of what came before it is delivered.
    /// - **Errors:** those of connecting and signing in. A refusal may also come from [`Subscription::next`]: Salesforce
    ///   may answer only once it has something to say.
    pub async fn subscribe(&self, channel: &ChannelName, from: Start) -> Result<Subscription, Error> {
        Subscription::open(self.clone(), channel.clone(), from).await
    }

    /// Makes the next call open a connection of its own: after the machine slept, the old one is dead without anybody
    /// knowing. Streams that still run on it are left alone.
    pub async fn forget_connection(&self) {
        *self.shared.connection.lock().await = None;
    }

    fn schemas(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Schema>>> {
        self.shared.schemas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One question and its answer, an expired session renewed.
    async fn unary<M: Clone, R>(
        &self,
        operation: &'static str,
        message: M,
        send: impl Fn(GrpcClient, Request<M>) -> BoxFuture<'static, Result<Response<R>, Status>>,
    ) -> Result<R, Error> {
        let mut renewals = 0;
        loop {
            let token = self.shared.tokens.current().await?;
            let connection = self.connection().await?;
            let mut request = self.signed(Request::new(message.clone()), &token)?;
            request.set_timeout(ANSWER_TIMEOUT);
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, send(client(&connection), request)).await;
            let error = match answer {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => refusal::read(Asked { operation, position_at_stake: false }, &status),
                Err(_) => Error::StreamLost { operation, reason: "no answer came in time".to_owned() },
            };
            if error.ends_session() && renewals < MAX_RENEWALS {
                self.shared.tokens.refresh(&token).await?;
                renewals += 1;
                continue;
            }
            if matches!(error, Error::StreamLost { .. }) {
                self.abandon(&connection).await;
                if !connection.is_new {
                    continue;
                }
            }
            return Err(error);
        }
    }

    /// Adds what every call must carry.
    fn signed<M>(&self, mut request: Request<M>, token: &AccessToken) -> Result<Request<M>, Error> {
        let unusable = |_: InvalidMetadataValue| Error::Unreadable {
            operation: "token",
            reason: "it holds characters that no header can carry".to_owned(),
        };
        let mut secret = AsciiMetadataValue::try_from(token.expose()).map_err(unusable)?;
        secret.set_sensitive(true);
        let instance = AsciiMetadataValue::try_from(token.instance().to_string()).map_err(unusable)?;
        let tenant = AsciiMetadataValue::try_from(self.shared.org_id.as_str()).map_err(unusable)?;
        let metadata = request.metadata_mut();
        metadata.insert("accesstoken", secret);
        metadata.insert("instanceurl", instance);
        metadata.insert("tenantid", tenant);
        Ok(request)
    }

    /// The connection, made if there is none: at the first port that answers.
    async fn connection(&self) -> Result<Connection, Error> {
        let mut current = self.shared.connection.lock().await;
        if let Some(connection) = &*current {
            return Ok(Connection { is_new: false, ..connection.clone() });
        }
        let mut reasons = Vec::new();
        for &port in &self.shared.address.ports {
            match self.connect(port).await {
                Ok(channel) => {
                    let number = self.shared.connections_made.fetch_add(1, Ordering::Relaxed);
                    let connection = Connection { channel, number, is_new: true };
                    tracing::debug!(host = self.shared.address.host, port, "connected to the event service");
                    *current = Some(connection.clone());
                    return Ok(connection);
                }
                Err(error) => reasons.push(format!("port {port}: {}", innermost(&error))),
            }
        }
        Err(Error::StreamLost { operation: "events", reason: reasons.join("; ") })
    }

    async fn connect(&self, port: u16) -> Result<Channel, tonic::transport::Error> {
        let address = &self.shared.address;
        let origin = address.uri(port).unwrap_or_default();
        // Encryption is the connector's business; here the address names only where to connect.
        let endpoint = Endpoint::from_shared(format!("http://{}:{port}", address.host))?
            .origin(origin)
            .user_agent(USER_AGENT)?
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(2 * STREAM_WINDOW_BYTES)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true);
        endpoint.connect_with_connector(self.shared.connector.clone()).await
    }

    /// Forgets a connection that is of no use any more. Streams that still run on it are left alone.
    async fn abandon(&self, connection: &Connection) {
        let mut current = self.shared.connection.lock().await;
        if current.as_ref().is_some_and(|current| current.number == connection.number) {
            *current = None;
        }
    }
}

impl fmt::Debug for PubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSub").field("address", &self.shared.address).finish_non_exhaustive()
    }
}

fn client(connection: &Connection) -> GrpcClient {
    PubSubClient::new(GrpcOnly(connection.channel.clone())).max_decoding_message_size(MAX_MESSAGE_BYTES)
}

/// The last cause of an error; those above it say only that something failed.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
