//! `shadow-sync serve` in another process, seen from outside: its metrics, its memory, its processor time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::plain_http;
use crate::process::Background;

/// Ticks of a processor a second, as `/proc` counts them on every Linux.
const TICKS: f64 = 100.0;

/// A running daemon.
pub struct BenchDaemon {
    program: Background,
    /// Open as long as it may print.
    _output: BufReader<ChildStdout>,
    port: u16,
}

/// What `/metrics` said: the sample's name with its labels, and its value.
#[derive(Debug, Default)]
pub struct Metrics(BTreeMap<String, f64>);

impl BenchDaemon {
    /// Starts it and waits until it answers.
    ///
    /// - `command`: the program, with `serve --json --listen 127.0.0.1:0`.
    pub fn start(command: &mut Command, log: &File) -> Result<Self> {
        let mut program = Background::start(command.stdout(Stdio::piped()), log)?;
        let mut output = BufReader::new(program.take_output().context("the daemon has no output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let said: Value = serde_json::from_str(&line).context("the daemon did not start; see serve.log")?;
        let address = said["listening"].as_str().context("the daemon does not say where it listens")?;
        let port = address.rsplit_once(':').context("the daemon has no port")?.1.parse()?;
        Ok(Self { program, _output: output, port })
    }

    /// The port that it answers on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its metrics now.
    pub fn metrics(&self) -> Result<Metrics> {
        let answer = plain_http::ask(self.port, "GET", "/metrics", &[], "", Duration::from_secs(30))?;
        ensure!(answer.is_success(), "/metrics answers {}", answer.status);
        Ok(Metrics::parse(&answer.body))
    }

    /// Waits until its metrics are as wanted.
    pub fn wait_until(
        &self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&Metrics) -> bool,
    ) -> Result<()> {
        let begun = Instant::now();
        loop {
            let metrics = self.metrics()?;
            if wanted(&metrics) {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < patience,
                "{what} within {} s; last seen:\n{metrics}",
                patience.as_secs()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Memory that it holds now, in bytes.
    pub fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.program.id()))?;
        resident_of(&status).context("the system does not tell the daemon's memory")
    }

    /// Processor time that it has used, over all its threads.
    pub fn processor_time(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.program.id()))?;
        processor_time_of(&stat).context("the system does not tell the daemon's processor time")
    }
}

impl Metrics {
    fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        Self(
            samples
                .filter_map(|line| {
                    let (name, value) = line.rsplit_once(' ')?;
                    Some((name.to_owned(), value.parse().ok()?))
                })
                .collect(),
        )
    }

    /// The sum of a metric over all its labels.
    pub fn sum(&self, name: &str) -> f64 {
        let is_it = |sample: &str| {
            sample.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
        };
        self.0.iter().filter(|(sample, _)| is_it(sample)).map(|(_, value)| value).sum()
    }

    /// The upper ends of a histogram's buckets, each with how many fell below it.
    fn buckets(&self, name: &str) -> Vec<(f64, f64)> {
        let prefix = format!("{name}_bucket{{le=\"");
        let mut buckets: Vec<(f64, f64)> = self
            .0
            .iter()
            .filter_map(|(sample, count)| {
                let end = sample.strip_prefix(&prefix)?.strip_suffix("\"}")?;
                Some((if end == "+Inf" { f64::INFINITY } else { end.parse().ok()? }, *count))
            })
            .collect();
        buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
        buckets
    }

    /// Below which value so much of what was observed since `before` lies, interpolated as Prometheus does it.
    pub fn quantile_since(&self, before: &Self, name: &str, quantile: f64) -> Option<f64> {
        let earlier = before.buckets(name);
        let counts: Vec<(f64, f64)> = self
            .buckets(name)
            .into_iter()
            .map(|(end, count)| {
                let was =
                    earlier.iter().find(|(of, _)| of.total_cmp(&end).is_eq()).map_or(0.0, |(_, was)| *was);
                (end, count - was)
            })
            .collect();
        let rank = counts.last()?.1 * quantile;
        let mut below = (0.0, 0.0);
        for (end, count) in counts {
            if count >= rank && count > below.1 {
                if end.is_infinite() {
                    return Some(below.0);
                }
                return Some(below.0 + (end - below.0) * (rank - below.1) / (count - below.1));
            }
            below = (end, count);
        }
        None
    }
}

impl std::fmt::Display for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, value) in self.0.iter().filter(|(name, _)| !name.contains("_bucket")) {
            writeln!(formatter, "{name} {value}")?;
        }
        Ok(())
    }
}

fn resident_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

fn processor_time_of(stat: &str) -> Option<Duration> {
    // The program's name stands in brackets and may itself hold spaces and brackets.
    let rest = stat.rsplit_once(')')?.1;
    let mut fields = rest.split_whitespace().skip(11);
    let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(Duration::from_secs_f64(ticks / TICKS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_tells_of_a_process_is_read() {
        assert_eq!(resident_of("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2 * 1024 * 1024));
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 100 1 1";
        assert_eq!(processor_time_of(stat), Some(Duration::from_secs(3)));
    }

    #[test]
    fn sums_and_quantiles_are_read_from_metrics() {
        let before =
            Metrics::parse("a_bucket{le=\"1\"} 10\na_bucket{le=\"2\"} 10\na_bucket{le=\"+Inf\"} 10\n");
        let after = Metrics::parse(
            "# TYPE a histogram\na_bucket{le=\"1\"} 10\na_bucket{le=\"2\"} 110\na_bucket{le=\"+Inf\"} 110\n\
             b{x=\"1\"} 2\nb{x=\"2 3\"} 3\nbc 9\n",
        );
        assert!((after.sum("b") - 5.0).abs() < f64::EPSILON);
        assert_eq!(after.quantile_since(&before, "a", 0.5), Some(1.5));
        assert_eq!(after.quantile_since(&after, "a", 0.5), None);
    }
}
