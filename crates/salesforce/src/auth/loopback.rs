//! The listener to which the browser brings the answer: exactly the registered redirect, on this machine only.
//!
//! Anybody on this machine, and any page in the browser, can knock here. So an answer without the right state, Host
//! or path is turned away *without ending the wait*: a stray request must not be able to break a sign-in.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{grant::refused, page::Page};
use crate::Error;

/// A browser opens a handful of connections; more are not served at the same time.
const MAX_CONNECTIONS: usize = 16;
/// How long the page may take to reach the browser after the code has come.
const FAREWELL: Duration = Duration::from_secs(2);

/// A bound listener that has not been asked to wait yet. Bind it before the browser opens.
#[derive(Debug)]
pub struct Listener {
    v4: TcpListener,
    /// Absent only on a machine that has no IPv6 loopback at all.
    v6: Option<TcpListener>,
    expected: Expected,
}

/// What an answer must look like.
#[derive(Debug, Clone)]
struct Expected {
    authority: String,
    path: String,
}

impl Listener {
    /// Binds the port of the redirect on `127.0.0.1` and `::1`, both or none: a browser resolves `localhost` by
    /// itself, and a stranger on the other address would receive the code.
    ///
    /// - **Errors:** [`Error::PortTaken`]; [`Error::RedirectUnusable`] for a redirect that no listener can serve.
    pub async fn bind(redirect_url: &Url) -> Result<Self, Error> {
        let (expected, port) = Expected::from_redirect(redirect_url)?;
        let taken = |source| Error::PortTaken { port, source };
        let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(taken)?;
        let v6 = match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
            Ok(listener) => Some(listener),
            Err(error) if lacks_ipv6(&error) => None,
            Err(error) => return Err(taken(error)),
        };
        Ok(Self { v4, v6, expected })
    }

    /// Waits for the one answer that carries `state`, and returns its code.
    ///
    /// - **Errors:** [`Error::Refused`] when the answer says no, [`Error::SignInTimedOut`], [`Error::Cancelled`].
    pub async fn wait_for_code(
        self,
        state: &SecretString,
        patience: Duration,
        cancel: &CancellationToken,
    ) -> Result<SecretString, Error> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::Cancelled),
            () = sleep(patience) => Err(Error::SignInTimedOut { waited: patience }),
            outcome = self.serve(state) => outcome,
        }
    }

    async fn serve(self, state: &SecretString) -> Result<SecretString, Error> {
        let desk = Arc::new(Desk { expected: self.expected.clone(), state: state.clone() });
        let (answers, mut answered) = mpsc::channel(1);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                Some(outcome) = answered.recv() => {
                    // The page is still on its way to the browser.
                    let _ = timeout(FAREWELL, async { while connections.join_next().await.is_some() {} }).await;
                    return outcome;
                }
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                stream = self.accept(), if connections.len() < MAX_CONNECTIONS => match stream {
                    Ok((stream, peer)) if peer.ip().is_loopback() => {
                        connections.spawn(serve_connection(stream, Arc::clone(&desk), answers.clone()));
                    }
                    Ok(_) => {}
                    // Out of descriptors, or a connection that ended before it began: not the sign-in's end.
                    Err(error) => {
                        tracing::debug!(%error, "a connection to the sign-in listener failed");
                        sleep(Duration::from_millis(50)).await;
                    }
                },
            }
        }
    }

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.v6 {
            Some(v6) => tokio::select! {
                stream = self.v4.accept() => stream,
                stream = v6.accept() => stream,
            },
            None => self.v4.accept().await,
        }
    }
}

impl Expected {
    fn from_redirect(redirect_url: &Url) -> Result<(Self, u16), Error> {
        let unusable = |reason| Error::RedirectUnusable { redirect_url: redirect_url.to_string(), reason };
        if redirect_url.scheme() != "http" {
            return Err(unusable("it must begin with http://localhost"));
        }
        if redirect_url.host_str() != Some("localhost") {
            return Err(unusable("its host must be localhost: Salesforce registers no other http callback"));
        }
        if redirect_url.query().is_some() || redirect_url.fragment().is_some() {
            return Err(unusable("it must end with its path"));
        }
        let port = redirect_url.port().ok_or_else(|| unusable("it must name a port"))?;
        if port == 0 {
            return Err(unusable("port 0 cannot be registered"));
        }
        let expected = Self { authority: format!("localhost:{port}"), path: redirect_url.path().to_owned() };
        Ok((expected, port))
    }
}

/// A machine without IPv6 has nobody on `::1` who could receive the code.
fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(UNSUPPORTED_FAMILY)
}

#[cfg(target_os = "linux")]
const UNSUPPORTED_FAMILY: i32 = 97;
#[cfg(target_os = "macos")]
const UNSUPPORTED_FAMILY: i32 = 47;
#[cfg(windows)]
const UNSUPPORTED_FAMILY: i32 = 10047;

type Outcome = Result<SecretString, Error>;

async fn serve_connection(stream: TcpStream, desk: Arc<Desk>, answers: mpsc::Sender<Outcome>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (page, outcome) = desk.look_at(&request);
        let answers = answers.clone();
        async move {
            if let Some(outcome) = outcome {
                // A second valid answer finds the channel full or closed and changes nothing.
                let _ = answers.try_send(outcome);
            }
            Ok::<_, Infallible>(page)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(10))
        .keep_alive(false)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the sign-in listener ended early");
    }
}

/// Decides about one request.
struct Desk {
    expected: Expected,
    state: SecretString,
}

impl Desk {
    fn look_at(&self, request: &Request<Incoming>) -> (Response<Full<Bytes>>, Option<Outcome>) {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        if !host.is_some_and(|host| host.eq_ignore_ascii_case(&self.expected.authority)) {
            return (page(StatusCode::MISDIRECTED_REQUEST, Page::NotOurs), None);
        }
        let path = request.uri().path();
        if path == "/favicon.ico" {
            return (bare(StatusCode::NOT_FOUND), None);
        }
        if path != self.expected.path {
            return (page(StatusCode::NOT_FOUND, Page::NotOurs), None);
        }
        match *request.method() {
            Method::OPTIONS => (preflight(), None),
            Method::GET => self.look_at_answer(request.uri().query().unwrap_or_default()),
            _ => (page(StatusCode::METHOD_NOT_ALLOWED, Page::NotOurs), None),
        }
    }

    fn look_at_answer(&self, query: &str) -> (Response<Full<Bytes>>, Option<Outcome>) {
        let find = |name: &str| {
            let mut values = url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
            // A parameter given twice is nobody's honest answer.
            let first = values.next().map(|(_, value)| value.into_owned());
            if values.next().is_some() { None } else { first }
        };
        if !find("state").is_some_and(|state| same(&state, self.state.expose_secret())) {
            return (page(StatusCode::FORBIDDEN, Page::NotOurs), None);
        }
        if let Some(code) = find("error") {
            let description = find("error_description").unwrap_or_default();
            return (page(StatusCode::OK, Page::Denied), Some(Err(refused(&code, &description))));
        }
        match find("code") {
            Some(code) if !code.is_empty() => (page(StatusCode::OK, Page::Received), Some(Ok(code.into()))),
            _ => (page(StatusCode::BAD_REQUEST, Page::NotOurs), None),
        }
    }
}

/// Compares without telling by its duration how much was right.
fn same(left: &str, right: &str) -> bool {
    left.len() == right.len() && left.bytes().zip(right.bytes()).fold(0, |seen, (l, r)| seen | (l ^ r)) == 0
}

fn page(status: StatusCode, page: Page) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(page.html())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn bare(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// Browsers ask before a public page may lead to this machine. The answer itself still needs the state.
fn preflight() -> Response<Full<Bytes>> {
    let mut response = bare(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET"));
    headers.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
    response
}
