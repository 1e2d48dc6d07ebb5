//! The protocols of Salesforce: sign-in, REST and Bulk API 2.0. Nothing here knows what a shadow is for.
//!
//! A [`Client`] is cheap to clone and carries the purpose its calls are counted under; a [`TokenSource`] brings its
//! access token, and one expired session is renewed without the caller noticing.

pub mod auth;
pub mod bulk;
mod client;
pub mod describe;
mod error;
mod failure;
mod limits;
mod organization;
mod origin;
mod purpose;
mod rest;
mod retry;
pub mod soql;
mod token;
mod transport;

pub use client::{Answer, Client, ClientOptions};
pub use error::{Disposition, Error, QuotaKind, Refusal};
pub use limits::{ApiUsage, Limit, Limits};
pub use organization::{CurrencyAnswer, Organization};
pub use origin::{InstanceOrigin, OriginPolicy};
pub use purpose::{CallMade, CallObserver, Purpose};
pub use rest::{ApiVersion, Count, JsonRecord, Page, Retrieved};
pub use retry::RetrySchedule;
pub use token::{AccessToken, TokenSource};
pub use transport::{Transport, TransportOptions};
