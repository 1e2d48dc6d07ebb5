//! Rejected records: what cannot be stored, and why.

use crate::engine::Engine;
use crate::mapped::mapped;
use crate::notice::View;
use crate::problem::Answer;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shadow::{Reason, RecordId};
use store::rejects::Reject;

/// One record that cannot be stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct RejectView {
    /// The object.
    pub object: String,
    /// The record's 18-character id.
    pub record_id: String,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// A stable word: `no-sku`, `sku-taken`, `missing-product`, `price-not-exact`, `broken-value`.
    pub reason: String,
    /// The reason in a sentence, e.g. `SKU GC1040 is held by 01t… (older)`.
    pub explanation: String,
    /// What mends it, in a sentence.
    pub cure: String,
    /// The record that stands in its way, where there is one.
    pub other_record_id: Option<String>,
    /// Since when.
    pub since: DateTime<Utc>,
    /// When it was last looked at.
    pub last_tried_at: DateTime<Utc>,
    /// Opens the record in Salesforce.
    pub url: Option<String>,
}

/// A page of rejected records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct RejectsView {
    /// The records, by object and id.
    pub rejects: Vec<RejectView>,
    /// How many there are in all for this filter.
    pub total: u32,
    /// How many per reason, for the filter.
    pub reasons: Vec<ReasonCount>,
}

/// How many records share a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct ReasonCount {
    /// The object.
    pub object: String,
    /// The stable word.
    pub reason: String,
    /// How many.
    pub records: u32,
}

/// Rejected records, by object and id.
///
/// - `after`: the id behind which to go on, for the next page of one object.
pub async fn list(
    engine: &Engine,
    object: Option<String>,
    after: Option<String>,
    limit: u32,
) -> Answer<RejectsView> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let object = match object {
        Some(name) => mapped(&[name])?.pop().map(|mapping| mapping.object),
        None => None,
    };
    let after = after.and_then(|id| RecordId::parse(&id).ok());
    let page = store::rejects::list(&store, object.as_ref(), after, i64::from(limit)).await?;
    let reasons = store::rejects::count_by_reason(&store, object.as_ref()).await?;
    let instance = open.sign_in.facts().map(|facts| facts.instance_url.trim_end_matches('/').to_owned());
    Ok(RejectsView {
        rejects: page.iter().map(|reject| reject_view(reject, instance.as_deref())).collect(),
        total: reasons.iter().map(|reason| u32::try_from(reason.records).unwrap_or_default()).sum(),
        reasons: reasons
            .into_iter()
            .map(|reason| ReasonCount {
                object: reason.object.to_string(),
                reason: reason.code,
                records: u32::try_from(reason.records).unwrap_or_default(),
            })
            .collect(),
    })
}

/// Stores the rejected records whose cause has gone away; asks the database only. Answers how many entered.
pub async fn retry(engine: &Engine) -> Answer<u32> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let entered = crate::backfill::sweep(&store).await?;
    let sentence = format!("Tried all rejected records again: {entered} entered");
    open.record("rejects.retry", &sentence, "done", None).await;
    engine.publish(&[View::Rejects, View::Counts, View::Status]);
    Ok(entered)
}

fn reject_view(reject: &Reject, instance: Option<&str>) -> RejectView {
    let (cure, other) = match &reject.reason {
        Reason::NoSku => ("Give the record a SKU or a product code in Salesforce.", None),
        Reason::SkuTaken { holder } => {
            ("Change the SKU of one of the two records in Salesforce.", Some(*holder))
        }
        Reason::MissingProduct { product } => {
            ("It enters by itself once its product can be stored.", *product)
        }
        Reason::PriceNotExact { .. } => {
            ("Round the price in Salesforce to two decimals and at most ten digits before them.", None)
        }
        Reason::MissingName => ("Give the record a name in Salesforce.", None),
        Reason::MissingValue { .. } => ("Fill the field in Salesforce.", None),
        Reason::BrokenValue { .. } => {
            ("Look at the field in Salesforce; its value is not of the field's type.", None)
        }
    };
    RejectView {
        object: reject.object.to_string(),
        record_id: reject.id.to_string(),
        name: reject.name.clone(),
        reason: reject.reason.code().to_owned(),
        explanation: reject.reason.to_string(),
        cure: cure.to_owned(),
        other_record_id: other.map(|id| id.to_string()),
        since: reject.since,
        last_tried_at: reject.tried_at,
        url: instance.map(|instance| format!("{instance}/{}", reject.id)),
    }
}
