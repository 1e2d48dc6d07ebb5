//! The caches that others read: Redis on one server, behind Sentinel, or as a cluster.
//!
//! It deletes keys, by name or by pattern, tells what a pattern would delete, and fills keys under a lease, so that
//! a value read before a change is never stored after the flush that the change caused.
//!
//! - **Nothing blocks the server:** patterns are walked with `SCAN`, keys are freed with `UNLINK`, in small steps.
//! - **Every command is bounded:** two seconds to connect and two to answer unless told otherwise.
//! - **Connections are made when they are needed**, and made anew when they break.
//!
//! It knows nothing of Salesforce, of mappings or of our database.

mod address;
mod cluster;
mod connect;
mod delete;
mod error;
mod flush;
mod keyed;
mod lease;
mod options;
mod pages;
mod pattern;
mod preview;
mod servers;
mod sweep;

use std::fmt;
use std::sync::Arc;

pub use address::parse_url;
pub use error::Error;
pub use flush::{Flushed, Progress};
pub use lease::{LeaseToken, Look, lease_key};
pub use options::Options;
pub use preview::{Example, Preview};
pub use servers::Server;

use keyed::Keyed;

/// A cache. Clones share one connection for what concerns single keys; a walk over all keys opens its own.
#[derive(Clone)]
pub struct Cache {
    options: Arc<Options>,
    keyed: Arc<Keyed>,
}

impl Cache {
    /// Connects when it is first used, so it cannot fail.
    pub fn new(options: Options) -> Self {
        let options = Arc::new(options);
        Self { keyed: Arc::new(Keyed::new(Arc::clone(&options))), options }
    }

    /// The address, without a password.
    pub fn address(&self) -> String {
        self.options.to_string()
    }

    /// Rises whenever a connection for single keys is made anew, to any server and before its first answer: what was
    /// known of the servers before may no longer hold. Clones share it.
    ///
    /// - **Shape:** in a cluster it may also rise for other caches of this process.
    pub fn generation(&self) -> u64 {
        self.keyed.generation()
    }

    /// Connects for single keys where there is no connection.
    ///
    /// - **Errors:** as those of any command.
    pub async fn connect(&self) -> Result<(), Error> {
        self.keyed.connect().await
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache({})", self.options)
    }
}
