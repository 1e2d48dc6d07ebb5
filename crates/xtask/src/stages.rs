//! Stages: named steps with a budget of minutes, run one after the other until one fails.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::process;
use crate::workspace::Workspace;

/// Runs stages, prints their minutes, and remembers what the test runners said of themselves.
pub struct Stages {
    logs: PathBuf,
    started: Instant,
    done: Vec<Done>,
    summaries: Vec<String>,
}

struct Done {
    name: &'static str,
    took: Duration,
    budget: Duration,
    passed: bool,
}

/// A stage that is running: gives its commands the stage's log.
pub struct Stage<'a> {
    log: File,
    summaries: &'a mut Vec<String>,
}

impl Stages {
    /// Begins with an empty folder of logs.
    pub fn new(workspace: &Workspace) -> Result<Self> {
        Ok(Self {
            logs: workspace.scratch("logs")?,
            started: Instant::now(),
            done: vec![],
            summaries: vec![],
        })
    }

    /// Runs one stage. Returns whether it passed; prints its log when it did not.
    pub fn run(
        &mut self,
        name: &'static str,
        budget_minutes: f64,
        work: impl FnOnce(&mut Stage<'_>) -> Result<bool>,
    ) -> Result<bool> {
        println!("-- {name}");
        let path = self.logs.join(format!("{}.log", name.replace(' ', "-")));
        let log = File::create(&path).with_context(|| format!("{} cannot be written", path.display()))?;
        let begun = Instant::now();
        let outcome = work(&mut Stage { log, summaries: &mut self.summaries });
        let passed = matches!(outcome, Ok(true));
        if !passed {
            println!("{}", std::fs::read_to_string(&path).unwrap_or_default());
        }
        if let Err(error) = &outcome {
            println!("{name}: {error:#}");
        }
        let done = Done {
            name,
            took: begun.elapsed(),
            budget: Duration::from_secs_f64(budget_minutes * 60.0),
            passed,
        };
        println!("{}", done.line());
        self.done.push(done);
        Ok(passed)
    }

    /// Prints the table of minutes and then, last, what the runners said of themselves.
    pub fn finish(self) -> bool {
        println!("\nStages:");
        for done in &self.done {
            println!("{}", done.line());
        }
        println!("   in all {:.1} min\n", self.started.elapsed().as_secs_f64() / 60.0);
        let (cargo, others): (Vec<_>, Vec<_>) =
            self.summaries.iter().partition(|line| line.starts_with("test result:"));
        for line in others.into_iter().chain(cargo) {
            println!("{line}");
        }
        self.done.iter().all(|done| done.passed)
    }
}

impl Done {
    fn line(&self) -> String {
        let over = if self.took > self.budget { ", over its budget" } else { "" };
        format!(
            "   {} {} in {:.1} min (budget {:.1} min{over})",
            self.name,
            if self.passed { "passed" } else { "FAILED" },
            self.took.as_secs_f64() / 60.0,
            self.budget.as_secs_f64() / 60.0,
        )
    }
}

impl Stage<'_> {
    /// Says something about this stage, on the screen and in its log.
    pub fn note(&mut self, what: &str) -> Result<()> {
        println!("   {what}");
        writeln!(self.log, "{what}").context("the stage's log cannot be written")
    }

    /// Where background programs of this stage write.
    pub fn log(&self) -> &File {
        &self.log
    }

    /// Runs a command of this stage; its output goes to the stage's log, a runner's summary also to the screen.
    pub fn command(&mut self, command: &mut Command) -> Result<bool> {
        // Colours would hide the summaries from us, and are no use in a log.
        command.env("NO_COLOR", "1").env("CARGO_TERM_COLOR", "never").env_remove("FORCE_COLOR");
        let summaries = &mut *self.summaries;
        let mut target = String::new();
        process::run_logged(command, &mut self.log, |line| {
            if let Some(running) = line.trim_start().strip_prefix("Running ") {
                target = format!("({running})");
            }
            if is_summary(line) {
                println!("   {} {target}", line.trim());
                summaries.push(line.trim().to_owned());
            }
        })
    }
}

/// Whether a test runner says with this line how many tests passed and failed.
fn is_summary(line: &str) -> bool {
    let line = line.trim_start();
    let counts = |text: &str| text.contains(" passed") && (text.contains(" failed") || text.contains('('));
    if let Some(rest) = line.strip_prefix("test result:") {
        // Targets without tests say so too; leave them out.
        return !rest.contains(" 0 passed; 0 failed");
    }
    let is_plain = line.ends_with(" failed") && line.contains(" passed, ");
    is_plain || (line.starts_with("Tests ") && counts(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_every_runner_are_recognised_and_empty_targets_left_out() {
        assert!(is_summary("test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out"));
        assert!(is_summary("test result: FAILED. 0 passed; 3 failed; 0 ignored; 0 measured"));
        assert!(is_summary("      Tests  14 passed (14)"));
        assert!(is_summary("jsforce 3.9: 8 passed, 0 failed"));
        assert!(!is_summary("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out"));
        assert!(!is_summary("test lag::tests::a_dead_stream_falls_behind ... ok"));
    }
}
