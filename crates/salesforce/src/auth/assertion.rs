//! The signed assertion of the JWT bearer sign-in.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use rustls::{
    SignatureScheme,
    crypto::ring::sign::any_supported_type,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use secrecy::SecretString;
use serde_json::json;

use crate::Error;

/// How long an assertion is valid; Salesforce admits about three minutes.
const LIFETIME: TimeDelta = TimeDelta::minutes(3);

/// An RSA private key, PKCS#8 or PKCS#1 in PEM. Never printed.
///
/// It signs with the TLS library's own RSA, so that no second implementation of it enters the program.
pub struct SigningKey(Box<dyn rustls::sign::Signer>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl SigningKey {
    /// Reads a key from PEM text.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        let unusable = |reason: &str| Error::SigningKey { reason: reason.to_owned() };
        let der = PrivateKeyDer::from_pem_slice(pem)
            .map_err(|_| unusable("the file holds no unencrypted private key in PEM form"))?;
        let key = any_supported_type(&der)
            .map_err(|_| unusable("it is not an RSA key of 2048 to 8192 bits, or it is damaged"))?;
        let signer = key
            .choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])
            .ok_or_else(|| unusable("it is not an RSA key; Salesforce demands RS256"))?;
        Ok(Self(signer))
    }

    /// Signs the assertion that `username` may sign in as the app `client_id` at `audience`.
    pub(crate) fn assertion(
        &self,
        client_id: &str,
        username: &str,
        audience: &str,
        now: DateTime<Utc>,
    ) -> Result<SecretString, Error> {
        let header = json!({ "alg": "RS256", "typ": "JWT" });
        let claims = json!({
            "iss": client_id, "sub": username, "aud": audience, "exp": (now + LIFETIME).timestamp(),
        });
        let encoded = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encoded(&header), encoded(&claims));
        let signature = self
            .0
            .sign(signed.as_bytes())
            .map_err(|_| Error::SigningKey { reason: "signing with it failed".to_owned() })?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)).into())
    }
}
