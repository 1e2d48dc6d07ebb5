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
};
use simulator::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, Options, Simulator};
use url::Url;

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
