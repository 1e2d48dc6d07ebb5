//! Lag over time, and holes.

use chrono::{DateTime, Utc};
use engine::api::holes::HoleView;
use engine::api::lag::LagSeries;
use engine::{Answer, Engine, api};
use tauri::State;

/// As many holes as the window shows.
const SHOWN: u32 = 200;

/// Samples between two moments, at most `points` of them.
#[tauri::command]
#[specta::specta]
pub async fn lag_samples(
    engine: State<'_, Engine>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    points: u32,
) -> Answer<LagSeries> {
    api::lag::samples(&engine, from, until, points).await
}

/// Spans in which events may be missing, open ones first.
#[tauri::command]
#[specta::specta]
pub async fn list_holes(engine: State<'_, Engine>) -> Answer<Vec<HoleView>> {
    api::holes::list(&engine, SHOWN).await
}
