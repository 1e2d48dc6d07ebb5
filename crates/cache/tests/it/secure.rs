//! TLS: with an authority that is trusted, and with one that is not.

use cache::{Cache, Error, Look, Options};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::LONG;
use crate::servers::{Cluster, Server};

/// A throw-away authority, and a certificate of it for `host`.
struct Authority {
    folder: TempDir,
    pem: String,
}

impl Authority {
    fn for_host(host: &str) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.distinguished_name.push(DnType::CommonName, "Throw-away authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = ca.self_signed(&ca_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new([host.to_owned()]).unwrap();
        let certificate = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), &pem).unwrap();
        std::fs::write(folder.path().join("server.pem"), certificate.pem()).unwrap();
        std::fs::write(folder.path().join("server.key"), key.serialize_pem()).unwrap();
        Self { folder, pem }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The words of a command line that make a server use it.
    fn words(&self) -> Vec<String> {
        let words = [
            ("--tls-cert-file", self.path("server.pem")),
            ("--tls-key-file", self.path("server.key")),
            ("--tls-ca-cert-file", self.path("ca.pem")),
            ("--tls-auth-clients", "no".to_owned()),
        ];
        words.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }

    /// A server that speaks only TLS.
    fn server(&self) -> Server {
        let words = self.words();
        Server::with_tls(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

fn options(scheme: &str, server: &Server) -> Options {
    let url = format!("{scheme}://127.0.0.1:{}", server.port());
    Options::new(&cache::parse_url(&url).unwrap(), None).unwrap()
}

#[tokio::test]
async fn a_trusted_certificate_is_accepted() {
    let authority = Authority::for_host("127.0.0.1");
    let server = authority.server();
    let cache = Cache::new(options("rediss", &server).with_root_certificate(authority.pem.into_bytes()));
    assert_eq!(cache.get("a").await.unwrap(), None);
    let flushed = cache.flush("*", &|_| (), &CancellationToken::new()).await.unwrap();
    assert_eq!(flushed.deleted, 0);
    assert_eq!(cache.servers().await.unwrap().len(), 1);
    assert!(cache.address().starts_with("rediss://"));
}

#[tokio::test]
async fn an_unknown_authority_and_another_hosts_certificate_are_refused_in_words() {
    let authority = Authority::for_host("127.0.0.1");
    let server = authority.server();
    let error = Cache::new(options("rediss", &server)).get("a").await.unwrap_err();
    assert!(matches!(error, Error::Insecure { .. }) && !error.is_transient(), "{error}");
    let other = Authority::for_host("cache.example.com");
    let server = other.server();
    let cache = Cache::new(options("rediss", &server).with_root_certificate(other.pem.into_bytes()));
    let error = cache.get("a").await.unwrap_err();
    assert!(matches!(error, Error::Insecure { .. }), "{error}");
}

#[tokio::test]
async fn tls_on_one_side_only_is_recognised() {
    let plain = Server::start();
    let error = Cache::new(options("rediss", &plain)).get("a").await.unwrap_err();
    assert!(error.to_string().contains("speaks TLS"), "{error}");
    let authority = Authority::for_host("127.0.0.1");
    let secure = authority.server();
    let error = Cache::new(options("redis", &secure)).get("a").await.unwrap_err();
    assert!(error.to_string().contains("rediss://"), "{error}");
}

#[tokio::test]
async fn a_cluster_is_spoken_to_with_tls_on_every_way() {
    let authority = Authority::for_host("127.0.0.1");
    let words = authority.words();
    let cluster = Cluster::secure(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let url = cache::parse_url(&cluster.url().replace("redis-cluster", "rediss-cluster")).unwrap();
    let options = Options::new(&url, None).unwrap().with_root_certificate(authority.pem.into_bytes());
    let cache = Cache::new(options);
    for number in 0..50 {
        let key = format!("catalog:{number}");
        let Look::Leased(token) = cache.look(&key, LONG).await.unwrap() else { panic!("nobody holds it") };
        assert!(cache.fill(&key, &token, b"v", LONG).await.unwrap());
    }
    assert_eq!(cache.servers().await.unwrap().iter().map(|server| server.keys).sum::<u64>(), 50);
    assert_eq!(cache.delete(&["catalog:1".to_owned(), "catalog:2".to_owned()]).await.unwrap(), 2);
    let flushed = cache.flush("catalog:*", &|_| (), &CancellationToken::new()).await.unwrap();
    assert_eq!(flushed.deleted, 48);
}
