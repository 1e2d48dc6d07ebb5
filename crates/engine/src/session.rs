//! The session with one org: who signs in how, and how the access token is renewed.
//!
//! A renewal happens once, however many tasks and programs need it: tasks share one mutex, programs of one user share
//! a lock file and the keychain. After locking, the keychain is read again: whoever came first has renewed already.
//! Where the org rotates refresh tokens, the next one is stored before the access token is used; the old one is dead
//! at that moment, so a renewal without a known outcome is not repeated here.

mod lock;
mod stored;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::{FutureExt, TryFutureExt, future::BoxFuture};
use salesforce::{
    AccessToken, CallObserver, Error, OriginPolicy, Refusal, TokenSource, Transport, TransportOptions,
    auth::{App, Authorization, Grant, Identity, LoginHost, SigningKey},
};
use secrecy::SecretString;
use tokio::sync::{Mutex, watch};

use crate::{
    api::environments::{EnvironmentKind, SignInFlow},
    clock,
    config::{DEMO_CLIENT_SECRET, Environment},
    secrets::{self, Secrets, VariableSecrets},
};
use lock::FileLock;
use stored::Stored;

/// What a session is made of.
#[derive(Clone)]
pub struct SessionOptions {
    /// Where the refresh token is kept.
    pub secrets: Secrets,
    /// What the variables bring.
    pub variables: VariableSecrets,
    /// The folder of lock files that the programs of one user share.
    pub lock_folder: PathBuf,
    /// Hears of every call to the login host.
    pub observer: Option<CallObserver>,
}

impl fmt::Debug for SessionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionOptions")
            .field("secrets", &self.secrets)
            .field("variables", &self.variables)
            .finish_non_exhaustive()
    }
}

impl SessionOptions {
    /// As an environment wants it: a demo keeps nothing, everybody else uses the system's keychain.
    pub fn for_environment(environment: &Environment) -> Self {
        let secrets = if environment.is_demo() { Secrets::in_memory() } else { Secrets::in_keychain() };
        Self {
            secrets,
            variables: VariableSecrets::from_process(),
            lock_folder: default_lock_folder(),
            observer: None,
        }
    }
}

/// The folder of lock files: per user, on this machine.
pub fn default_lock_folder() -> PathBuf {
    directories::ProjectDirs::from("", "", "shadow-sync")
        .map_or_else(std::env::temp_dir, |folders| folders.data_local_dir().to_owned())
        .join("locks")
}

/// A session with one org: the [`TokenSource`] of the org's client. Cheap to clone; all clones are one session.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    host: LoginHost,
    policy: OriginPolicy,
    method: Method,
    flow: SignInFlow,
    secrets: Secrets,
    key: String,
    lock_file: PathBuf,
    current: Mutex<Option<Current>>,
    standing: watch::Sender<Standing>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("host", &self.0.host)
            .field("flow", &self.0.flow)
            .finish_non_exhaustive()
    }
}

/// Whether the session can be used without a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has asked yet, or nobody is signed in.
    Unknown,
    /// A token is there.
    SignedIn,
    /// Salesforce ended the sign-in, and says why; a person has to sign in again.
    Ended(Refusal),
}

/// How tokens come about.
enum Method {
    /// A refresh token that a person's approval brought, kept by [`Secrets`].
    Browser,
    /// A refresh token that a variable brings. It must not rotate: nobody could store the next one.
    GivenRefreshToken(SecretString),
    /// A signed assertion.
    Jwt { username: String, key: SigningKey },
    /// The app's own id and secret.
    ClientCredentials,
}

#[derive(Clone)]
struct Current {
    access: AccessToken,
    identity: Identity,
}

/// Why a session cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A variable that this way of signing in needs is not set.
    #[error("signing in by {flow} needs {variable}")]
    VariableMissing {
        /// The way of signing in, as configured.
        flow: &'static str,
        /// The variable.
        variable: &'static str,
    },
    /// A file that a variable names cannot be read.
    #[error(transparent)]
    Secret(#[from] secrets::Error),
    /// The key, the HTTPS set-up.
    #[error(transparent)]
    Salesforce(#[from] Error),
}

/// A refresh token from a variable that the org replaced.
#[derive(Debug, thiserror::Error)]
#[error("the org rotates refresh tokens, so one from SHADOW_SYNC_REFRESH_TOKEN works only once")]
pub struct GivenTokenRotated;

impl Session {
    /// A session for an environment; `flow` overrides its `sign_in`. Calls nobody.
    pub fn new(
        environment: &Environment,
        flow: Option<SignInFlow>,
        options: &SessionOptions,
    ) -> Result<Self, SetupError> {
        let flow = flow.unwrap_or(environment.sign_in);
        let policy = origin_policy(environment);
        let transport = Transport::new(&TransportOptions::for_login(policy.login_url.clone()))?;
        let app = app(environment, flow, &options.variables)?;
        let key = format!("{} {} {}", environment.name, policy.login_url, app.client_id);
        let lock_file = options.lock_folder.join(lock::file_name(&key));
        Ok(Self(Arc::new(Inner {
            method: method(flow, &options.variables)?,
            host: LoginHost::new(transport, policy.clone(), app, options.observer.clone()),
            policy,
            flow,
            secrets: options.secrets.clone(),
            key,
            lock_file,
            current: Mutex::new(None),
            standing: watch::Sender::new(Standing::Unknown),
        })))
    }

    /// How this session signs in.
    pub fn flow(&self) -> SignInFlow {
        self.0.flow
    }

    /// Whether only a person in a browser can begin it.
    pub fn needs_browser(&self) -> bool {
        matches!(self.0.method, Method::Browser)
    }

    /// The login host.
    pub(crate) fn host(&self) -> &LoginHost {
        &self.0.host
    }

    /// The HTTP client for the org.
    pub fn transport(&self) -> &Transport {
        self.0.host.transport()
    }

    /// The secrets in which it keeps its refresh token.
    pub fn secrets(&self) -> &Secrets {
        &self.0.secrets
    }

    /// Whether the session can be used without a person, and when that changes.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.0.standing.subscribe()
    }

    /// Who is signed in, where; signs in where that needs no person.
    pub async fn identity(&self) -> Result<Identity, Error> {
        self.renewed(None).await.map(|current| current.identity)
    }

    /// Whether the sign-in outlives this run.
    pub async fn is_kept(&self) -> bool {
        let signed_in = self.0.current.lock().await.is_some();
        signed_in && self.needs_browser() && !self.0.secrets.holds_only_in_memory(&self.0.key)
    }

    /// Prepares a browser sign-in at `redirect_url`.
    pub fn authorize(&self, redirect_url: &url::Url) -> Result<Authorization, Error> {
        self.0.host.authorize(redirect_url)
    }

    /// Ends a browser sign-in: trades the code, stores the refresh token, then lets the access token be used.
    pub async fn exchange(&self, authorization: &Authorization, code: &SecretString) -> Result<(), Error> {
        let mut current = self.0.current.lock().await;
        // Two programs that sign in at once: the later one's tokens stay.
        let _lock = self.0.lock_across_programs().await?;
        let before = self.0.stored().await.unwrap_or_default();
        let grant = self.0.host.exchange_code(authorization, code).await?;
        *current = Some(self.0.keep(grant, None).await?);
        self.0.standing.send_replace(Standing::SignedIn);
        if let Some(before) = before {
            self.0.end(&before).await;
        }
        Ok(())
    }

    /// Ends the sign-in: revokes it in Salesforce and forgets it here. What is here is forgotten in any case.
    pub async fn sign_out(&self) -> Result<(), Error> {
        let mut current = self.0.current.lock().await;
        // Somebody who wants to be signed out must not depend on another program that hangs.
        let _lock = self.0.lock_across_programs().await.ok();
        let stored = self.0.stored().await.unwrap_or_default();
        let token = match (&stored, &*current) {
            (Some(stored), _) => Some(stored.refresh_token()),
            (None, Some(current)) => Some(SecretString::from(current.access.expose())),
            (None, None) => None,
        };
        self.0.secrets.forget(&self.0.key).await;
        *current = None;
        self.0.standing.send_replace(Standing::Unknown);
        match token {
            Some(token) => self.0.host.revoke(&token).await,
            None => Ok(()),
        }
    }

    /// The sign-in in use, obtained anew where there is none or only a stale one.
    ///
    /// The work runs in a task of its own and ends even when the caller gives up: a refresh token that was traded
    /// while nobody stored its successor would end the sign-in.
    async fn renewed(&self, stale: Option<&AccessToken>) -> Result<Current, Error> {
        if let Some(current) = fresh(self.0.current.lock().await.as_ref(), stale) {
            return Ok(current);
        }
        let inner = Arc::clone(&self.0);
        let stale = stale.cloned();
        let renewal = tokio::spawn(async move {
            let mut current = inner.current.lock().await;
            if let Some(current) = fresh(current.as_ref(), stale.as_ref()) {
                return Ok(current);
            }
            *current = None;
            let obtained = inner.obtain(stale.as_ref()).await?;
            Ok(current.insert(obtained).clone())
        });
        renewal.await.unwrap_or_else(|error| Err(keeper(error)))
    }
}

/// The sign-in, unless there is none or its token is the stale one.
fn fresh(current: Option<&Current>, stale: Option<&AccessToken>) -> Option<Current> {
    current.filter(|current| stale.is_none_or(|stale| current.access != *stale)).cloned()
}

impl Inner {
    /// A fresh sign-in, or the token that another program obtained meanwhile.
    async fn obtain(&self, stale: Option<&AccessToken>) -> Result<Current, Error> {
        let outcome = match &self.method {
            Method::Browser => self.renew_stored(stale).await,
            Method::GivenRefreshToken(token) => self.renew_given(token).await,
            Method::Jwt { username, key } => {
                self.host.jwt_bearer(username, key, clock::now()).await.map(current_of)
            }
            Method::ClientCredentials => self.host.client_credentials().await.map(current_of),
        };
        match &outcome {
            Ok(_) => {
                self.standing.send_replace(Standing::SignedIn);
            }
            Err(Error::Refused { refusal, .. }) if *refusal != Refusal::LoginRate => {
                self.standing.send_replace(Standing::Ended(*refusal));
            }
            Err(_) => {}
        }
        outcome
    }

    async fn renew_stored(&self, stale: Option<&AccessToken>) -> Result<Current, Error> {
        let _lock = self.lock_across_programs().await?;
        let stored = self.stored().await.map_err(keeper)?.ok_or(Error::SignInNeeded)?;
        if let Some(current) = stored.usable(stale, &self.policy)? {
            return Ok(current);
        }
        match self.host.refresh(&stored.refresh_token()).await {
            Ok(grant) => self.keep(grant, Some(&stored)).await,
            Err(error @ Error::Refused { refusal: Refusal::GrantEnded, .. }) => {
                // It will never work again; keeping it would only make the next start fail in the same way.
                self.secrets.forget(&self.key).await;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn renew_given(&self, token: &SecretString) -> Result<Current, Error> {
        let grant = self.host.refresh(token).await?;
        match grant.refresh_token {
            Some(_) => Err(keeper(GivenTokenRotated)),
            None => Ok(current_of(grant)),
        }
    }

    /// Stores what must outlive this moment before anybody uses the access token.
    async fn keep(&self, grant: Grant, before: Option<&Stored>) -> Result<Current, Error> {
        let Some(stored) = Stored::from_grant(&grant, before) else { return Ok(current_of(grant)) };
        self.secrets.write(&self.key, stored.to_secret()).await;
        Ok(current_of(grant))
    }

    /// Revokes the sign-in before this one: Salesforce keeps five approvals per user and app, and would end the oldest
    /// with the next.
    async fn end(&self, before: &Stored) {
        if let Err(error) = self.host.revoke(&before.refresh_token()).await {
            tracing::debug!(%error, "the sign-in before could not be revoked");
        }
    }

    async fn stored(&self) -> Result<Option<Stored>, secrets::Error> {
        Ok(self.secrets.read(&self.key).await?.and_then(|secret| Stored::from_secret(&secret)))
    }

    async fn lock_across_programs(&self) -> Result<FileLock, Error> {
        FileLock::acquire(&self.lock_file).await.map_err(keeper)
    }
}

impl TokenSource for Session {
    fn current(&self) -> BoxFuture<'_, Result<AccessToken, Error>> {
        self.renewed(None).map_ok(|current| current.access).boxed()
    }

    fn refresh<'a>(&'a self, stale: &'a AccessToken) -> BoxFuture<'a, Result<AccessToken, Error>> {
        self.renewed(Some(stale)).map_ok(|current| current.access).boxed()
    }
}

/// What an environment trusts: its login host, and this machine in kinds demo and development.
pub fn origin_policy(environment: &Environment) -> OriginPolicy {
    OriginPolicy {
        login_url: environment.login_url.clone(),
        loopback_allowed: matches!(environment.kind, EnvironmentKind::Demo | EnvironmentKind::Development),
    }
}

fn app(environment: &Environment, flow: SignInFlow, variables: &VariableSecrets) -> Result<App, SetupError> {
    let client_secret = match (&variables.client_secret, flow) {
        (Some(secret), _) => Some(secret.clone()),
        (None, SignInFlow::ClientCredentials) if environment.is_demo() => Some(DEMO_CLIENT_SECRET.into()),
        (None, SignInFlow::ClientCredentials) => {
            return Err(SetupError::VariableMissing {
                flow: "client-credentials",
                variable: "SHADOW_SYNC_CLIENT_SECRET",
            });
        }
        // A public client proves itself by PKCE and must not send a secret.
        (None, SignInFlow::Browser | SignInFlow::Jwt) => None,
    };
    Ok(App { client_id: environment.client_id.clone(), client_secret })
}

fn method(flow: SignInFlow, variables: &VariableSecrets) -> Result<Method, SetupError> {
    let missing = |variable| SetupError::VariableMissing { flow: "jwt", variable };
    match (flow, &variables.refresh_token) {
        (SignInFlow::Browser, Some(token)) => Ok(Method::GivenRefreshToken(token.clone())),
        (SignInFlow::Browser, None) => Ok(Method::Browser),
        (SignInFlow::ClientCredentials, _) => Ok(Method::ClientCredentials),
        (SignInFlow::Jwt, _) => {
            let username = variables.username.clone().ok_or_else(|| missing("SHADOW_SYNC_USERNAME"))?;
            let file =
                variables.jwt_key_file.as_deref().ok_or_else(|| missing("SHADOW_SYNC_JWT_KEY_FILE"))?;
            Ok(Method::Jwt { username, key: SigningKey::from_pem(&read_key(file)?)? })
        }
    }
}

fn read_key(file: &Path) -> Result<Vec<u8>, secrets::Error> {
    std::fs::read(file).map_err(|error| secrets::Error::File {
        variable: "SHADOW_SYNC_JWT_KEY_FILE",
        reason: error.to_string(),
    })
}

fn current_of(grant: Grant) -> Current {
    Current { access: grant.access, identity: grant.identity }
}

fn keeper(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::TokenKeeper { source: Box::new(source) }
}
