//! The listener and its connections: plain or TLS, HTTP/1.1 and 2, ended in order.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The longest that a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running server.
pub struct Server {
    address: SocketAddr,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Begins to answer.
    pub fn start(listener: TcpListener, tls: Option<TlsAcceptor>, router: Router) -> std::io::Result<Self> {
        let server = Self {
            address: listener.local_addr()?,
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        server.tasks.spawn(accept(listener, tls, router, server.tasks.clone(), server.stopping.clone()));
        Ok(server)
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, finishes those that run, and drops what has not ended in time.
    pub async fn stop(self, patience: Duration) {
        self.stopping.cancel();
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::warn!("connections did not end in time and are dropped");
        }
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    tasks: TaskTracker,
    stopping: CancellationToken,
) {
    while let Some(accepted) = stopping.run_until_cancelled(listener.accept()).await {
        // Out of file handles, or a client that left at once: the next one may fare better.
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        stream.set_nodelay(true).ok();
        let (router, stopping) = (router.clone(), stopping.clone());
        match tls.clone() {
            None => tasks.spawn(speak(stream, router, stopping)),
            Some(tls) => tasks.spawn(async move {
                // Whoever does not finish the handshake in time is not waited for.
                if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, tls.accept(stream)).await {
                    speak(stream, router, stopping).await;
                }
            }),
        };
    }
}

async fn speak<S>(stream: S, router: Router, stopping: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    builder.http2().timer(TokioTimer::new());
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection ended early");
    }
}
