//! Which masters hold which keys.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::{ClusterConnection, Connect};
use redis::cluster_routing::Slot;
use redis::{AsyncConnectionConfig, Cmd, IntoConnectionInfo, Pipeline, RedisFuture, TlsMode, Value};

use crate::Error;
use crate::connect::{Node, ensure_tls_provider};
use crate::error::Place;
use crate::options::{Options, Topology, joined};

/// A master and what it is responsible for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Master {
    /// The node's own id in a cluster, else its address.
    pub id: String,
    /// Where it is.
    pub host: String,
    /// Where it is.
    pub port: u16,
    /// The hash slots that are its own; empty outside a cluster.
    pub slots: BTreeSet<u16>,
}

/// How many connections to nodes of clusters this process has made: they are made anew behind their callers' back.
static MADE: AtomicU64 = AtomicU64::new(0);

/// Rises whenever a connection to a node of any cluster is made.
pub(crate) fn made() -> u64 {
    MADE.load(Ordering::SeqCst)
}

/// A connection that follows the cluster's redirections.
pub(crate) type Cluster = ClusterConnection<Counted>;

/// A connection to one node of a cluster, counted when it is made.
#[derive(Clone)]
pub(crate) struct Counted(MultiplexedConnection);

impl Connect for Counted {
    fn connect_with_config<'a, T>(info: T, config: AsyncConnectionConfig) -> RedisFuture<'a, Self>
    where
        T: IntoConnectionInfo + Send + 'a,
    {
        async move {
            let connection = MultiplexedConnection::connect_with_config(info, config).await?;
            MADE.fetch_add(1, Ordering::SeqCst);
            Ok(Self(connection))
        }
        .boxed()
    }
}

impl ConnectionLike for Counted {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        self.0.req_packed_command(cmd)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.0.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
    }
}

/// Connects to a cluster.
pub(crate) async fn connection(options: &Options) -> Result<Cluster, Error> {
    let address = options.hosts_text();
    let place = Place { address: &address, user: options.user() };
    let connected = async {
        let nodes = options
            .hosts
            .iter()
            .map(|(host, port)| {
                let info = options.server(host, *port).into_connection_info()?;
                Ok(info.set_redis_settings(options.settings()))
            })
            .collect::<Result<Vec<_>, redis::RedisError>>()?;
        let mut builder = ClusterClientBuilder::new(nodes)
            .connection_timeout(options.connect_timeout)
            .response_timeout(options.command_timeout)
            .overall_response_timeout(Some(options.command_timeout))
            // What does not help within half a second is the caller's to try again.
            .retries(3)
            .min_retry_wait(20)
            .max_retry_wait(200);
        if options.is_tls {
            ensure_tls_provider();
            builder = builder.tls(TlsMode::Secure);
        }
        if let Some(certificates) = options.certificates() {
            builder = builder.certs(certificates);
        }
        builder.build()?.get_async_generic_connection::<Counted>().await
    };
    // Several nodes may have to be tried.
    let connected = tokio::time::timeout(2 * options.connect_timeout, connected).await;
    let Ok(connected) = connected else {
        let reason = "no connection was made in time".to_owned();
        return Err(Error::Unreachable { address, reason });
    };
    connected.map_err(|error| place.connecting(&error, options.is_tls))
}

/// The masters as they stand now.
///
/// `known` are nodes that were seen earlier; they are asked after those of the address, which may all be gone.
pub(crate) async fn masters(options: &Options, known: &[(String, u16)]) -> Result<Vec<Master>, Error> {
    if options.topology != Topology::Cluster {
        let mut node = Node::master(options).await?;
        refuse_other_kinds(&mut node).await?;
        let (host, port) = node.address.rsplit_once(':').unwrap_or((&node.address, ""));
        return Ok(vec![Master {
            id: node.address.clone(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port.parse().unwrap_or_default(),
            slots: BTreeSet::new(),
        }]);
    }
    let mut last = None;
    for (host, port) in options.hosts.iter().chain(known) {
        match masters_by(options, host, *port).await {
            Ok(masters) => return Ok(masters),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or(Error::Address { problem: "it names no host".to_owned() }))
}

/// A walk over one node of a cluster would end well and miss the others.
async fn refuse_other_kinds(node: &mut Node) -> Result<(), Error> {
    let asked = redis::cmd("INFO").arg("server").query_async::<String>(&mut node.connection).await;
    // Who may not ask is not stopped by that.
    let Ok(info) = asked else { return Ok(()) };
    match info.lines().find_map(|line| line.strip_prefix("redis_mode:")).map(str::trim) {
        Some("cluster") => Err(is_of_a_cluster(&node.address)),
        Some("sentinel") => Err(Error::Address {
            problem: format!("{0} is a Sentinel; write redis+sentinel://{0}/SERVICE", node.address),
        }),
        _ => Ok(()),
    }
}

/// What to say where one server was expected.
pub(crate) fn is_of_a_cluster(address: &str) -> Error {
    Error::Address { problem: format!("{address} is a node of a cluster; write redis-cluster://{address}") }
}

async fn masters_by(options: &Options, host: &str, port: u16) -> Result<Vec<Master>, Error> {
    let mut node = Node::open(options, host, port).await?;
    let place = Place { address: &node.address, user: options.user() };
    let answer: Value = redis::cmd("CLUSTER")
        .arg("SLOTS")
        .query_async(&mut node.connection)
        .await
        .map_err(|error| place.asking(&error, "CLUSTER SLOTS"))?;
    let masters = masters_of(&answer, host);
    if masters.is_empty() {
        return Err(Error::ClusterDown {
            address: joined(host, port),
            reason: "it knows of no master that holds any key".to_owned(),
        });
    }
    Ok(masters)
}

/// Whether keys of another master are on their way to this one: their slots stay the other's until all have arrived.
pub(crate) async fn is_receiving(options: &Options, master: &Master) -> Result<bool, Error> {
    if options.topology != Topology::Cluster {
        return Ok(false);
    }
    let mut node = Node::open(options, &master.host, master.port).await?;
    let nodes: Result<String, _> = redis::cmd("CLUSTER").arg("NODES").query_async(&mut node.connection).await;
    match nodes {
        // Only a node's own line says so: `[93-<-292f8b365bb7edb5e285caf0b7e6ddc7265d2f4f]`.
        Ok(nodes) => Ok(nodes.lines().any(|line| line.contains("myself") && line.contains("-<-"))),
        Err(error) => {
            Err(Place { address: &node.address, user: options.user() }.asking(&error, "CLUSTER NODES"))
        }
    }
}

/// Reads the answer to `CLUSTER SLOTS`: per range its ends, then the master, then its replicas.
fn masters_of(answer: &Value, asked: &str) -> Vec<Master> {
    let mut masters: HashMap<String, Master> = HashMap::new();
    let Value::Array(ranges) = answer else { return Vec::new() };
    for range in ranges {
        let Value::Array(range) = range else { continue };
        let [Value::Int(from), Value::Int(to), Value::Array(node), ..] = range.as_slice() else { continue };
        let [host, Value::Int(port), Value::BulkString(id), ..] = node.as_slice() else { continue };
        let host = match host {
            Value::BulkString(host) if !host.is_empty() => String::from_utf8_lossy(host).into_owned(),
            // A node that does not know its own name means the one that it was asked by.
            _ => asked.to_owned(),
        };
        let (Ok(from), Ok(to), Ok(port)) = (u16::try_from(*from), u16::try_from(*to), u16::try_from(*port))
        else {
            continue;
        };
        let id = String::from_utf8_lossy(id).into_owned();
        let master = masters.entry(id.clone()).or_insert(Master { id, host, port, slots: BTreeSet::new() });
        master.slots.extend(from..=to);
    }
    let mut masters: Vec<Master> = masters.into_values().collect();
    masters.sort_by_key(|master| master.slots.first().copied());
    masters
}

/// Groups keys so that each group may be named in one command: by slot in a cluster, else all together.
pub(crate) fn grouped(topology: &Topology, keys: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
    if *topology != Topology::Cluster {
        return vec![keys];
    }
    let mut groups: HashMap<Slot, Vec<Vec<u8>>> = HashMap::new();
    for key in keys {
        groups.entry(Slot::for_key(&key)).or_default().push(key);
    }
    groups.into_values().collect()
}
