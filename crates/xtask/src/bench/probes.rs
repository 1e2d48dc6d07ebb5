//! How long a change of the org takes until others see it in the database: single changes, made and waited for.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::bench_org::Control;

/// A connection to the database that waits for a change to become visible.
pub struct Probes {
    psql: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    next: u32,
}

impl Probes {
    /// - `psql`: connected to the database, printing bare values.
    pub fn start(psql: &mut Command) -> Result<Self> {
        let mut psql =
            psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("psql did not start")?;
        let questions = psql.stdin.take();
        let answers = BufReader::new(psql.stdout.take().context("psql has no output")?);
        Ok(Self { psql, questions, answers, next: 0 })
    }

    /// Changes a record for so long, again and again. Returns how long each change took to be seen.
    ///
    /// - `id`: a product; its bandwidth is written, which nothing else writes.
    pub fn run(
        &mut self,
        control: &Control,
        id: &str,
        how_long: Duration,
        pause: Duration,
    ) -> Result<Vec<Duration>> {
        let begun = Instant::now();
        let mut seen = Vec::new();
        while begun.elapsed() < how_long {
            seen.push(self.probe(control, id)?);
            std::thread::sleep(pause);
        }
        Ok(seen)
    }

    fn probe(&mut self, control: &Control, id: &str) -> Result<Duration> {
        self.next += 1;
        let value = format!("{}.0", self.next);
        // The database looks every millisecond, so that nothing but that is in the way. Statements of a block see
        // what was committed since the one before.
        let wait = format!(
            "do $$ begin for look in 1..10000 loop \
               exit when exists (select from sf_product_shadow where product_id = '{id}' \
                                    and raw_payload->>'Bandwidth_Mbit__c' = '{value}'); \
               perform pg_sleep(0.001); \
             end loop; end $$; select extract(epoch from clock_timestamp());\n"
        );
        let questions = self.questions.as_mut().context("psql is gone")?;
        questions.write_all(wait.as_bytes())?;
        questions.flush()?;
        let changed = SystemTime::now().duration_since(UNIX_EPOCH)?;
        control.change("Product2", id, &json!({ "Bandwidth_Mbit__c": self.next }))?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let visible =
            Duration::try_from_secs_f64(answer.trim().parse().context("psql does not tell the time")?)?;
        let took = visible.saturating_sub(changed);
        ensure!(took < Duration::from_secs(10), "change {value} of {id} was not seen within 10 s");
        Ok(took)
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.questions.take());
        let _ = self.psql.wait();
    }
}

/// Below which value so many of a hundred `values` lie.
pub fn percentile(values: &mut [Duration], percent: usize) -> Option<Duration> {
    values.sort_unstable();
    let place = (values.len() * percent).div_ceil(100);
    values.get(place.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let mut values: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut values, 50), Some(Duration::from_millis(50)));
        assert_eq!(percentile(&mut values, 99), Some(Duration::from_millis(99)));
        assert_eq!(percentile(&mut values[..1], 99), Some(Duration::from_millis(1)));
        assert_eq!(percentile(&mut [], 50), None);
    }
}
