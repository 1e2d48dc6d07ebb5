//! Answers for readers: from the shadow where it is good enough, else from Salesforce, else from the shadow, marked
//! stale.
//!
//! [`order`] is the one way of every answer; a [`question`] knows how to ask each side. The cache comes first, and is
//! filled under a lease that is taken before the row is read: a flush in between takes the lease away, and nothing is
//! filled. [`fallback`] keeps to a budget of calls that is the readers' own.

mod catalogue;
mod compare;
mod eligibility;
mod fallback;
mod flights;
mod order;
mod prices;
mod products;
mod question;
mod standing;
mod write_through;

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use store::Store;
use store::readers::Readers;

pub use catalogue::ProductPage;
pub(crate) use catalogue::Products;
pub(crate) use compare::keep_tally;
pub(crate) use eligibility::EligibilityOf;
pub(crate) use order::ask;
pub(crate) use prices::Prices;
pub use prices::{Basket, SkuPrice};
pub(crate) use products::{ProductBySku, can_be_sku};
pub(crate) use standing::{effective, reader_standing};

use crate::config;
use crate::environment::OpenEnvironment;
use crate::problem::{Answer, Problem};

/// Where an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The cache, which the shadow filled.
    Cache,
    /// The shadow table.
    Shadow,
    /// Salesforce itself.
    Salesforce,
}

impl Source {
    /// Its word in answers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Shadow => "shadow",
            Self::Salesforce => "salesforce",
        }
    }
}

/// An answer and how far it can be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told<T> {
    /// What was asked for; none: there is no such thing.
    pub value: Option<T>,
    /// Where it comes from.
    pub source: Source,
    /// The time up to which it is known to be true, in Salesforce's time.
    pub as_of: DateTime<Utc>,
    /// Whether it is older than the reader accepts, because nobody could be asked for a newer one.
    pub is_stale: bool,
}

/// What readers of this process share.
#[derive(Debug)]
pub(crate) struct Reads {
    settings: config::Reads,
    standing: standing::Board,
    fallback: fallback::Fallback,
    cache: write_through::WriteThrough,
    tally: compare::Board,
    readers: Mutex<Option<(Store, Readers)>>,
    flights: Flights,
}

/// Questions that are on their way to Salesforce.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    product: flights::Flights<ProductBySku>,
    catalogue: flights::Flights<Products>,
    prices: flights::Flights<Prices>,
    eligibility: flights::Flights<EligibilityOf>,
}

impl Reads {
    pub(crate) fn new(environment: &config::Environment) -> Self {
        let settings = &environment.reads;
        Self {
            settings: settings.clone(),
            standing: standing::Board::default(),
            fallback: fallback::Fallback::new(settings),
            cache: write_through::WriteThrough::new(environment.reading_cache(), settings.cache_ttl),
            tally: compare::Board::default(),
            readers: Mutex::default(),
            flights: Flights::default(),
        }
    }

    /// The next reader looks at the flags anew: somebody switched one here.
    pub(crate) fn look_anew(&self) {
        self.standing.forget();
    }

    /// The way to the shadow tables, made with the first question, and anew when the database was connected to anew.
    fn readers(&self, store: &Store) -> Readers {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, readers)) = readers.as_ref()
            && known.is_same(store)
        {
            return readers.clone();
        }
        let made = Readers::of(store, self.settings.connections);
        *readers = Some((store.clone(), made.clone()));
        made
    }

    /// Ends the connections of readers.
    pub(crate) async fn close(&self) {
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((_, readers)) = readers {
            readers.close().await;
        }
    }
}

/// Nobody could be asked: the shadow cannot, or may not, and Salesforce does not answer.
fn nobody(why: &Problem) -> Problem {
    Problem::new(
        "SS-8101",
        "Neither the shadow nor Salesforce could answer",
        format!(
            "The shadow is not ready or does not answer, and Salesforce was not to be had: {}.",
            why.title
        ),
    )
    .step("Try again in a moment; `shadow-sync status` says what is missing.")
    .details(why.code.clone())
}

/// An open environment, with which questions are asked.
pub(crate) type Asked = Arc<OpenEnvironment>;

/// Looks up something of Salesforce on behalf of a reader.
pub(crate) type Found<T> = Answer<Option<T>>;
