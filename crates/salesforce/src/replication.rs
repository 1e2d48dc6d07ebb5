//! What changed in a span of time, as Salesforce itself keeps the books. What was deleted is told by `queryAll`, which also
//! tells when it cannot know.

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
        let span = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("start", &soql::time(start))
            .append_pair("end", &soql::time(end))
            .finish();
        let path = self.data_path(&format!("/sobjects/{object}/updated/?{span}"));
        self.get("updated records", &path).await?.json("updated records").await
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
        assert!(serde_json::from_str::<Updated>(r#"{"ids":[],"latestDateCovered":"soon"}"#).is_err());
    }
}
