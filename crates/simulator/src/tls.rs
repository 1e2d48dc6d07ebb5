//! TLS with a throw-away authority: made at the start, gone at the end.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio_rustls::TlsAcceptor;

use crate::error::Error;

/// A server's side of TLS, and the authority that clients must trust.
pub struct Identity {
    /// Takes connections.
    pub acceptor: TlsAcceptor,
    /// Takes connections that speak HTTP/2 and nothing else, as gRPC does.
    pub grpc_acceptor: TlsAcceptor,
    /// The authority's certificate.
    pub ca_pem: String,
}

/// Makes an authority, and a certificate for this machine signed by it.
pub fn make() -> Result<Identity, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Certificate(error.to_string());

    let ca_key = KeyPair::generate().map_err(|error| failed(&error))?;
    let mut ca = CertificateParams::new(Vec::new()).map_err(|error| failed(&error))?;
    ca.distinguished_name.push(DnType::CommonName, "Simulated org, throw-away authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_certificate = ca.self_signed(&ca_key).map_err(|error| failed(&error))?;
    let issuer = Issuer::new(ca, ca_key);

    let key = KeyPair::generate().map_err(|error| failed(&error))?;
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut leaf = CertificateParams::new(names).map_err(|error| failed(&error))?;
    leaf.distinguished_name.push(DnType::CommonName, "Simulated org");
    leaf.use_authority_key_identifier_extension = true;
    let certificate = leaf.signed_by(&key, &issuer).map_err(|error| failed(&error))?;

    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .map_err(|error| failed(&error))?;
    let mut grpc = config.clone();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    grpc.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Identity {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        grpc_acceptor: TlsAcceptor::from(Arc::new(grpc)),
        ca_pem: ca_certificate.pem(),
    })
}
