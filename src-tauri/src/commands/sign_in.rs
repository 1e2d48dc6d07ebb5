//! Signing in and out.

use engine::api::sign_in::SignInState;
use engine::{Answer, Engine, api};
use tauri::State;

use crate::browser;

/// Begins a sign-in; by browser, the org's page is opened and the window shows its address.
#[tauri::command]
#[specta::specta]
pub async fn start_sign_in(engine: State<'_, Engine>) -> Answer<()> {
    if let SignInState::WaitingForBrowser { authorize_url, .. } = api::sign_in::start(&engine, None).await? {
        browser::try_open(&authorize_url);
    }
    Ok(())
}

/// Stops waiting for the browser.
#[tauri::command]
#[specta::specta]
pub async fn cancel_sign_in(engine: State<'_, Engine>) -> Answer<()> {
    api::sign_in::cancel(&engine).await;
    Ok(())
}

/// Revokes and forgets.
#[tauri::command]
#[specta::specta]
pub async fn sign_out(engine: State<'_, Engine>) -> Answer<()> {
    api::sign_in::sign_out(&engine).await
}
