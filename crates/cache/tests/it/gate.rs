//! A way to a server on which commands that delete wait until they are let through, one at a time.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::servers::DEADLINE;

/// The gate.
pub struct Gate {
    port: u16,
    permits: UnboundedSender<()>,
    answered: UnboundedReceiver<()>,
}

impl Gate {
    /// Opens a way to the server on a port of this machine, for one connection.
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (permits, waiting) = unbounded_channel();
        let (answers, answered) = unbounded_channel();
        tokio::spawn(async move {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            let (held, holding) = unbounded_channel();
            tokio::join!(
                questions(from_client, to_server, waiting, held),
                replies(from_server, to_client, holding, answers)
            );
        });
        Self { port, permits, answered }
    }

    /// The address of this way.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Lets the next deleting command through, and waits until it was answered.
    pub async fn let_through(&mut self) {
        self.permits.send(()).unwrap();
        let answered = tokio::time::timeout(DEADLINE, self.answered.recv()).await;
        answered.expect("a command that deletes comes by").unwrap();
    }
}

/// The client asks one thing at a time, so each piece that arrives is one command.
async fn questions(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut permits: UnboundedReceiver<()>,
    held: UnboundedSender<bool>,
) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let is_held = piece[..length].windows(6).any(|word| word == b"UNLINK");
        if is_held && permits.recv().await.is_none() {
            return;
        }
        let _ = held.send(is_held);
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

async fn replies(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut held: UnboundedReceiver<bool>,
    answered: UnboundedSender<()>,
) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if held.recv().await == Some(true) {
            let _ = answered.send(());
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
