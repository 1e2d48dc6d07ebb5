//! What can go wrong between us and a cache.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What went wrong, in words for the person who has to mend it. No password and no value is ever part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The address makes no sense.
    #[error("The cache's address cannot be used: {problem}")]
    Address {
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The pattern makes no sense.
    #[error("The pattern `{pattern}` cannot be used: {problem}")]
    Pattern {
        /// As it was given.
        pattern: String,
        /// What is wrong, and what would be right.
        problem: &'static str,
    },
    /// No connection could be made, or it broke.
    #[error("Redis at {address} cannot be reached: {reason}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// As the system says it.
        reason: String,
    },
    /// The server's certificate is not trusted, or it does not speak TLS.
    #[error(
        "No secure connection to Redis at {address}: {reason}. The certificate must name this host and come from an \
         authority that this system knows (SSL_CERT_FILE names others); redis:// instead of rediss:// speaks without TLS"
    )]
    Insecure {
        /// Host and port.
        address: String,
        /// As the TLS library says it.
        reason: String,
    },
    /// No answer came in time.
    #[error("Redis at {address} did not answer {command} in time; it is overloaded, blocked or cut off")]
    Timeout {
        /// Host and port.
        address: String,
        /// What was asked.
        command: String,
    },
    /// User or password are wrong, missing or not wanted.
    #[error(
        "Redis at {address} refuses to sign in the user `{user}`: {reason}. Check the user in the address and the password"
    )]
    SignIn {
        /// Host and port.
        address: String,
        /// Who was to be signed in.
        user: String,
        /// As the server says it.
        reason: String,
    },
    /// The user's access list forbids it.
    #[error(
        "Redis at {address} forbids {command} to the user `{user}`. To allow it: ACL SETUSER {user} {rule}"
    )]
    Forbidden {
        /// Host and port.
        address: String,
        /// Who is signed in.
        user: String,
        /// What is forbidden, such as `SCAN`; a command on some keys says so.
        command: String,
        /// The rule that would allow it, such as `+scan`.
        rule: String,
    },
    /// The server reads its data from disk.
    #[error("Redis at {address} is still loading its data from disk; it answers when that is done")]
    Loading {
        /// Host and port.
        address: String,
    },
    /// The server is a replica.
    #[error(
        "Redis at {address} is a replica and takes no writes; the address must be the master's, or redis+sentinel://"
    )]
    ReadOnly {
        /// Host and port.
        address: String,
    },
    /// A part of the cluster has no master.
    #[error("The Redis cluster at {address} cannot serve all keys now: {reason}")]
    ClusterDown {
        /// Host and port.
        address: String,
        /// As the server says it.
        reason: String,
    },
    /// The Sentinels know no such service, or its master is gone.
    #[error("The Sentinels at {address} name no master of `{service}`: {reason}")]
    NoMaster {
        /// The Sentinels.
        address: String,
        /// The service that was asked for.
        service: String,
        /// What the last of them said.
        reason: String,
    },
    /// The server does not know a script by its hash; it is sent again with its text.
    #[error("Redis at {address} does not know the script")]
    UnknownScript {
        /// Host and port.
        address: String,
    },
    /// Anything else that the server refuses.
    #[error("Redis at {address} refused {command}: {reason}")]
    Refused {
        /// Host and port.
        address: String,
        /// What was asked.
        command: String,
        /// As the server says it.
        reason: String,
    },
}

impl Error {
    /// Whether the same may succeed later without anybody changing anything. No wildcard arm: a new variant must choose.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Loading { .. }
            | Self::ReadOnly { .. }
            | Self::ClusterDown { .. }
            | Self::NoMaster { .. }
            | Self::UnknownScript { .. } => true,
            Self::Address { .. }
            | Self::Pattern { .. }
            | Self::Insecure { .. }
            | Self::SignIn { .. }
            | Self::Forbidden { .. }
            | Self::Refused { .. } => false,
        }
    }
}

/// Where something went wrong, and as whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Host and port.
    pub address: &'a str,
    /// Who is signed in.
    pub user: &'a str,
}

impl Place<'_> {
    /// Why no connection came about.
    pub fn connecting(&self, error: &RedisError, is_tls: bool) -> Error {
        let address = self.address.to_owned();
        if error.is_timeout() {
            let reason = if is_tls {
                "no secure connection was made in time; is it a port that speaks TLS?"
            } else {
                "no connection was made in time"
            };
            return Error::Unreachable { address, reason: reason.to_owned() };
        }
        if is_about_tls(error) {
            return Error::Insecure { address, reason: error.to_string() };
        }
        self.asking(error, "a connection")
    }

    /// Why a command was not carried out.
    pub fn asking(&self, error: &RedisError, command: &str) -> Error {
        let address = self.address.to_owned();
        let said = error.detail().map_or_else(|| error.to_string(), str::to_owned);
        let reason = said.trim_end_matches('.').to_owned();
        let code = error.code().unwrap_or_default().to_owned();
        match error.kind() {
            ErrorKind::Io if error.is_timeout() => Error::Timeout { address, command: command.to_owned() },
            ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => {
                Error::Unreachable { address, reason: error.to_string() }
            }
            ErrorKind::AuthenticationFailed => Error::SignIn { address, user: self.user.to_owned(), reason },
            _ if said.contains("executing the script can't run") => self.forbidden(&said, command),
            ErrorKind::Server(ServerErrorKind::NoPerm) => self.forbidden(&said, command),
            ErrorKind::Server(ServerErrorKind::NoScript) => Error::UnknownScript { address },
            ErrorKind::Server(ServerErrorKind::BusyLoading) => Error::Loading { address },
            ErrorKind::Server(ServerErrorKind::ReadOnly) => Error::ReadOnly { address },
            ErrorKind::Server(
                ServerErrorKind::ClusterDown | ServerErrorKind::MasterDown | ServerErrorKind::TryAgain,
            ) => Error::ClusterDown { address, reason },
            _ if said.contains("cluster support disabled") => {
                Error::Address { problem: format!("{address} is no cluster; write redis://{address}") }
            }
            _ if command == "SENTINEL" && said.contains("unknown command") => {
                Error::Address { problem: format!("{address} is no Sentinel; write redis://{address}") }
            }
            _ if matches!(&*code, "NOAUTH" | "WRONGPASS") => {
                Error::SignIn { address, user: self.user.to_owned(), reason }
            }
            _ => Error::Refused { address, command: command.to_owned(), reason },
        }
    }

    /// Servers name the command in quotes, or say that a key (or channel) is out of bounds.
    fn forbidden(&self, said: &str, command: &str) -> Error {
        if said.contains("executing the script") {
            // Which command of the script it was, the server does not say.
            let (command, rule) = (format!("a command inside {command}"), "+get +set +del".to_owned());
            return Error::Forbidden {
                address: self.address.to_owned(),
                user: self.user.to_owned(),
                command,
                rule,
            };
        }
        let (command, rule) = match said.split('\'').nth(1) {
            Some(named) => (named.to_uppercase().replace('|', " "), format!("+{}", named.to_lowercase())),
            None => (
                format!("{command} on these keys"),
                "~PATTERN, and ~{PATTERN}:lease for the leases".to_owned(),
            ),
        };
        Error::Forbidden { address: self.address.to_owned(), user: self.user.to_owned(), command, rule }
    }
}

/// rustls' errors arrive inside an I/O error.
fn is_about_tls(error: &RedisError) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let text = inner.to_string();
        if text.contains("certificate") || text.contains("corrupt message") || text.contains("TLS") {
            return true;
        }
        source = inner.source();
    }
    false
}
