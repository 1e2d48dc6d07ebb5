//! Walking over the keys of all masters, whatever happens to them meanwhile.
//!
//! A master whose walk breaks is walked again from its begin, after its successor was found; one that got hash slots
//! after its walk began is walked again too, and so is one that is still receiving keys at the end, after all others.
//! So a key that is there throughout is found, wherever it is moved, at the price of meeting some keys twice.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use redis::{Pipeline, Value};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::cluster::{self, Master};
use crate::connect::Node;
use crate::options::{Options, Topology};
use crate::pages::Pages;

/// The pause between two attempts to find a server again.
const PAUSE: Duration = Duration::from_millis(250);

/// What a walk looks for.
pub(crate) struct Sought {
    /// As Redis' `MATCH` reads it.
    pub pattern: String,
    /// Every key that it finds expires by itself, so that a server where none does need not be walked over for it.
    pub expires: bool,
}

/// A walk over all masters, one after the other; on each for all patterns, one after the other.
pub(crate) struct Sweep<'a> {
    options: &'a Options,
    sought: Vec<Sought>,
    stop: &'a CancellationToken,
    /// By node id, the slots that were its own when its last finished walk began.
    covered: HashMap<String, BTreeSet<u16>>,
    /// The nodes that were walked a last time because they were receiving keys.
    closed: HashSet<String>,
    /// Nodes that were seen, to ask when those of the address are gone.
    known: Vec<(String, u16)>,
    current: Option<Current>,
    /// When something last went well; none before anything did.
    well: Option<Instant>,
    is_stopped: bool,
}

struct Current {
    master: Master,
    pattern: usize,
    pages: Pages,
}

/// A page of keys, and the answers to what was sent along with the question for it.
pub(crate) struct Page {
    /// The keys.
    pub keys: Vec<Vec<u8>>,
    /// The answers to what was sent to the server of the last page.
    pub answers: Vec<Value>,
}

impl<'a> Sweep<'a> {
    pub fn new(options: &'a Options, sought: Vec<Sought>, stop: &'a CancellationToken) -> Self {
        Self {
            options,
            sought,
            stop,
            covered: HashMap::new(),
            closed: HashSet::new(),
            known: Vec::new(),
            current: None,
            well: None,
            is_stopped: false,
        }
    }

    /// Whether it ended because it was told to.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// The next page; none at the end, or when told to stop.
    ///
    /// - **Shape:** `along` goes to the server of the last page, in the same round trip. It is lost when that server is;
    ///   then the same keys come again.
    /// - **Errors:** whatever no patience mends; the first contact is not waited for.
    pub async fn next(&mut self, mut along: Pipeline) -> Result<Option<Page>, Error> {
        loop {
            if self.stop.is_cancelled() {
                self.is_stopped = true;
                return Ok(None);
            }
            match self.attempt(along).await {
                Ok(page) => {
                    self.well = Some(Instant::now());
                    return Ok(page);
                }
                Err(error) => self.endure(error).await?,
            }
            along = Pipeline::new();
        }
    }

    /// A refusal of something that was sent along.
    pub fn refused(&self, error: &redis::RedisError, command: &str) -> Error {
        match &self.current {
            Some(current) => current.pages.refused(error, command),
            None => Error::Refused {
                address: self.options.hosts_text(),
                command: command.to_owned(),
                reason: error.to_string(),
            },
        }
    }

    /// Waits for a server that went away, while that makes sense; the walk of its master begins again.
    pub async fn endure(&mut self, error: Error) -> Result<(), Error> {
        self.current = None;
        let is_final = match &error {
            Error::ReadOnly { .. } => self.options.topology == Topology::Single,
            other => !other.is_transient(),
        };
        let has_patience = self.well.is_some_and(|well| well.elapsed() < self.options.patience);
        if is_final || !has_patience {
            return Err(error);
        }
        tracing::debug!(%error, "a walk over the cache's keys was interrupted; it begins again");
        tokio::select! {
            () = sleep(PAUSE) => {}
            () = self.stop.cancelled() => {}
        }
        Ok(())
    }

    async fn attempt(&mut self, along: Pipeline) -> Result<Option<Page>, Error> {
        loop {
            let Some(current) = &mut self.current else {
                match self.next_master().await? {
                    Some(master) => self.begin(master, 0).await?,
                    None => return Ok(None),
                }
                continue;
            };
            if !current.pages.is_over() || !along.is_empty() {
                let turn = current.pages.turn(along).await?;
                return Ok(Some(Page { keys: turn.keys, answers: turn.answers }));
            }
            let next = current.pattern + 1;
            let master = current.master.clone();
            if next < self.sought.len() {
                self.begin(master, next).await?;
            } else {
                self.covered.insert(master.id, master.slots);
                self.current = None;
            }
        }
    }

    async fn begin(&mut self, master: Master, pattern: usize) -> Result<(), Error> {
        let mut node = Node::open(self.options, &master.host, master.port).await?;
        let mut pattern = pattern;
        if self.sought[pattern].expires && pattern + 1 < self.sought.len() && !has_expiring(&mut node).await {
            pattern += 1;
        }
        let pages = Pages::begin(self.options, node, self.sought[pattern].pattern.clone()).await?;
        self.current = Some(Current { master, pattern, pages });
        Ok(())
    }

    /// A master that was not walked since it got all its slots, or that is receiving keys of masters that were.
    async fn next_master(&mut self) -> Result<Option<Master>, Error> {
        let masters = cluster::masters(self.options, &self.known).await?;
        self.known = masters.iter().map(|master| (master.host.clone(), master.port)).collect();
        let uncovered = masters.iter().find(|master| {
            self.covered.get(&master.id).is_none_or(|slots| !slots.is_superset(&master.slots))
        });
        if let Some(master) = uncovered {
            return Ok(Some(master.clone()));
        }
        for master in masters {
            if !self.closed.contains(&master.id) && cluster::is_receiving(self.options, &master).await? {
                self.closed.insert(master.id.clone());
                return Ok(Some(master));
            }
        }
        Ok(None)
    }
}

/// Whether a server holds any key that expires by itself; where nobody may ask, it may.
async fn has_expiring(node: &mut Node) -> bool {
    let asked = redis::cmd("INFO").arg("keyspace").query_async::<String>(&mut node.connection).await;
    // `db0:keys=10,expires=0,avg_ttl=0`, a line for each database that is not empty.
    let count =
        |line: &str| line.split(',').find_map(|part| part.strip_prefix("expires=")?.parse::<u64>().ok());
    asked.map_or(true, |text| {
        text.lines().filter(|line| line.starts_with("db")).any(|line| count(line) != Some(0))
    })
}
