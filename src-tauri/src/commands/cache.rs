//! The cache: how it stands, flushes by hand, the rules of keys.

use engine::api::cache::{CacheView, FlushPlan, FlushScope, FlushView, Probe, RulesView, TriedKeys};
use engine::{Answer, Engine, api};
use tauri::State;

/// How the cache stands, and what waits to be deleted in it.
#[tauri::command]
#[specta::specta]
pub async fn cache_view(engine: State<'_, Engine>) -> Answer<CacheView> {
    api::cache::view(&engine).await
}

/// What a flush would delete; deletes nothing.
#[tauri::command]
#[specta::specta]
pub async fn preview_flush(engine: State<'_, Engine>, scope: FlushScope) -> Answer<FlushPlan> {
    api::cache::preview(&engine, scope).await
}

/// Begins a flush; with the environment's name where its plan asks for it.
#[tauri::command]
#[specta::specta]
pub async fn start_flush(
    engine: State<'_, Engine>,
    scope: FlushScope,
    confirm: Option<String>,
) -> Answer<FlushView> {
    api::cache::start(&engine, scope, confirm.as_deref()).await
}

/// The latest flushes, newest first.
#[tauri::command]
#[specta::specta]
pub async fn list_flushes(engine: State<'_, Engine>) -> Answer<Vec<FlushView>> {
    api::cache::flushes(&engine).await
}

/// Stops a flush; what it deleted stays deleted.
#[tauri::command]
#[specta::specta]
pub async fn stop_flush(engine: State<'_, Engine>, id: String) -> Answer<FlushView> {
    api::cache::stop(&engine, &id).await
}

/// Sets the patterns and templates of an object, and returns the rules of all.
#[tauri::command]
#[specta::specta]
pub async fn set_cache_rules(
    engine: State<'_, Engine>,
    object: String,
    patterns: Vec<String>,
    templates: Vec<String>,
) -> Answer<Vec<RulesView>> {
    api::cache::set_rules(&engine, &object, patterns, templates).await
}

/// Declares that an object's templates name all its keys, or takes that back.
#[tauri::command]
#[specta::specta]
pub async fn declare_complete(
    engine: State<'_, Engine>,
    object: String,
    is_complete: bool,
) -> Answer<Vec<RulesView>> {
    api::cache::declare_complete(&engine, &object, is_complete).await
}

/// The keys of a record by each template, and whether the cache holds them.
#[tauri::command]
#[specta::specta]
pub async fn try_keys(engine: State<'_, Engine>, object: String, record: String) -> Answer<Vec<TriedKeys>> {
    api::cache::try_keys(&engine, &object, &record).await
}

/// Looks for keys under the patterns that no template gives a record.
#[tauri::command]
#[specta::specta]
pub async fn probe_cache(engine: State<'_, Engine>) -> Answer<Probe> {
    api::cache::probe(&engine).await
}

/// Holds the deletion of changed rows' keys back, or lets it go on.
#[tauri::command]
#[specta::specta]
pub async fn hold_invalidations(engine: State<'_, Engine>, is_held: bool) -> Answer<CacheView> {
    api::cache::hold(&engine, is_held).await
}
