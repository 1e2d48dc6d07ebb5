//! Signing in and out, and what the org says of itself.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::environments::SignInFlow;
use crate::engine::Engine;
use crate::notice::View;
use crate::problem::Answer;
use crate::problem::Problem;

/// Where the sign-in of the open environment stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(tag = "state", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum SignInState {
    /// Nobody is signed in.
    SignedOut,
    /// The keychain is being asked; its own window may be open.
    WaitingForKeychain,
    /// The browser is at the org's page.
    WaitingForBrowser {
        /// The page to open, also for copying by hand.
        authorize_url: String,
        /// Since when we listen for the answer.
        since: DateTime<Utc>,
    },
    /// The answer came; the org is being asked who it is.
    Finishing,
    /// Signed in.
    SignedIn {
        /// The org and the user.
        org: OrgView,
        /// How.
        flow: SignInFlow,
        /// False where no keychain keeps the sign-in beyond this run.
        kept: bool,
    },
    /// It did not work, and why.
    Failed {
        /// The cause and its cure.
        problem: Problem,
    },
}

/// What the org says of itself and of the user who signed in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct OrgView {
    /// The org's 18-character id.
    pub org_id: String,
    /// Its name.
    pub org_name: String,
    /// Its edition, e.g. `Enterprise Edition`.
    pub edition: Option<String>,
    /// Whether it is a sandbox.
    pub is_sandbox: bool,
    /// Whether it is simulated.
    pub is_simulated: bool,
    /// Where its data is served.
    pub instance_url: String,
    /// The API version spoken.
    pub api_version: String,
    /// The user's 18-character id.
    pub user_id: String,
    /// The user's name for signing in.
    pub username: String,
    /// The currency of a single-currency org; none in multi-currency orgs or where the org does not say.
    pub currency: Option<String>,
    /// Whether records carry their own currency.
    pub is_multi_currency: bool,
    /// The daily API limit.
    pub api_usage: Option<ApiUsageView>,
}

/// Use of the org's daily API quota.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct ApiUsageView {
    /// Calls of everybody in the last 24 hours; never fewer than ours.
    pub used: u32,
    /// The limit.
    pub max: u32,
    /// Calls of ours: in the status those of all our processes in the last 24 hours, at a sign-in those of this process.
    pub ours: u32,
    /// When the org said so.
    pub at: DateTime<Utc>,
}

/// Where the sign-in of the open environment stands; signed out where none is open.
pub fn state(engine: &Engine) -> SignInState {
    engine.try_environment().map_or(SignInState::SignedOut, |open| open.sign_in.state())
}

/// Begins a sign-in. By browser the state waits, with the address to open, when this returns.
pub async fn start(engine: &Engine, flow: Option<SignInFlow>) -> Answer<SignInState> {
    let open = engine.environment()?;
    let state = open.sign_in.start(flow).await?;
    engine.publish(&[View::SignIn, View::Status]);
    Ok(state)
}

/// Stops waiting for the browser.
pub async fn cancel(engine: &Engine) {
    if let Some(open) = engine.try_environment() {
        open.sign_in.cancel().await;
        engine.publish(&[View::SignIn, View::Status]);
    }
}

/// Waits until the sign-in that the keychain or the variables hold was tried, and tells how that came out.
pub async fn resumed(engine: &Engine) -> SignInState {
    match engine.try_environment() {
        Some(open) => {
            open.resumed.cancelled().await;
            open.sign_in.state()
        }
        None => SignInState::SignedOut,
    }
}

/// Waits until the sign-in has settled: signed in, signed out or failed. Recorded in the audit log when signed in.
pub async fn settled(engine: &Engine) -> SignInState {
    match engine.try_environment() {
        Some(open) => open.sign_in.settled().await,
        None => SignInState::SignedOut,
    }
}

/// Signs out: revoked in Salesforce, forgotten here.
pub async fn sign_out(engine: &Engine) -> Answer<()> {
    let open = engine.environment()?;
    let who = open.actor();
    let outcome = open.sign_in.sign_out().await;
    let result = if outcome.is_ok() { "done" } else { "failed" };
    open.record("sign-out", &format!("Signed {who} out"), result, None).await;
    engine.publish(&[View::SignIn, View::Status]);
    outcome
}
