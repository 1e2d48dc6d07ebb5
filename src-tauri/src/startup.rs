//! Opening environments: the one of last time when the console starts, the demo's together with its org.

use engine::api::environments::{self, DEMO_NAME, EnvironmentView};
use engine::api::sign_in;
use engine::{Answer, Engine};
use tauri::{AppHandle, Manager};

use crate::demo_org::DemoOrg;

/// Opens the environment that was named, or the one of last time, in the background: the window is there at once.
pub fn open_environment(app: &AppHandle, named: Option<String>) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        if let Err(problem) = open_meant(&app.state(), &app.state(), named.as_deref()).await {
            tracing::warn!(problem.code = problem.code, "no environment was opened: {}", problem.title);
        }
    });
}

async fn open_meant(engine: &Engine, demo_org: &DemoOrg, named: Option<&str>) -> Answer<()> {
    let config = engine.config()?;
    if config.environments.is_empty() && named.is_none() {
        return Ok(());
    }
    let meant = config.meant(named)?.name.clone();
    use_environment(engine, demo_org, &meant).await
}

/// Opens an environment; the demo's org is started with it, unless it runs already.
pub async fn use_environment(engine: &Engine, demo_org: &DemoOrg, name: &str) -> Answer<()> {
    let known = environments::list(engine)?;
    let demo = known.iter().find(|environment| environment.name == name && name == DEMO_NAME);
    match demo {
        Some(demo) if !DemoOrg::answers_at(&demo.login_url).await => {
            look_around(engine, demo_org).await.map(|_| ())
        }
        _ => environments::open(engine, name).await,
    }
}

/// Starts the demo org in this process, opens its environment and waits until the console has signed itself in.
pub async fn look_around(engine: &Engine, demo_org: &DemoOrg) -> Answer<EnvironmentView> {
    let org = demo_org.start().await?;
    let environment = environments::look_around(engine, &org.login_url, &org.pubsub_endpoint).await?;
    sign_in::resumed(engine).await;
    Ok(environment)
}
