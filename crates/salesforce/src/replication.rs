//! What changed and what was deleted in a span of time, as Salesforce itself keeps the books.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, de::Error as _};
use shadow::{ObjectName, RecordId, value::parse_moment};

use crate::{Client, Error, soql};

/// Records that changed in a span.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Updated {
    /// Their ids.
    pub ids: Vec<RecordId>,
    /// Up to when nothing can appear any more: a transaction that is still running may yet bring changes stamped later.
    #[serde(deserialize_with = "time")]
    pub latest_date_covered: DateTime<Utc>,
}

/// Records that were deleted in a span.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    /// Them.
    #[serde(rename = "deletedRecords")]
    pub records: Vec<DeletedRecord>,
    /// How far back deletions are known at all.
    #[serde(deserialize_with = "time")]
    pub earliest_date_available: DateTime<Utc>,
    /// Up to when nothing can appear any more.
    #[serde(deserialize_with = "time")]
    pub latest_date_covered: DateTime<Utc>,
}

/// One deletion.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletedRecord {
    /// The record.
    pub id: RecordId,
    /// When it was deleted.
    #[serde(rename = "deletedDate", deserialize_with = "time")]
    pub deleted_at: DateTime<Utc>,
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    parse_moment(&text).and_then(shadow::value::Moment::to_utc).ok_or_else(|| D::Error::custom("no time"))
}

impl Client {
    /// The ids of records whose `SystemModstamp` lies in a span, and how far that answer is final.
    ///
    /// - **Units:** seconds are ignored on both sides; at most 30 days back.
    /// - **Errors:** a refusal with `INVALID_REPLICATION_DATE` for a span too far back, `EXCEEDED_ID_LIMIT` above
    ///   600,000 records.
    /// - **Source:** `GET /sobjects/<object>/updated`, one call.
    pub async fn updated(
        &self,
        object: &ObjectName,
        start: DateTime<Utc>,
        end: DateTime<Utc>,
    ) -> Result<Updated, Error> {
        self.replicated("updated records", object, "updated", start, end).await
    }

    /// The records that were deleted in a span.
    ///
    /// - **Units:** seconds are ignored on both sides, so the span must be longer than a minute; at most 15 days back,
    ///   less where the bin was purged.
    /// - **Errors:** a refusal with `INVALID_REPLICATION_DATE` where deletions of that time are no longer known.
    /// - **Source:** `GET /sobjects/<object>/deleted`, one call.
    pub async fn deleted(
        &self,
        object: &ObjectName,
        start: DateTime<Utc>,
        end: DateTime<Utc>,
    ) -> Result<Deleted, Error> {
        self.replicated("deleted records", object, "deleted", start, end).await
    }

    async fn replicated<T: serde::de::DeserializeOwned>(
        &self,
        operation: &'static str,
        object: &ObjectName,
        resource: &str,
        start: DateTime<Utc>,
        end: DateTime<Utc>,
    ) -> Result<T, Error> {
        let span = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("start", &soql::time(start))
            .append_pair("end", &soql::time(end))
            .finish();
        let path = self.data_path(&format!("/sobjects/{object}/{resource}/?{span}"));
        self.get(operation, &path).await?.json(operation).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salesforces_answers_are_read() {
        let updated: Updated = serde_json::from_str(
            r#"{"ids":["001D000000KnaXjIAJ"],"latestDateCovered":"2026-03-01T10:00:00.000+0000"}"#,
        )
        .unwrap();
        assert_eq!(updated.ids[0].as_str(), "001D000000KnaXjIAJ");
        assert_eq!(soql::time(updated.latest_date_covered), "2026-03-01T10:00:00.000Z");

        let deleted: Deleted = serde_json::from_str(
            r#"{"deletedRecords":[{"id":"001D000000KnaXj","deletedDate":"2026-03-01T09:59:58.000+0000"}],
                "earliestDateAvailable":"2026-02-14T00:00:00.000+0000","latestDateCovered":"2026-03-01T10:00:00.000+0000"}"#,
        )
        .unwrap();
        assert_eq!(deleted.records[0].id.as_str(), "001D000000KnaXjIAJ");
        assert!(deleted.earliest_date_available < deleted.records[0].deleted_at);
        assert!(serde_json::from_str::<Updated>(r#"{"ids":[],"latestDateCovered":"soon"}"#).is_err());
    }
}
