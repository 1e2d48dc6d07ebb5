//! The access token and where it comes from.

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};

use crate::{Error, InstanceOrigin};

/// An access token together with the only origin to which it may be sent. Cheap to clone; never printed.
#[derive(Clone)]
pub struct AccessToken(Arc<Inner>);

struct Inner {
    secret: SecretString,
    instance: InstanceOrigin,
}

impl AccessToken {
    /// Binds a token to its instance.
    pub fn new(secret: SecretString, instance: InstanceOrigin) -> Self {
        Self(Arc::new(Inner { secret, instance }))
    }

    /// The origin to which the token belongs.
    pub fn instance(&self) -> &InstanceOrigin {
        &self.0.instance
    }

    /// The token's text, for the one header that carries it.
    pub fn expose(&self) -> &str {
        self.0.secret.expose_secret()
    }
}

/// Two tokens are the same when their text is.
impl PartialEq for AccessToken {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for AccessToken {}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("instance", self.instance()).finish_non_exhaustive()
    }
}

/// Brings access tokens: from a keychain, a key, a secret.
pub trait TokenSource: Send + Sync + 'static {
    /// The token to use now; signs in where that needs no person.
    fn current(&self) -> BoxFuture<'_, Result<AccessToken, Error>>;

    /// A token newer than `stale`, which Salesforce has just refused. Callers that hold the same stale token share
    /// one renewal; where somebody else renewed it meanwhile, their token is returned without a call.
    fn refresh<'a>(&'a self, stale: &'a AccessToken) -> BoxFuture<'a, Result<AccessToken, Error>>;
}
