//! The org itself: what it holds, who may see it, and what happened to it. Tests and the control page change it here.

mod journal;
mod load;
mod oddities;
mod permissions;
mod records;
mod stream;
mod transactions;
mod usage;

use std::sync::{Arc, Mutex, RwLock, atomic::AtomicBool};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use self::{journal::Journal, permissions::Permissions, transactions::Transactions};
pub use self::{
    load::{Load, LoadReport},
    oddities::{Oddity, Why},
    stream::{Disturbance, SentEvent},
    transactions::{Transaction, TransactionId},
    usage::{Request, Usage},
};
pub(crate) use self::{stream::Streams, transactions::Write};
use crate::{
    Options,
    bulk::Jobs,
    catalogue::{self, OrgRecord, Shape},
    clock::Clock,
    cursors::Cursors,
    error::Error,
    events::Events,
    export,
    faults::{Fault, FaultId, Faults},
    ids::RecordId,
    lock::{lock, read},
    oauth::Identity,
    snapshot::Snapshot,
    soql::Access,
};

/// Positions of events for each millisecond of the machine's clock: more than are ever used.
const POSITIONS_PER_MS: u64 = 256;

/// A simulated org, shared by its servers and by the tests that steer it.
pub struct Org {
    pub(crate) options: Options,
    pub(crate) record: OrgRecord,
    pub(crate) base_url: Url,
    pub(crate) grpc_url: Url,
    pub(crate) clock: Clock,
    pub(crate) identity: Mutex<Identity>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) usage: Mutex<Usage>,
    pub(crate) cursors: Mutex<Cursors>,
    pub(crate) jobs: Mutex<Jobs>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
    pub(crate) auto_approve: AtomicBool,
    pub(crate) events: Mutex<Events>,
    pub(crate) streams: Streams,
    transactions: Mutex<Transactions>,
    data: RwLock<Snapshot>,
    permissions: Mutex<Permissions>,
    journal: Mutex<Option<Journal>>,
}

impl Org {
    /// Builds the org and replays what its state file remembers.
    pub(crate) fn new(options: Options, base_url: Url, grpc_url: Url) -> Result<Arc<Self>, Error> {
        let mut record = OrgRecord {
            id: RecordId::org(org_number(options.seed, 0)),
            name: options.org_name.clone(),
            edition: options.edition.clone(),
            is_sandbox: options.is_sandbox,
        };
        let data = match &options.data {
            Some(folder) => {
                let (objects, digest) = export::load(folder)?;
                record.id = RecordId::org(org_number(options.seed, digest));
                let surroundings = catalogue::surroundings(&record);
                Snapshot::new(objects.into_iter().chain(surroundings).collect())
            }
            None => catalogue::build(&shape(&options), &record),
        };
        let data = data.with_events(options.day_text);
        // Beyond everything that an earlier run of this org can have handed out.
        let first_position = Clock::default().now_ms().unsigned_abs() * POSITIONS_PER_MS;
        let org = Arc::new(Self {
            events: Mutex::new(Events::new(&options, first_position)),
            streams: Streams::default(),
            transactions: Mutex::default(),
            identity: Mutex::new(Identity::new(&options)),
            faults: Mutex::default(),
            usage: Mutex::new(Usage::new(options.daily_requests)),
            cursors: Mutex::new(Cursors::new(options.open_cursors)),
            jobs: Mutex::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            auto_approve: AtomicBool::new(options.auto_approve),
            data: RwLock::new(data),
            permissions: Mutex::default(),
            journal: Mutex::new(None),
            clock: Clock::default(),
            base_url,
            grpc_url,
            record,
            options,
        });
        if let Some(path) = &org.options.state {
            let journal = org.replay(path)?;
            *lock(&org.journal) = Some(journal);
        }
        let data = org.snapshot();
        lock(&org.events).know(data.event_schemas());
        Ok(org)
    }

    /// The org's id, 18 characters.
    pub fn id(&self) -> RecordId {
        self.record.id
    }

    /// All records as of now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        read(&self.data).clone()
    }

    /// What a user may not see.
    pub(crate) fn access(&self, user: RecordId) -> Access {
        let schema = Arc::clone(&read(&self.data).schema);
        lock(&self.permissions).access(user, &schema)
    }

    /// Plans misbehaviour: the next `times` requests whose method and path fit `pattern` meet `fault`.
    ///
    /// A pattern is a path, where `*` stands for anything, optionally after a method: `GET /services/data/*/query*`.
    pub fn inject(&self, pattern: &str, fault: Fault, times: u32) -> FaultId {
        lock(&self.faults).plan(pattern, fault, times)
    }

    /// Takes back planned misbehaviour.
    pub fn withdraw(&self, fault: FaultId) {
        lock(&self.faults).withdraw(fault);
    }

    /// Takes back all planned misbehaviour.
    pub fn withdraw_all(&self) {
        lock(&self.faults).clear();
    }

    /// How many requests came whose method and path fit a pattern (as in [`Org::inject`]), refused ones too.
    pub fn requests(&self, pattern: &str) -> u64 {
        lock(&self.usage).count(pattern)
    }

    /// The last requests, oldest first.
    pub fn request_log(&self) -> Vec<Request> {
        lock(&self.usage).log()
    }

    /// How many API requests count against the daily quota so far.
    pub fn api_requests_used(&self) -> u64 {
        lock(&self.usage).used()
    }

    /// Sets how many API requests count as used, and how many are allowed.
    pub fn set_api_requests(&self, used: u64, allowed: u64) {
        lock(&self.usage).set(used, allowed);
    }

    /// Moves the org's clock ahead of the machine's, in milliseconds; negative is behind.
    pub fn set_clock_ahead_ms(&self, ahead_ms: i64) {
        self.clock.set_ahead_ms(ahead_ms);
        self.streams.wake();
    }

    /// How far the org's clock is ahead of the machine's, in milliseconds.
    pub fn clock_ahead_ms(&self) -> i64 {
        self.clock.ahead_ms()
    }

    /// When the oldest open transaction began, in milliseconds since 1970: up to then everything is to be seen.
    pub(crate) fn oldest_transaction_ms(&self) -> Option<i64> {
        lock(&self.transactions).oldest_ms()
    }

    /// Ends all sessions: access tokens die, refresh tokens live.
    pub fn expire_sessions(&self) {
        lock(&self.identity).expire_sessions();
    }

    /// Ends all grants: access and refresh tokens die.
    pub fn revoke_grants(&self) {
        lock(&self.identity).revoke_grants();
    }

    /// Turns refresh-token rotation on or off.
    pub fn set_refresh_rotation(&self, on: bool) {
        lock(&self.identity).rotation = on;
    }

    /// Turns approving without a click on or off.
    pub fn set_auto_approve(&self, on: bool) {
        self.auto_approve.store(on, std::sync::atomic::Ordering::Relaxed);
    }

    /// Registers an RSA public key or certificate (PEM) for the JWT bearer flow of the demo app.
    pub fn register_jwt_key(&self, pem: &str) -> Result<(), Error> {
        lock(&self.identity).register_jwt_key(pem)
    }

    /// Registers the callbacks of the demo app, in place of those before.
    pub fn set_callbacks(&self, callbacks: Vec<String>) {
        lock(&self.identity).set_callbacks(callbacks);
    }

    /// Chooses who is signed in in the browser when an authorization is approved, and whom client credentials run as.
    pub fn set_signed_in_user(&self, username: &str) -> Result<(), Error> {
        let user = self
            .user_by_name(username)
            .ok_or_else(|| Error::NoRecord { object: "User".to_owned(), id: username.to_owned() })?;
        lock(&self.identity).signed_in = user;
        Ok(())
    }
}

fn shape(options: &Options) -> Shape {
    Shape {
        seed: options.seed,
        products: options.products,
        prices: if options.products == 0 { 0 } else { options.prices },
        accounts: options.accounts,
        multi_currency: options.multi_currency,
        long_text: options.long_text,
        nul_text: options.nul_text,
    }
}

/// A number of nine base-62 digits that stands for a seed and the data.
fn org_number(seed: u64, digest: u64) -> u64 {
    let mixed = (seed ^ digest.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)) % 13_537_086_546_263_552
}
