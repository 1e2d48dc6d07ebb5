//! The token endpoint: every grant, refresh, revoke and introspect.

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::StatusCode;
use ring::hmac;
use serde_json::{Value as Json, json};

use super::{
    authorize::verifier_fits,
    identity::{App, Identity, Session},
    jwt, refuse,
};
use crate::{
    http::{Call, Reply, empty, ok},
    ids::RecordId,
    lock::lock,
    org::Org,
};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Answers `POST /services/oauth2/token`.
pub fn answer(org: &Org, call: &Call) -> Reply {
    match call.form("grant_type").as_deref() {
        Some("authorization_code") => authorization_code(org, call),
        Some("refresh_token") => refresh(org, call),
        Some("client_credentials") => client_credentials(org, call),
        Some(JWT_BEARER) => jwt_bearer(org, call),
        Some(_) => refuse("unsupported_grant_type", "grant type not supported"),
        None => refuse("invalid_request", "missing required parameter: grant_type"),
    }
}

fn authorization_code(org: &Org, call: &Call) -> Reply {
    let mut identity = lock(&org.identity);
    let app = match client(&identity, call, Secret::Optional) {
        Ok(app) => app,
        Err(reply) => return *reply,
    };
    let text = call.form("code").unwrap_or_default();
    let code = match identity.redeem(&text, org.clock.now_ms()) {
        Ok(code) => code,
        Err(description) => return refuse("invalid_grant", description),
    };
    if code.client_id != app.client_id {
        return refuse("invalid_grant", "invalid authorization code");
    }
    if call.form("redirect_uri").as_deref() != Some(code.redirect_uri.as_str()) {
        return refuse("redirect_uri_mismatch", "redirect_uri must match configuration");
    }
    if let Some(challenge) = &code.challenge {
        match call.form("code_verifier") {
            None => return refuse("invalid_grant", "missing code verifier"),
            Some(verifier) if !verifier_fits(challenge, &verifier) => {
                return refuse("invalid_grant", "invalid code verifier");
            }
            Some(_) => {}
        }
    }
    let grant = identity.begin_grant(&code.client_id, code.user, &code.scope);
    identity.spend(&text, grant.id);
    let session = Session {
        grant: Some(grant.id),
        client_id: grant.client_id,
        user: grant.user,
        scope: grant.scope,
        issued_ms: org.clock.now_ms(),
    };
    token_reply(org, &mut identity, session, grant.refresh_token, &app)
}

fn refresh(org: &Org, call: &Call) -> Reply {
    let mut identity = lock(&org.identity);
    let app = match client(&identity, call, Secret::Optional) {
        Ok(app) => app,
        Err(reply) => return *reply,
    };
    if call.form("scope").is_some() {
        return refuse("invalid_request", "scope parameter not supported");
    }
    let token = call.form("refresh_token").unwrap_or_default();
    let of_app = identity.grant_of(&token).is_some_and(|grant| grant.client_id == app.client_id);
    let Some((grant, rotated)) = of_app.then(|| identity.refresh(&token)).flatten() else {
        return refuse("invalid_grant", "expired access/refresh token");
    };
    let session = Session {
        grant: Some(grant.id),
        client_id: grant.client_id,
        user: grant.user,
        scope: grant.scope,
        issued_ms: org.clock.now_ms(),
    };
    token_reply(org, &mut identity, session, grant.refresh_token.filter(|_| rotated), &app)
}

fn client_credentials(org: &Org, call: &Call) -> Reply {
    let mut identity = lock(&org.identity);
    let app = match client(&identity, call, Secret::Required) {
        Ok(app) => app,
        Err(reply) => return *reply,
    };
    let session = Session {
        grant: None,
        client_id: app.client_id.clone(),
        user: identity.signed_in,
        scope: "api openid".to_owned(),
        issued_ms: org.clock.now_ms(),
    };
    token_reply(org, &mut identity, session, None, &app)
}

fn jwt_bearer(org: &Org, call: &Call) -> Reply {
    let assertion = call.form("assertion").unwrap_or_default();
    let mut identity = lock(&org.identity);
    let Some(claims) = jwt::read(&assertion, identity.jwt_keys()) else {
        return refuse("invalid_grant", "invalid assertion");
    };
    let claim = |name: &str| claims.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    let Some(app) = identity.app(&claim("iss")).cloned() else {
        return refuse("invalid_client_id", "client identifier invalid");
    };
    let own = org.base_url.as_str().trim_end_matches('/');
    let audiences = ["https://login.salesforce.com", "https://test.salesforce.com", own];
    let audience = claim("aud");
    if !audiences.contains(&audience.trim_end_matches('/').trim_end_matches("/services/oauth2/token")) {
        return refuse("invalid_grant", "audience is invalid");
    }
    if jwt::expiry_ms(&claims).is_none_or(|expiry| expiry < org.clock.now_ms()) {
        return refuse("invalid_grant", "token validity expired");
    }
    let Some(user) = org.user_by_name(&claim("sub")) else {
        return refuse("invalid_grant", "user hasn't approved this consumer");
    };
    let session = Session {
        grant: None,
        client_id: app.client_id.clone(),
        user,
        scope: "api openid".to_owned(),
        issued_ms: org.clock.now_ms(),
    };
    token_reply(org, &mut identity, session, None, &app)
}

/// Answers `POST /services/oauth2/revoke`.
pub fn revoke(org: &Org, call: &Call) -> Reply {
    let token = call.form("token").or_else(|| call.parameter("token")).unwrap_or_default();
    if lock(&org.identity).revoke(&token) {
        return empty(StatusCode::OK);
    }
    refuse("unsupported_token_type", "this token type is not supported")
}

/// Answers `POST /services/oauth2/introspect`.
pub fn introspect(org: &Org, call: &Call) -> Reply {
    let identity = lock(&org.identity);
    if let Err(reply) = client(&identity, call, Secret::Required) {
        return *reply;
    }
    let token = call.form("token").unwrap_or_default();
    let found = identity
        .session(&token)
        .map(|session| (session.client_id.clone(), session.user, session.scope.clone()));
    let found = found.map(|found| (found, "access_token")).or_else(|| {
        let grant = identity.grant_of(&token)?;
        Some(((grant.client_id.clone(), grant.user, grant.scope.clone()), "refresh_token"))
    });
    let Some(((client_id, user, scope), token_type)) = found else { return ok(&json!({"active": false})) };
    ok(&json!({
        "active": true,
        "scope": scope,
        "client_id": client_id,
        "username": org.text_of("User", user, "Username"),
        "sub": identity_url(org, user),
        "token_type": token_type,
        "iat": org.clock.now_ms() / 1_000,
        "nbf": org.clock.now_ms() / 1_000,
        "exp": org.clock.now_ms() / 1_000 + 7_200,
    }))
}

/// Whether a client must show its secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secret {
    /// A public client has none; one that is shown must be right.
    Optional,
    /// It must be shown.
    Required,
}

fn client(identity: &Identity, call: &Call, secret: Secret) -> Result<App, Box<Reply>> {
    let basic =
        call.header("authorization").and_then(|value| value.strip_prefix("Basic ")).and_then(|encoded| {
            let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
            let (id, secret) = decoded.split_once(':')?;
            let plain = |text: &str| {
                url::form_urlencoded::parse(format!("v={text}").as_bytes())
                    .next()
                    .map(|(_, value)| value.into_owned())
            };
            Some((plain(id)?, plain(secret)?))
        });
    let (client_id, shown) = match basic {
        Some((client_id, secret)) => (client_id, Some(secret)),
        None => (call.form("client_id").unwrap_or_default(), call.form("client_secret")),
    };
    let Some(app) = identity.app(&client_id) else {
        return Err(Box::new(refuse("invalid_client_id", "client identifier invalid")));
    };
    match shown {
        Some(shown) if app.secret.as_deref() != Some(shown.as_str()) => {
            Err(Box::new(refuse("invalid_client", "invalid client credentials")))
        }
        None if secret == Secret::Required => {
            Err(Box::new(refuse("invalid_client", "invalid client credentials")))
        }
        _ => Ok(app.clone()),
    }
}

fn token_reply(
    org: &Org,
    identity: &mut Identity,
    session: Session,
    refresh_token: Option<String>,
    app: &App,
) -> Reply {
    let (user, scope) = (session.user, session.scope.clone());
    let issued_at = session.issued_ms.to_string();
    let id = identity_url(org, user);
    let key = hmac::Key::new(hmac::HMAC_SHA256, app.secret.as_deref().unwrap_or_default().as_bytes());
    let signature = STANDARD.encode(hmac::sign(&key, format!("{id}{issued_at}").as_bytes()));
    let access_token = identity.begin_session(org.id(), session);
    let mut body = json!({
        "access_token": access_token,
        "signature": signature,
        "scope": scope,
        "instance_url": org.base_url.as_str().trim_end_matches('/'),
        "id": id,
        "token_type": "Bearer",
        "issued_at": issued_at,
    });
    if let Some(refresh_token) = refresh_token {
        body["refresh_token"] = Json::String(refresh_token);
    }
    if scope.split(' ').any(|scope| scope == "openid") {
        let username = org.text_of("User", user, "Username").unwrap_or_default();
        body["id_token"] = Json::String(jwt::id_token(org, &key, &id, &app.client_id, &username));
    }
    ok(&body)
}

/// The identity URL: its last two pieces name org and user.
pub fn identity_url(org: &Org, user: RecordId) -> String {
    format!("{}id/{}/{user}", org.base_url, org.id())
}
