//! The preflight: what must hold before anything runs, each check with its cure.

use crate::doctor;
use crate::engine::Engine;
use crate::problem::Answer;
use serde::{Deserialize, Serialize};
use shadow::Mapping;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "lowercase")]
pub enum CheckColour {
    /// It holds.
    Green,
    /// It works, but somebody should look.
    Yellow,
    /// It must be mended first.
    Red,
    /// It could not be checked.
    Grey,
}

/// One named check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct CheckView {
    /// A stable name, e.g. `field.Account.Internet_Eligibility__c`.
    pub id: String,
    /// The group it is shown under: `Sign-in`, `Objects and fields`, `Limits`, `Database`, `Configuration`.
    pub group: String,
    /// What is checked, in plain words.
    pub title: String,
    /// How it came out.
    pub colour: CheckColour,
    /// What was found.
    pub finding: String,
    /// What to do; empty where nothing needs doing.
    pub cure: Vec<String>,
    /// A value to paste somewhere, where the cure has one.
    pub paste: Option<String>,
    /// The code of the error catalogue, where it failed.
    pub code: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
    /// What it cost of the org's daily limit.
    pub api_calls: u32,
}

/// All checks of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct PreflightView {
    /// The checks in the order a person would mend them.
    pub checks: Vec<CheckView>,
    /// Green checks.
    pub green: u32,
    /// Yellow checks.
    pub yellow: u32,
    /// Red checks.
    pub red: u32,
    /// Grey checks.
    pub grey: u32,
    /// What the run cost of the org's daily limit.
    pub api_calls: u32,
}

/// Runs every check and says what each cost.
pub async fn run(engine: &Engine) -> Answer<PreflightView> {
    let open = engine.environment()?;
    let mappings = Mapping::built_in();
    let subject = doctor::Subject {
        environment: &open.config,
        sign_in: &open.sign_in,
        mappings: &mappings,
        store: open.store().await,
    };
    Ok(doctor::run(&subject, |_| {}).await)
}
