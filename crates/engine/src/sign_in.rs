//! The sign-in of one environment as a state that a window can show: waiting, finishing, signed in, failed.
//!
//! One sign-in at a time; beginning another one cancels the one before. The task that waits for the browser is owned
//! here and ends with [`SignIn::shutdown`], or when the last clone is dropped.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use salesforce::{
    ApiVersion, Client, ClientOptions, Error, TokenSource,
    auth::{Authorization, LoginHost, loopback::Listener},
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{environments::SignInFlow, sign_in::SignInState},
    clock,
    config::Environment,
    notice::{Notices, View},
    org::{self, NotOurs, OrgFacts},
    problem::{Answer, Problem, refused},
    secrets::KeychainState,
    session::{Session, SessionOptions, SetupError, Standing},
};

/// How long the browser may take.
const BROWSER_PATIENCE: Duration = Duration::from_mins(10);

/// The sign-in of one environment. Cheap to clone.
#[derive(Clone)]
pub struct SignIn(Arc<Inner>);

struct Inner {
    environment: Environment,
    session_options: SessionOptions,
    client_options: ClientOptions,
    notices: Notices,
    state: watch::Sender<SignInState>,
    desk: Mutex<Desk>,
}

/// What changes with every sign-in.
#[derive(Default)]
struct Desk {
    act: Act,
    open: Option<Open>,
    running: Option<Running>,
    watcher: Option<JoinHandle<()>>,
}

/// One beginning, resuming, cancelling or signing out. The newest counts: an older one is cancelled, and what it
/// still has to say is not shown.
#[derive(Debug, Clone, Default)]
struct Act {
    number: u64,
    cancel: CancellationToken,
}

/// A session that a client can be made of.
#[derive(Clone)]
struct Open {
    session: Session,
    client: Client,
    facts: Arc<OrgFacts>,
}

/// A sign-in that waits for a person.
struct Running {
    task: JoinHandle<()>,
    /// What was shown before, to return to when it is cancelled.
    before: SignInState,
}

impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignIn").field("environment", &self.0.environment.name).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let desk = self.desk.get_mut().unwrap_or_else(PoisonError::into_inner);
        for task in desk.running.take().map(|running| running.task).into_iter().chain(desk.watcher.take()) {
            task.abort();
        }
    }
}

/// Why a sign-in did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// It cannot be tried with what is configured.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Salesforce, the network, the listener, the keychain.
    #[error(transparent)]
    Salesforce(#[from] Error),
    /// The org does not belong here.
    #[error(transparent)]
    NotOurs(#[from] NotOurs),
}

impl From<&SignInError> for Problem {
    fn from(error: &SignInError) -> Self {
        match error {
            SignInError::Setup(error) => Self::from(error),
            SignInError::Salesforce(error) => Self::from(error),
            SignInError::NotOurs(error) => Self::from(error),
        }
    }
}

impl From<SignInError> for Box<Problem> {
    fn from(error: SignInError) -> Self {
        Self::new(Problem::from(&error))
    }
}

impl SignIn {
    /// The sign-in of an environment. Calls nobody; until [`SignIn::resume`] or [`SignIn::start`] has looked, its state
    /// is *finishing*: not known yet.
    pub fn new(environment: &Environment, notices: Notices) -> Self {
        let session_options = SessionOptions::for_environment(environment);
        Self::with_options(environment, session_options, ClientOptions::default(), notices)
    }

    /// The same with a keychain, variables, retries and an observer of one's own. The version in `client_options`
    /// is replaced by the environment's.
    pub fn with_options(
        environment: &Environment,
        session_options: SessionOptions,
        client_options: ClientOptions,
        notices: Notices,
    ) -> Self {
        let api_version = environment.api_version.parse().unwrap_or(ApiVersion::NEWEST);
        Self(Arc::new(Inner {
            environment: environment.clone(),
            session_options,
            client_options: ClientOptions { api_version, ..client_options },
            notices,
            state: watch::Sender::new(SignInState::Finishing),
            desk: Mutex::default(),
        }))
    }

    /// Where the sign-in stands.
    pub fn state(&self) -> SignInState {
        self.0.state.borrow().clone()
    }

    /// Where it stands, and when that changes.
    pub fn watch(&self) -> watch::Receiver<SignInState> {
        self.0.state.subscribe()
    }

    /// The client of the org that is signed in to, or why there is none.
    pub fn client(&self) -> Answer<Client> {
        if let Some(open) = &self.desk().open {
            return Ok(open.client.clone());
        }
        match self.state() {
            SignInState::Failed { problem } => Err(Box::new(problem)),
            _ => Err(Error::SignInNeeded.into()),
        }
    }

    /// Brings the access tokens of the sign-in, for who speaks to the org in another way than by the client.
    pub(crate) fn tokens(&self) -> Answer<Arc<dyn TokenSource>> {
        let desk = self.desk();
        let open = desk.open.as_ref().ok_or(Error::SignInNeeded)?;
        Ok(Arc::new(open.session.clone()))
    }

    /// The name of the user who is signed in, for the audit log.
    pub fn username(&self) -> Option<String> {
        self.facts().map(|facts| facts.user.preferred_username.clone())
    }

    /// What the org that is signed in to said of itself.
    pub fn facts(&self) -> Option<Arc<OrgFacts>> {
        self.desk().open.as_ref().map(|open| Arc::clone(&open.facts))
    }

    /// How the keychain is doing.
    pub fn keychain(&self) -> KeychainState {
        self.0.session_options.secrets.state().borrow().clone()
    }

    /// How this environment signs in.
    pub fn flow(&self) -> SignInFlow {
        self.desk().open.as_ref().map_or(self.0.environment.sign_in, |open| open.session.flow())
    }

    /// The login address.
    pub fn login_url(&self) -> &url::Url {
        &self.0.environment.login_url
    }

    /// The login host, to ask whether it answers.
    pub(crate) fn login_host(&self) -> Answer<LoginHost> {
        if let Some(open) = &self.desk().open {
            return Ok(open.session.host().clone());
        }
        Ok(self.session(None)?.host().clone())
    }

    /// Continues the sign-in that the keychain holds, or signs in where that needs no person. It ends in one of the
    /// states signed in, signed out (a person has to begin), or failed.
    pub async fn resume(&self) {
        let act = self.begin_act().await.0;
        let work = async {
            let session = self.session(None)?;
            self.with_keychain_shown(&act, &session, self.enter(&act, &session)).await
        };
        let outcome = tokio::select! {
            biased;
            () = act.cancel.cancelled() => return,
            outcome = work => outcome,
        };
        match outcome {
            Ok(()) => {}
            Err(SignInError::Salesforce(Error::SignInNeeded)) => self.show(&act, SignInState::SignedOut),
            Err(error) => self.fail(&act, &error),
        }
    }

    /// Begins a sign-in. `flow` overrides the configured one.
    ///
    /// - **Shape:** by browser, the state is *waiting for the browser* when this returns, the listener is bound, and
    ///   the address is there to be opened; the other flows are done when this returns.
    /// - **Errors:** those that stand in the way of beginning, a taken port for one; they are the state, too.
    pub async fn start(&self, flow: Option<SignInFlow>) -> Answer<SignInState> {
        let (act, _) = self.begin_act().await;
        match self.begin(&act, flow).await {
            Ok(()) => Ok(self.state()),
            Err(error) => {
                self.fail(&act, &error);
                Err(error.into())
            }
        }
    }

    /// Waits until nothing is under way any more, and returns the state.
    pub async fn settled(&self) -> SignInState {
        let mut state = self.watch();
        let settled = state.wait_for(|state| !is_under_way(state)).await;
        settled.map_or(SignInState::SignedOut, |state| state.clone())
    }

    /// Stops waiting for the browser; what was before is shown again.
    pub async fn cancel(&self) {
        let (act, before) = self.begin_act().await;
        match before {
            Some(before) => self.show(&act, before),
            None if is_under_way(&self.state()) => self.show(&act, SignInState::SignedOut),
            None => {}
        }
    }

    /// Signs out: revokes in Salesforce and forgets here. What is here is forgotten even if Salesforce cannot be told.
    pub async fn sign_out(&self) -> Answer<()> {
        let (act, _) = self.begin_act().await;
        let open = self.desk().open.take();
        self.end_watcher();
        let session = match open {
            Some(open) => open.session,
            None => self.session(None)?,
        };
        let revoked = async { Ok(session.sign_out().await?) };
        let outcome = self.with_keychain_shown(&act, &session, revoked).await;
        self.show(&act, SignInState::SignedOut);
        outcome.map_err(Into::into)
    }

    /// Ends the task that waits, if there is one.
    pub async fn shutdown(&self) {
        self.begin_act().await;
        self.end_watcher();
    }

    /// Makes what follows the newest act. The one before is cancelled, and its listener is closed when this returns:
    /// the next sign-in needs the same port. Returns what was shown before a wait that this ended.
    async fn begin_act(&self) -> (Act, Option<SignInState>) {
        let (act, running) = {
            let mut desk = self.desk();
            desk.act.cancel.cancel();
            desk.act = Act { number: desk.act.number + 1, cancel: CancellationToken::new() };
            (desk.act.clone(), desk.running.take())
        };
        let Some(running) = running else { return (act, None) };
        let was_waiting = !running.task.is_finished();
        let _ = running.task.await;
        (act, was_waiting.then_some(running.before))
    }

    async fn begin(&self, act: &Act, flow: Option<SignInFlow>) -> Result<(), SignInError> {
        let session = self.session(flow)?;
        if !session.needs_browser() {
            self.show(act, SignInState::Finishing);
            return self.enter(act, &session).await;
        }
        let redirect_url = &self.0.environment.redirect_url;
        let listener = Listener::bind(redirect_url).await?;
        let authorization = session.authorize(redirect_url)?;
        let before = match self.state() {
            state if is_under_way(&state) => SignInState::SignedOut,
            state => state,
        };
        self.show(
            act,
            SignInState::WaitingForBrowser {
                authorize_url: authorization.url.to_string(),
                since: clock::now(),
            },
        );
        let inner = Arc::downgrade(&self.0);
        let task = tokio::spawn(wait_for_browser(inner, act.clone(), session, listener, authorization));
        self.desk().running = Some(Running { task, before });
        Ok(())
    }

    /// Learns who signed in where, and lets the client be used if the org belongs here.
    async fn enter(&self, act: &Act, session: &Session) -> Result<(), SignInError> {
        let identity = session.identity().await?;
        org::check_org(&self.0.environment, identity.org_id)?;
        let options = self.0.client_options.clone();
        let configured = options.api_version;
        let tokens = Arc::new(session.clone());
        let client = Client::new(session.transport().clone(), tokens, options);
        let facts = OrgFacts::learn(&client, identity, configured).await?;
        let client = client.with_api_version(facts.api_version);
        let ours = client.calls_in_all();
        let org = facts.view(self.0.environment.currency.as_deref(), ours);
        let kept = session.is_kept().await;
        let open = Open { session: session.clone(), client, facts: Arc::new(facts) };
        {
            let mut desk = self.desk();
            if desk.act.number != act.number {
                return Ok(());
            }
            desk.open = Some(open);
        }
        self.watch_standing(session);
        self.show(act, SignInState::SignedIn { org, flow: session.flow(), kept });
        Ok(())
    }

    /// Says so at once when Salesforce ends the sign-in, whichever call hears of it first.
    fn watch_standing(&self, session: &Session) {
        let weak = Arc::downgrade(&self.0);
        let mut standing = session.standing();
        let watcher = tokio::spawn(async move {
            let ended = standing.wait_for(|standing| matches!(standing, Standing::Ended(_))).await;
            let (Ok(Standing::Ended(refusal)), Some(inner)) = (ended.map(|ended| *ended), weak.upgrade())
            else {
                return;
            };
            let sign_in = Self(inner);
            let act = {
                let mut desk = sign_in.desk();
                desk.open = None;
                desk.act.clone()
            };
            sign_in.show(&act, SignInState::Failed { problem: refused(refusal) });
        });
        if let Some(before) = self.desk().watcher.replace(watcher) {
            before.abort();
        }
    }

    /// Runs `work`, and shows meanwhile when the keychain has a person in front of it.
    async fn with_keychain_shown<T>(
        &self,
        act: &Act,
        session: &Session,
        work: impl Future<Output = Result<T, SignInError>>,
    ) -> Result<T, SignInError> {
        let mut keychain = session.secrets().state();
        let mut work = std::pin::pin!(work);
        loop {
            let waiting = matches!(*keychain.borrow_and_update(), KeychainState::Waiting);
            self.show(act, if waiting { SignInState::WaitingForKeychain } else { SignInState::Finishing });
            tokio::select! {
                outcome = &mut work => return outcome,
                changed = keychain.changed() => if changed.is_err() { return work.await; },
            }
        }
    }

    fn session(&self, flow: Option<SignInFlow>) -> Result<Session, SetupError> {
        Session::new(&self.0.environment, flow, &self.0.session_options)
    }

    fn end_watcher(&self) {
        if let Some(watcher) = self.desk().watcher.take() {
            watcher.abort();
        }
    }

    fn fail(&self, act: &Act, error: &SignInError) {
        let problem = Problem::from(error);
        tracing::info!(problem.code = problem.code, "sign-in failed");
        self.show(act, SignInState::Failed { problem });
    }

    fn show(&self, act: &Act, state: SignInState) {
        let desk = self.desk();
        if desk.act.number != act.number {
            return;
        }
        let changed = self.0.state.send_if_modified(|shown| {
            let changed = *shown != state;
            *shown = state;
            changed
        });
        if changed {
            self.0.notices.publish(&[View::SignIn, View::Status]);
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of a browser sign-in that waits for a person. It holds the sign-in weakly, so that dropping it ends this.
async fn wait_for_browser(
    inner: Weak<Inner>,
    act: Act,
    session: Session,
    listener: Listener,
    authorization: Authorization,
) {
    let code = listener.wait_for_code(authorization.state(), BROWSER_PATIENCE, &act.cancel).await;
    let Some(sign_in) = inner.upgrade().map(SignIn) else { return };
    let outcome = match code {
        // Whoever cancelled shows what comes next.
        Err(Error::Cancelled) => return,
        Err(error) => Err(error.into()),
        Ok(code) => {
            let finish = async {
                session.exchange(&authorization, &code).await?;
                sign_in.enter(&act, &session).await
            };
            tokio::select! {
                biased;
                () = act.cancel.cancelled() => return,
                outcome = sign_in.with_keychain_shown(&act, &session, finish) => outcome,
            }
        }
    };
    if let Err(error) = outcome {
        sign_in.fail(&act, &error);
        // An approval of an org that does not belong here must not wait in the keychain for the next start.
        if matches!(error, SignInError::NotOurs(_))
            && let Err(error) = session.sign_out().await
        {
            tracing::debug!(%error, "a sign-in that does not belong here could not be revoked");
        }
    }
}

/// Whether something is still on its way.
pub fn is_under_way(state: &SignInState) -> bool {
    match state {
        SignInState::WaitingForKeychain | SignInState::WaitingForBrowser { .. } | SignInState::Finishing => {
            true
        }
        SignInState::SignedOut | SignInState::SignedIn { .. } | SignInState::Failed { .. } => false,
    }
}
