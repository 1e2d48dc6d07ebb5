//! Metrics as text, for a host's `/metrics`.

use crate::engine::Engine;
use crate::problem::Answer;

/// Every metric in the OpenMetrics text format (`application/openmetrics-text; version=1.0.0; charset=utf-8`), looked
/// up now. What cannot be looked up because the database does not answer keeps its last value.
pub async fn text(engine: &Engine) -> Answer<String> {
    let open = engine.environment()?;
    if let Some(store) = open.database.try_store()
        && let Err(error) = open.live.metrics.look(&open, &store).await
    {
        tracing::warn!(%error, "metrics could not be looked up");
    }
    Ok(open.live.metrics.text())
}
