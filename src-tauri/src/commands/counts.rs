//! Counts side by side.

use engine::api::counts::CountsView;
use engine::{Answer, Engine, api};
use tauri::State;

/// The last counts; asks nobody.
#[tauri::command]
#[specta::specta]
pub async fn last_counts(engine: State<'_, Engine>) -> Answer<CountsView> {
    api::counts::last(&engine).await
}

/// Counts both sides now; all objects where none is named.
#[tauri::command]
#[specta::specta]
pub async fn count_now(engine: State<'_, Engine>, objects: Vec<String>) -> Answer<CountsView> {
    api::counts::count(&engine, objects).await
}
