//! What the org says of its limits: a header on every answer, and a resource of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Client, Error};

/// The org's API calls of the rolling day, as the last answer told it (`Sforce-Limit-Info`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiUsage {
    /// Calls made by everyone in the last 24 hours.
    pub used: u64,
    /// Calls the org may make in 24 hours.
    pub max: u64,
}

impl ApiUsage {
    /// Reads the header: `api-usage=10018/100000`, possibly followed by the app's own share, which is not ours to count.
    pub fn parse(header: &str) -> Option<Self> {
        let pair = header.split(',').map(str::trim).find_map(|part| part.strip_prefix("api-usage="))?;
        let (used, max) = pair.split_once('/')?;
        Some(Self { used: used.trim().parse().ok()?, max: max.trim().parse().ok()? })
    }

    /// Used calls as a share of the allowance, 0.0 to 1.0 and above; 1.0 where the allowance is zero.
    pub fn ratio(self) -> f64 {
        if self.max == 0 { 1.0 } else { self.used as f64 / self.max as f64 }
    }
}

/// One limit of `/limits`. `remaining` may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The allowance.
    #[serde(rename = "Max")]
    pub max: i64,
    /// What is left of it.
    #[serde(rename = "Remaining")]
    pub remaining: i64,
}

/// The org's limits by Salesforce's names, e.g. `DailyApiRequests`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits(pub BTreeMap<String, Limit>);

impl Limits {
    /// One limit by its name.
    pub fn get(&self, name: &str) -> Option<Limit> {
        self.0.get(name).copied()
    }
}

impl Client {
    /// The org's limits.
    ///
    /// - **Units:** calls, jobs, megabytes, as the limit's name says; accurate within about five minutes.
    /// - **Errors:** a refusal where the user lacks *View Setup and Configuration*.
    /// - **Source:** `GET /limits`, one call.
    pub async fn limits(&self) -> Result<Limits, Error> {
        let answer = self.get("limits", &self.data_path("/limits")).await?;
        // Some limits carry nested objects for single apps; only the two numbers are read.
        let entries: BTreeMap<String, serde_json::Value> = answer.json("limits").await?;
        let limits = entries
            .into_iter()
            .filter_map(|(name, value)| Some((name, serde_json::from_value::<Limit>(value).ok()?)))
            .collect();
        Ok(Limits(limits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_with_and_without_the_apps_share() {
        let plain = Some(ApiUsage { used: 10_018, max: 100_000 });
        assert_eq!(ApiUsage::parse("api-usage=10018/100000"), plain);
        assert_eq!(ApiUsage::parse("api-usage=10018/100000, per-app-api-usage=17/250(appName=shop)"), plain);
        assert_eq!(ApiUsage::parse("per-app-api-usage=17/250(appName=shop), api-usage=10018/100000"), plain);
        assert_eq!(ApiUsage::parse("api-usage=many/few"), None);
    }
}
