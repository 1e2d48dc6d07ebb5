//! What readers are given.

use engine::api::reads::ComparisonView;
use engine::{Answer, Engine, api};
use tauri::State;

/// How Salesforce's answers compared to the shadow's lately.
#[tauri::command]
#[specta::specta]
pub async fn read_comparison(engine: State<'_, Engine>) -> Answer<ComparisonView> {
    api::reads::comparison(&engine).await
}
