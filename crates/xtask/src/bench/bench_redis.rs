//! A Redis server in another process: filled, asked, and watched while keys go.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};

use crate::process::Background;

/// The longest that the server may take to start, or to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server that keeps nothing on disk.
pub struct BenchRedis {
    _server: Background,
    port: u16,
}

/// One connection to it.
pub struct Asking {
    answers: BufReader<TcpStream>,
    questions: TcpStream,
}

/// What the server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A line or a text; none if there is nothing.
    Text(Option<String>),
    /// A number.
    Number(i64),
    /// Several.
    List(Vec<Answer>),
}

/// What the server measured of one command since it was last told to forget.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    /// So many of a thousand calls took at most this long: 999.
    pub nearly_all: Duration,
    /// The longest.
    pub longest: Duration,
}

impl BenchRedis {
    /// Starts one in a folder.
    pub fn start(folder: &Path) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let log = File::create(folder.join("redis.log"))?;
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command.current_dir(folder).stdout(Stdio::null());
        let mut server = Background::start(&mut command, &log)?;
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            ensure!(!server.has_ended() && begun.elapsed() < PATIENCE, "redis-server did not start");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { _server: server, port })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection of its own.
    pub fn connect(&self) -> Result<Asking> {
        let questions = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        questions.set_nodelay(true)?;
        questions.set_read_timeout(Some(PATIENCE))?;
        Ok(Asking { answers: BufReader::new(questions.try_clone()?), questions })
    }

    /// Stores a small value under each of the keys, for so many seconds; 0: for ever.
    pub fn fill(&self, keys: impl Iterator<Item = String>, seconds: u64) -> Result<()> {
        /// So many questions are under way before the answers are read.
        const AT_ONCE: usize = 10_000;
        let mut asking = self.connect()?;
        let mut text = String::new();
        let mut under_way = 0;
        for key in keys {
            match seconds {
                0 => write_words(&mut text, &["SET", &key, "v"]),
                _ => write_words(&mut text, &["SET", &key, "v", "EX", &seconds.to_string()]),
            }
            under_way += 1;
            if under_way == AT_ONCE {
                asking.send(&text)?;
                asking.skip(under_way)?;
                text.clear();
                under_way = 0;
            }
        }
        asking.send(&text)?;
        asking.skip(under_way)
    }

    /// How many keys there are.
    pub fn keys(&self) -> Result<u64> {
        match self.connect()?.ask(&["DBSIZE"])? {
            Answer::Number(keys) => Ok(u64::try_from(keys)?),
            other => bail!("DBSIZE answers {other:?}"),
        }
    }

    /// Begins to measure its commands anew.
    pub fn forget_latencies(&self) -> Result<()> {
        let mut asking = self.connect()?;
        asking.ask(&["CONFIG", "SET", "latency-tracking-info-percentiles", "99.9 100"])?;
        asking.ask(&["CONFIG", "RESETSTAT"]).map(drop)
    }

    /// What it measured of each command, by its name; without the time that commands waited for each other.
    pub fn latencies(&self) -> Result<BTreeMap<String, Latency>> {
        match self.connect()?.ask(&["INFO", "latencystats"])? {
            Answer::Text(Some(text)) => Ok(latencies_of(&text)),
            other => bail!("INFO answers {other:?}"),
        }
    }

    /// Pings it until `is_over`, one ping after the other. Returns how long each took.
    pub fn ping(&self, is_over: &AtomicBool) -> Result<Vec<Duration>> {
        let mut asking = self.connect()?;
        let mut took = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            asking.ask(&["PING"])?;
            took.push(begun.elapsed());
            thread::sleep(Duration::from_micros(500));
        }
        Ok(took)
    }
}

impl Asking {
    /// Asks one thing and waits for the answer.
    pub fn ask(&mut self, words: &[&str]) -> Result<Answer> {
        let mut text = String::new();
        write_words(&mut text, words);
        self.send(&text)?;
        self.answer()
    }

    /// Hears of every key that is deleted from now on. Returns with `heard` being false, or with an error.
    pub fn watch_deletions(
        mut self,
        mut heard: impl FnMut(Option<(SystemTime, String)>) -> bool,
    ) -> Result<()> {
        self.ask(&["CONFIG", "SET", "notify-keyspace-events", "Eg"])?;
        self.ask(&["SUBSCRIBE", "__keyevent@0__:del"])?;
        self.questions.set_read_timeout(Some(Duration::from_millis(100)))?;
        loop {
            // Looked at first: a timeout in the middle of an answer would lose its begin.
            let event = match self.answers.fill_buf() {
                Ok([]) => bail!("the server closed the connection"),
                Ok(_) => match self.answer()? {
                    Answer::List(parts) => match parts.into_iter().next_back() {
                        Some(Answer::Text(Some(key))) => Some((SystemTime::now(), key)),
                        _ => None,
                    },
                    _ => None,
                },
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
                Err(error) => return Err(error.into()),
            };
            if !heard(event) {
                return Ok(());
            }
        }
    }

    fn send(&mut self, text: &str) -> Result<()> {
        Ok(self.questions.write_all(text.as_bytes())?)
    }

    fn skip(&mut self, answers: usize) -> Result<()> {
        for _ in 0..answers {
            self.answer()?;
        }
        Ok(())
    }

    fn answer(&mut self) -> Result<Answer> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let line = line.trim_end();
        let (kind, rest) = line.split_at_checked(1).context("the server closed the connection")?;
        Ok(match kind {
            "+" => Answer::Text(Some(rest.to_owned())),
            "-" => bail!("the server refused: {rest}"),
            ":" => Answer::Number(rest.parse()?),
            "$" => match rest.parse::<i64>()? {
                -1 => Answer::Text(None),
                length => {
                    let mut text = vec![0; usize::try_from(length)? + 2];
                    self.answers.read_exact(&mut text)?;
                    text.truncate(text.len() - 2);
                    Answer::Text(Some(String::from_utf8(text)?))
                }
            },
            "*" => {
                let length = rest.parse::<i64>()?.max(0);
                Answer::List((0..length).map(|_| self.answer()).collect::<Result<_>>()?)
            }
            _ => bail!("the server answers {line}"),
        })
    }
}

/// A command as the server reads it.
fn write_words(text: &mut String, words: &[&str]) {
    text.push_str(&format!("*{}\r\n", words.len()));
    for word in words {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
}

/// `latency_percentiles_usec_scan:p99.9=301.055,p100=422.911`
fn latencies_of(text: &str) -> BTreeMap<String, Latency> {
    let line = |line: &str| {
        let (name, values) = line.strip_prefix("latency_percentiles_usec_")?.split_once(':')?;
        let value = |name: &str| {
            let text = values.split(',').find_map(|part| part.strip_prefix(name))?;
            Some(Duration::from_secs_f64(text.parse::<f64>().ok()? / 1_000_000.0))
        };
        Some((name.to_owned(), Latency { nearly_all: value("p99.9=")?, longest: value("p100=")? }))
    };
    text.lines().filter_map(|text| line(text.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_measured_is_read_in_microseconds() {
        let text = "# Latencystats\r\nlatency_percentiles_usec_scan:p99.9=301.055,p100=422.911\r\n";
        let scan = latencies_of(text)["scan"];
        assert_eq!(scan.nearly_all.as_micros(), 301);
        assert_eq!(scan.longest.as_micros(), 422);
    }

    #[test]
    fn words_are_written_with_their_lengths() {
        let mut text = String::new();
        write_words(&mut text, &["GET", "ä"]);
        assert_eq!(text, "*2\r\n$3\r\nGET\r\n$2\r\nä\r\n");
    }
}
