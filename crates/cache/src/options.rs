//! What must be known to reach a cache.

use std::fmt;
use std::time::Duration;

use redis::{ConnectionAddr, RedisConnectionInfo};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::Error;

/// How long a connection may take to be made, and a command to be answered, unless told otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a walk over all keys waits for a server that went away under it: a failover takes this long at most.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);

/// How the servers are arranged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Topology {
    /// One server.
    Single,
    /// Sentinels know which server is the master of a service.
    Sentinel {
        /// The name under which the Sentinels watch it.
        service: String,
    },
    /// Several masters share the keys.
    Cluster,
}

/// What must be known to reach a cache: where, as whom, and how patiently.
#[derive(Clone)]
pub struct Options {
    pub(crate) topology: Topology,
    /// The server, the Sentinels, or some nodes of the cluster.
    pub(crate) hosts: Vec<(String, u16)>,
    pub(crate) is_tls: bool,
    pub(crate) database: i64,
    pub(crate) user: Option<String>,
    password: Option<SecretString>,
    pub(crate) sentinel_user: Option<String>,
    sentinel_password: Option<SecretString>,
    root_certificate: Option<Vec<u8>>,
    pub(crate) connect_timeout: Duration,
    pub(crate) command_timeout: Duration,
    pub(crate) patience: Duration,
}

impl Options {
    /// Reads an address; `password` beats the one that the address may carry.
    ///
    /// - **Shape:** see [`parse_url`](crate::parse_url) for the forms.
    /// - **Errors:** [`Error::Address`] with what is wrong and what would be right.
    pub fn new(url: &Url, password: Option<SecretString>) -> Result<Self, Error> {
        let malformed = |problem: String| Error::Address { problem };
        let (scheme, is_secure_scheme) = match url.scheme() {
            "redis" | "redis+sentinel" | "redis-cluster" => (url.scheme(), false),
            "rediss" => ("redis", true),
            "rediss+sentinel" => ("redis+sentinel", true),
            "rediss-cluster" => ("redis-cluster", true),
            other => {
                return Err(malformed(format!(
                    "`{other}://` is not known; use redis://, rediss://, redis+sentinel:// or redis-cluster://"
                )));
            }
        };
        let mut hosts = Vec::new();
        let default_port = if scheme == "redis+sentinel" { 26379 } else { 6379 };
        let first = url.host_str().filter(|host| !host.is_empty());
        let first = first.ok_or_else(|| malformed("it names no host".to_owned()))?;
        hosts.push((plain_host(first), url.port().unwrap_or(default_port)));
        let mut is_tls = is_secure_scheme;
        let mut sentinel_user = None;
        for (key, value) in url.query_pairs() {
            match (&*key, &*value) {
                ("node", host) => hosts.push(host_and_port(host, default_port)?),
                ("tls", "true") => is_tls = true,
                ("tls", "false") if !is_secure_scheme => {}
                ("sentinel_user", name) => sentinel_user = Some(name.to_owned()),
                _ => {
                    return Err(malformed(format!(
                        "`{key}` behind the question mark is not known or has a value that makes no sense; \
                         node=HOST:PORT, tls=true and sentinel_user=NAME are"
                    )));
                }
            }
        }
        let path: Vec<&str> = url.path().split('/').filter(|part| !part.is_empty()).collect();
        let (topology, database) = match (scheme, path.as_slice()) {
            ("redis", []) => (Topology::Single, None),
            ("redis", [database]) => (Topology::Single, Some(*database)),
            ("redis+sentinel", [service, database @ ..]) if database.len() <= 1 => {
                (Topology::Sentinel { service: percent_decoded(service) }, database.first().copied())
            }
            ("redis+sentinel", _) => {
                return Err(malformed(
                    "it does not name the service that the Sentinels watch; write \
                     redis+sentinel://HOST:26379,HOST:26379/SERVICE"
                        .to_owned(),
                ));
            }
            ("redis-cluster", [] | ["0"]) => (Topology::Cluster, None),
            ("redis-cluster", _) => {
                return Err(malformed("a cluster has only the database 0; leave the path out".to_owned()));
            }
            _ => return Err(malformed("its path has more than the number of a database".to_owned())),
        };
        if topology == Topology::Single && hosts.len() > 1 {
            return Err(malformed(
                "it names several hosts; use redis+sentinel:// or redis-cluster:// for those".to_owned(),
            ));
        }
        let database = database.map_or(Ok(0), |text| {
            text.parse::<u16>()
                .map(i64::from)
                .map_err(|_| malformed(format!("`{text}` is not the number of a database")))
        })?;
        let own_password = url.password().map(|text| SecretString::from(percent_decoded(text)));
        Ok(Self {
            topology,
            hosts,
            is_tls,
            database,
            user: Some(percent_decoded(url.username())).filter(|user| !user.is_empty()),
            password: password.or(own_password),
            sentinel_user,
            sentinel_password: None,
            root_certificate: None,
            connect_timeout: DEFAULT_TIMEOUT,
            command_timeout: DEFAULT_TIMEOUT,
            patience: DEFAULT_PATIENCE,
        })
    }

    /// The password of the Sentinels themselves, where they ask for one.
    #[must_use]
    pub fn with_sentinel_password(mut self, password: SecretString) -> Self {
        self.sentinel_password = Some(password);
        self
    }

    /// Trusts only this certificate authority (PEM) instead of the system's; `SSL_CERT_FILE` does the same from outside.
    #[must_use]
    pub fn with_root_certificate(mut self, pem: Vec<u8>) -> Self {
        self.root_certificate = Some(pem);
        self
    }

    /// Waits this long for a connection, and this long for the answer to a command.
    #[must_use]
    pub fn with_timeouts(mut self, connect: Duration, command: Duration) -> Self {
        self.connect_timeout = connect;
        self.command_timeout = command;
        self
    }

    /// Waits this long for a server that went away under a walk over all keys, before the walk fails.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How to sign in to a server that holds keys.
    pub(crate) fn settings(&self) -> RedisConnectionInfo {
        signed_in(self.user.as_deref(), self.password.as_ref()).set_db(self.database)
    }

    /// How to sign in to a Sentinel.
    pub(crate) fn sentinel_settings(&self) -> RedisConnectionInfo {
        signed_in(self.sentinel_user.as_deref(), self.sentinel_password.as_ref())
    }

    /// The address of one server, as the client takes it.
    pub(crate) fn server(&self, host: &str, port: u16) -> ConnectionAddr {
        let host = host.to_owned();
        if self.is_tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        }
    }

    /// The certificate authority that alone is trusted, if one was given.
    pub(crate) fn certificates(&self) -> Option<redis::TlsCertificates> {
        self.root_certificate
            .as_ref()
            .filter(|_| self.is_tls)
            .map(|pem| redis::TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) })
    }

    /// All hosts of the address, for messages.
    pub(crate) fn hosts_text(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(|(host, port)| joined(host, *port)).collect();
        hosts.join(",")
    }

    /// Who signs in, for messages.
    pub(crate) fn user(&self) -> &str {
        self.user.as_deref().unwrap_or("default")
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secure = if self.is_tls { "rediss" } else { "redis" };
        let hosts = self.hosts_text();
        match &self.topology {
            Topology::Single => write!(f, "{secure}://{hosts}/{}", self.database),
            Topology::Sentinel { service } => {
                write!(f, "{secure}+sentinel://{hosts}/{service}/{}", self.database)
            }
            Topology::Cluster => write!(f, "{secure}-cluster://{hosts}"),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Options({self})")
    }
}

/// `host:port`, with brackets around an address that has colons of its own.
pub(crate) fn joined(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn signed_in(user: Option<&str>, password: Option<&SecretString>) -> RedisConnectionInfo {
    // The client's name and version would need the permission +client and tell nobody anything.
    let mut settings = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(user) = user {
        settings = settings.set_username(user);
    }
    if let Some(password) = password {
        settings = settings.set_password(password.expose_secret());
    }
    settings
}

fn host_and_port(text: &str, default_port: u16) -> Result<(String, u16), Error> {
    let port_of = |port: &str| {
        port.parse().map_err(|_| Error::Address { problem: format!("`{port}` is not the number of a port") })
    };
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            Ok((plain_host(host), port_of(port)?))
        }
        _ => Ok((plain_host(text), default_port)),
    }
}

/// A host without the brackets that an address needs around colons.
fn plain_host(host: &str) -> String {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned()
}

/// `%41` becomes `A`; anything that is not an escape stays.
fn percent_decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("p={}", text.replace('+', "%2B")).as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_url;

    fn options(text: &str) -> Result<Options, Error> {
        Options::new(&parse_url(text)?, None)
    }

    #[test]
    fn every_form_of_address_is_understood() {
        let hosts = |text: &str| options(text).unwrap().hosts_text();
        assert_eq!(hosts("redis://cache"), "cache:6379");
        assert_eq!(hosts("redis://[::1]:6380/3"), "[::1]:6380");
        assert_eq!(hosts("redis+sentinel://a,b:26380,[fe80::1]:1/shop"), "a:26379,b:26380,[fe80::1]:1");
        assert_eq!(hosts("redis-cluster://a:7000?node=b:7001"), "a:7000,b:7001");
        let sentinel =
            options("rediss+sentinel://shop@a:26379,b:26379/prices/2?sentinel_user=watch").unwrap();
        assert_eq!(sentinel.topology, Topology::Sentinel { service: "prices".to_owned() });
        assert!(sentinel.is_tls && sentinel.database == 2);
        assert_eq!((sentinel.user(), sentinel.sentinel_user.as_deref()), ("shop", Some("watch")));
        assert_eq!(sentinel.to_string(), "rediss+sentinel://a:26379,b:26379/prices/2");
        assert!(options("redis-cluster://a?tls=true").unwrap().is_tls);
        assert!(options("rediss://a").unwrap().is_tls && !options("redis://a?tls=false").unwrap().is_tls);
    }

    #[test]
    fn an_address_that_makes_no_sense_says_what_would() {
        let problem = |text: &str| options(text).unwrap_err().to_string();
        assert!(problem("memcached://a").contains("redis+sentinel://"));
        assert!(problem("redis://a,b").contains("redis-cluster://"));
        assert!(problem("redis+sentinel://a").contains("SERVICE"));
        assert!(problem("redis://a/one").contains("number of a database"));
        assert!(problem("redis://a/1/2").contains("path"));
        assert!(problem("redis-cluster://a/1").contains("database 0"));
        assert!(problem("redis://a?password=secret").contains("`password`"));
        assert!(problem("redis-cluster://a?node=b:x").contains("port"));
        assert!(problem("rediss://a?tls=false").contains("tls=true"));
    }

    #[test]
    fn a_password_given_apart_beats_the_address_and_none_is_shown() {
        let url = parse_url("redis://shop:p%40ss+word@a").unwrap();
        let own = Options::new(&url, None).unwrap();
        assert_eq!(own.settings().password(), Some("p@ss+word"));
        let apart = Options::new(&url, Some(SecretString::from("other"))).unwrap();
        assert_eq!((apart.settings().username(), apart.settings().password()), (Some("shop"), Some("other")));
        assert!(!format!("{own:?} {own} {apart:?}").contains("word"));
    }
}
