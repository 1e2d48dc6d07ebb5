//! Queries, counts and records by id.

use std::{borrow::Cow, fmt, str::FromStr};

use chrono::{DateTime, Utc};
use futures::{Stream, stream};
use reqwest::Method;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{json, value::RawValue};
use shadow::{ObjectName, RecordId};

use crate::{Client, Error, client::Call, soql};

/// The most ids that one retrieve call takes.
pub const MAX_RETRIEVE_IDS: usize = 2_000;

/// A record as the answer's JSON text, so that numbers keep their digits.
pub type JsonRecord = Box<RawValue>;

/// An API version such as `67.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub struct ApiVersion(u16);

impl ApiVersion {
    /// The newest version that this client was written for.
    pub const NEWEST: Self = Self(67);
    /// The oldest version with everything we use (Bulk API 2.0 columns in the order of the SELECT list).
    pub const OLDEST: Self = Self(50);
}

impl Default for ApiVersion {
    fn default() -> Self {
        Self::NEWEST
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.0", self.0)
    }
}

impl From<ApiVersion> for String {
    fn from(version: ApiVersion) -> Self {
        version.to_string()
    }
}

/// A text that is no API version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an API version such as `67.0`")]
pub struct InvalidApiVersion(String);

impl FromStr for ApiVersion {
    type Err = InvalidApiVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.strip_suffix(".0").unwrap_or(text);
        let number = number.parse().ok().filter(|number| (20..1000).contains(number));
        number.map(Self).ok_or_else(|| InvalidApiVersion(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for ApiVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A count and the Salesforce time it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Records that the user sees.
    pub count: u64,
    /// Salesforce's time of the answer.
    pub at: DateTime<Utc>,
}

/// One page of a query.
#[derive(Debug)]
pub struct Page {
    /// Records that the query finds in all.
    pub total: u64,
    /// This page's records.
    pub records: Vec<JsonRecord>,
    /// Salesforce's time of this page.
    pub at: DateTime<Utc>,
}

/// Records by id.
#[derive(Debug)]
pub struct Retrieved {
    /// One entry per id, in the order of the ids; `None` for a record that is gone or not visible.
    pub records: Vec<Option<JsonRecord>>,
    /// Salesforce's time of the answer.
    pub at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct VersionEntry {
    version: ApiVersion,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueryAnswer {
    total_size: u64,
    done: bool,
    #[serde(default)]
    next_records_url: Option<String>,
    #[serde(default)]
    records: Vec<JsonRecord>,
}

impl Client {
    /// The versions that the org speaks, oldest first. Costs no call of the quota and carries no token.
    pub async fn versions(&self) -> Result<Vec<ApiVersion>, Error> {
        let call = Call { signed: false, ..Call::get("versions", "/services/data") };
        let entries: Vec<VersionEntry> = self.send(call).await?.json("versions").await?;
        let mut versions: Vec<_> = entries.into_iter().map(|entry| entry.version).collect();
        versions.sort_unstable();
        Ok(versions)
    }

    /// Runs a query and follows its pages, one call per page.
    ///
    /// - **Shape:** a stream of pages; an empty result is one page without records.
    /// - **Errors:** the stream ends with its first error.
    pub fn query<'a>(&'a self, soql: &str) -> impl Stream<Item = Result<Page, Error>> + Send + 'a {
        self.pages("query", "/query", soql)
    }

    /// As [`Client::query`], the recycle bin and rows deleted by merges included.
    pub fn query_all<'a>(&'a self, soql: &str) -> impl Stream<Item = Result<Page, Error>> + Send + 'a {
        self.pages("queryAll", "/queryAll", soql)
    }

    /// Runs a query of the setup: channels, members, definitions.
    pub(crate) fn tooling_query<'a>(
        &'a self,
        soql: &str,
    ) -> impl Stream<Item = Result<Page, Error>> + Send + 'a {
        self.pages("tooling query", "/tooling/query", soql)
    }

    fn pages<'a>(
        &'a self,
        operation: &'static str,
        resource: &str,
        soql: &str,
    ) -> impl Stream<Item = Result<Page, Error>> + Send + 'a {
        let first = Some(self.query_path(resource, soql));
        stream::try_unfold(first, move |next| async move {
            let Some(path) = next else { return Ok(None) };
            let answer = self.get(operation, &path).await?;
            let at = answer.at();
            let answer: QueryAnswer = answer.json(operation).await?;
            let next = match (answer.done, answer.next_records_url) {
                (true, _) => None,
                (false, Some(next)) if next != path => Some(next),
                (false, _) => {
                    let reason = "it is not the last page, but names no next one".to_owned();
                    return Err(Error::Unreadable { operation, reason });
                }
            };
            Ok(Some((Page { total: answer.total_size, records: answer.records, at }, next)))
        })
    }

    /// Counts an object's records, or those that a condition selects.
    ///
    /// - **Shape:** one number and the Salesforce time it is of; records that the user does not see are not counted.
    /// - **Errors:** a refusal with `INVALID_TYPE` where the object is hidden, `QUERY_TIMEOUT` where it is too big.
    /// - **Source:** `SELECT COUNT()`, one call. `condition` is SOQL that the caller built or a person typed.
    pub async fn count(&self, object: &ObjectName, condition: Option<&str>) -> Result<Count, Error> {
        let condition = condition.map_or_else(String::new, |condition| format!(" WHERE {condition}"));
        let path = self.query_path("/query", &format!("SELECT COUNT() FROM {object}{condition}"));
        let answer = self.get("count", &path).await?;
        let at = answer.at();
        let answer: QueryAnswer = answer.json("count").await?;
        Ok(Count { count: answer.total_size, at })
    }

    /// Reads whole records by id, up to 2,000 in one call.
    ///
    /// - **Shape:** one entry per id, in the order given; `None` for a record that is gone or not visible.
    /// - **Errors:** one unknown or hidden field refuses the whole call (`INVALID_FIELD`).
    /// - **Source:** `POST /composite/sobjects/<object>`.
    pub async fn retrieve(
        &self,
        object: &ObjectName,
        ids: &[RecordId],
        fields: &[&str],
    ) -> Result<Retrieved, Error> {
        let operation = "records by id";
        if ids.is_empty() || ids.len() > MAX_RETRIEVE_IDS {
            let reason = format!("1 to {MAX_RETRIEVE_IDS} ids can be asked for, not {}", ids.len());
            return Err(Error::Unreadable { operation, reason });
        }
        let path = self.data_path(&format!("/composite/sobjects/{object}"));
        let body = json!({ "ids": ids, "fields": fields });
        let answer = self.send(Call::with_body(operation, Method::POST, &path, &body)).await?;
        let at = answer.at();
        let records: Vec<Option<JsonRecord>> = answer.json(operation).await?;
        if records.len() != ids.len() {
            let reason = format!("{} records for {} ids", records.len(), ids.len());
            return Err(Error::Unreadable { operation, reason });
        }
        // A null arrives as `None` or as the text `null`, depending on how the answer was parsed.
        let records =
            records.into_iter().map(|record| record.filter(|record| record.get() != "null")).collect();
        Ok(Retrieved { records, at })
    }

    /// Looks for records by one field's values; at most about 300 values fit into one address.
    pub async fn find_by(
        &self,
        object: &ObjectName,
        fields: &[&str],
        field: &str,
        values: &[&str],
    ) -> Result<Page, Error> {
        let list = values.iter().map(|value| soql::quoted(value)).collect::<Vec<_>>().join(",");
        let text = format!("SELECT {} FROM {object} WHERE {field} IN ({list})", fields.join(","));
        let mut pages = std::pin::pin!(self.query(&text));
        let mut found: Option<Page> = None;
        while let Some(page) = futures::StreamExt::next(&mut pages).await {
            let page = page?;
            match &mut found {
                Some(found) => found.records.extend(page.records),
                None => found = Some(page),
            }
        }
        found.ok_or_else(|| Error::Unreadable { operation: "query", reason: "it had no page".to_owned() })
    }

    fn query_path(&self, resource: &str, soql: &str) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("q", soql).finish();
        format!("{}?{query}", self.data_path(resource))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let parse = |text: &str| text.parse::<ApiVersion>();
        assert!(parse("9.0").is_err());
        assert!(parse("100.0").expect("a version") > ApiVersion::NEWEST);
        assert_eq!(parse("67.0").expect("a version").to_string(), "67.0");
        assert!(parse("67.5").is_err());
        assert!(parse("../67.0").is_err());
    }
}
