//! Replay from a time.

use engine::api::replay::{ReplayRequest, ReplayView};
use engine::{Answer, Engine, api};
use tauri::State;

/// What a replay would look at and fetch; changes nothing.
#[tauri::command]
#[specta::specta]
pub async fn plan_replay(engine: State<'_, Engine>, request: ReplayRequest) -> Answer<ReplayView> {
    api::replay::plan(&engine, request).await
}

/// Looks at the events and has the records that disagree fetched.
#[tauri::command]
#[specta::specta]
pub async fn run_replay(engine: State<'_, Engine>, request: ReplayRequest) -> Answer<ReplayView> {
    api::replay::run(&engine, request).await
}
