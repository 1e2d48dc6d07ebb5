//! Counting both sides of an object.

use std::time::Instant;

use salesforce::{Client, Purpose};
use shadow::Mapping;
use store::Store;
use store::counts::{self, Count, SalesforceCount};

use crate::api::counts::CountView;
use crate::problem::{Answer, Problem};

/// Counts one object on both sides and keeps the comparison. One call of the org's daily limit.
///
/// - **Errors:** the database; where Salesforce cannot be asked, the comparison is kept without its side and says why.
pub(crate) async fn count(store: &Store, client: &Client, mapping: &Mapping) -> Answer<Count> {
    let began = Instant::now();
    let asked = client.with_purpose(Purpose::Count).count(&mapping.object, None).await;
    let own = counts::count_object(store, mapping).await?;
    let (salesforce, problem) = match asked {
        Ok(asked) => {
            let records = i64::try_from(asked.count).unwrap_or(i64::MAX);
            (Some(SalesforceCount { records, at: asked.at }), None)
        }
        Err(error) => (None, serde_json::to_value(Problem::from(&error)).ok()),
    };
    let took_ms = i32::try_from(began.elapsed().as_millis()).unwrap_or(i32::MAX);
    let count = Count { object: mapping.object.clone(), salesforce, own, took_ms, problem };
    counts::record(store, &count).await?;
    Ok(count)
}

/// A comparison as hosts show it; without one, nothing was counted yet.
pub(crate) fn count_view(mapping: &Mapping, count: Option<&Count>) -> CountView {
    let unsigned = |number: i64| u32::try_from(number.max(0)).unwrap_or(u32::MAX);
    CountView {
        object: mapping.object.to_string(),
        table: mapping.table.clone(),
        salesforce: count.and_then(|count| count.salesforce).map(|side| unsigned(side.records)),
        salesforce_at: count.and_then(|count| count.salesforce).map(|side| side.at),
        shadow: count.map(|count| unsigned(count.own.shadow)),
        shadow_at: count.map(|count| count.own.at),
        rejected: count.map_or(0, |count| unsigned(count.own.rejected)),
        unexplained: count.and_then(Count::unexplained).map(|unexplained| {
            i32::try_from(unexplained).unwrap_or(if unexplained > 0 { i32::MAX } else { i32::MIN })
        }),
        took_ms: count.map_or(0, |count| u32::try_from(count.took_ms).unwrap_or_default()),
        problem: count
            .and_then(|count| count.problem.clone())
            .and_then(|problem| serde_json::from_value(problem).ok()),
    }
}
