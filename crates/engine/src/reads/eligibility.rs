//! What an account may have.

use std::time::Duration;

use shadow::{Mapping, ObjectName, RecordId};
use store::readers::{Eligibility, Readers};

use super::fallback::Asker;
use super::flights::Flights;
use super::question::{Differences, ObjectPlace, Question, Shadowed};
use super::standing::Standing;
use super::{Found, Reads};
use crate::config;

/// What an account may have.
#[derive(Debug, Clone)]
pub(crate) struct EligibilityOf(pub RecordId);

impl Question for EligibilityOf {
    type Value = Eligibility;
    const WORD: &'static str = "eligibility";

    fn objects() -> &'static [ObjectPlace] {
        &[ObjectPlace::Account]
    }

    fn key(&self) -> String {
        self.0.to_string()
    }

    fn flights(reads: &Reads) -> &Flights<Self> {
        &reads.flights.eligibility
    }

    fn cache_key(&self, standing: &Standing) -> Option<String> {
        standing.cache_key(ObjectPlace::Account, "account_id", self.0.as_str())
    }

    fn limit(settings: &config::Reads) -> Duration {
        settings.eligibility_max_age
    }

    async fn in_shadow(
        &self,
        readers: &Readers,
        standing: &Standing,
    ) -> Result<Shadowed<Eligibility>, store::Error> {
        let object = standing.of(ObjectPlace::Account);
        if let Some(row) = readers.eligibility(&self.0).await? {
            let as_of = Some(object.as_of(&row));
            return Ok(Shadowed::Found { value: row.value, as_of });
        }
        if readers.may_exist(&self.0).await? {
            return Ok(Shadowed::Doubtful);
        }
        Ok(Shadowed::Absent(object.live_through))
    }

    async fn in_salesforce(&self, asker: &Asker) -> Found<Eligibility> {
        let mapping = asker.mapping(Mapping::account()).await?;
        let chunk = asker.records(&mapping, &format!("Id = '{}'", self.0)).await?;
        let Some(record) = chunk.records.first() else { return Ok(None) };
        let column = |name: &str| {
            let place = mapping.mapping.column(name)?;
            chunk.column(record, place).map(str::to_owned)
        };
        Ok(Some(Eligibility {
            account_id: record.id,
            internet_eligibility: column("internet_eligibility"),
            eligibility_source: column("eligibility_source"),
        }))
    }

    fn differences(shadow: Option<&Eligibility>, live: Option<&Eligibility>) -> Differences {
        let mut found = Differences::default();
        let mut add = |one: &Eligibility, name: &str| found.add(ObjectName::account(), one.account_id, name);
        match (shadow, live) {
            (None, None) => {}
            (Some(row), None) => add(row, "only in the shadow"),
            (None, Some(live)) => add(live, "only in Salesforce"),
            (Some(row), Some(live)) => {
                if row.internet_eligibility != live.internet_eligibility {
                    add(row, "internet_eligibility");
                }
                if row.eligibility_source != live.eligibility_source {
                    add(row, "eligibility_source");
                }
            }
        }
        found
    }
}
