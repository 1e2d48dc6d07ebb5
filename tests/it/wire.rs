//! A network between two programs that a test can cut: it stops carrying, and nobody is told.
//!
//! A relay on this machine. What is cut stays open on both ends, as it does where a switch, a firewall or a cable
//! fails: what was sent stays on the way, new connections lead nowhere.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use sqlx::{ConnectOptions, PgPool};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Bytes carried at once.
const PIECE: usize = 64 << 10;

/// Where a wire leads.
#[derive(Clone)]
enum Far {
    Address(SocketAddr),
    Socket(PathBuf),
}

/// What is carried now.
#[derive(Clone, Copy)]
struct Carried {
    is_cut: bool,
    /// Connections that were made before the network forgot them are dead for good.
    since: u64,
}

/// A relay; dropping it closes every connection through it.
pub struct Wire {
    address: SocketAddr,
    carried: watch::Sender<Carried>,
    relay: JoinHandle<()>,
}

impl Wire {
    /// To a program that listens on this machine.
    pub async fn to(address: SocketAddr) -> Self {
        Self::lead(Far::Address(address)).await
    }

    /// To the server of a test's database; with it the database's address by way of the wire.
    pub async fn to_database(pool: &PgPool) -> (Self, String) {
        let options = pool.connect_options();
        let far = match options.get_socket() {
            Some(folder) => Far::Socket(folder.join(format!(".s.PGSQL.{}", options.get_port()))),
            None => Far::Address(
                tokio::net::lookup_host((options.get_host(), options.get_port()))
                    .await
                    .expect("the server's address")
                    .next()
                    .expect("an address"),
            ),
        };
        let wire = Self::lead(far).await;
        let mut url = options.to_url_lossy();
        url.set_query(None);
        url.set_ip_host(wire.address.ip()).expect("an address has a host");
        url.set_port(Some(wire.address.port())).expect("an address has a port");
        (wire, url.to_string())
    }

    async fn lead(far: Far) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let carried = watch::Sender::new(Carried { is_cut: false, since: 0 });
        let relay = tokio::spawn(relay(listener, far, carried.subscribe()));
        Self { address, carried, relay }
    }

    /// Where the near program connects to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Carries nothing any more.
    pub fn cut(&self) {
        self.carried.send_modify(|carried| carried.is_cut = true);
    }

    /// Carries again, also what was on its way.
    pub fn mend(&self) {
        self.carried.send_modify(|carried| carried.is_cut = false);
    }

    /// Carries again, but knows nothing of the connections before: whoever waits on one of them waits for ever.
    pub fn replace(&self) {
        self.carried.send_modify(|carried| *carried = Carried { is_cut: false, since: carried.since + 1 });
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

async fn relay(listener: TcpListener, far: Far, carried: watch::Receiver<Carried>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((near, _)) = accepted else { return };
                connections.spawn(connect(near, far.clone(), carried.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(near: TcpStream, far: Far, mut carried: watch::Receiver<Carried>) {
    let since = carried.borrow().since;
    let _ = near.set_nodelay(true);
    whole(&mut carried, since).await;
    match far {
        Far::Address(address) => {
            let Ok(far) = TcpStream::connect(address).await else { return };
            let _ = far.set_nodelay(true);
            carry_both(near, far, &carried, since).await;
        }
        Far::Socket(path) => {
            let Ok(far) = UnixStream::connect(path).await else { return };
            carry_both(near, far, &carried, since).await;
        }
    }
}

async fn carry_both<N, F>(near: N, far: F, carried: &watch::Receiver<Carried>, since: u64)
where
    N: AsyncRead + AsyncWrite + Unpin,
    F: AsyncRead + AsyncWrite + Unpin,
{
    let (near_reads, near_writes) = tokio::io::split(near);
    let (far_reads, far_writes) = tokio::io::split(far);
    tokio::join!(
        carry(near_reads, far_writes, carried.clone(), since),
        carry(far_reads, near_writes, carried.clone(), since),
    );
}

/// Carries one direction until it ends. An end is carried too, so that a cut connection ends for nobody.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut carried: watch::Receiver<Carried>,
    since: u64,
) {
    let mut piece = vec![0; PIECE];
    loop {
        whole(&mut carried, since).await;
        let read = tokio::select! {
            biased;
            _ = carried.changed() => continue,
            read = from.read(&mut piece) => read.unwrap_or_default(),
        };
        whole(&mut carried, since).await;
        if read == 0 || to.write_all(&piece[..read]).await.is_err() {
            let _ = to.shutdown().await;
            return;
        }
    }
}

/// Waits until the wire carries what was connected at that time; for ever if it was replaced.
async fn whole(carried: &mut watch::Receiver<Carried>, since: u64) {
    let is_whole = |carried: &Carried| !carried.is_cut && carried.since == since;
    if carried.wait_for(is_whole).await.is_err() {
        // The wire is gone, and its connections with it.
    }
}
