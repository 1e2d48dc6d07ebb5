//! A simulated org, an environment that points to it, and a browser that a test steers.

use std::{path::Path, time::Duration};

use engine::{
    api::sign_in::SignInState,
    config::{Environment, load_with},
    notice::Notices,
    secrets::{Secrets, VariableSecrets},
    session::{Session, SessionOptions},
    sign_in::SignIn,
};
use salesforce::{ClientOptions, RetrySchedule};
use secrecy::ExposeSecret;
use simulator::{Options, Simulator};
use url::Url;

pub struct World {
    pub simulator: Simulator,
    pub folder: tempfile::TempDir,
    pub environment: Environment,
    pub secrets: Secrets,
}

impl World {
    /// A demo environment that signs in by browser.
    pub async fn start() -> Self {
        Self::start_as("demo", |_| {}).await
    }

    pub async fn start_as(kind: &str, change: impl FnOnce(&mut Options)) -> Self {
        let redirect = free_redirect();
        let mut options = Options {
            auto_approve: true,
            callbacks: vec![redirect.to_string()],
            products: 5,
            prices: 5,
            accounts: 5,
            ..Options::default()
        };
        change(&mut options);
        let simulator = Simulator::start(options).await.expect("an org");
        let folder = tempfile::tempdir().expect("a folder");
        let environment = environment(folder.path(), kind, simulator.base_url(), &redirect);
        Self { simulator, folder, environment, secrets: Secrets::in_memory() }
    }

    pub fn options(&self) -> SessionOptions {
        SessionOptions {
            secrets: self.secrets.clone(),
            variables: VariableSecrets::default(),
            lock_folder: self.folder.path().join("locks"),
            observer: None,
        }
    }

    /// A session as another program on this machine would have it: same keychain, same lock, nothing else.
    pub fn session(&self) -> Session {
        Session::new(&self.environment, None, &self.options()).expect("a session")
    }

    pub fn sign_in(&self) -> SignIn {
        self.sign_in_with(self.options())
    }

    pub fn sign_in_with(&self, options: SessionOptions) -> SignIn {
        let retry =
            RetrySchedule { first: Duration::from_millis(1), cap: Duration::from_millis(5), attempts: 3 };
        let client = ClientOptions { retry, ..ClientOptions::default() };
        SignIn::with_options(&self.environment, options, client, Notices::default())
    }

    /// The refresh token as the keychain holds it.
    pub async fn stored_refresh_token(&self) -> String {
        let key = format!("test {} {}", self.environment.login_url, self.environment.client_id);
        let stored = self.secrets.read(&key).await.expect("a keychain").expect("an entry");
        let stored: serde_json::Value = serde_json::from_str(stored.expose_secret()).expect("JSON");
        stored["refresh_token"].as_str().expect("a refresh token").to_owned()
    }

    /// A sign-in that a person has approved in the browser.
    pub async fn signed_in(&self) -> SignIn {
        let sign_in = self.sign_in();
        let state = sign_in.start(None).await.expect("it begins");
        browse(&state).await;
        let settled = sign_in.settled().await;
        assert!(matches!(settled, SignInState::SignedIn { .. }), "{settled:?}");
        sign_in
    }
}

pub fn environment(folder: &Path, kind: &str, login_url: &Url, redirect: &Url) -> Environment {
    let path = folder.join("config.toml");
    let text = format!(
        "[environments.test]\nkind = \"{kind}\"\nlogin_url = \"{login_url}\"\nclient_id = \"{}\"\n\
         sign_in = \"browser\"\nredirect_url = \"{redirect}\"\n",
        simulator::DEMO_CLIENT_ID
    );
    std::fs::write(&path, text).expect("a file");
    load_with(Some(&path), &|_| None).expect("a configuration").environments.remove(0)
}

pub fn free_redirect() -> Url {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    Url::parse(&format!("http://localhost:{port}/oauth/callback")).expect("a URL")
}

/// Opens the page that a waiting sign-in shows, and goes where it leads.
pub async fn browse(state: &SignInState) {
    let SignInState::WaitingForBrowser { authorize_url, .. } = state else { panic!("{state:?}") };
    let browser = reqwest::Client::builder().no_proxy().build().expect("a browser");
    browser.get(authorize_url).send().await.expect("a page");
}
