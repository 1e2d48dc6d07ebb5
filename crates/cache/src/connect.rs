//! Connections to one server, and which server is the master.

use futures::FutureExt;
use futures::future::select_ok;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, RedisConnectionInfo, Value};

use crate::Error;
use crate::error::Place;
use crate::options::{Options, Topology, joined};

/// A connection to one server.
#[derive(Clone)]
pub(crate) struct Node {
    /// Host and port.
    pub address: String,
    /// Shared by whoever holds a clone.
    pub connection: MultiplexedConnection,
}

impl Node {
    /// Connects to one server that holds keys.
    pub async fn open(options: &Options, host: &str, port: u16) -> Result<Self, Error> {
        Self::open_as(options, host, port, options.settings()).await
    }

    async fn open_as(
        options: &Options,
        host: &str,
        port: u16,
        settings: RedisConnectionInfo,
    ) -> Result<Self, Error> {
        let address = joined(host, port);
        let user = settings.username().unwrap_or("default").to_owned();
        let place = Place { address: &address, user: &user };
        if options.is_tls {
            ensure_tls_provider();
        }
        let connected = async {
            let info = options.server(host, port).into_connection_info()?.set_redis_settings(settings);
            let client = match options.certificates() {
                Some(certificates) => Client::build_with_tls(info, certificates)?,
                None => Client::open(info)?,
            };
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(options.connect_timeout))
                .set_response_timeout(Some(options.command_timeout));
            client.get_multiplexed_async_connection_with_config(&config).await
        };
        let connection = connected.await.map_err(|error| place.connecting(&error, options.is_tls))?;
        Ok(Self { address, connection })
    }

    /// The one master, where there is one.
    ///
    /// Of Sentinels all are asked at once, and the first whose master says itself that it is one wins: a Sentinel that
    /// was cut off still names the old one.
    pub async fn master(options: &Options) -> Result<Self, Error> {
        match &options.topology {
            Topology::Single | Topology::Cluster => {
                let (host, port) = &options.hosts[0];
                Self::open(options, host, *port).await
            }
            Topology::Sentinel { service } => {
                let asked = options
                    .hosts
                    .iter()
                    .map(|(host, port)| master_by_sentinel(options, service, host, *port).boxed());
                select_ok(asked).await.map(|(node, _)| node)
            }
        }
    }
}

/// The client asks for the process' TLS provider: the program's, else the one that all of us use.
pub(crate) fn ensure_tls_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Two may race here; either is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

async fn master_by_sentinel(options: &Options, service: &str, host: &str, port: u16) -> Result<Node, Error> {
    let settings = options.sentinel_settings();
    let user = settings.username().unwrap_or("default").to_owned();
    let mut sentinel = Node::open_as(options, host, port, settings).await?;
    let no_master = |reason: &str| Error::NoMaster {
        address: joined(host, port),
        service: service.to_owned(),
        reason: reason.to_owned(),
    };
    let named: Option<(String, u16)> = redis::cmd("SENTINEL")
        .arg("GET-MASTER-ADDR-BY-NAME")
        .arg(service)
        .query_async(&mut sentinel.connection)
        .await
        .map_err(|error| Place { address: &sentinel.address, user: &user }.asking(&error, "SENTINEL"))?;
    let (master_host, master_port) = named.ok_or_else(|| no_master("they do not watch it"))?;
    let mut node = Node::open(options, &master_host, master_port).await?;
    let role: Result<Value, _> = redis::cmd("ROLE").query_async(&mut node.connection).await;
    match role {
        Ok(Value::Array(parts)) if parts.first() == Some(&Value::BulkString(b"master".to_vec())) => Ok(node),
        Ok(_) => Err(no_master(&format!("{} says that it is a replica", node.address))),
        // An access list without ROLE is no reason to refuse: a replica will say so at the first write.
        Err(error) if error.code() == Some("NOPERM") => Ok(node),
        Err(error) => Err(Place { address: &node.address, user: options.user() }.asking(&error, "ROLE")),
    }
}
