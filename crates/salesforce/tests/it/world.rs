//! A simulated org, a client that is signed in to it, and a browser that a test steers.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use salesforce::{
    AccessToken, CallMade, Client, ClientOptions, Error, OriginPolicy, RetrySchedule, TokenSource, Transport,
    TransportOptions,
    auth::{App, LoginHost},
    pubsub::{Message, PubSub, PubSubOptions, RawEvent, Start, Subscription},
};
use shadow::event::ChannelName;
use simulator::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, Options, Simulator};
use url::Url;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct World {
    pub simulator: Simulator,
    pub client: Client,
    pub tokens: Arc<Tokens>,
    pub calls: Arc<Mutex<Vec<CallMade>>>,
}

impl World {
    pub async fn start() -> Self {
        Self::start_with(Options { products: 60, prices: 150, accounts: 40, ..Options::default() }).await
    }

    /// An org in whose quiet channels something is heard ten times a second.
    pub async fn streaming() -> Self {
        Self::streaming_with(Options::default()).await
    }

    pub async fn streaming_with(options: Options) -> Self {
        let keep_alive = Duration::from_millis(100);
        let options = Options { products: 20, prices: 30, accounts: 10, keep_alive, ..options };
        Self::start_with(options).await
    }

    /// The org's event service.
    pub fn pubsub(&self) -> PubSub {
        self.pubsub_with(self.pubsub_options())
    }

    pub fn pubsub_options(&self) -> PubSubOptions {
        let endpoint = self.simulator.grpc_url().clone();
        PubSubOptions::new(endpoint, policy(self.simulator.base_url()))
    }

    pub fn pubsub_with(&self, options: PubSubOptions) -> PubSub {
        let tokens = Arc::clone(&self.tokens) as Arc<dyn TokenSource>;
        let org_id = self.simulator.org().id().as_str().parse().expect("an org's id");
        PubSub::new(options, tokens, org_id).expect("an event service")
    }

    /// A subscription to everything from now on. Its first message has come.
    pub async fn subscription(&self, pubsub: &PubSub) -> Subscription {
        let mut subscription = pubsub.subscribe(&all(), Start::Latest).await.expect("a subscription");
        next(&mut subscription).await;
        subscription
    }

    pub async fn start_with(options: Options) -> Self {
        let simulator = Simulator::start(options).await.expect("an org");
        let tokens = Arc::new(Tokens::new(login_host(&simulator, true)));
        let calls = Arc::<Mutex<Vec<CallMade>>>::default();
        let heard = Arc::clone(&calls);
        let options = ClientOptions {
            retry: quick(),
            observer: Some(Arc::new(move |call| heard.lock().expect("no panic").push(call.clone()))),
            ..ClientOptions::default()
        };
        let source = Arc::clone(&tokens) as Arc<dyn TokenSource>;
        let client = Client::new(tokens.host.transport().clone(), source, options);
        Self { simulator, client, tokens, calls }
    }
}

/// The channel of every selected object.
pub fn all() -> ChannelName {
    channel(ChannelName::ALL_CHANGES)
}

pub fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).expect("a channel")
}

/// The next message of a stream that goes on.
pub async fn next(subscription: &mut Subscription) -> Message {
    let message = tokio::time::timeout(PATIENCE, subscription.next()).await;
    message.expect("a message in time").expect("no refusal").expect("the stream goes on")
}

/// The next events, so many. A stream that only says that it is alive is not waited for for ever.
pub async fn receive(subscription: &mut Subscription, count: usize) -> Vec<RawEvent> {
    let mut events = Vec::new();
    let receiving = async {
        while events.len() < count {
            events.extend(next(subscription).await.events);
        }
    };
    tokio::time::timeout(PATIENCE, receiving).await.expect("events in time");
    events
}

/// How a stream ends.
pub async fn end(subscription: &mut Subscription) -> Result<(), Error> {
    let ending = async {
        loop {
            match subscription.next().await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    };
    tokio::time::timeout(PATIENCE, ending).await.expect("an end in time")
}

/// Retries as in production, but without the pauses.
pub fn quick() -> RetrySchedule {
    RetrySchedule { first: Duration::from_millis(1), cap: Duration::from_millis(5), attempts: 4 }
}

pub fn policy(login_url: &Url) -> OriginPolicy {
    OriginPolicy { login_url: login_url.clone(), loopback_allowed: true }
}

/// The login host of a simulated org, as its demo app.
pub fn login_host(simulator: &Simulator, with_secret: bool) -> LoginHost {
    let app = App {
        client_id: DEMO_CLIENT_ID.to_owned(),
        client_secret: with_secret.then(|| DEMO_CLIENT_SECRET.into()),
    };
    login_host_of(simulator.base_url(), app)
}

pub fn login_host_of(login_url: &Url, app: App) -> LoginHost {
    let transport = Transport::new(&TransportOptions::for_login(login_url.clone())).expect("a transport");
    LoginHost::new(transport, policy(login_url), app, None)
}

/// A port that nobody listens on, and a redirect to it.
pub fn free_redirect() -> Url {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    Url::parse(&format!("http://localhost:{port}/oauth/callback")).expect("a URL")
}

/// Tokens by client credentials; counts how often it had to sign in.
pub struct Tokens {
    pub host: LoginHost,
    current: tokio::sync::Mutex<Option<AccessToken>>,
    pub sign_ins: AtomicU64,
}

impl Tokens {
    pub fn new(host: LoginHost) -> Self {
        Self { host, current: tokio::sync::Mutex::new(None), sign_ins: AtomicU64::new(0) }
    }

    async fn obtain(&self) -> Result<AccessToken, Error> {
        self.sign_ins.fetch_add(1, Ordering::SeqCst);
        Ok(self.host.client_credentials().await?.access)
    }
}

impl TokenSource for Tokens {
    fn current(&self) -> BoxFuture<'_, Result<AccessToken, Error>> {
        async {
            let mut current = self.current.lock().await;
            if current.is_none() {
                *current = Some(self.obtain().await?);
            }
            Ok(current.clone().expect("it was just set"))
        }
        .boxed()
    }

    fn refresh<'a>(&'a self, stale: &'a AccessToken) -> BoxFuture<'a, Result<AccessToken, Error>> {
        async move {
            let mut current = self.current.lock().await;
            if current.as_ref() == Some(stale) || current.is_none() {
                *current = Some(self.obtain().await?);
            }
            Ok(current.clone().expect("it was just set"))
        }
        .boxed()
    }
}

/// A token that somebody handed over together with another origin.
pub struct Handed(pub AccessToken);

impl TokenSource for Handed {
    fn current(&self) -> BoxFuture<'_, Result<AccessToken, Error>> {
        Box::pin(async { Ok(self.0.clone()) })
    }

    fn refresh<'a>(&'a self, _: &'a AccessToken) -> BoxFuture<'a, Result<AccessToken, Error>> {
        self.current()
    }
}
