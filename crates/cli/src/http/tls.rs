//! The server's side of TLS, from two files.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Reads the certificate with its chain, and its key, both PEM.
///
/// - **Errors:** a file that cannot be read or holds none, a key that is not the certificate's.
pub fn acceptor(certificate: &Path, key: &Path) -> anyhow::Result<TlsAcceptor> {
    let cannot = |file: &Path| format!("{} cannot be read as PEM", file.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .with_context(|| cannot(certificate))?;
    anyhow::ensure!(!chain.is_empty(), "{} holds no certificate", certificate.display());
    let private = PrivateKeyDer::from_pem_file(key).with_context(|| cannot(key))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("{} is not the key of {}", key.display(), certificate.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::ClientConfig;
    use rustls::RootCertStore;
    use tokio_rustls::TlsConnector;

    use super::*;

    /// A certificate for `localhost` that signs itself, and its key, in files.
    fn files(folder: &Path) -> (std::path::PathBuf, std::path::PathBuf, CertificateDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let (certificate_file, key_file) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&certificate_file, certificate.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        (certificate_file, key_file, certificate.der().clone())
    }

    #[tokio::test]
    async fn a_client_that_trusts_the_certificate_is_served() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key, trusted) = files(folder.path());
        let server = acceptor(&certificate, &key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(trusted).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let client = TlsConnector::from(Arc::new(config));
        let (near, far) = tokio::io::duplex(16 * 1024);
        let name = "localhost".try_into().unwrap();
        let (accepted, connected) = tokio::join!(server.accept(far), client.connect(name, near));
        assert!(accepted.is_ok() && connected.is_ok());
    }

    #[test]
    fn files_that_do_not_belong_together_are_told() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (certificate, key, _) = files(one.path());
        let (_, other_key, _) = files(other.path());
        let said = |outcome: anyhow::Result<TlsAcceptor>| format!("{:#}", outcome.err().unwrap());
        assert!(said(acceptor(&certificate, &other_key)).contains("is not the key of"));
        assert!(said(acceptor(&key, &key)).contains("no certificate"));
        assert!(said(acceptor(&one.path().join("missing.pem"), &key)).contains("cannot be read"));
    }
}
