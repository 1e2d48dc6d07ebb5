//! The demo org: a simulated Salesforce org inside this process, for looking around.

use std::path::PathBuf;

use engine::api::environments::EnvironmentView;
use engine::{Answer, Problem};
use simulator::{Options, Simulator};
use tokio::sync::Mutex;

/// The simulated org of this process, once it was started.
#[derive(Default)]
pub struct DemoOrg(Mutex<Option<Simulator>>);

impl DemoOrg {
    /// Starts the org, or returns the address of the one that runs.
    pub async fn start(&self) -> Answer<String> {
        self.start_at(0).await
    }

    /// Starts the org of a demo environment again, at the address that the environment knows, unless something
    /// answers there already: another console, or `shadow-sync demo-org`.
    pub async fn ensure(&self, environment: &EnvironmentView) -> Answer<()> {
        let Some(port) = loopback_port(environment) else { return Ok(()) };
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Ok(());
        }
        self.start_at(port).await.map(|_| ())
    }

    async fn start_at(&self, port: u16) -> Answer<String> {
        let mut running = self.0.lock().await;
        if let Some(simulator) = &*running {
            return Ok(simulator.base_url().to_owned());
        }
        let options = Options {
            listen: ([127, 0, 0, 1], port).into(),
            data: std::env::var_os("SHADOW_SYNC_DEMO_DATA").map(PathBuf::from),
            ..Options::default()
        };
        let simulator = Simulator::start(options).await.map_err(|error| {
            Box::new(
                Problem::new("SS-6102", "The demo org could not be started", "The simulated org inside this app did not begin to answer.")
                    .step("Close other programs that use the port, or start Shadow Sync again.")
                    .details(error.to_string()),
            )
        })?;
        let url = simulator.base_url().to_owned();
        *running = Some(simulator);
        Ok(url)
    }
}

/// The port of a simulated org on this machine; none for any other org.
fn loopback_port(environment: &EnvironmentView) -> Option<u16> {
    let url = url::Url::parse(&environment.login_url).ok()?;
    let is_here = environment.is_simulated && url.scheme() == "http" && url.host_str() == Some("127.0.0.1");
    is_here.then(|| url.port()).flatten()
}
