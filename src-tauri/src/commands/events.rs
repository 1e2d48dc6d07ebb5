//! Change events and dead letters.

use engine::api::dead_letters::DeadLettersView;
use engine::api::events::{EventDetail, EventFilter, EventsView};
use engine::{Answer, Engine, api};
use tauri::State;

/// As many dead letters of one cause as the window shows.
const SHOWN: u32 = 200;

/// Events, newest first, behind `filter.after`.
#[tauri::command]
#[specta::specta]
pub async fn list_events(engine: State<'_, Engine>, filter: EventFilter) -> Answer<EventsView> {
    api::events::list(&engine, filter).await
}

/// One event, decoded, with what was done with it and why.
#[tauri::command]
#[specta::specta]
pub async fn get_event(engine: State<'_, Engine>, position: u32) -> Answer<EventDetail> {
    api::events::get(&engine, i64::from(position)).await
}

/// Events that could not be processed, by cause.
#[tauri::command]
#[specta::specta]
pub async fn list_dead_letters(engine: State<'_, Engine>) -> Answer<DeadLettersView> {
    api::dead_letters::list(&engine, None, SHOWN).await
}

/// Has the records of dead letters fetched and returns how many records that are.
#[tauri::command]
#[specta::specta]
pub async fn retry_dead_letters(engine: State<'_, Engine>, ids: Vec<String>) -> Answer<u32> {
    api::dead_letters::retry(&engine, ids).await
}

/// Gives dead letters up and returns how many records are fetched in their place.
#[tauri::command]
#[specta::specta]
pub async fn discard_dead_letters(engine: State<'_, Engine>, ids: Vec<String>) -> Answer<u32> {
    api::dead_letters::discard(&engine, ids).await
}
