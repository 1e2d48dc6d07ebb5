//! The engine's notices on their way to the window.

use engine::Engine;
use engine::notice::View;
use serde::{Deserialize, Serialize};
use tauri::{AppHandle, Manager};
use tauri_specta::Event;
use tokio::sync::broadcast::error::RecvError;

/// Tells the window what to ask for again; never carries the data itself.
#[derive(Debug, Clone, Serialize, Deserialize, specta::Type, Event)]
pub struct Stale {
    /// What is stale.
    pub views: Vec<View>,
}

/// Everything, for a window that missed notices.
const ALL: [View; 16] = [
    View::Status,
    View::Environments,
    View::SignIn,
    View::Jobs,
    View::Counts,
    View::Rejects,
    View::Audit,
    View::Stream,
    View::Events,
    View::DeadLetters,
    View::Lag,
    View::Holes,
    View::Schedules,
    View::Flags,
    View::Quota,
    View::Cache,
];

/// Forwards notices until the engine is gone.
pub fn forward(app: &AppHandle) {
    let app = app.clone();
    let mut notices = app.state::<Engine>().notices();
    tauri::async_runtime::spawn(async move {
        loop {
            let views = match notices.recv().await {
                Ok(notice) => notice.stale,
                Err(RecvError::Lagged(_)) => ALL.to_vec(),
                Err(RecvError::Closed) => return,
            };
            // A window that is being closed hears nothing, and needs nothing.
            let _ = Stale { views }.emit(&app);
        }
    });
}
