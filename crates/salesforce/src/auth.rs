//! Signing in: browser with PKCE, refresh token, JWT bearer, client credentials; and signing out.
//!
//! A token answer is read in one place, and every refusal becomes a [`Refusal`](crate::Refusal) there.

mod assertion;
mod grant;
mod host;
pub mod loopback;
mod page;

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use oauth2::{
    AsyncHttpClient, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken,
    RequestTokenError, Scope, StandardRevocableToken, StandardTokenResponse, TokenUrl,
    basic::{
        BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
    },
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

pub use assertion::SigningKey;
pub use grant::{Grant, Identity, UserInfo};
pub use host::{accepts_client_credentials, jwt_audience};

use crate::{CallMade, CallObserver, Error, OriginPolicy, Purpose, Transport, error::is_transient};
use grant::SalesforceFields;

/// What we ask the user to approve: data by API, a refresh token, and who the user is.
const SCOPES: [&str; 3] = ["api", "refresh_token", "openid"];

/// Refused connections are tried this often in all; anything that may have arrived is not repeated.
const CONNECT_TRIES: u32 = 3;

type OAuthClient = oauth2::Client<
    BasicErrorResponse,
    StandardTokenResponse<SalesforceFields, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// The app of the org (External Client App) as which this program signs in.
#[derive(Clone)]
pub struct App {
    /// The consumer key.
    pub client_id: String,
    /// The consumer secret; a public client has none.
    pub client_secret: Option<SecretString>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// The login host, seen as one app.
#[derive(Clone)]
pub struct LoginHost {
    transport: Transport,
    policy: OriginPolicy,
    app: App,
    observer: Option<CallObserver>,
}

impl fmt::Debug for LoginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginHost")
            .field("policy", &self.policy)
            .field("app", &self.app)
            .finish_non_exhaustive()
    }
}

/// A sign-in that waits for a person: the address to open, and what proves that the answer is ours.
pub struct Authorization {
    /// The page where the user approves.
    pub url: Url,
    state: SecretString,
    verifier: SecretString,
    redirect_url: Url,
}

impl Authorization {
    /// The text that the browser's answer must bring back.
    pub fn state(&self) -> &SecretString {
        &self.state
    }

    /// The registered redirect to which the answer comes.
    pub fn redirect_url(&self) -> &Url {
        &self.redirect_url
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization")
            .field("redirect_url", &self.redirect_url.as_str())
            .finish_non_exhaustive()
    }
}

impl LoginHost {
    /// The login host of an environment.
    pub fn new(transport: Transport, policy: OriginPolicy, app: App, observer: Option<CallObserver>) -> Self {
        Self { transport, policy, app, observer }
    }

    /// The login address.
    pub fn login_url(&self) -> &Url {
        &self.policy.login_url
    }

    /// The HTTP client, to be shared with the org's [`Client`](crate::Client).
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The app as which we sign in.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Whether the login address answers like Salesforce, and Salesforce's time there. Carries no token, costs no call.
    pub async fn probe(&self) -> Result<DateTime<Utc>, Error> {
        let url = self.endpoint("/services/data")?;
        let operation = "login address";
        let outcome =
            self.transport.http().get(url).header(reqwest::header::ACCEPT, "application/json").send().await;
        let mut response = outcome.map_err(|source| crate::client::transport(operation, source))?;
        let status = response.status();
        if is_transient(status.as_u16()) {
            return Err(Error::Status { operation, status: status.as_u16(), retry_after: None });
        }
        let at = crate::client::answered_at(response.headers());
        let body = crate::failure::read_limited(&mut response).await;
        let speaks = serde_json::from_slice::<Vec<serde_json::Map<String, serde_json::Value>>>(&body)
            .is_ok_and(|versions| versions.iter().any(|version| version.contains_key("version")));
        if speaks { Ok(at) } else { Err(self.not_salesforce(&format!("status {}", status.as_u16()))) }
    }

    /// Prepares a browser sign-in: a fresh state, a fresh PKCE pair (S256, 43 characters) and the address to open.
    pub fn authorize(&self, redirect_url: &Url) -> Result<Authorization, Error> {
        let client = self.client()?.set_redirect_uri(RedirectUrl::from_url(redirect_url.clone()));
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let scopes = SCOPES.into_iter().map(|scope| Scope::new(scope.to_owned()));
        let (url, state) = client
            .authorize_url(CsrfToken::new_random)
            .add_scopes(scopes)
            .set_pkce_challenge(challenge)
            .url();
        Ok(Authorization {
            url,
            state: state.into_secret().into(),
            verifier: verifier.into_secret().into(),
            redirect_url: redirect_url.clone(),
        })
    }

    /// Trades the browser's code for tokens. A code counts once: a lost answer means signing in again.
    pub async fn exchange_code(
        &self,
        authorization: &Authorization,
        code: &SecretString,
    ) -> Result<Grant, Error> {
        let client =
            self.client()?.set_redirect_uri(RedirectUrl::from_url(authorization.redirect_url.clone()));
        let verifier = PkceCodeVerifier::new(authorization.verifier.expose_secret().to_owned());
        let request = client
            .exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()))
            .set_pkce_verifier(verifier);
        let endpoint = self.token_endpoint("sign-in", Patience::ConnectOnly);
        let answer = request.request_async(&endpoint).await.map_err(|error| token_error("sign-in", error))?;
        Grant::from_answer(&answer, &self.policy)
    }

    /// Trades a refresh token for a fresh access token, and under rotation for the next refresh token.
    ///
    /// - **Errors:** a network error without a known outcome is returned, not repeated: with rotation the first
    ///   try may have succeeded, and a second one would end the sign-in.
    /// - **Source:** no scope is sent; orgs refuse refreshes that carry one.
    pub async fn refresh(&self, refresh_token: &SecretString) -> Result<Grant, Error> {
        let client = self.client()?;
        let refresh_token = RefreshToken::new(refresh_token.expose_secret().to_owned());
        let endpoint = self.token_endpoint("token refresh", Patience::ConnectOnly);
        let answer = client
            .exchange_refresh_token(&refresh_token)
            .request_async(&endpoint)
            .await
            .map_err(|error| token_error("token refresh", error))?;
        Grant::from_answer(&answer, &self.policy)
    }

    /// Signs in as `username` by a signed assertion (RS256, valid for three minutes from `now`).
    pub async fn jwt_bearer(
        &self,
        username: &str,
        key: &SigningKey,
        now: DateTime<Utc>,
    ) -> Result<Grant, Error> {
        let audience = jwt_audience(self.login_url());
        let assertion = key.assertion(&self.app.client_id, username, &audience, now)?;
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", assertion.expose_secret()),
        ];
        let request = self.form_request("/services/oauth2/token", &form)?;
        let response = self.token_endpoint("sign-in", Patience::Transient).call(request).await?;
        let answer = serde_json::from_slice(response.body()).map_err(|_| unreadable_token("sign-in"))?;
        Grant::from_answer(&answer, &self.policy)
    }

    /// Signs in as the app's configured user. Only a My Domain (or a simulated org) offers this.
    pub async fn client_credentials(&self) -> Result<Grant, Error> {
        if !accepts_client_credentials(self.login_url()) {
            return Err(Error::MyDomainNeeded {
                host: self.login_url().host_str().unwrap_or_default().to_owned(),
            });
        }
        let client = self.client()?;
        let endpoint = self.token_endpoint("sign-in", Patience::Transient);
        let answer = client
            .exchange_client_credentials()
            .request_async(&endpoint)
            .await
            .map_err(|error| token_error("sign-in", error))?;
        Grant::from_answer(&answer, &self.policy)
    }

    /// Revokes a token. Revoking a refresh token also ends the access tokens that came from it.
    pub async fn revoke(&self, token: &SecretString) -> Result<(), Error> {
        let request = self.form_request("/services/oauth2/revoke", &[("token", token.expose_secret())])?;
        self.call("sign-out", request, Patience::Transient).await.map(drop)
    }

    fn client(&self) -> Result<OAuthClient, Error> {
        let client = oauth2::Client::new(ClientId::new(self.app.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(self.endpoint("/services/oauth2/authorize")?))
            .set_token_uri(TokenUrl::from_url(self.endpoint("/services/oauth2/token")?))
            .set_auth_type(oauth2::AuthType::RequestBody);
        Ok(match &self.app.client_secret {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned())),
            None => client,
        })
    }

    fn endpoint(&self, path: &str) -> Result<Url, Error> {
        self.login_url().join(path).map_err(|_| Error::NotSalesforce {
            host: self.login_url().to_string(),
            found: "it is not a web address".to_owned(),
        })
    }

    fn form_request(&self, path: &str, form: &[(&str, &str)]) -> Result<HttpRequest, Error> {
        let url = self.endpoint(path)?;
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = HttpRequest::new(body.into_bytes());
        *request.method_mut() = reqwest::Method::POST;
        *request.uri_mut() = url.as_str().parse().map_err(|_| Error::NotSalesforce {
            host: url.to_string(),
            found: "it is not a web address".to_owned(),
        })?;
        let headers = request.headers_mut();
        headers
            .insert(reqwest::header::ACCEPT, reqwest::header::HeaderValue::from_static("application/json"));
        headers.insert(
            reqwest::header::CONTENT_TYPE,
            reqwest::header::HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        Ok(request)
    }

    fn token_endpoint(&self, operation: &'static str, patience: Patience) -> TokenEndpoint {
        TokenEndpoint { host: self.clone(), operation, patience }
    }

    async fn call(
        &self,
        operation: &'static str,
        request: HttpRequest,
        patience: Patience,
    ) -> Result<HttpResponse, Error> {
        let mut tries = 1;
        loop {
            let outcome = self.call_once(operation, request.clone()).await;
            match outcome {
                Err(error) if tries < CONNECT_TRIES && patience.allows(&error) => {
                    tracing::debug!(operation, tries, %error, "trying again");
                    tokio::time::sleep(Duration::from_millis(500) * tries).await;
                    tries += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn call_once(&self, operation: &'static str, request: HttpRequest) -> Result<HttpResponse, Error> {
        let request = reqwest::Request::try_from(request)
            .map_err(|source| crate::client::transport(operation, source))?;
        let outcome = self.transport.http().execute(request).await;
        if let Some(observer) = &self.observer {
            let status = outcome.as_ref().ok().map(|response| response.status().as_u16());
            observer(&CallMade {
                purpose: Purpose::SignIn,
                operation,
                status,
                at: None,
                usage: None,
                costs: false,
            });
        }
        let mut response = outcome.map_err(|source| crate::client::transport(operation, source))?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        // A host that is not Salesforce may send anything, of any length.
        let body = crate::failure::read_limited(&mut response).await;
        if !status.is_success() {
            return Err(self.refusal(operation, status, &body));
        }
        let mut answer = HttpResponse::new(body);
        *answer.headers_mut() = headers;
        Ok(answer)
    }

    fn refusal(&self, operation: &'static str, status: reqwest::StatusCode, body: &[u8]) -> Error {
        if let Ok(answer) = serde_json::from_slice::<grant::OAuthError>(body) {
            return answer.into_error();
        }
        if is_transient(status.as_u16()) {
            return Error::Status { operation, status: status.as_u16(), retry_after: None };
        }
        self.not_salesforce(&format!("status {}", status.as_u16()))
    }

    fn not_salesforce(&self, found: &str) -> Error {
        Error::NotSalesforce {
            host: self.login_url().host_str().unwrap_or_default().to_owned(),
            found: found.to_owned(),
        }
    }
}

/// The token endpoint as `oauth2` calls it: only JSON answers pass, errors are ours.
struct TokenEndpoint {
    host: LoginHost,
    operation: &'static str,
    patience: Patience,
}

impl<'a> AsyncHttpClient<'a> for TokenEndpoint {
    type Error = Error;
    type Future = BoxFuture<'a, Result<HttpResponse, Error>>;

    fn call(&'a self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let response = self.host.call(self.operation, request, self.patience).await?;
            let is_json = response
                .headers()
                .get(reqwest::header::CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .is_none_or(|value| value.to_ascii_lowercase().starts_with("application/json"));
            if is_json {
                Ok(response)
            } else {
                Err(self.host.not_salesforce("a web page instead of a token"))
            }
        })
    }
}

/// What a token call may be repeated for.
#[derive(Debug, Clone, Copy)]
enum Patience {
    /// Only where the request certainly never arrived.
    ConnectOnly,
    /// Also where the host is briefly unwell: repeating does no harm.
    Transient,
}

impl Patience {
    fn allows(self, error: &Error) -> bool {
        match (self, error) {
            (_, Error::Transport { source, .. }) if source.is_connect() => true,
            (Self::Transient, Error::Transport { .. } | Error::Status { .. }) => true,
            (Self::ConnectOnly | Self::Transient, _) => false,
        }
    }
}

fn token_error(operation: &'static str, error: RequestTokenError<Error, BasicErrorResponse>) -> Error {
    match error {
        RequestTokenError::Request(error) => error,
        // The body of a token answer is never quoted: it may hold tokens.
        RequestTokenError::ServerResponse(_) | RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            unreadable_token(operation)
        }
    }
}

fn unreadable_token(operation: &'static str) -> Error {
    Error::Unreadable { operation, reason: "the token answer has a shape that we do not know".to_owned() }
}
