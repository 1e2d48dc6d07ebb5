//! What an org says of itself: its name, its edition, its currency.

use futures::StreamExt;
use serde::Deserialize;
use shadow::{ObjectInfo, OrgId};

use crate::{Client, Error};

/// One org.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Organization {
    /// The org's id.
    pub id: OrgId,
    /// The company's name.
    pub name: String,
    /// The edition, e.g. `Developer Edition`.
    #[serde(default)]
    pub organization_type: Option<String>,
    /// Whether it is a sandbox.
    #[serde(default)]
    pub is_sandbox: bool,
}

/// Which currency amounts are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CurrencyAnswer {
    /// Every record names its own: the org has several currencies.
    PerRecord,
    /// The org has one, and said which.
    Single(String),
    /// The org has one, and did not say which: a person has to.
    Unknown,
}

/// Reads a three-letter code out of an answer.
fn iso_code(value: Option<&serde_json::Value>) -> Option<String> {
    let code = value?.as_str()?;
    let valid = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    valid.then(|| code.to_owned())
}

impl Client {
    /// The org's name and edition. One call.
    pub async fn organization(&self) -> Result<Organization, Error> {
        let soql = "SELECT Id, Name, OrganizationType, IsSandbox FROM Organization LIMIT 1";
        let mut pages = std::pin::pin!(self.query(soql));
        let record = match pages.next().await {
            Some(page) => page?.records.into_iter().next(),
            None => None,
        };
        let unreadable =
            |reason: &str| Error::Unreadable { operation: "organization", reason: reason.to_owned() };
        let record = record.ok_or_else(|| unreadable("the org shows no record of itself"))?;
        serde_json::from_str(record.get())
            .map_err(|_| unreadable("it has a shape that this version does not know"))
    }

    /// The currency of amounts. `priced` is the describe of an object with amounts.
    ///
    /// - **Errors:** only those that would fail any call; a resource that is missing or refused is no answer.
    /// - **Source:** the presence of `CurrencyIsoCode` means several currencies; else `/connect/organization`
    ///   (one call). It is never guessed.
    pub async fn currency(&self, priced: &ObjectInfo) -> Result<CurrencyAnswer, Error> {
        if priced.field("CurrencyIsoCode").is_some() {
            return Ok(CurrencyAnswer::PerRecord);
        }
        let answer = match self.get("organization", &self.data_path("/connect/organization")).await {
            Ok(answer) => answer,
            Err(Error::Rejected { .. } | Error::Status { .. }) => return Ok(CurrencyAnswer::Unknown),
            Err(error) => return Err(error),
        };
        let answer: serde_json::Value = answer.json("organization").await?;
        let code = iso_code(answer.pointer("/features/defaultCurrencyIsoCode"));
        Ok(code.map_or(CurrencyAnswer::Unknown, CurrencyAnswer::Single))
    }
}
