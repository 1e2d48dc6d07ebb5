//! The error catalogue: every problem that reaches a person, with its cause, who mends it and how.
//!
//! A host shows a [`Problem`]; it decides on `code`, never on text. Messages hold no secret, no SQL and no record content.

//!
//! Numbers: 1xxx sign-in, 2xxx objects and fields, 3xxx database, 4xxx jobs, 5xxx configuration, 6xxx keychain,
//! 7xxx the stream of change events, 8xxx the cache, 9xxx faults of our own. One file per source of errors: each error type says here which problem it is.

mod cache;
mod config;
mod keychain;
mod refusal;
mod salesforce;
mod store;
mod stream;

use serde::{Deserialize, Serialize};

pub(crate) use refusal::refused;
pub(crate) use store::set_back;
pub(crate) use stream::{no_simulated_events, refused as stream_refused};

/// Who can mend a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub enum Mender {
    /// The person in front of this program.
    You,
    /// The org's Salesforce administrator.
    SalesforceAdmin,
    /// Who runs the database.
    DatabaseAdmin,
    /// Who runs the network or the machine.
    PlatformEngineer,
    /// Nobody: it mends itself, we try again.
    Itself,
}

/// The act that a window offers first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub enum MendAct {
    /// Sign in again.
    SignIn,
    /// Run the checks again.
    CheckAgain,
    /// Resume the job.
    ResumeJob,
    /// Connect to the database again.
    Reconnect,
    /// Open the settings.
    OpenSettings,
    /// Nothing but copying the details.
    None,
}

/// One problem, complete: what happened, why, who mends it, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The catalogue's number, e.g. `SS-1107`.
    pub code: String,
    /// What happened, in plain words, a sentence without its full stop.
    pub title: String,
    /// Why, and what it means for the copy.
    pub cause: String,
    /// Who mends it.
    pub mender: Mender,
    /// What to do, step by step.
    pub steps: Vec<String>,
    /// A value to paste somewhere, where a step has one.
    pub paste: Option<String>,
    /// The act that a window offers first.
    pub act: MendAct,
    /// Ids, codes and statuses for who looks closer; copied with the error.
    pub details: String,
}

/// The number for a query job that Salesforce failed.
pub const QUERY_JOB_FAILED: &str = "SS-2104";
/// The number for a query job whose results Salesforce no longer keeps.
pub const QUERY_JOB_GONE: &str = "SS-2107";

/// What a use case answers: the value, or the problem in the way.
pub type Answer<T> = Result<T, Box<Problem>>;

impl Problem {
    /// Begins a problem: its number, what happened, and why.
    pub fn new(code: &str, title: impl Into<String>, cause: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            title: title.into(),
            cause: cause.into(),
            mender: Mender::You,
            steps: Vec::new(),
            paste: None,
            act: MendAct::None,
            details: String::new(),
        }
    }

    /// Says who mends it.
    #[must_use]
    pub fn mended_by(mut self, mender: Mender) -> Self {
        self.mender = mender;
        self
    }

    /// Adds a step towards the cure.
    #[must_use]
    pub fn step(mut self, step: impl Into<String>) -> Self {
        self.steps.push(step.into());
        self
    }

    /// Gives a value to paste where the steps say.
    #[must_use]
    pub fn paste(mut self, value: impl Into<String>) -> Self {
        self.paste = Some(value.into());
        self
    }

    /// Names the act that a window offers first.
    #[must_use]
    pub fn act(mut self, act: MendAct) -> Self {
        self.act = act;
        self
    }

    /// Adds what helps who looks closer: ids, codes, statuses; never a secret, SQL or record content.
    #[must_use]
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// The whole problem as text for a terminal, a log or the clipboard.
    pub fn to_text(&self) -> String {
        let mut text = format!("{} ({})\n  {}", self.title, self.code, self.cause);
        for step in &self.steps {
            text.push_str("\n  - ");
            text.push_str(step);
        }
        if let Some(paste) = &self.paste {
            text.push_str("\n    ");
            text.push_str(paste);
        }
        if !self.details.is_empty() {
            text.push_str("\n  [");
            text.push_str(&self.details);
            text.push(']');
        }
        text
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl std::error::Error for Problem {}
