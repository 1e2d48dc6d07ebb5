//! Catch-ups and the refresh of formula columns, now.

use engine::{Answer, Engine, api};
use tauri::State;

/// Starts catch-ups with their id comparison and returns the ids of their jobs; all objects where none is named.
#[tauri::command]
#[specta::specta]
pub async fn start_catch_up(engine: State<'_, Engine>, objects: Vec<String>) -> Answer<Vec<String>> {
    api::catch_up::start(&engine, objects, None).await
}

/// Starts to refresh formula columns and returns the ids of the jobs; all objects where none is named.
#[tauri::command]
#[specta::specta]
pub async fn refresh_formulas(engine: State<'_, Engine>, objects: Vec<String>) -> Answer<Vec<String>> {
    api::catch_up::refresh_formulas(&engine, objects).await
}
