//! Walking over one server's keys, page by page.

use std::time::Duration;

use redis::{Pipeline, Value};
use tokio::time::Instant;

use crate::Error;
use crate::connect::Node;
use crate::error::Place;
use crate::options::Options;

/// A `SCAN` over one server, from its begin to its end. What is there throughout is found at least once.
pub(crate) struct Pages {
    node: Node,
    user: String,
    pattern: String,
    /// Where the server goes on; none once it has come round.
    cursor: Option<u64>,
    pace: Pace,
}

/// What one round trip brought.
pub(crate) struct Turn {
    /// The answers to what was sent along, refusals among them.
    pub answers: Vec<Value>,
    /// The keys of this page.
    pub keys: Vec<Vec<u8>>,
}

impl Pages {
    /// Begins; measures how long a round trip takes that does nothing.
    pub async fn begin(options: &Options, mut node: Node, pattern: String) -> Result<Self, Error> {
        let asked = Instant::now();
        // Forbidden or not, the answer took its way; errors of the connection show at the first page.
        let _: Result<Value, _> = redis::cmd("PING").query_async(&mut node.connection).await;
        let pace = Pace::new(asked.elapsed());
        Ok(Self { node, user: options.user().to_owned(), pattern, cursor: Some(0), pace })
    }

    /// Whether the walk has come round; what belongs to its last page may still be sent.
    pub fn is_over(&self) -> bool {
        self.cursor.is_none()
    }

    /// Sends `along`, and asks for the next page if there is one, in one round trip.
    ///
    /// - **Errors:** those of the connection and of the page; refusals of what was sent along are among the answers.
    pub async fn turn(&mut self, mut along: Pipeline) -> Result<Turn, Error> {
        let count = along.len();
        if let Some(cursor) = self.cursor {
            along.cmd("SCAN").arg(cursor).arg("MATCH").arg(&self.pattern).arg("COUNT").arg(self.pace.count());
        }
        let place = Place { address: &self.node.address, user: &self.user };
        let asked = Instant::now();
        let mut answers: Vec<Value> = along
            .ignore_errors()
            .query_async(&mut self.node.connection)
            .await
            .map_err(|error| place.asking(&error, "SCAN"))?;
        self.pace.took(asked.elapsed());
        let mut keys = Vec::new();
        if let Some(page) = answers.drain(count..).next() {
            let page = page.extract_error().map_err(|error| place.asking(&error, "SCAN"))?;
            let (cursor, found): (u64, Vec<Vec<u8>>) =
                redis::from_redis_value(page).map_err(|error| place.asking(&error.into(), "SCAN"))?;
            keys = found;
            self.cursor = Some(cursor).filter(|cursor| *cursor != 0);
        }
        Ok(Turn { answers, keys })
    }

    /// Names the server for a refusal.
    pub fn refused(&self, error: &redis::RedisError, command: &str) -> Error {
        Place { address: &self.node.address, user: &self.user }.asking(error, command)
    }
}

/// How many keys a page asks for: five hundred (a millisecond of the server's time, or less) where the server is quick, fewer where a page takes it long.
///
/// All that a client can see is the round trip. What is above the quickest one seen is taken for the server's time, so
/// a distant server is not mistaken for a slow one.
#[derive(Debug)]
struct Pace {
    count: usize,
    quickest: Duration,
}

impl Pace {
    const MOST: usize = 500;
    const LEAST: usize = 50;
    /// Half of what a command may take.
    const SLOW: Duration = Duration::from_millis(5);
    const QUICK: Duration = Duration::from_millis(3);

    fn new(empty: Duration) -> Self {
        Self { count: Self::MOST, quickest: empty }
    }

    fn count(&self) -> usize {
        self.count
    }

    fn took(&mut self, round_trip: Duration) {
        self.quickest = self.quickest.min(round_trip);
        let server = round_trip.saturating_sub(self.quickest);
        if server > Self::SLOW {
            self.count = (self.count / 2).max(Self::LEAST);
        } else if server < Self::QUICK {
            self.count = (self.count + self.count / 4).min(Self::MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn slow_pages_get_smaller_down_to_a_least_and_recover() {
        let mut pace = Pace::new(ms(1));
        pace.took(ms(12));
        assert_eq!(pace.count(), 250);
        for _ in 0..20 {
            pace.took(ms(12));
        }
        assert_eq!(pace.count(), Pace::LEAST);
        for _ in 0..40 {
            pace.took(ms(1));
        }
        assert_eq!(pace.count(), Pace::MOST);
    }

    #[test]
    fn a_distant_server_is_not_taken_for_a_slow_one() {
        let mut pace = Pace::new(ms(80));
        for _ in 0..20 {
            pace.took(ms(82));
        }
        assert_eq!(pace.count(), Pace::MOST);
    }
}
