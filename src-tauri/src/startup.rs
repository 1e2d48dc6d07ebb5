//! What happens before the window has anything to show: the environment of last time is opened.

use engine::api::environments;
use engine::{Answer, Engine};
use tauri::{AppHandle, Manager};

use crate::demo_org::DemoOrg;

/// Opens the environment that was named, or the one of last time, in the background: the window is there at once.
pub fn open_environment(app: &AppHandle, named: Option<String>) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        if let Err(problem) = open(&app, named).await {
            tracing::warn!(problem.code = problem.code, "no environment was opened: {}", problem.title);
        }
    });
}

async fn open(app: &AppHandle, named: Option<String>) -> Answer<()> {
    let engine = app.state::<Engine>();
    let Some(name) = named.or(environments::chosen(&engine)?) else { return Ok(()) };
    use_environment(&engine, &app.state::<DemoOrg>(), &name).await
}

/// Opens an environment; where it is the demo's, its org is started first.
pub async fn use_environment(engine: &Engine, demo_org: &DemoOrg, name: &str) -> Answer<()> {
    let known = environments::list(engine).await?;
    if let Some(environment) = known.iter().find(|environment| environment.name == name) {
        demo_org.ensure(environment).await?;
    }
    environments::open(engine, name).await?;
    Ok(())
}
