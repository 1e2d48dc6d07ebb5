//! The protocols of Salesforce: sign-in, REST, Bulk API 2.0 and Pub/Sub API. Nothing here knows what a shadow is for.
//!
//! A [`Client`] is cheap to clone and carries the purpose its calls are counted under; a [`TokenSource`] brings its
//! access token, and one expired session is renewed without the caller noticing.

pub mod auth;
pub mod avro;
pub mod bulk;
mod client;
pub mod describe;
mod error;
mod failure;
mod limits;
mod organization;
mod origin;
pub mod pubsub;
mod purpose;
mod replication;
mod rest;
mod retry;
mod selection;
pub mod soql;
mod token;
mod transport;

pub use client::{Answer, Client, ClientOptions};
pub use error::{Disposition, Error, QuotaKind, Refusal};
pub use limits::{ApiUsage, Limit, Limits};
pub use organization::{CurrencyAnswer, Organization};
pub use origin::{InstanceOrigin, OriginPolicy};
pub use purpose::{CallMade, CallObserver, Purpose};
pub use replication::Updated;
pub use rest::{ApiVersion, Count, JsonRecord, Page, Retrieved};
pub use retry::RetrySchedule;
pub use selection::ChannelMember;
pub use token::{AccessToken, TokenSource};
pub use transport::{Transport, TransportOptions};
