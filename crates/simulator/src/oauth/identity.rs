//! Who may come in, and who is in.

use std::collections::{HashMap, VecDeque};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::Rng;

use super::{authorize::Pending, jwt};
use crate::{Options, catalogue, error::Error, ids::RecordId};

/// The consumer key of the demo app: public client with PKCE, or confidential with [`DEMO_CLIENT_SECRET`].
pub const DEMO_CLIENT_ID: &str = "3MVG9simulatedOrgShadowSyncDemoApp.0000000000000000000000000";
/// The consumer secret of the demo app. It opens nothing but a simulated org.
pub const DEMO_CLIENT_SECRET: &str = "simulated-org-demo-secret-opens-nothing-else";

/// How long an authorization code lives.
const CODE_LIFE_MS: i64 = 15 * 60_000;
/// Approvals of one app by one user; the next one ends the oldest.
const APPROVALS: usize = 5;

/// An app that may ask for tokens.
#[derive(Clone, Debug)]
pub struct App {
    /// The consumer key.
    pub client_id: String,
    /// The consumer secret; a public client has none.
    pub secret: Option<String>,
    /// The callbacks, exactly as registered.
    pub callbacks: Vec<String>,
    /// The name on the page where people approve.
    pub name: String,
    /// Reports whether an authorization without PKCE is refused.
    pub pkce_required: bool,
}

/// An authorization code and what it was given for.
#[derive(Clone, Debug)]
pub struct Code {
    pub client_id: String,
    pub redirect_uri: String,
    pub user: RecordId,
    pub scope: String,
    pub challenge: Option<String>,
    pub issued_ms: i64,
}

/// A lasting permission: as long as it lives, its refresh token makes new sessions.
#[derive(Clone, Debug)]
pub struct Grant {
    pub id: u64,
    pub client_id: String,
    pub user: RecordId,
    pub scope: String,
    pub refresh_token: Option<String>,
}

/// What an access token stands for.
#[derive(Clone, Debug)]
pub struct Session {
    /// The grant it came from, if that lasts.
    pub grant: Option<u64>,
    /// The app.
    pub client_id: String,
    /// The user.
    pub user: RecordId,
    /// The scopes, with spaces between them.
    pub scope: String,
    /// When it began.
    pub issued_ms: i64,
}

/// Apps, codes, grants and sessions.
pub struct Identity {
    /// The apps.
    pub apps: Vec<App>,
    /// Reports whether each refresh answers with a new refresh token.
    pub rotation: bool,
    /// Who is signed in in the browser, and whom client credentials run as.
    pub signed_in: RecordId,
    /// Authorizations that wait for somebody to decide.
    pub pending: VecDeque<Pending>,
    codes: HashMap<String, Code>,
    spent_codes: HashMap<String, u64>,
    grants: Vec<Grant>,
    sessions: HashMap<String, Session>,
    jwt_keys: Vec<jwt::PublicKey>,
    issued: u64,
}

impl Identity {
    pub(crate) fn new(options: &Options) -> Self {
        let demo = App {
            client_id: DEMO_CLIENT_ID.to_owned(),
            secret: Some(DEMO_CLIENT_SECRET.to_owned()),
            callbacks: options.callbacks.clone(),
            name: "Shadow Sync".to_owned(),
            pkce_required: true,
        };
        let command_line = App {
            client_id: "PlatformCLI".to_owned(),
            secret: None,
            callbacks: vec!["http://localhost:1717/OauthRedirect".to_owned()],
            name: "Salesforce CLI".to_owned(),
            pkce_required: false,
        };
        Self {
            apps: vec![demo, command_line],
            rotation: options.refresh_rotation,
            signed_in: catalogue::demo_user_id(),
            pending: VecDeque::new(),
            codes: HashMap::new(),
            spent_codes: HashMap::new(),
            grants: Vec::new(),
            sessions: HashMap::new(),
            jwt_keys: Vec::new(),
            issued: 0,
        }
    }

    pub(crate) fn expire_sessions(&mut self) {
        self.sessions.clear();
    }

    pub(crate) fn revoke_grants(&mut self) {
        self.sessions.clear();
        self.grants.clear();
    }

    pub(crate) fn register_jwt_key(&mut self, pem: &str) -> Result<(), Error> {
        self.jwt_keys.push(jwt::PublicKey::from_pem(pem).ok_or(Error::Key)?);
        Ok(())
    }

    pub(crate) fn jwt_keys(&self) -> &[jwt::PublicKey] {
        &self.jwt_keys
    }

    pub(crate) fn set_callbacks(&mut self, callbacks: Vec<String>) {
        self.apps[0].callbacks = callbacks;
    }

    /// The app with this consumer key.
    pub fn app(&self, client_id: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.client_id == client_id)
    }

    /// A code for an approved authorization.
    pub fn issue_code(&mut self, code: Code) -> String {
        let text = format!("aPrx{}==", random(60));
        self.codes.insert(text.clone(), code);
        text
    }

    /// Takes a code out, once. A second try ends what the first try gave, as a stolen code must.
    pub fn redeem(&mut self, text: &str, now_ms: i64) -> Result<Code, &'static str> {
        if let Some(grant) = self.spent_codes.remove(text) {
            self.end_grant(grant);
            return Err("expired authorization code");
        }
        match self.codes.remove(text) {
            None => Err("invalid authorization code"),
            Some(code) if now_ms - code.issued_ms > CODE_LIFE_MS => Err("expired authorization code"),
            Some(code) => Ok(code),
        }
    }

    /// Notes which grant a spent code led to.
    pub fn spend(&mut self, code: &str, grant: u64) {
        self.spent_codes.insert(code.to_owned(), grant);
    }

    /// Begins a grant; the oldest of the same user and app ends if there are too many.
    pub fn begin_grant(&mut self, client_id: &str, user: RecordId, scope: &str) -> Grant {
        let same = |grant: &&Grant| grant.client_id == client_id && grant.user == user;
        while self.grants.iter().filter(same).count() >= APPROVALS {
            let oldest = self.grants.iter().find(same).map(|grant| grant.id);
            if let Some(oldest) = oldest {
                self.end_grant(oldest);
            }
        }
        self.issued += 1;
        let lasting =
            scope.split(' ').any(|scope| matches!(scope, "refresh_token" | "offline_access" | "full"));
        let grant = Grant {
            id: self.issued,
            client_id: client_id.to_owned(),
            user,
            scope: scope.to_owned(),
            refresh_token: lasting.then(new_refresh_token),
        };
        self.grants.push(grant.clone());
        grant
    }

    /// The grant of a refresh token. With rotation its token is replaced, and the old one is dead at once.
    pub fn refresh(&mut self, token: &str) -> Option<(Grant, bool)> {
        let rotation = self.rotation;
        let grant = self.grants.iter_mut().find(|grant| grant.refresh_token.as_deref() == Some(token))?;
        if rotation {
            grant.refresh_token = Some(new_refresh_token());
        }
        Some((grant.clone(), rotation))
    }

    /// Begins a session and returns its access token: the org's id, `!`, and 96 characters that mean nothing.
    pub fn begin_session(&mut self, org: RecordId, session: Session) -> String {
        let token = format!("{}!AQ{}", org.short(), random(94));
        self.sessions.insert(token.clone(), session);
        token
    }

    /// The session of an access token.
    pub fn session(&self, token: &str) -> Option<&Session> {
        self.sessions.get(token)
    }

    /// Ends one session.
    pub fn end_session(&mut self, token: &str) {
        self.sessions.remove(token);
    }

    /// Revokes an access or refresh token; a refresh token takes the sessions of its grant with it.
    pub fn revoke(&mut self, token: &str) -> bool {
        if self.sessions.remove(token).is_some() {
            return true;
        }
        let grant = self.grants.iter().find(|grant| grant.refresh_token.as_deref() == Some(token));
        let Some(id) = grant.map(|grant| grant.id) else { return false };
        self.end_grant(id);
        true
    }

    /// How many sessions and grants there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.sessions.len(), self.grants.len())
    }

    /// The grant of a refresh token, without using it.
    pub fn grant_of(&self, token: &str) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.refresh_token.as_deref() == Some(token))
    }

    fn end_grant(&mut self, id: u64) {
        self.grants.retain(|grant| grant.id != id);
        self.sessions.retain(|_, session| session.grant != Some(id));
    }
}

fn new_refresh_token() -> String {
    format!("5Aep861{}", random(80))
}

/// So many characters that nobody can guess.
pub fn random(characters: usize) -> String {
    let bytes: Vec<u8> = (0..characters).map(|_| rand::rng().random()).collect();
    let mut text = URL_SAFE_NO_PAD.encode(bytes).replace(['-', '_'], "x");
    text.truncate(characters);
    text
}
