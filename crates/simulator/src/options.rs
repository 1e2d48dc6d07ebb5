//! What a simulated org is started with.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// What a simulated org is started with. `Options::default()` is a small telecom catalogue on any free port.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the org answers. A loopback address opens both `127.0.0.1` and `::1`; port 0 is any free port.
    pub listen: SocketAddr,
    /// Where the control page answers, loopback only; nothing means any free port.
    pub control_listen: Option<SocketAddr>,
    /// Reports whether the org speaks TLS, with a certificate of a throw-away authority.
    pub tls: bool,
    /// A folder with `Account.csv`, `Product2.csv`, `Pricebook2.csv` and `PricebookEntry.csv` to serve instead of the
    /// generated catalogue.
    pub data: Option<PathBuf>,
    /// A file that remembers changes, so that an org that is started again has not forgotten them.
    pub state: Option<PathBuf>,
    /// Records of Product2 to generate.
    pub products: u64,
    /// Records of PricebookEntry to generate.
    pub prices: u64,
    /// Records of Account to generate.
    pub accounts: u64,
    /// The number that the generated records and the org's id follow from.
    pub seed: u64,
    /// Reports whether an authorization is granted without anybody clicking *Approve*.
    pub auto_approve: bool,
    /// The callbacks registered for the demo app, compared character by character.
    pub callbacks: Vec<String>,
    /// Reports whether each refresh answers with a new refresh token, and ends the old one.
    pub refresh_rotation: bool,
    /// Reports whether records carry a currency of their own.
    pub multi_currency: bool,
    /// Reports whether one product carries a text of 131,072 characters.
    pub long_text: bool,
    /// Reports whether one product's description holds a NUL character.
    pub nul_text: bool,
    /// The name of the org.
    pub org_name: String,
    /// The edition, as `OrganizationType` names it.
    pub edition: String,
    /// Reports whether the org calls itself a sandbox.
    pub is_sandbox: bool,
    /// The newest API version on offer.
    pub newest_version: u32,
    /// API requests allowed in 24 hours.
    pub daily_requests: u64,
    /// How long a Bulk job waits before it runs.
    pub bulk_queued: Duration,
    /// How long a Bulk job runs.
    pub bulk_running: Duration,
    /// Records of a Bulk result page when the client does not say.
    pub bulk_page: u64,
    /// The most records of a Bulk result page, whatever the client says.
    pub bulk_page_cap: Option<u64>,
    /// The most records of a REST query page, whatever the client says.
    pub query_page_cap: Option<u64>,
    /// Reports whether an empty Bulk result has a header line.
    pub bulk_header_without_rows: bool,
    /// Query cursors that a user may have open before the oldest is dropped.
    pub open_cursors: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            control_listen: None,
            tls: false,
            data: None,
            state: None,
            products: 240,
            prices: 1_200,
            accounts: 320,
            seed: 1,
            auto_approve: false,
            callbacks: vec!["http://localhost:8717/oauth/callback".to_owned()],
            refresh_rotation: false,
            multi_currency: true,
            long_text: false,
            nul_text: false,
            org_name: "Demo Telecom".to_owned(),
            edition: "Enterprise Edition".to_owned(),
            is_sandbox: false,
            newest_version: 67,
            daily_requests: 100_000,
            bulk_queued: Duration::from_millis(50),
            bulk_running: Duration::from_millis(150),
            bulk_page: 100_000,
            bulk_page_cap: None,
            query_page_cap: None,
            bulk_header_without_rows: true,
            open_cursors: 10,
        }
    }
}
