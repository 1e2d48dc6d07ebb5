//! Environments: one Salesforce org, one database, one cache, with a name and a kind.

use serde::{Deserialize, Serialize};

/// What an environment is for; decides its colour, its icon and how careful we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "lowercase")]
pub enum EnvironmentKind {
    /// The simulated org on a database of its own.
    Demo,
    /// A developer's org.
    Development,
    /// A sandbox that rehearses production.
    Staging,
    /// The org that customers feel.
    Production,
}

/// How a process signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "kebab-case")]
pub enum SignInFlow {
    /// By the system browser; the refresh token is kept in the keychain.
    Browser,
    /// By a signed assertion; nothing is kept.
    Jwt,
    /// By the app's own id and secret; nothing is kept.
    ClientCredentials,
}

/// One configured environment, as the switcher and the settings show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentView {
    /// The name in the configuration file.
    pub name: String,
    /// What it is for.
    pub kind: EnvironmentKind,
    /// The login address, e.g. `https://test.salesforce.com`.
    pub login_url: String,
    /// The consumer key of the External Client App.
    pub client_id: String,
    /// How it signs in.
    pub sign_in: SignInFlow,
    /// The callback registered with the app.
    pub redirect_url: String,
    /// `embedded`, or the address without its password.
    pub database: String,
    /// The cache's address without its password; none where there is no cache.
    pub cache: Option<String>,
    /// Whether it is the one that is open in this process.
    pub is_open: bool,
    /// Whether the org is a simulated one: every screen says so.
    pub is_simulated: bool,
}

/// What a person fills in to add an environment; empty optional fields take the kind's defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct NewEnvironment {
    /// A name of letters, digits, `-` and `_`.
    pub name: String,
    /// What it is for.
    pub kind: EnvironmentKind,
    /// Any pasted org address; see [`RecognisedOrg`].
    pub login_url: String,
    /// The consumer key; the demo kind has its own.
    pub client_id: Option<String>,
    /// Browser unless told otherwise.
    pub sign_in: Option<SignInFlow>,
    /// The registered callback; `http://localhost:8717/oauth/callback` unless told otherwise.
    pub redirect_url: Option<String>,
    /// `embedded` or a `postgres://` address; embedded unless told otherwise.
    pub database_url: Option<String>,
    /// A Redis address; none means no cache.
    pub redis_url: Option<String>,
    /// Only where the org does not say its currency, e.g. `EUR`.
    pub currency: Option<String>,
}

/// What a pasted address becomes: shown while a person types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct RecognisedOrg {
    /// The login address that will be used.
    pub login_url: String,
    /// What it was recognised as, e.g. `Sandbox uat of halden`.
    pub recognised_as: String,
    /// The kind we would propose.
    pub proposed_kind: EnvironmentKind,
}
