//! Environments: list, add, use, remove; and the demo org.

#![expect(clippy::needless_pass_by_value, reason = "a command is given its arguments by value")]

use engine::api::environments::{EnvironmentView, NewEnvironment, RecognisedOrg};
use engine::{Answer, Engine, api};
use tauri::State;

use crate::demo_org::DemoOrg;
use crate::startup;

/// All configured environments.
#[tauri::command]
#[specta::specta]
pub fn list_environments(engine: State<'_, Engine>) -> Answer<Vec<EnvironmentView>> {
    api::environments::list(&engine)
}

/// What a pasted address becomes.
#[tauri::command]
#[specta::specta]
pub fn recognise_org(address: String) -> Answer<RecognisedOrg> {
    api::environments::recognise(&address)
}

/// Writes a new environment into the configuration.
#[tauri::command]
#[specta::specta]
pub fn add_environment(engine: State<'_, Engine>, environment: NewEnvironment) -> Answer<EnvironmentView> {
    api::environments::add(&engine, environment)
}

/// Opens an environment; the demo's org is started with it.
#[tauri::command]
#[specta::specta]
pub async fn use_environment(
    engine: State<'_, Engine>,
    demo_org: State<'_, DemoOrg>,
    name: String,
) -> Answer<()> {
    startup::use_environment(&engine, &demo_org, &name).await
}

/// Takes an environment out of the configuration and forgets its sign-in.
#[tauri::command]
#[specta::specta]
pub async fn remove_environment(engine: State<'_, Engine>, name: String) -> Answer<()> {
    api::environments::remove(&engine, &name).await
}

/// Starts the demo org in this process, opens its environment and signs in.
#[tauri::command]
#[specta::specta]
pub async fn look_around(engine: State<'_, Engine>, demo_org: State<'_, DemoOrg>) -> Answer<EnvironmentView> {
    startup::look_around(&engine, &demo_org).await
}
