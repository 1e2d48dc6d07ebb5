//! Counts side by side, with the times they are of.

use chrono::{DateTime, Utc};
use shadow::{Mapping, ObjectName};

use crate::error::{Error, corrupt};
use crate::session::Store;
use crate::tables::shape::TableShape;

/// What we hold of an object, counted at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnCount {
    /// Rows of the shadow table.
    pub shadow: i64,
    /// Records that cannot be stored.
    pub rejected: i64,
    /// Records that must be fetched; they may be among the others.
    pub dirty: i64,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
}

/// What Salesforce counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SalesforceCount {
    /// `SELECT COUNT()` as the sync user.
    pub records: i64,
    /// Salesforce's time of the answer.
    pub at: DateTime<Utc>,
}

/// Both sides of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    /// The object.
    pub object: ObjectName,
    /// Salesforce's side; none if it could not be asked.
    pub salesforce: Option<SalesforceCount>,
    /// Our side.
    pub own: OwnCount,
    /// How long both took, in milliseconds.
    pub took_ms: i32,
    /// Why Salesforce's side is missing, in the engine's words.
    pub problem: Option<serde_json::Value>,
}

impl Count {
    /// Salesforce − shadow − rejected; 0 means that every record is accounted for.
    pub fn unexplained(&self) -> Option<i64> {
        self.salesforce.map(|salesforce| salesforce.records - self.own.shadow - self.own.rejected)
    }
}

/// Counts what we hold of an object, table and rejected records in one snapshot.
pub async fn count_object(store: &Store, mapping: &Mapping) -> Result<OwnCount, Error> {
    let shape = TableShape::of(mapping, store.tables_schema());
    let (shadow, rejected, dirty, at) =
        sqlx::query_as(shape.count()).bind(mapping.object.as_str()).fetch_one(store.pool()).await?;
    Ok(OwnCount { shadow, rejected, dirty, at })
}

/// Keeps a comparison of counts.
pub async fn record(store: &Store, count: &Count) -> Result<(), Error> {
    sqlx::query!(
        "insert into shadow_sync.counts
             (object, salesforce, salesforce_at, shadow, rejected, dirty, shadow_at, took_ms, problem)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        count.object.as_str(),
        count.salesforce.map(|salesforce| salesforce.records),
        count.salesforce.map(|salesforce| salesforce.at),
        count.own.shadow,
        count.own.rejected,
        count.own.dirty,
        count.own.at,
        count.took_ms,
        count.problem,
    )
    .execute(store.pool())
    .await?;
    Ok(())
}

/// The last comparison of each object that has one, by object.
pub async fn last(store: &Store) -> Result<Vec<Count>, Error> {
    let rows = sqlx::query!(
        "select distinct on (object) object, salesforce, salesforce_at, shadow, rejected, dirty, shadow_at, took_ms,
                problem
           from shadow_sync.counts order by object, id desc"
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Count {
                object: ObjectName::parse(&row.object).map_err(|_| corrupt("object", &row.object))?,
                salesforce: row
                    .salesforce
                    .zip(row.salesforce_at)
                    .map(|(records, at)| SalesforceCount { records, at }),
                own: OwnCount {
                    shadow: row.shadow,
                    rejected: row.rejected,
                    dirty: row.dirty,
                    at: row.shadow_at,
                },
                took_ms: row.took_ms,
                problem: row.problem,
            })
        })
        .collect()
}
