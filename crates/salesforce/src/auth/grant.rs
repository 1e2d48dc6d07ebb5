//! What a token answer says.

use std::fmt;

use oauth2::{ExtraTokenFields, StandardTokenResponse, TokenResponse, basic::BasicTokenType};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use shadow::{OrgId, UserId};

use crate::{AccessToken, Client, Error, InstanceOrigin, OriginPolicy, Refusal};

/// Salesforce's own fields beside the standard ones.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SalesforceFields {
    instance_url: String,
    /// The identity URL; its last two segments are org and user.
    id: String,
}

impl ExtraTokenFields for SalesforceFields {}

/// Who signed in, where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The org.
    pub org_id: OrgId,
    /// The user.
    pub user_id: UserId,
}

impl Identity {
    /// Reads the last two segments of an identity URL.
    pub fn from_url(url: &str) -> Option<Self> {
        let mut segments = url.trim_end_matches('/').rsplit('/');
        let user_id = segments.next()?.parse().ok()?;
        let org_id = segments.next()?.parse().ok()?;
        Some(Self { org_id, user_id })
    }
}

/// The result of a sign-in or a refresh. Never printed.
#[derive(Clone)]
pub struct Grant {
    /// The token, bound to its instance.
    pub access: AccessToken,
    /// Present after a browser sign-in, and after a refresh where the org rotates refresh tokens.
    pub refresh_token: Option<SecretString>,
    /// Who signed in, where.
    pub identity: Identity,
    /// The scopes that were granted, as far as the answer names them.
    pub scopes: Vec<String>,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("identity", &self.identity)
            .field("instance", self.access.instance())
            .field("has_refresh_token", &self.refresh_token.is_some())
            .finish_non_exhaustive()
    }
}

impl Grant {
    pub(crate) fn from_answer(
        answer: &StandardTokenResponse<SalesforceFields, BasicTokenType>,
        policy: &OriginPolicy,
    ) -> Result<Self, Error> {
        let fields = answer.extra_fields();
        let instance = InstanceOrigin::parse(&fields.instance_url, policy)?;
        let identity = Identity::from_url(&fields.id).ok_or_else(|| Error::Unreadable {
            operation: "sign-in",
            reason: "the identity URL names no org and user".to_owned(),
        })?;
        Ok(Self {
            access: AccessToken::new(answer.access_token().secret().clone().into(), instance),
            refresh_token: answer.refresh_token().map(|token| token.secret().clone().into()),
            identity,
            scopes: answer
                .scopes()
                .map(|scopes| scopes.iter().map(|scope| scope.as_str().to_owned()).collect())
                .unwrap_or_default(),
        })
    }
}

/// The error body of the OAuth endpoints: one object, not an array.
#[derive(Deserialize)]
pub(crate) struct OAuthError {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl OAuthError {
    pub(crate) fn into_error(self) -> Error {
        refused(&self.error, &self.error_description)
    }
}

/// A refusal from Salesforce's two strings. They come from outside, so their length is bounded.
pub(crate) fn refused(code: &str, description: &str) -> Error {
    let bounded = |text: &str| text.chars().filter(|character| !character.is_control()).take(300).collect();
    Error::Refused {
        refusal: Refusal::from_answer(code, description),
        code: bounded(code),
        description: bounded(description),
    }
}

/// Who is signed in, by name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UserInfo {
    /// The user's id.
    pub user_id: UserId,
    /// The org's id.
    pub organization_id: OrgId,
    /// The user name, e.g. `sync@acme.example`.
    #[serde(alias = "username")]
    pub preferred_username: String,
    /// The person's name, where the scopes allow it.
    #[serde(default, alias = "display_name")]
    pub name: Option<String>,
}

impl Client {
    /// Who is signed in.
    ///
    /// - **Source:** `GET /services/oauth2/userinfo` on the instance; where the app lacks `openid`, the identity
    ///   resource of the same origin tells the same.
    pub async fn user_info(&self, identity: Option<&Identity>) -> Result<UserInfo, Error> {
        let outcome =
            async { self.get("user info", "/services/oauth2/userinfo").await?.json("user info").await };
        match (outcome.await, identity) {
            (Err(Error::Rejected { .. } | Error::Status { status: 403 | 404, .. }), Some(identity)) => {
                let path = format!("/id/{}/{}", identity.org_id, identity.user_id);
                self.get("identity", &path).await?.json("identity").await
            }
            (outcome, _) => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn org_and_user_come_from_the_identity_url() {
        let url = "https://login.salesforce.com/id/00D58000000arpqEAA/00558000000yFyDAAU";
        let identity = Identity::from_url(url).expect("an identity");
        assert_eq!(identity.org_id.as_str(), "00D58000000arpqEAA");
        assert_eq!(identity.user_id.as_str(), "00558000000yFyDAAU");
        assert_eq!(Identity::from_url("https://login.salesforce.com/id/x/y"), None);
    }

    #[test]
    fn a_grant_does_not_print_its_tokens() {
        let answer = serde_json::from_value(serde_json::json!({
            "access_token": "00D!opaque", "refresh_token": "5Aep-secret", "token_type": "Bearer",
            "instance_url": "https://acme.my.salesforce.com", "issued_at": "1767225600123",
            "id": "https://login.salesforce.com/id/00D58000000arpqEAA/00558000000yFyDAAU",
        }))
        .expect("a token answer");
        let login_url = url::Url::parse("https://login.salesforce.com").expect("a URL");
        let policy = OriginPolicy { login_url, loopback_allowed: false };
        let grant = Grant::from_answer(&answer, &policy).expect("a grant");
        let printed = format!("{grant:?} {:?}", grant.access);
        assert!(!printed.contains("opaque") && !printed.contains("secret"), "{printed}");
    }
}
