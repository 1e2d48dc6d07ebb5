//! Key pairs for the JWT bearer flow, made at run time: no key is ever checked in.

use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding},
    rand_core::OsRng,
};

/// A key pair in PEM form.
#[derive(Clone, Debug)]
pub struct JwtKeys {
    /// PKCS#8; what a client signs with.
    pub private_pem: String,
    /// What [`Org::register_jwt_key`](crate::Org::register_jwt_key) is given.
    pub public_pem: String,
}

impl JwtKeys {
    /// Makes an RSA key pair of 2,048 bits; takes a second or two.
    pub fn make() -> Self {
        let private = RsaPrivateKey::new(&mut OsRng, 2_048).expect("2,048 bits are a size that RSA allows");
        let public = private.to_public_key();
        Self {
            private_pem: private.to_pkcs8_pem(LineEnding::LF).expect("a new key can be written").to_string(),
            public_pem: public.to_public_key_pem(LineEnding::LF).expect("a new key can be written"),
        }
    }
}
