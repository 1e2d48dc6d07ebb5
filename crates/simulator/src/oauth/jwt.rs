//! JSON Web Tokens: the assertion that a server signs in with, and the id token.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::{
    hmac,
    signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
};
use serde_json::{Value as Json, json};

use crate::org::Org;

/// An RSA public key, as PKCS#1 writes it.
#[derive(Clone, Debug)]
pub struct PublicKey(Vec<u8>);

/// The object identifier of RSA, with its tag and length.
const RSA_OID: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

impl PublicKey {
    /// Reads `PUBLIC KEY`, `RSA PUBLIC KEY` or `CERTIFICATE`.
    pub fn from_pem(pem: &str) -> Option<Self> {
        let label = pem.split("-----BEGIN ").nth(1)?.split("-----").next()?;
        let body = pem.split(&format!("-----BEGIN {label}-----")).nth(1)?.split("-----END").next()?;
        let der = STANDARD.decode(body.split_whitespace().collect::<String>()).ok()?;
        match label {
            "RSA PUBLIC KEY" => Some(Self(der)),
            // Both hold the algorithm's identifier, and the key in the bit string that follows it.
            "PUBLIC KEY" | "CERTIFICATE" => Self::after_identifier(&der),
            _ => None,
        }
    }

    fn after_identifier(der: &[u8]) -> Option<Self> {
        let at = der.windows(RSA_OID.len()).position(|window| window == RSA_OID)? + RSA_OID.len();
        // NULL parameters, then BIT STRING with no unused bits.
        let rest = der.get(at..)?.strip_prefix(&[0x05, 0x00])?.strip_prefix(&[0x03])?;
        let (length, rest) = der_length(rest)?;
        let key = rest.get(..length)?.strip_prefix(&[0x00])?;
        Some(Self(key.to_vec()))
    }

    fn verifies(&self, message: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.0)
            .verify(message.as_bytes(), signature)
            .is_ok()
    }
}

fn der_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if *first < 0x80 {
        return Some((usize::from(*first), rest));
    }
    let count = usize::from(first & 0x7f);
    let (length, rest) = (rest.get(..count)?, rest.get(count..)?);
    Some((length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest))
}

/// The claims of an assertion that is signed by RS256 with one of the keys.
pub fn read(assertion: &str, keys: &[PublicKey]) -> Option<Json> {
    let (message, signature) = assertion.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok();
    let header: Json = serde_json::from_slice(&decode(header)?).ok()?;
    let signature = decode(signature)?;
    let signed = header["alg"] == "RS256" && keys.iter().any(|key| key.verifies(message, &signature));
    signed.then(|| serde_json::from_slice(&decode(claims)?).ok()).flatten()
}

/// When an assertion ends. Real clients send seconds, a decimal text, or milliseconds.
pub fn expiry_ms(claims: &Json) -> Option<i64> {
    let expiry = match &claims["exp"] {
        Json::Number(number) => number.as_f64()?,
        Json::String(text) => text.parse().ok()?,
        _ => return None,
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a time of many thousand years is as good as the largest"
    )]
    let expiry = expiry as i64;
    Some(if expiry > 100_000_000_000 { expiry } else { expiry * 1_000 })
}

/// An id token. It is signed with the consumer secret: nobody checks it against a key of a simulated org.
pub fn id_token(org: &Org, key: &hmac::Key, subject: &str, client_id: &str, username: &str) -> String {
    let now = org.clock.now_ms() / 1_000;
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let claims = json!({
        "iss": org.base_url.as_str().trim_end_matches('/'), "sub": subject, "aud": client_id,
        "iat": now, "exp": now + 120, "preferred_username": username,
    });
    let encode = |part: &Json| URL_SAFE_NO_PAD.encode(part.to_string());
    let message = format!("{}.{}", encode(&header), encode(&claims));
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(key, message.as_bytes()));
    format!("{message}.{signature}")
}
