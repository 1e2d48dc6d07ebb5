//! Pausing the work on objects.

use engine::{Answer, Engine, api};
use tauri::State;

/// Pauses the work on these objects and returns their names; all of them, and the stream, where none is named.
#[tauri::command]
#[specta::specta]
pub async fn pause_objects(engine: State<'_, Engine>, objects: Vec<String>) -> Answer<Vec<String>> {
    api::objects::pause(&engine, objects).await
}

/// Lets the work on these objects go on; on all of them where none is named.
#[tauri::command]
#[specta::specta]
pub async fn resume_objects(engine: State<'_, Engine>, objects: Vec<String>) -> Answer<Vec<String>> {
    api::objects::resume(&engine, objects).await
}
