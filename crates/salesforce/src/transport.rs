//! The HTTP client below everything: system roots, system proxies, no redirects, time limits.

use std::time::Duration;

use url::Url;

use crate::{Error, origin::is_loopback};

/// How this program names itself to Salesforce.
const USER_AGENT: &str = concat!("shadow-sync/", env!("CARGO_PKG_VERSION"));

/// What a [`Transport`] needs to know.
#[derive(Debug, Clone)]
pub struct TransportOptions {
    /// The address that will be spoken to first. One on this machine is reached without the system's proxy.
    pub login_url: Url,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer may stay silent between two pieces.
    pub read_timeout: Duration,
    /// Further root certificates (DER), beside the system's.
    pub extra_roots: Vec<Vec<u8>>,
}

impl TransportOptions {
    /// The usual limits for a login address.
    pub fn for_login(login_url: Url) -> Self {
        Self {
            login_url,
            connect_timeout: Duration::from_secs(15),
            read_timeout: Duration::from_mins(2),
            extra_roots: Vec::new(),
        }
    }
}

/// The shared HTTP client. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Transport {
    http: reqwest::Client,
}

impl Transport {
    /// Sets HTTPS up.
    ///
    /// - **Errors:** [`Error::Setup`], commonly a machine without root certificates.
    pub fn new(options: &TransportOptions) -> Result<Self, Error> {
        // A second installation fails and changes nothing: whoever was first also chose ring.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.read_timeout)
            .tcp_keepalive(Duration::from_mins(1));
        let roots = options
            .extra_roots
            .iter()
            .map(|der| reqwest::Certificate::from_der(der))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| Error::Setup { source })?;
        if !roots.is_empty() {
            builder = builder.tls_certs_merge(roots);
        }
        if is_loopback(&options.login_url) {
            builder = builder.no_proxy();
            if options.login_url.scheme() == "http" {
                // Plain http on this machine must work where no root certificates are installed.
                builder = builder.tls_certs_only([]);
            }
        }
        Ok(Self { http: builder.build().map_err(|source| Error::Setup { source })? })
    }

    /// The client itself, for this crate's requests.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }
}
