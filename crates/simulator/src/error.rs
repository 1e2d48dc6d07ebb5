//! Why a simulated org could not be started or changed.

use std::{io, path::PathBuf};

/// Why a simulated org could not be started or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port is taken, or not allowed.
    #[error("the simulated org cannot listen on {address}: {source}; choose another address or port")]
    Listen {
        /// Where it was to listen.
        address: String,
        /// Why it cannot.
        #[source]
        source: io::Error,
    },
    /// The control page may change everything, so it never leaves the machine.
    #[error("the control page must listen on a loopback address, not on {0}")]
    ControlNotLoopback(std::net::SocketAddr),
    /// Tokens would travel in the clear.
    #[error("without TLS the Pub/Sub API must listen on a loopback address, not on {0}")]
    GrpcNotLoopback(std::net::SocketAddr),
    /// A file of the export or the state file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// A file of the export is not what it should be.
    #[error("{path}, record {record}: {problem}", path = path.display())]
    Export {
        /// Which file.
        path: PathBuf,
        /// Which record, counted from 1; 0 is the header.
        record: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The state file belongs to another org.
    #[error("{path} remembers the changes of org {found}, but this is org {expected}; use another state file", path = path.display())]
    StateOfAnotherOrg {
        /// The state file.
        path: PathBuf,
        /// The org it belongs to.
        found: String,
        /// The org that was started.
        expected: String,
    },
    /// An id names one record for ever, deleted or not.
    #[error("{object} has or had a record {id} already")]
    IdTaken {
        /// The object.
        object: String,
        /// The id.
        id: String,
    },
    /// The certificate could not be made.
    #[error("no certificate could be made for TLS: {0}")]
    Certificate(String),
    /// The object is not in the org.
    #[error("the simulated org has no object {0}")]
    NoObject(String),
    /// The field is not on the object.
    #[error("{object} has no field {field} that can be written")]
    NoField {
        /// The object.
        object: String,
        /// The field.
        field: String,
    },
    /// The value does not fit the field.
    #[error("{value} does not fit {object}.{field}")]
    Value {
        /// The object.
        object: String,
        /// The field.
        field: String,
        /// The value.
        value: String,
    },
    /// The record is not in the org.
    #[error("{object} has no record {id}")]
    NoRecord {
        /// The object.
        object: String,
        /// The id.
        id: String,
    },
    /// The name is not that of a channel of change events.
    #[error("{0} is no channel: ChangeEvents, or a name that ends in __chn")]
    NoChannel(String),
    /// An org sends change events of few objects.
    #[error("at most {0} objects may be selected for change events, over all channels")]
    TooManySelected(usize),
    /// The kind of a field to add is not known.
    #[error("a field of the kind {0} cannot be added")]
    FieldKind(String),
    /// The transaction is not open any more.
    #[error("this transaction was committed or taken back already")]
    NoTransaction,
    /// An open transaction has changed the record.
    #[error("an open transaction has locked the record {0}")]
    Locked(String),
    /// A key for the JWT bearer flow could not be read.
    #[error("the key is no RSA public key or certificate in PEM form")]
    Key,
}
