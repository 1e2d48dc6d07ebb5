//! Rejected records.

use engine::api::rejects::RejectsView;
use engine::{Answer, Engine, api};
use tauri::State;

use crate::browser;

/// Rejected records of one object or of all, behind the record `after`.
#[tauri::command]
#[specta::specta]
pub async fn list_rejects(
    engine: State<'_, Engine>,
    object: Option<String>,
    after: Option<String>,
    limit: u32,
) -> Answer<RejectsView> {
    api::rejects::list(&engine, object, after, limit).await
}

/// Tries to store rejected records again and returns how many entered.
#[tauri::command]
#[specta::specta]
pub async fn retry_rejects(engine: State<'_, Engine>) -> Answer<u32> {
    api::rejects::retry(&engine).await
}

/// Opens a record in Salesforce, in the system browser.
#[tauri::command]
#[specta::specta]
pub async fn open_record(url: String) -> Answer<()> {
    browser::open(&url)
}
