//! How things stand.

use engine::api::status::StatusView;
use engine::{Answer, Engine, api};
use tauri::State;

/// Everything that the frame and the overview show.
#[tauri::command]
#[specta::specta]
pub async fn status(engine: State<'_, Engine>) -> Answer<StatusView> {
    Ok(api::status::status(&engine).await)
}
