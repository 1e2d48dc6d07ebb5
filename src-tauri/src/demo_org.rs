//! The demo org: a simulated Salesforce org inside this process, for looking around.

use std::path::PathBuf;

use engine::{Answer, Problem};
use simulator::{Options, Simulator};
use tokio::sync::Mutex;

/// Names a folder with an export to serve instead of the generated catalogue.
const DATA: &str = "SHADOW_SYNC_DEMO_DATA";

/// Enough records that a load can be watched, few enough that it takes seconds.
const PRODUCTS: u64 = 1_200;
const PRICES: u64 = 24_000;
const ACCOUNTS: u64 = 4_000;

/// The simulated org of this process, once it was started.
#[derive(Default)]
pub struct DemoOrg(Mutex<Option<Simulator>>);

impl DemoOrg {
    /// Starts the org, or returns the address of the one that runs.
    ///
    /// - **Errors:** SS-6102 where it cannot be started.
    pub async fn start(&self) -> Answer<String> {
        let mut running = self.0.lock().await;
        if let Some(simulator) = &*running {
            return Ok(address_of(simulator));
        }
        let options = Options {
            data: std::env::var_os(DATA).map(PathBuf::from),
            products: PRODUCTS,
            prices: PRICES,
            accounts: ACCOUNTS,
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
        let address = address_of(&simulator);
        *running = Some(simulator);
        Ok(address)
    }

    /// Whether somebody answers at a simulated org's address: this process, another console, `shadow-sync demo-org`.
    pub async fn answers_at(login_url: &str) -> bool {
        let Ok(url) = url::Url::parse(login_url) else { return false };
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return false };
        tokio::net::TcpStream::connect((host, port)).await.is_ok()
    }
}

fn address_of(simulator: &Simulator) -> String {
    simulator.base_url().as_str().trim_end_matches('/').to_owned()
}
