//! Sockets: listens, speaks TLS where asked, and hands each request on.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
};

use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{error::Error, http::Reply};

/// How often another free port is tried when it is free on only one of the two loopback addresses.
const TRIES: usize = 20;

/// Listens on an address; on both loopback addresses, with one port, if it is one of them.
pub async fn listen(address: SocketAddr) -> Result<Vec<TcpListener>, Error> {
    let failed = |source| Error::Listen { address: address.to_string(), source };
    if !address.ip().is_loopback() {
        return TcpListener::bind(address).await.map(|listener| vec![listener]).map_err(failed);
    }
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..TRIES {
        let first =
            TcpListener::bind((IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())).await.map_err(failed)?;
        let port = first.local_addr().map_err(failed)?.port();
        match TcpListener::bind((IpAddr::V6(Ipv6Addr::LOCALHOST), port)).await {
            Ok(second) => return Ok(vec![first, second]),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            // A machine without IPv6 has one loopback address.
            Err(_) => return Ok(vec![first]),
        }
        if address.port() != 0 {
            break;
        }
    }
    Err(failed(last))
}

/// What may happen to a connection while it is open.
#[derive(Clone, Default)]
pub struct Fate {
    /// It breaks.
    pub cut: CancellationToken,
    /// It takes no new requests, and ends with those that run.
    pub drain: CancellationToken,
}

/// Serves until it is stopped. An answer of nothing closes the connection; `fate` gives each connection its own.
pub fn serve<H, F>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    tasks: &TaskTracker,
    stopping: &CancellationToken,
    fate: impl Fn() -> Fate + Send + 'static,
    handler: H,
) where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Option<Reply>> + Send + 'static,
{
    let (connections, stopping) = (tasks.clone(), stopping.clone());
    tasks.spawn(async move {
        while let Some(accepted) = stopping.run_until_cancelled(listener.accept()).await {
            // Out of file handles or a client that left at once: the next one may fare better.
            let Ok((stream, _)) = accepted else {
                tokio::task::yield_now().await;
                continue;
            };
            let (handler, tls, stopping, fate) = (handler.clone(), tls.clone(), stopping.clone(), fate());
            connections.spawn(async move {
                let connection = connection(stream, tls, fate.drain, handler);
                stopping.run_until_cancelled(fate.cut.run_until_cancelled(connection)).await;
            });
        }
    });
}

async fn connection<H, F>(stream: TcpStream, tls: Option<TlsAcceptor>, drain: CancellationToken, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Option<Reply>> + Send + 'static,
{
    stream.set_nodelay(true).ok();
    match tls {
        None => speak(stream, drain, handler).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                speak(stream, drain, handler).await;
            }
        }
    }
}

async fn speak<S, H, F>(stream: S, drain: CancellationToken, handler: H)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Option<Reply>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = handler(request);
        async move { answer.await.ok_or(Closed) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(error, "a connection to the simulated org ended early");
    }
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed without an answer, as planned")]
struct Closed;
