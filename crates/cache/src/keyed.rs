//! The shared connection for commands that name their keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, FromRedisValue, Pipeline, RedisFuture, ServerErrorKind, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::Error;
use crate::cluster::{self, Cluster};
use crate::connect::Node;
use crate::error::Place;
use crate::options::{Options, Topology};

/// After a failed attempt to connect, the next one waits this long; whoever asks meanwhile hears why at once.
const PAUSE: Duration = Duration::from_millis(500);

/// The shared connection: made when first needed, dropped when it breaks.
pub(crate) struct Keyed {
    options: Arc<Options>,
    state: Mutex<State>,
    /// How many connections there have been: tells a broken one from its successor.
    made: AtomicU64,
}

#[derive(Default)]
struct State {
    /// The number of the connection.
    generation: u64,
    connection: Option<Connection>,
    failed: Option<(Instant, Error)>,
}

/// A connection that finds the server of a key.
#[derive(Clone)]
pub(crate) enum Connection {
    /// The one server.
    Node(Node),
    /// It follows the cluster's redirections by itself.
    Cluster(Cluster),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Node(node) => node.connection.req_packed_command(cmd),
            Self::Cluster(cluster) => cluster.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Node(node) => node.connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Node(node) => node.connection.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}

impl Keyed {
    pub fn new(options: Arc<Options>) -> Self {
        Self { options, state: Mutex::default(), made: AtomicU64::new(0) }
    }

    /// Rises whenever a connection to any server is made anew, before its first answer.
    pub fn generation(&self) -> u64 {
        self.made.load(Ordering::SeqCst) + cluster::made()
    }

    /// Connects where there is no connection.
    pub async fn connect(&self) -> Result<(), Error> {
        self.connection().await.map(|_| ())
    }

    /// Carries out one command that may be carried out twice: a connection that broke is made anew, once.
    pub async fn ask<T: FromRedisValue>(&self, name: &str, command: &Cmd) -> Result<T, Error> {
        let mut is_second = false;
        loop {
            let (generation, mut connection) = self.connection().await?;
            let error = match command.query_async(&mut connection).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let address = match &connection {
                Connection::Node(node) => node.address.clone(),
                Connection::Cluster(_) => self.options.hosts_text(),
            };
            let problem = Place { address: &address, user: self.options.user() }.asking(&error, name);
            let is_misplaced = matches!(
                error.kind(),
                ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::CrossSlot)
            );
            if is_misplaced && self.options.topology != Topology::Cluster {
                return Err(cluster::is_of_a_cluster(&address));
            }
            let is_broken = match &problem {
                // The server may have vanished without a word; only a new connection shows it.
                Error::Unreachable { .. } | Error::Timeout { .. } => true,
                // Behind Sentinel this is a master that was demoted.
                Error::ReadOnly { .. } => self.options.topology != Topology::Single,
                _ => false,
            };
            if is_broken {
                self.forget(generation).await;
            }
            let is_worth_it = matches!(problem, Error::Unreachable { .. } | Error::ReadOnly { .. });
            if is_second && !self.options.is_tls {
                return Err(hinted(problem));
            }
            if is_second || !is_broken || !is_worth_it {
                return Err(problem);
            }
            is_second = true;
        }
    }

    async fn connection(&self) -> Result<(u64, Connection), Error> {
        let mut state = self.state.lock().await;
        if let Some(connection) = &state.connection {
            return Ok((state.generation, connection.clone()));
        }
        if let Some((at, error)) = &state.failed
            && at.elapsed() < PAUSE
        {
            return Err(error.clone());
        }
        let made = match self.options.topology {
            Topology::Cluster => cluster::connection(&self.options).await.map(Connection::Cluster),
            Topology::Single | Topology::Sentinel { .. } => {
                Node::master(&self.options).await.map(Connection::Node)
            }
        };
        match made {
            Ok(connection) => {
                // Before anybody can use it.
                state.generation = self.made.fetch_add(1, Ordering::SeqCst) + 1;
                state.failed = None;
                state.connection = Some(connection.clone());
                Ok((state.generation, connection))
            }
            Err(error) => {
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn forget(&self, generation: u64) {
        let mut state = self.state.lock().await;
        if state.generation == generation {
            state.connection = None;
        }
    }
}

/// A connection that breaks at its first command has often met a server that wants TLS.
fn hinted(problem: Error) -> Error {
    match problem {
        Error::Unreachable { address, reason } => Error::Unreachable {
            address,
            reason: format!("{reason}; if its port speaks TLS, the address begins with rediss://"),
        },
        other => other,
    }
}
