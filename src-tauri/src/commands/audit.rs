//! The audit log.

use engine::api::audit::AuditView;
use engine::{Answer, Engine, api};
use tauri::State;

/// As many acts as the window shows.
const SHOWN: u32 = 1000;

/// The latest acts, newest first.
#[tauri::command]
#[specta::specta]
pub async fn list_audit(engine: State<'_, Engine>) -> Answer<Vec<AuditView>> {
    api::audit::list(&engine, SHOWN).await
}
