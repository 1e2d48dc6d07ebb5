//! The way to the event service: directly or through the system's proxy, encrypted unless it is on this machine.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use hyper::Uri;
use hyper_util::{
    client::{
        legacy::connect::{HttpConnector, proxy::Tunnel},
        proxy::matcher::{Intercept, Matcher},
    },
    rt::TokioIo,
};
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, ServerName},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tonic::codegen::Service;
use url::Url;

use super::Proxy;
use crate::{Error, OriginPolicy, origin};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The port of Salesforce's event service, and the one that it answers on as well where firewalls block the first.
const USUAL_PORT: u16 = 7443;
const FALLBACK_PORT: u16 = 443;

/// Where the event service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub host: String,
    /// The ports to try, in this order.
    pub ports: Vec<u16>,
    pub encrypted: bool,
    pub on_this_machine: bool,
}

impl Address {
    /// Checks the configured endpoint: the access token is sent there.
    ///
    /// - **Errors:** [`Error::ForeignOrigin`] for anything but https under a Salesforce domain or on the login host, or
    ///   this machine where the environment's kind allows it. Only this machine may be spoken to without TLS.
    pub fn of(endpoint: &Url, policy: &OriginPolicy) -> Result<Self, Error> {
        let foreign = |reason| Error::ForeignOrigin { origin: origin::shown(endpoint.as_str()), reason };
        if !endpoint.username().is_empty() || endpoint.password().is_some() {
            return Err(foreign("it carries a user name"));
        }
        let on_this_machine = origin::is_loopback(endpoint);
        match endpoint.scheme() {
            "https" | "http" if on_this_machine && !policy.loopback_allowed => {
                return Err(foreign(
                    "an event service on this machine is accepted in kinds demo and development only",
                ));
            }
            "http" if !on_this_machine => {
                return Err(foreign("events are received without TLS from this machine only; use https"));
            }
            "https" | "http" => {}
            _ => return Err(foreign("it is neither https nor, on this machine, http")),
        }
        let on_login_host = endpoint.host() == policy.login_url.host();
        if !on_this_machine && !on_login_host && !origin::is_salesforce(endpoint) {
            return Err(foreign("it is neither under a Salesforce domain nor on the login host"));
        }
        let host = endpoint.host_str().ok_or_else(|| foreign("it names no host"))?.to_owned();
        let port = endpoint.port_or_known_default().unwrap_or(USUAL_PORT);
        let ports = if port == USUAL_PORT { vec![port, FALLBACK_PORT] } else { vec![port] };
        Ok(Self { host, ports, encrypted: endpoint.scheme() == "https", on_this_machine })
    }

    /// The address with one of its ports, as requests name it.
    pub fn uri(&self, port: u16) -> Result<Uri, hyper::http::Error> {
        let scheme = if self.encrypted { "https" } else { "http" };
        Uri::builder().scheme(scheme).authority(format!("{}:{port}", self.host)).path_and_query("/").build()
    }
}

/// Opens connections to one address.
#[derive(Clone)]
pub(super) struct Connector {
    address: Arc<Address>,
    /// Encryption to the event service.
    tls: Option<TlsConnector>,
    /// Encryption to a proxy that asks for it.
    proxy_tls: Option<TlsConnector>,
    proxies: Option<Arc<Matcher>>,
    timeout: Duration,
}

impl Connector {
    pub fn new(
        address: Arc<Address>,
        extra_roots: Vec<Vec<u8>>,
        proxy: &Proxy,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let proxies = match proxy {
            Proxy::Through(url) => Some(Matcher::builder().all(url.as_str()).build()),
            Proxy::System if address.on_this_machine => None,
            Proxy::System => Some(Matcher::from_system()),
        };
        let config = if address.encrypted { Some(tls_config(extra_roots)?) } else { None };
        let tls = config.clone().map(|mut config| {
            config.alpn_protocols = vec![b"h2".to_vec()];
            TlsConnector::from(Arc::new(config))
        });
        let proxy_tls = config.map(|config| TlsConnector::from(Arc::new(config)));
        Ok(Self { address, tls, proxy_tls, proxies: proxies.map(Arc::new), timeout })
    }

    /// Opens one connection, within the time limit.
    async fn open(self, port: u16) -> Result<Connection, BoxError> {
        let timeout = self.timeout;
        let opening = async {
            let target = self.address.uri(port)?;
            let proxy = self.proxies.as_ref().and_then(|proxies| proxies.intercept(&target));
            let stream = match proxy {
                Some(proxy) => self.through(&proxy, target).await?,
                None => Connection::new(tcp(target).await?),
            };
            match &self.tls {
                Some(tls) => encrypted(tls, &self.address.host, stream).await,
                None => Ok(stream),
            }
        };
        tokio::time::timeout(timeout, opening)
            .await
            .map_err(|_| BoxError::from(format!("no connection within {} s", timeout.as_secs())))?
    }

    /// Asks a proxy for a tunnel to the target.
    async fn through(&self, proxy: &Intercept, target: Uri) -> Result<Connection, BoxError> {
        let to_proxy = match proxy.uri().scheme_str() {
            Some("http") => ToProxy(None),
            Some("https") => ToProxy(Some(
                self.proxy_tls.clone().ok_or("an https proxy is used for encrypted connections only")?,
            )),
            _ => return Err("the proxy is neither http nor https".into()),
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), to_proxy);
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        Ok(tunnel.call(target).await?.into_inner())
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Connection>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let port = target.port_u16().unwrap_or(USUAL_PORT);
            Ok(TokioIo::new(connector.open(port).await?))
        })
    }
}

/// Opens the connection to a proxy, encrypted where it has what that takes.
#[derive(Clone)]
struct ToProxy(Option<TlsConnector>);

impl Service<Uri> for ToProxy {
    type Response = TokioIo<Connection>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, proxy: Uri) -> Self::Future {
        let tls = self.0.clone();
        Box::pin(async move {
            let host = proxy.host().unwrap_or_default().to_owned();
            let stream = tcp(proxy).await?;
            Ok(TokioIo::new(match tls {
                Some(tls) => Connection::new(tls.connect(server_name(&host)?, stream).await?),
                None => Connection::new(stream),
            }))
        })
    }
}

async fn tcp(target: Uri) -> Result<tokio::net::TcpStream, BoxError> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(Duration::from_mins(1)));
    Ok(connector.call(target).await?.into_inner())
}

async fn encrypted(tls: &TlsConnector, host: &str, stream: Connection) -> Result<Connection, BoxError> {
    let stream = tls.connect(server_name(host)?, stream).await?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err("the server does not speak HTTP/2, so it is no event service".into());
    }
    Ok(Connection::new(stream))
}

/// A host as certificates name it: an IPv6 address without its brackets.
fn server_name(host: &str) -> Result<ServerName<'static>, BoxError> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok(ServerName::try_from(bare.to_owned())?)
}

/// The system's root certificates and further ones, as the HTTP client has them.
fn tls_config(extra_roots: Vec<Vec<u8>>) -> Result<ClientConfig, Error> {
    let failed = |source| Error::TlsSetup { source };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = extra_roots.into_iter().map(CertificateDer::from);
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(roots, provider.clone());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier.map_err(failed)?))
        .with_no_client_auth())
}

/// A connection, whatever it is made of.
pub(super) struct Connection(Pin<Box<dyn Duplex>>);

trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

impl Connection {
    fn new(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        Self(Box::pin(stream))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.0.as_mut().poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.0.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.0.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.0.as_mut().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(endpoint: &str, login_url: &str, loopback_allowed: bool) -> Result<Address, Error> {
        let policy = OriginPolicy { login_url: Url::parse(login_url).unwrap(), loopback_allowed };
        Address::of(&Url::parse(endpoint).unwrap(), &policy)
    }

    #[test]
    fn the_fallback_port_is_tried_where_the_usual_one_was_meant() {
        let ports = |endpoint: &str| address(endpoint, "https://login.salesforce.com", true).unwrap().ports;
        assert_eq!(ports("https://api.pubsub.salesforce.com:7443"), [7443, 443]);
        assert_eq!(ports("https://api.pubsub.salesforce.com"), [443]);
        assert_eq!(ports("https://api.pubsub.salesforce.com:443"), [443]);
        assert_eq!(ports("http://127.0.0.1:40123"), [40_123]);
    }

    #[test]
    fn the_token_goes_to_salesforce_the_login_host_or_this_machine() {
        let login = "https://sf.acme.example:8443";
        for endpoint in [
            "https://api.pubsub.salesforce.com:7443",
            "https://api.deu.pubsub.salesforce.com:7443",
            "https://sf.acme.example:7443",
            "https://localhost:7000",
            "http://127.0.0.1:7000",
            "http://[::1]:7000",
        ] {
            assert!(address(endpoint, login, true).is_ok(), "{endpoint}");
        }
        for endpoint in [
            "http://api.pubsub.salesforce.com:7443",
            "http://192.168.0.7:7443",
            "https://api.pubsub.salesforce.com.evil.example",
            "https://user:pw@api.pubsub.salesforce.com:7443",
            "ftp://localhost:7000",
        ] {
            let error = address(endpoint, login, true).expect_err(endpoint);
            assert!(matches!(error, Error::ForeignOrigin { .. }), "{endpoint}: {error}");
            assert!(!error.to_string().contains("pw"), "{error}");
        }
        for endpoint in ["http://127.0.0.1:7000", "https://localhost:7000"] {
            assert!(address(endpoint, login, false).is_err(), "{endpoint}");
        }
    }
}
