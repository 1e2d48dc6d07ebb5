//! The demo org: a simulated Salesforce org inside this process, for looking around.

use std::path::PathBuf;
use std::time::Duration;

use engine::{Answer, Problem};
use simulator::{Options, Simulator};
use tokio::sync::Mutex;

/// Names a folder with an export to serve instead of the generated catalogue.
const DATA: &str = "SHADOW_SYNC_DEMO_DATA";

/// Enough records that a load can be watched, few enough that it takes seconds.
const PRODUCTS: u64 = 1_200;
const PRICES: u64 = 24_000;
const ACCOUNTS: u64 = 4_000;

/// How often a console hears that nothing changed: real orgs say so every 270 seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const FIRST_KEEP_ALIVE: Duration = Duration::from_millis(500);
const DAILY_EVENTS: u64 = 1_000_000;

/// The simulated org of this process, once it was started.
#[derive(Default)]
pub struct DemoOrg(Mutex<Option<Simulator>>);

impl DemoOrg {
    /// Starts the org, or returns the addresses of the one that runs.
    ///
    /// - **Errors:** SS-6102 where it cannot be started.
    pub async fn start(&self) -> Answer<Addresses> {
        let mut running = self.0.lock().await;
        if let Some(simulator) = &*running {
            return Ok(Addresses::of(simulator));
        }
        let options = Options {
            data: std::env::var_os(DATA).map(PathBuf::from),
            products: PRODUCTS,
            prices: PRICES,
            accounts: ACCOUNTS,
            // A quiet org is to look alive, and a demo may run for days.
            keep_alive: KEEP_ALIVE,
            first_keep_alive: Some(FIRST_KEEP_ALIVE),
            daily_events: DAILY_EVENTS,
            ..Options::default()
        };
        let simulator = Simulator::start(options).await.map_err(|error| {
            Box::new(
                Problem::new(
                    "SS-6102",
                    "The demo org could not be started",
                    "The simulated org inside this app did not begin to answer.",
                )
                .step("Close other programs that use the port, or start Shadow Sync again.")
                .details(error.to_string()),
            )
        })?;
        let addresses = Addresses::of(&simulator);
        *running = Some(simulator);
        Ok(addresses)
    }

    /// Whether somebody answers at a simulated org's address: this process, another console, `shadow-sync demo-org`.
    pub async fn answers_at(login_url: &str) -> bool {
        let Ok(url) = url::Url::parse(login_url) else { return false };
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return false };
        tokio::net::TcpStream::connect((host, port)).await.is_ok()
    }
}

/// Where the org answers.
pub struct Addresses {
    /// Login host and instance in one.
    pub login_url: String,
    /// Where change events come from.
    pub pubsub_endpoint: String,
}

impl Addresses {
    fn of(simulator: &Simulator) -> Self {
        let bare = |url: &url::Url| url.as_str().trim_end_matches('/').to_owned();
        Self { login_url: bare(simulator.base_url()), pubsub_endpoint: bare(simulator.grpc_url()) }
    }
}
