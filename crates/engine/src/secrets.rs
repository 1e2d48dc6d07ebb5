//! Secrets: the operating system's keychain, the environment's variables, and memory where no keychain runs.
//!
//! A keychain may open a window of its own and wait for a person, for as long as it likes. So it is asked on a thread
//! of its own that nothing waits for: the console stays alive, the wait is shown, a late answer still arrives, and
//! quitting is possible in between.

use std::{
    collections::HashMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::sync::{oneshot, watch};

/// The name under which a keychain lists our entries.
const SERVICE: &str = "shadow-sync";
/// A keychain that answers slower than this has a person in front of it.
const PROMPT_SUSPECTED: Duration = Duration::from_millis(1_500);
/// How long a write is waited for before the secret is used from memory. The write itself goes on.
const WRITE_PATIENCE: Duration = Duration::from_secs(45);

/// How the keychain is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum KeychainState {
    /// It has not been asked yet, or its last answer was a good one.
    Ready,
    /// It was asked and has not answered: its own window is probably open.
    Waiting,
    /// It is locked, and nobody can be asked to unlock it.
    Locked,
    /// No keychain runs here. Remembered until this program ends.
    Absent {
        /// What the system said.
        reason: String,
    },
    /// Deliberately not used: a demo environment keeps nothing.
    Unused,
}

impl KeychainState {
    /// How the keychain is doing, judged by its last answer.
    fn after(answer: &Result<Option<SecretString>, Refused>) -> Self {
        match answer {
            Ok(_) | Err(Refused::Other(_)) => Self::Ready,
            Err(Refused::Locked) => Self::Locked,
            Err(Refused::Absent(reason)) => Self::Absent { reason: reason.clone() },
        }
    }
}

/// Where a secret ended up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// In the keychain, beyond this run.
    Keychain,
    /// In memory, until this program ends.
    ThisRun,
}

/// Why a secret could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is locked, and nobody can be asked to unlock it.
    #[error("the keychain is locked")]
    Locked,
    /// It answered with something else.
    #[error("the keychain failed: {0}")]
    Failed(String),
    /// A file that a variable names.
    #[error("{variable} names a file that cannot be read: {reason}")]
    File {
        /// The variable.
        variable: &'static str,
        /// What the system said.
        reason: String,
    },
}

/// Reads and writes secrets. Cheap to clone; all clones share one keychain and one memory.
#[derive(Clone)]
pub struct Secrets(Arc<Shared>);

struct Shared {
    /// What the keychain does not hold: because there is none, or not yet.
    memory: Arc<Mutex<HashMap<String, SecretString>>>,
    keychain: Option<mpsc::Sender<Request>>,
    state: watch::Sender<KeychainState>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("keychain", &*self.0.state.borrow()).finish_non_exhaustive()
    }
}

impl Secrets {
    /// Secrets in the system's keychain.
    pub fn in_keychain() -> Self {
        Self::with_store(system_keychain)
    }

    /// Secrets in memory only, until this program ends.
    pub fn in_memory() -> Self {
        Self(Arc::new(Shared {
            memory: Arc::default(),
            keychain: None,
            state: watch::Sender::new(KeychainState::Unused),
        }))
    }

    fn with_store(store: impl Fn(&Act) -> Result<Option<SecretString>, Refused> + Send + 'static) -> Self {
        let state = watch::Sender::new(KeychainState::Ready);
        let memory = Arc::<Mutex<HashMap<String, SecretString>>>::default();
        let (requests, receiver) = mpsc::channel::<Request>();
        let worker = Worker { state: state.clone(), memory: Arc::clone(&memory) };
        // A plain thread, because a runtime would wait at its end for a keychain that waits for a person.
        let spawned = std::thread::Builder::new().name("keychain".to_owned()).spawn(move || {
            for request in receiver {
                worker.serve(request, &store);
            }
        });
        if let Err(error) = spawned {
            state.send_replace(KeychainState::Absent { reason: error.to_string() });
        }
        Self(Arc::new(Shared { memory, keychain: Some(requests), state }))
    }

    /// How the keychain is doing, and when that changes.
    pub fn state(&self) -> watch::Receiver<KeychainState> {
        self.0.state.subscribe()
    }

    /// Reads a secret; `None` where there is none. Waits for as long as the keychain's own window is open: drop the
    /// future to give up, a later call asks again.
    pub async fn read(&self, key: &str) -> Result<Option<SecretString>, Error> {
        if let Some(secret) = self.memory().get(key) {
            return Ok(Some(secret.clone()));
        }
        match self.ask(Act::Read(key.to_owned())).await {
            Ok(secret) => Ok(secret),
            Err(Refused::Absent(_)) => Ok(None),
            Err(Refused::Locked) => Err(Error::Locked),
            Err(Refused::Other(reason)) => Err(Error::Failed(reason)),
        }
    }

    /// Keeps a secret: in memory at once, so that it cannot be lost, and in the keychain where that is possible.
    pub async fn write(&self, key: &str, secret: SecretString) -> Kept {
        self.memory().insert(key.to_owned(), secret.clone());
        let written = self.ask(Act::Write(key.to_owned(), secret));
        match tokio::time::timeout(WRITE_PATIENCE, written).await {
            Ok(Ok(_)) => Kept::Keychain,
            Ok(Err(refused)) => {
                tracing::debug!(?refused, "the keychain did not take a secret; it stays in memory");
                Kept::ThisRun
            }
            Err(_) => Kept::ThisRun,
        }
    }

    /// Whether a secret would be lost with this run.
    pub fn holds_only_in_memory(&self, key: &str) -> bool {
        self.memory().contains_key(key)
    }

    /// Forgets a secret everywhere. A keychain that cannot be asked keeps a token that was revoked before.
    pub async fn forget(&self, key: &str) {
        self.memory().remove(key);
        let forgotten = self.ask(Act::Forget(key.to_owned()));
        if !matches!(
            tokio::time::timeout(WRITE_PATIENCE, forgotten).await,
            Ok(Ok(_) | Err(Refused::Absent(_)))
        ) {
            tracing::warn!("the keychain could not be asked to forget a secret");
        }
    }

    async fn ask(&self, act: Act) -> Result<Option<SecretString>, Refused> {
        let Some(keychain) = &self.0.keychain else { return Err(Refused::Absent(String::new())) };
        let (reply, mut answer) = oneshot::channel();
        keychain.send(Request { act, reply }).map_err(|_| Refused::Absent("its thread ended".to_owned()))?;
        let gone = |_| Err(Refused::Absent("its thread ended".to_owned()));
        if let Ok(answer) = tokio::time::timeout(PROMPT_SUSPECTED, &mut answer).await {
            return answer.unwrap_or_else(gone);
        }
        self.0.state.send_replace(KeychainState::Waiting);
        let answer = answer.await.unwrap_or_else(gone);
        // The answer may have come in the very moment in which the wait was noticed.
        self.0.state.send_replace(KeychainState::after(&answer));
        answer
    }

    fn memory(&self) -> MutexGuard<'_, HashMap<String, SecretString>> {
        lock(&self.0.memory)
    }
}

/// What is asked of the keychain.
enum Act {
    Read(String),
    Write(String, SecretString),
    Forget(String),
}

struct Request {
    act: Act,
    reply: oneshot::Sender<Result<Option<SecretString>, Refused>>,
}

/// Why the keychain did not do it. Holds no secret.
#[derive(Debug)]
enum Refused {
    Absent(String),
    Locked,
    Other(String),
}

struct Worker {
    state: watch::Sender<KeychainState>,
    memory: Arc<Mutex<HashMap<String, SecretString>>>,
}

impl Worker {
    fn serve(&self, request: Request, store: &impl Fn(&Act) -> Result<Option<SecretString>, Refused>) {
        // Somebody who gave up waiting does not need the answer of a read; a write is done all the same.
        if matches!(request.act, Act::Read(_)) && request.reply.is_closed() {
            return;
        }
        let answer = store(&request.act);
        if let (Act::Write(key, written), Ok(_)) = (&request.act, &answer) {
            // Now that the keychain has it, other programs may change it there; unless we did meanwhile.
            let mut memory = lock(&self.memory);
            if memory.get(key).is_some_and(|held| held.expose_secret() == written.expose_secret()) {
                memory.remove(key);
            }
        }
        self.state.send_replace(KeychainState::after(&answer));
        // A dropped receiver has given up; the state above tells that the keychain answers again.
        let _ = request.reply.send(answer);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does one act in the system's keychain. Blocks for as long as the keychain does.
fn system_keychain(act: &Act) -> Result<Option<SecretString>, Refused> {
    let (Act::Read(key) | Act::Write(key, _) | Act::Forget(key)) = act;
    let entry = keyring::Entry::new(SERVICE, key).map_err(refused)?;
    let outcome = match act {
        Act::Read(_) => entry.get_password().map(|text| Some(SecretString::from(text))),
        Act::Write(_, secret) => entry.set_password(secret.expose_secret()).map(|()| None),
        Act::Forget(_) => entry.delete_credential().map(|()| None),
    };
    match outcome {
        Err(keyring::Error::NoEntry) => Ok(None),
        outcome => outcome.map_err(refused),
    }
}

/// Only names and codes are taken over: some of these errors carry the secret's bytes.
fn refused(error: keyring::Error) -> Refused {
    match error {
        keyring::Error::NoDefaultStore => {
            let reason = keyring::Entry::store_status().as_ref().err().map(ToString::to_string);
            Refused::Absent(reason.unwrap_or_else(|| "no keychain runs".to_owned()))
        }
        keyring::Error::NoStorageAccess(_) => Refused::Locked,
        keyring::Error::PlatformFailure(error) => Refused::Other(error.to_string()),
        keyring::Error::BadEncoding(_) | keyring::Error::BadDataFormat(..) => {
            Refused::Other("the entry was not written by this program".to_owned())
        }
        keyring::Error::Ambiguous(_) => Refused::Other("it holds the entry more than once".to_owned()),
        error @ (keyring::Error::TooLong(..) | keyring::Error::Invalid(..)) => {
            Refused::Other(error.to_string())
        }
        _ => Refused::Other("an unknown failure".to_owned()),
    }
}

/// Secrets that the environment's variables bring. Never printed.
#[derive(Clone, Default)]
pub struct VariableSecrets {
    /// `SHADOW_SYNC_CLIENT_SECRET`.
    pub client_secret: Option<SecretString>,
    /// `SHADOW_SYNC_REFRESH_TOKEN`.
    pub refresh_token: Option<SecretString>,
    /// `SHADOW_SYNC_USERNAME`.
    pub username: Option<String>,
    /// `SHADOW_SYNC_JWT_KEY_FILE`.
    pub jwt_key_file: Option<PathBuf>,
}

impl VariableSecrets {
    /// Reads the process's own variables.
    pub fn from_process() -> Self {
        Self::from_variables(&|name| std::env::var(name).ok())
    }

    /// Reads variables given by a function; an empty one counts as absent.
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let get = |name| variable(name).filter(|value| !value.is_empty());
        Self {
            client_secret: get("SHADOW_SYNC_CLIENT_SECRET").map(SecretString::from),
            refresh_token: get("SHADOW_SYNC_REFRESH_TOKEN").map(SecretString::from),
            username: get("SHADOW_SYNC_USERNAME"),
            jwt_key_file: get("SHADOW_SYNC_JWT_KEY_FILE").map(PathBuf::from),
        }
    }
}

impl fmt::Debug for VariableSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VariableSecrets")
            .field("client_secret", &self.client_secret.is_some())
            .field("refresh_token", &self.refresh_token.is_some())
            .field("username", &self.username)
            .field("jwt_key_file", &self.jwt_key_file)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// A keychain of our own that can be held up as a prompt would, or refuse.
    fn scripted(
        gate: mpsc::Receiver<()>,
        held: &Arc<Mutex<HashMap<String, SecretString>>>,
    ) -> impl Fn(&Act) -> Result<Option<SecretString>, Refused> + Send + 'static {
        let held = Arc::clone(held);
        let gate = Mutex::new(gate);
        move |act| {
            let _ = lock(&gate).recv();
            let mut held = lock(&held);
            Ok(match act {
                Act::Read(key) => held.get(key).cloned(),
                Act::Write(key, secret) => held.insert(key.clone(), secret.clone()).and(None),
                Act::Forget(key) => held.remove(key).and(None),
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_of_the_keychain_is_not_lost() {
        let (open, gate) = mpsc::channel();
        let held = Arc::default();
        let secrets = Secrets::with_store(scripted(gate, &held));
        let mut state = secrets.state();

        assert_eq!(secrets.write("k", "token".into()).await, Kept::ThisRun);
        assert_eq!(*state.borrow_and_update(), KeychainState::Waiting);
        let read = secrets.read("k").await.expect("memory answers").expect("a secret");
        assert_eq!(read.expose_secret(), "token");

        drop(open);
        state.wait_for(|state| *state == KeychainState::Ready).await.expect("the keychain answers");
        assert_eq!(lock(&held).get("k").expect("it arrived").expose_secret(), "token");
    }

    #[tokio::test]
    async fn without_a_keychain_secrets_live_for_this_run() {
        let secrets = Secrets::with_store(|_| Err(Refused::Absent("no session bus".to_owned())));
        assert_eq!(secrets.write("k", "token".into()).await, Kept::ThisRun);
        assert!(secrets.read("k").await.expect("memory answers").is_some());
        assert_eq!(*secrets.state().borrow(), KeychainState::Absent { reason: "no session bus".to_owned() });
        secrets.forget("k").await;
        assert!(secrets.read("k").await.expect("memory answers").is_none());
    }

    #[tokio::test]
    async fn a_locked_keychain_is_said_so_and_later_asked_again() {
        let locked = Arc::new(AtomicBool::new(true));
        let secrets = Secrets::with_store({
            let locked = Arc::clone(&locked);
            move |_| {
                if locked.load(Ordering::SeqCst) { Err(Refused::Locked) } else { Ok(Some("late".into())) }
            }
        });
        assert_eq!(secrets.read("k").await.expect_err("locked"), Error::Locked);
        locked.store(false, Ordering::SeqCst);
        assert!(secrets.read("k").await.expect("unlocked").is_some());
        assert_eq!(*secrets.state().borrow(), KeychainState::Ready);
    }

    #[test]
    fn nothing_secret_is_printed() {
        let variables = VariableSecrets::from_variables(&|name| Some(format!("hush-{name}")));
        let printed = format!("{variables:?} {:?}", Secrets::in_memory());
        assert!(!printed.contains("hush-SHADOW_SYNC_CLIENT_SECRET"), "{printed}");
        assert!(!printed.contains("hush-SHADOW_SYNC_REFRESH_TOKEN"), "{printed}");
    }
}
