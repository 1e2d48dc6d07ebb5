//! Roll-out flags.

use engine::api::flags::{FlagName, FlagView};
use engine::{Answer, Engine, api};
use tauri::State;

/// The flags and their values.
#[tauri::command]
#[specta::specta]
pub async fn list_flags(engine: State<'_, Engine>) -> Answer<Vec<FlagView>> {
    api::flags::get(&engine).await
}

/// Switches a flag and returns all of them.
#[tauri::command]
#[specta::specta]
pub async fn set_flag(engine: State<'_, Engine>, name: FlagName, on: bool) -> Answer<Vec<FlagView>> {
    api::flags::set(&engine, name, on).await
}

/// Takes readers off the shadow in every process, whatever the flags and variables say, and returns all flags.
#[tauri::command]
#[specta::specta]
pub async fn trip_reads(engine: State<'_, Engine>, reason: String) -> Answer<Vec<FlagView>> {
    api::flags::trip(&engine, &reason).await
}

/// Lets the flags and variables hold again, and returns all flags.
#[tauri::command]
#[specta::specta]
pub async fn reset_trip(engine: State<'_, Engine>) -> Answer<Vec<FlagView>> {
    api::flags::reset(&engine).await
}
