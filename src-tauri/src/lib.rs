//! The desktop host: a window, the commands it may call, and the engine's notices on their way to it.
//!
//! Nothing is decided here. Commands call one use case of `engine::api` each; the window asks again when a notice
//! says that something is stale.

mod bindings;
mod browser;
mod commands;
mod demo_org;
mod notices;
mod startup;
mod window;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, bail};
use engine::{Engine, Host, HostName};
use tauri::Manager;

use crate::demo_org::DemoOrg;

/// What the console was started with.
#[derive(Debug, Default)]
struct Arguments {
    config: Option<PathBuf>,
    environment: Option<String>,
    export_bindings: Option<PathBuf>,
}

impl Arguments {
    fn read(arguments: Vec<OsString>) -> anyhow::Result<Self> {
        let mut read = Self {
            config: std::env::var_os("SHADOW_SYNC_CONFIG").map(PathBuf::from),
            environment: std::env::var("SHADOW_SYNC_ENV").ok(),
            export_bindings: None,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().with_context(|| format!("{} needs a value", argument.display()));
            match argument.to_str() {
                Some("--config") => read.config = Some(value()?.into()),
                Some("--env") => read.environment = Some(value()?.to_string_lossy().into_owned()),
                Some("--export-bindings") => read.export_bindings = Some(value()?.into()),
                _ => bail!(
                    "{} is not known here. The console takes --config FILE and --env NAME.",
                    argument.display()
                ),
            }
        }
        Ok(read)
    }
}

/// Runs the console until its window is closed.
pub fn run(arguments: Vec<OsString>) -> anyhow::Result<()> {
    let arguments = Arguments::read(arguments)?;
    if let Some(file) = &arguments.export_bindings {
        return bindings::export(file);
    }
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("SHADOW_SYNC_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,sqlx=warn,tao=error")),
        )
        .with_writer(std::io::stderr)
        .init();
    // One TLS provider for every connection of the process; a second installation is refused and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();

    let engine = Engine::new(Host { name: HostName::Console, config_path: arguments.config.clone() });
    let builder = bindings::builder();
    let environment = arguments.environment;
    tauri::Builder::default()
        .plugin(tauri_plugin_single_instance::init(|app, _, _| window::show(app)))
        .manage(engine)
        .manage(DemoOrg::default())
        .invoke_handler(builder.invoke_handler())
        .setup(move |app| {
            builder.mount_events(app);
            notices::forward(app.handle());
            startup::open_environment(app.handle(), environment);
            window::open(app.handle())?;
            Ok(())
        })
        .build(tauri::generate_context!())
        .context("The window could not be made. Is a display there?")?
        .run(|app, event| {
            if let tauri::RunEvent::Exit = event {
                tauri::async_runtime::block_on(app.state::<Engine>().shutdown());
            }
        });
    Ok(())
}
