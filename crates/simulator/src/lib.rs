//! A simulated Salesforce org that speaks the real protocols: sign-in, REST, Bulk API 2.0 query, Pub/Sub API.
//!
//! It shares nothing with the client but the facts of the interface, so that a mistake of the client cannot hide in
//! it. Its records are computed from a seed, or read from an export; its org id begins with
//! [`SIMULATED_ORG_PREFIX`]. Misbehaviour is planned per path ([`Org::inject`]).

mod bulk;
mod calendar;
mod catalogue;
mod clock;
mod control;
mod cursors;
mod dispatch;
mod error;
mod events;
mod export;
mod faults;
mod http;
mod ids;
mod jwt_keys;
mod lock;
mod oauth;
mod options;
mod org;
mod position;
mod pubsub;
mod rest;
mod schema;
mod selection;
mod serve;
mod simulator;
mod snapshot;
mod soap;
mod soql;
mod table;
mod tls;
mod value;

pub use catalogue::{DEMO_USERNAME, SECOND_USERNAME};
pub use error::Error;
pub use events::{Change, EventFault, PlannedEvent, Subscriber};
pub use faults::{Fault, FaultId};
pub use ids::{RecordId, SIMULATED_ORG_PREFIX};
pub use jwt_keys::JwtKeys;
pub use oauth::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET};
pub use options::Options;
pub use org::{
    Disturbance, Load, LoadReport, Oddity, Org, Request, SentEvent, Transaction, TransactionId, Why,
};
pub use simulator::Simulator;
pub use soap::DEMO_PASSWORD;
