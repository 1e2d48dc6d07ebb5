//! What a simulated org is started with.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// The objects that are selected for change events when nobody says.
const SELECTED: [&str; 3] = ["Account", "Product2", "PricebookEntry"];

/// What a simulated org is started with. `Options::default()` is a small telecom catalogue on any free port.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the org answers. A loopback address opens both `127.0.0.1` and `::1`; port 0 is any free port.
    pub listen: SocketAddr,
    /// Where the control page answers, loopback only; nothing means any free port.
    pub control_listen: Option<SocketAddr>,
    /// Where the Pub/Sub API answers; nothing means any free port of this machine. Plaintext is for loopback only.
    pub grpc_listen: Option<SocketAddr>,
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
    /// The objects on the default channel of change events; at most five may be selected over all channels.
    pub selected: Vec<String>,
    /// Custom channels of change events and their objects; names end in `__chn`.
    pub channels: Vec<(String, Vec<String>)>,
    /// How often a subscription without events hears that there are none. Real orgs: 270 seconds at most.
    pub keep_alive: Duration,
    /// When a new subscription first hears that there are none; nothing means after the same time.
    pub first_keep_alive: Option<Duration>,
    /// Reports whether a response with events names a position behind its last event as the latest one. Only a response
    /// without events says up to where everything was sent: a client that forgets that loses events.
    pub latest_beyond_events: bool,
    /// How long after its commit an event is sent. In real orgs it is usually seconds: what is read meanwhile is newer.
    pub event_delay: Duration,
    /// How long a subscription that asks for nothing more lives. Real orgs: 60 to 70 seconds.
    pub idle_close: Duration,
    /// The most events of one response, however many were asked for.
    pub events_per_response: usize,
    /// Bytes of events that are kept. Real orgs keep 72 hours, whatever it takes: older ones are forgotten here too.
    pub retained_bytes: usize,
    /// Events that may be delivered in 24 hours, each counted for each of its subscribers.
    pub daily_events: u64,
    /// Subscriptions at the same time.
    pub subscribers: usize,
    /// Changes in one transaction above which no more events are sent but one overflow event per object.
    pub overflow_after: usize,
    /// Reports whether events tell commit times in milliseconds; real ones are seen in whole seconds.
    pub exact_commit_times: bool,
    /// The number of the org's commits so far.
    pub first_commit_number: i64,
    /// Reports whether a nulled field is among the changed fields of an event too: real samples differ.
    pub nulled_in_changed: bool,
    /// Reports whether a long text comes as a difference where that is shorter.
    pub text_diffs: bool,
    /// Reports whether events write days as text instead of milliseconds: not known of real orgs.
    pub day_text: bool,
    /// Reports whether an object's own topic is refused while it is not selected. Real orgs are seen to be silent.
    pub refuse_unselected: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            control_listen: None,
            grpc_listen: None,
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
            selected: SELECTED.map(str::to_owned).to_vec(),
            channels: vec![("ShadowSync__chn".to_owned(), SELECTED.map(str::to_owned).to_vec())],
            keep_alive: Duration::from_secs(270),
            first_keep_alive: None,
            latest_beyond_events: false,
            event_delay: Duration::ZERO,
            idle_close: Duration::from_secs(65),
            events_per_response: 100,
            retained_bytes: 1024 * 1024 * 1024,
            daily_events: 25_000,
            subscribers: 1_000,
            overflow_after: 100_000,
            exact_commit_times: false,
            first_commit_number: 11_101_546_841_929,
            nulled_in_changed: true,
            text_diffs: true,
            day_text: false,
            refuse_unselected: false,
        }
    }
}
