//! Environments: one Salesforce org, one database, one cache, with a name and a kind.

use crate::config;
use crate::engine::{Engine, HostName};
use crate::notice::View;
use crate::problem::Answer;
use crate::recognise;
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

/// All configured environments.
pub fn list(engine: &Engine) -> Answer<Vec<EnvironmentView>> {
    let config = engine.config()?;
    Ok(config.environments.iter().map(|environment| view(engine, environment)).collect())
}

/// Adds an environment to the configuration; any pasted address becomes the login address.
///
/// - **Errors:** a name that is taken or cannot be one, an address that is not an org's, anything the file would
///   not be read back with.
pub fn add(engine: &Engine, new: NewEnvironment) -> Answer<EnvironmentView> {
    let login_url = recognise(&new.login_url)?.login_url;
    let new = NewEnvironment { login_url, ..new };
    let config = config::add(&engine.config()?, &new)?;
    engine.publish(&[View::Environments]);
    Ok(view(engine, config.environment(&new.name)?))
}

/// Takes an environment out of the configuration. Its database and its org stay as they are.
pub async fn remove(engine: &Engine, name: &str) -> Answer<()> {
    config::remove(&engine.config()?, name)?;
    if engine.try_environment().is_some_and(|open| open.config.name == name) {
        engine.close().await;
    }
    engine.publish(&[View::Environments, View::Status]);
    Ok(())
}

/// Opens an environment and remembers it as the one a person works in. What follows, the status tells.
pub async fn open(engine: &Engine, name: &str) -> Answer<()> {
    let mut config = engine.config()?;
    config.environment(name)?;
    if engine.host().name == HostName::Console {
        config = config::use_environment(&config, name)?;
    }
    engine.open(config.environment(name)?.clone()).await;
    Ok(())
}

/// Opens the environment that is meant: the named one, the only one, or the one a person chose.
pub async fn open_meant(engine: &Engine, name: Option<&str>) -> Answer<()> {
    let config = engine.config()?;
    engine.open(config.meant(name)?.clone()).await;
    Ok(())
}

/// Remembers the environment a person works in, without opening it.
pub fn choose(engine: &Engine, name: &str) -> Answer<()> {
    config::use_environment(&engine.config()?, name)?;
    engine.publish(&[View::Environments]);
    Ok(())
}

/// Lets an environment sign in another way from now on; `false` where it did so already.
pub fn use_flow(engine: &Engine, name: &str, flow: SignInFlow) -> Answer<bool> {
    let config = engine.config()?;
    if config.environment(name)?.sign_in == flow {
        return Ok(false);
    }
    config::use_flow(&config, name, flow)?;
    engine.publish(&[View::Environments]);
    Ok(true)
}

/// What a pasted address becomes. Calls nobody.
pub fn recognise(pasted: &str) -> Answer<RecognisedOrg> {
    recognise::recognise(pasted)
}

/// Makes a demo environment of a simulated org at `login_url`, if there is none yet, opens it and signs in.
pub async fn look_around(engine: &Engine, login_url: &str, pubsub_endpoint: &str) -> Answer<EnvironmentView> {
    let config = engine.config()?;
    let config = match config.environment(DEMO_NAME) {
        Ok(_) => config,
        Err(_) => config::add(&config, &demo(login_url))?,
    };
    let mut environment = config.environment(DEMO_NAME)?.clone();
    // The simulated org may listen elsewhere today than when the environment was made.
    if let Ok(url) = url::Url::parse(login_url) {
        environment.login_url = url;
    }
    if let Ok(url) = url::Url::parse(pubsub_endpoint) {
        environment.pubsub_endpoint = url;
    }
    if engine.host().name == HostName::Console {
        config::use_environment(&config, DEMO_NAME)?;
    }
    engine.open(environment.clone()).await;
    Ok(view(engine, &environment))
}

/// The name of the environment that “look around” makes.
pub const DEMO_NAME: &str = "demo";

fn demo(login_url: &str) -> NewEnvironment {
    NewEnvironment {
        name: DEMO_NAME.to_owned(),
        kind: EnvironmentKind::Demo,
        login_url: login_url.to_owned(),
        client_id: None,
        sign_in: None,
        redirect_url: None,
        database_url: None,
        redis_url: None,
        currency: None,
    }
}

/// An environment as hosts show it.
pub(crate) fn view(engine: &Engine, environment: &config::Environment) -> EnvironmentView {
    EnvironmentView {
        name: environment.name.clone(),
        kind: environment.kind,
        login_url: environment.login_url.as_str().trim_end_matches('/').to_owned(),
        client_id: environment.client_id.clone(),
        sign_in: environment.sign_in,
        redirect_url: environment.redirect_url.to_string(),
        database: match &environment.database {
            config::Database::Embedded => "embedded".to_owned(),
            config::Database::Url(address) => address.to_string(),
        },
        cache: environment.redis.as_ref().map(ToString::to_string),
        is_open: engine.try_environment().is_some_and(|open| open.config.name == environment.name),
        is_simulated: environment.is_demo(),
    }
}
