//! Backfills: plan, start, pause, resume, cancel.

use engine::api::backfills::{BackfillMode, BackfillPlan, JobView};
use engine::{Answer, Engine, api};
use tauri::State;

/// What a backfill of these objects would cost.
#[tauri::command]
#[specta::specta]
pub async fn plan_backfill(engine: State<'_, Engine>, objects: Vec<String>) -> Answer<BackfillPlan> {
    api::backfills::plan(&engine, objects).await
}

/// Starts the backfill of these objects and returns the ids of its jobs.
#[tauri::command]
#[specta::specta]
pub async fn start_backfill(
    engine: State<'_, Engine>,
    objects: Vec<String>,
    mode: BackfillMode,
) -> Answer<Vec<String>> {
    api::backfills::start(&engine, objects, mode).await
}

/// The jobs, newest first.
#[tauri::command]
#[specta::specta]
pub async fn list_jobs(engine: State<'_, Engine>) -> Answer<Vec<JobView>> {
    api::backfills::jobs(&engine).await
}

/// Pauses a job after the rows in flight.
#[tauri::command]
#[specta::specta]
pub async fn pause_job(engine: State<'_, Engine>, id: String) -> Answer<()> {
    api::backfills::pause(&engine, &id).await
}

/// Resumes a job that was paused, failed or interrupted.
#[tauri::command]
#[specta::specta]
pub async fn resume_job(engine: State<'_, Engine>, id: String) -> Answer<()> {
    api::backfills::resume(&engine, &id).await
}

/// Cancels a job after the rows in flight.
#[tauri::command]
#[specta::specta]
pub async fn cancel_job(engine: State<'_, Engine>, id: String) -> Answer<()> {
    api::backfills::cancel(&engine, &id).await
}

/// Consents to removals that wait because there are more than the guard allows.
#[tauri::command]
#[specta::specta]
pub async fn consent_removals(engine: State<'_, Engine>, id: String) -> Answer<()> {
    api::backfills::consent_removals(&engine, &id).await
}
