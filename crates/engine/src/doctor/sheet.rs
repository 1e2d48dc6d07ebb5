//! The sheet on which checks are noted: colour, finding, cure, time and cost.

use std::time::Duration;

use salesforce::{Client, Purpose};
use tokio::time::Instant;

use crate::{
    api::preflight::{CheckColour, CheckView, PreflightView},
    problem::Problem,
};

pub(super) const CONFIGURATION: &str = "Configuration";
pub(super) const SIGN_IN: &str = "Sign-in";
pub(super) const OBJECTS: &str = "Objects and fields";
pub(super) const EVENTS: &str = "Change events";
pub(super) const LIMITS: &str = "Limits";
pub(super) const DATABASE: &str = "Database";
pub(super) const CACHE: &str = "Cache";

/// How one check came out.
pub(super) struct Outcome {
    colour: CheckColour,
    finding: String,
    cure: Vec<String>,
    paste: Option<String>,
    code: Option<String>,
}

impl Outcome {
    fn new(colour: CheckColour, finding: impl Into<String>) -> Self {
        Self { colour, finding: finding.into(), cure: Vec::new(), paste: None, code: None }
    }

    /// It holds.
    pub(super) fn green(finding: impl Into<String>) -> Self {
        Self::new(CheckColour::Green, finding)
    }

    /// It works, but somebody should look.
    pub(super) fn yellow(finding: impl Into<String>) -> Self {
        Self::new(CheckColour::Yellow, finding)
    }

    /// It must be mended first.
    pub(super) fn red(finding: impl Into<String>) -> Self {
        Self::new(CheckColour::Red, finding)
    }

    /// It could not be checked.
    pub(super) fn grey(finding: impl Into<String>) -> Self {
        Self::new(CheckColour::Grey, finding)
    }

    /// What was found.
    #[cfg(test)]
    pub(super) fn finding(&self) -> &str {
        &self.finding
    }

    /// What to do.
    pub(super) fn cure(mut self, step: impl Into<String>) -> Self {
        self.cure.push(step.into());
        self
    }

    /// A value to paste where the cure says.
    pub(super) fn paste(mut self, value: impl Into<String>) -> Self {
        self.paste = Some(value.into());
        self
    }

    /// The outcome of something that failed, with the catalogue's words.
    pub(super) fn problem(problem: &Problem) -> Self {
        Self {
            colour: CheckColour::Red,
            finding: format!("{}. {}", problem.title, problem.cause),
            cure: problem.steps.clone(),
            paste: problem.paste.clone(),
            code: Some(problem.code.clone()),
        }
    }

    /// The same in another colour: a failure that stops nothing, or one that only hides the answer.
    pub(super) fn coloured(mut self, colour: CheckColour) -> Self {
        self.colour = colour;
        self
    }
}

/// The checks so far.
pub(super) struct Sheet<'a> {
    client: Option<Client>,
    progress: Box<dyn FnMut(&CheckView) + Send + 'a>,
    checks: Vec<CheckView>,
    /// When the check that is under way began, and how many calls had been made by then.
    since: Instant,
    calls: u64,
}

impl<'a> Sheet<'a> {
    pub(super) fn new(client: Option<Client>, progress: impl FnMut(&CheckView) + Send + 'a) -> Self {
        let mut sheet = Self {
            client,
            progress: Box::new(progress),
            checks: Vec::new(),
            since: Instant::now(),
            calls: 0,
        };
        sheet.begin();
        sheet
    }

    /// Starts the clock of the next check. Noting one starts it, too.
    pub(super) fn begin(&mut self) {
        self.since = Instant::now();
        self.calls = self.calls_now();
    }

    /// Notes a check.
    pub(super) fn note(
        &mut self,
        id: impl Into<String>,
        group: &str,
        title: impl Into<String>,
        outcome: Outcome,
    ) {
        let check = CheckView {
            id: id.into(),
            group: group.to_owned(),
            title: title.into(),
            colour: outcome.colour,
            finding: outcome.finding,
            cure: outcome.cure,
            paste: outcome.paste,
            code: outcome.code,
            took_ms: milliseconds(self.since.elapsed()),
            api_calls: u32::try_from(self.calls_now().saturating_sub(self.calls)).unwrap_or(u32::MAX),
        };
        (self.progress)(&check);
        self.checks.push(check);
        self.begin();
    }

    /// Notes a check that failed.
    pub(super) fn failed(&mut self, id: &str, group: &str, title: &str, problem: &Problem) {
        self.note(id, group, title, Outcome::problem(problem));
    }

    pub(super) fn view(self) -> PreflightView {
        let number = |colour| {
            u32::try_from(self.checks.iter().filter(|check| check.colour == colour).count())
                .unwrap_or(u32::MAX)
        };
        PreflightView {
            green: number(CheckColour::Green),
            yellow: number(CheckColour::Yellow),
            red: number(CheckColour::Red),
            grey: number(CheckColour::Grey),
            api_calls: self.checks.iter().map(|check| check.api_calls).sum(),
            checks: self.checks,
        }
    }

    fn calls_now(&self) -> u64 {
        self.client.as_ref().map_or(0, |client| client.calls(Purpose::Doctor))
    }
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
