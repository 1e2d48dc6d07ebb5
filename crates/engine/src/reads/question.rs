//! What a question must know: how to ask the shadow, how to ask Salesforce, and how old an answer may be.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shadow::{ObjectName, RecordId};
use store::readers::Readers;

use super::fallback::Asker;
use super::flights::Flights;
use super::standing::Standing;
use super::{Found, Reads};
use crate::config;

/// What the shadow says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shadowed<T> {
    /// It has it.
    Found {
        /// What.
        value: T,
        /// The time up to which it is complete; none: not known.
        as_of: Option<DateTime<Utc>>,
    },
    /// There is no such thing, up to this time.
    Absent(Option<DateTime<Utc>>),
    /// There may be one: a record that is rejected or dirty.
    Doubtful,
}

/// Something that readers ask.
pub(crate) trait Question: Clone + Send + Sync + Sized + 'static {
    /// The answer.
    type Value: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// Its word in metrics and comparisons.
    const WORD: &'static str;

    /// The objects whose tables answer it.
    fn objects() -> &'static [ObjectPlace];
    /// What tells it from others of its kind.
    fn key(&self) -> String;
    /// Those of its kind that are on their way to Salesforce.
    fn flights(reads: &Reads) -> &Flights<Self>;
    /// The key under which its answer is cached; none if it is not.
    fn cache_key(&self, _standing: &Standing) -> Option<String> {
        None
    }
    /// How old its answer may be, unless the reader says.
    fn limit(settings: &config::Reads) -> Duration;
    /// Asks the shadow.
    fn in_shadow(
        &self,
        readers: &Readers,
        standing: &Standing,
    ) -> impl Future<Output = Result<Shadowed<Self::Value>, store::Error>> + Send;
    /// Asks Salesforce.
    fn in_salesforce(&self, asker: &Asker) -> impl Future<Output = Found<Self::Value>> + Send;
    /// The records in which two answers differ, and the names of what differs.
    fn differences(shadow: Option<&Self::Value>, live: Option<&Self::Value>) -> Differences;
}

/// Where two answers differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Differences {
    /// Records to be fetched.
    pub records: Vec<(ObjectName, RecordId)>,
    /// What differs, without values.
    pub names: Vec<String>,
}

impl Differences {
    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Notes one.
    pub(crate) fn add(&mut self, object: ObjectName, record: RecordId, name: impl Into<String>) {
        self.records.push((object, record));
        self.names.push(name.into());
    }
}

/// The objects that readers ask for, by their places in a [`Standing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectPlace {
    /// `Product2`.
    Product = 0,
    /// `PricebookEntry`.
    Entry = 1,
    /// `Account`.
    Account = 2,
}

impl ObjectPlace {
    /// All of them, in the order of their places.
    pub(crate) const ALL: [Self; 3] = [Self::Product, Self::Entry, Self::Account];

    /// The object.
    pub(crate) fn mapping(self) -> shadow::Mapping {
        match self {
            Self::Product => shadow::Mapping::product(),
            Self::Entry => shadow::Mapping::pricebook_entry(),
            Self::Account => shadow::Mapping::account(),
        }
    }
}
