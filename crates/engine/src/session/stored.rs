//! What a browser sign-in leaves in the keychain.

use salesforce::{
    AccessToken, Error, InstanceOrigin, OriginPolicy,
    auth::{Grant, Identity},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use shadow::{OrgId, UserId};

use super::Current;

/// One entry. The access token is kept beside the refresh token, so that a second program need not renew at all.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    refresh_token: String,
    access_token: String,
    instance_url: String,
    org_id: OrgId,
    user_id: UserId,
}

impl Stored {
    /// What a grant leaves behind: its own refresh token where the org rotates them, else the one before.
    pub(super) fn from_grant(grant: &Grant, before: Option<&Self>) -> Option<Self> {
        let refresh_token = match (&grant.refresh_token, before) {
            (Some(token), _) => token.expose_secret().to_owned(),
            (None, Some(before)) => before.refresh_token.clone(),
            (None, None) => return None,
        };
        Some(Self {
            refresh_token,
            access_token: grant.access.expose().to_owned(),
            instance_url: grant.access.instance().to_string(),
            org_id: grant.identity.org_id,
            user_id: grant.identity.user_id,
        })
    }

    /// Reads an entry; one that another program wrote counts as none.
    pub(super) fn from_secret(secret: &SecretString) -> Option<Self> {
        serde_json::from_str(secret.expose_secret()).ok()
    }

    pub(super) fn to_secret(&self) -> SecretString {
        serde_json::to_string(self).expect("five texts are always JSON").into()
    }

    pub(super) fn refresh_token(&self) -> SecretString {
        self.refresh_token.clone().into()
    }

    /// The access token, unless it is the one that was just refused.
    pub(super) fn usable(
        &self,
        stale: Option<&AccessToken>,
        policy: &OriginPolicy,
    ) -> Result<Option<Current>, Error> {
        if stale.is_some_and(|stale| stale.expose() == self.access_token) {
            return Ok(None);
        }
        let instance = InstanceOrigin::parse(&self.instance_url, policy)?;
        Ok(Some(Current {
            access: AccessToken::new(self.access_token.clone().into(), instance),
            identity: Identity { org_id: self.org_id, user_id: self.user_id },
        }))
    }
}
