//! Counts side by side: Salesforce = shadow + rejected, or what is unexplained.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::counting::{self, count_view};
use crate::engine::Engine;
use crate::mapped::mapped;
use crate::notice::View;
use crate::problem::Answer;
use crate::problem::Problem;
use shadow::Mapping;

/// Both sides of one object at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct CountView {
    /// The object.
    pub object: String,
    /// Its shadow table.
    pub table: String,
    /// `SELECT COUNT()` as the sync user; none where it was never asked.
    pub salesforce: Option<u32>,
    /// Salesforce's time of that count.
    pub salesforce_at: Option<DateTime<Utc>>,
    /// Rows of the shadow table.
    pub shadow: Option<u32>,
    /// When they were counted.
    pub shadow_at: Option<DateTime<Utc>>,
    /// Records that cannot be stored.
    pub rejected: u32,
    /// Salesforce − shadow − rejected; 0 means that every record is accounted for.
    pub unexplained: Option<i32>,
    /// How long the count took, in milliseconds.
    pub took_ms: u32,
    /// Why one side could not be counted.
    pub problem: Option<Problem>,
}

/// A whole comparison of counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct CountsView {
    /// One line per object.
    pub counts: Vec<CountView>,
    /// True when every object was counted and nothing is unexplained.
    pub agrees: bool,
    /// API calls it cost.
    pub api_calls: u32,
}

/// Counts both sides of the named objects now, or of all; one call of the org's daily limit per object.
pub async fn count(engine: &Engine, objects: Vec<String>) -> Answer<CountsView> {
    let open = engine.environment()?;
    let mappings = mapped(&objects)?;
    let store = open.store().await?;
    let client = open.sign_in.client()?;
    crate::binding::refuse_others(&open, &store).await?;
    let mut counts = Vec::with_capacity(mappings.len());
    for mapping in &mappings {
        let counted = counting::count(&store, &client, mapping).await?;
        counts.push(count_view(mapping, Some(&counted)));
    }
    let agrees = counts.iter().all(|count| count.unexplained == Some(0));
    let names: Vec<&str> = mappings.iter().map(|mapping| mapping.object.as_str()).collect();
    let verdict = if agrees { "every record is accounted for" } else { "not every record is accounted for" };
    open.record("verify.counts", &format!("Counted {}: {verdict}", names.join(", ")), "done", None).await;
    engine.publish(&[View::Counts, View::Status]);
    let api_calls = u32::try_from(counts.len()).unwrap_or(u32::MAX);
    Ok(CountsView { counts, agrees, api_calls })
}

/// The last counts of every object, without asking anybody but the database.
pub async fn last(engine: &Engine) -> Answer<CountsView> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let known = store::counts::last(&store).await?;
    let counts: Vec<CountView> = Mapping::built_in()
        .iter()
        .map(|mapping| count_view(mapping, known.iter().find(|count| count.object == mapping.object)))
        .collect();
    let agrees = counts.iter().all(|count| count.unexplained == Some(0));
    Ok(CountsView { counts, agrees, api_calls: 0 })
}
