//! The checks before anything runs.

use engine::api::preflight::PreflightView;
use engine::{Answer, Engine, api};
use tauri::State;

/// Runs all checks.
#[tauri::command]
#[specta::specta]
pub async fn run_preflight(engine: State<'_, Engine>) -> Answer<PreflightView> {
    api::preflight::run(&engine).await
}
