//! What a flush would delete, and walking over keys for other reasons.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use redis::{Pipeline, Value};
use tokio_util::sync::CancellationToken;

use crate::lease::is_lease;
use crate::sweep::{Sought, Sweep};
use crate::{Cache, Error, pattern};

/// What a flush would delete.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preview {
    /// How many keys match; exact while nobody writes. Leases are not counted.
    pub keys: u64,
    /// Some of them, in alphabetical order.
    pub examples: Vec<Example>,
    /// How much memory they take, as the server counts it; none if the user may not ask.
    pub bytes: Option<u64>,
    /// Whether every key was measured, or some and the rest like them.
    pub bytes_exact: bool,
    /// Whether it ended because it was told to.
    pub stopped: bool,
}

/// A key that a flush would delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Its name.
    pub key: String,
    /// How much memory it takes; none if it is gone meanwhile, or the user may not ask.
    pub bytes: Option<u64>,
    /// When it goes by itself; none if it does not, or the user may not ask.
    pub expires_in: Option<Duration>,
}

/// So many keys are all measured; beyond that, [`PER_PAGE`] of each page.
const MEASURED: usize = 1_000;
const PER_PAGE: usize = 4;

impl Cache {
    /// Tells what [`flush`](Self::flush) would delete, and deletes nothing.
    ///
    /// - **Shape:** up to `examples` keys are named. Eight bytes per key are kept meanwhile, so that a key that the
    ///   server shows twice counts once.
    /// - **Errors:** as of a flush.
    pub async fn preview(
        &self,
        pattern: &str,
        examples: usize,
        stop: &CancellationToken,
    ) -> Result<Preview, Error> {
        pattern::checked(pattern)?;
        let mut sweep =
            Sweep::new(&self.options, vec![Sought { pattern: pattern.to_owned(), expires: false }], stop);
        let mut preview = Preview::default();
        let mut seen = Distinct::default();
        let mut measured = Measured::default();
        let mut named = BTreeSet::new();
        let mut along = Pipeline::new();
        while let Some(page) = sweep.next(along).await? {
            measured.heard(page.answers);
            along = Pipeline::new();
            let mut of_page = 0;
            for key in page.keys.iter().filter(|key| !is_lease(key)) {
                seen.insert(key);
                if named.len() < examples {
                    named.insert(String::from_utf8_lossy(key).into_owned());
                }
                if measured.asked < MEASURED || of_page < PER_PAGE {
                    along.cmd("MEMORY").arg("USAGE").arg(key);
                    measured.asked += 1;
                    of_page += 1;
                }
            }
        }
        preview.keys = seen.count();
        for key in named {
            preview.examples.push(self.example(key).await);
        }
        preview.stopped = sweep.is_stopped();
        preview.bytes_exact = !preview.stopped && measured.keys >= preview.keys && !measured.is_refused;
        preview.bytes = measured.of(preview.keys);
        Ok(preview)
    }

    async fn example(&self, key: String) -> Example {
        // Examples adorn a preview; one that cannot be asked for stands without its size.
        let bytes = self.keyed.ask("MEMORY USAGE", redis::cmd("MEMORY").arg("USAGE").arg(&key)).await;
        let ttl: Result<i64, _> = self.keyed.ask("PTTL", redis::cmd("PTTL").arg(&key)).await;
        let expires_in = ttl.ok().and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        Example { key, bytes: bytes.unwrap_or_default(), expires_in }
    }

    /// Walks over the keys that match, leases left out; a key may come twice.
    ///
    /// - **Shape:** `visit` gets page after page and may break off. Returns whether the walk came to its end.
    /// - **Errors:** as of a flush.
    pub async fn keys(
        &self,
        pattern: &str,
        visit: &mut (dyn FnMut(&[String]) -> ControlFlow<()> + Send),
        stop: &CancellationToken,
    ) -> Result<bool, Error> {
        pattern::checked(pattern)?;
        let mut sweep =
            Sweep::new(&self.options, vec![Sought { pattern: pattern.to_owned(), expires: false }], stop);
        while let Some(page) = sweep.next(Pipeline::new()).await? {
            let keys: Vec<String> = page
                .keys
                .iter()
                .filter(|key| !is_lease(key))
                .map(|key| String::from_utf8_lossy(key).into_owned())
                .collect();
            if !keys.is_empty() && visit(&keys).is_break() {
                return Ok(false);
            }
        }
        Ok(!sweep.is_stopped())
    }
}

/// Counts distinct keys by 64 bits of each; two keys of ten million collide with a chance of one in 400,000.
#[derive(Default)]
struct Distinct {
    hashes: Vec<u64>,
    /// How many of them are known to be distinct and in order.
    sorted: usize,
}

impl Distinct {
    fn insert(&mut self, key: &[u8]) {
        let hash = std::hash::BuildHasher::hash_one(
            &std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::new(),
            key,
        );
        self.hashes.push(hash);
        // Whoever walks twice over the same keys does not keep them twice.
        if self.hashes.len() > 2 * self.sorted.max(1 << 20) {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        self.sorted = self.hashes.len();
    }

    fn count(&mut self) -> u64 {
        self.settle();
        self.hashes.len() as u64
    }
}

/// What the server said of the memory of some keys.
#[derive(Default)]
struct Measured {
    asked: usize,
    keys: u64,
    bytes: u64,
    is_refused: bool,
}

impl Measured {
    fn heard(&mut self, answers: Vec<Value>) {
        for answer in answers {
            match answer {
                Value::Int(bytes) => {
                    self.keys += 1;
                    self.bytes += u64::try_from(bytes).unwrap_or_default();
                }
                // Gone meanwhile.
                Value::Nil => {}
                _ => self.is_refused = true,
            }
        }
    }

    /// The memory of so many keys like these.
    fn of(&self, keys: u64) -> Option<u64> {
        if self.is_refused {
            return None;
        }
        match self.keys {
            0 => Some(0),
            measured => {
                let all = u128::from(self.bytes) * u128::from(keys) / u128::from(measured);
                u64::try_from(all).ok()
            }
        }
    }
}
