//! The error catalogue: every problem that reaches a person, with its cause, who mends it and how.
//!
//! A host shows a [`Problem`]; it decides on `code`, never on text. Messages hold no secret, no SQL and no record content.

use serde::{Deserialize, Serialize};

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
