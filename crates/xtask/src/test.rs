//! `cargo xtask test`: every check of the project, in the order in which a mistake is cheapest to find.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::stages::Stages;
use crate::workspace::Workspace;

/// What to run.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the stages. Exit code 0 when all passed, 1 when one did not.
pub fn run(_args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut stages = Stages::new(&workspace)?;
    let _ = stages.run("build", 10.0, |stage| {
        stage.command(cargo(&workspace).args(["build", "--tests"]).args(members(&workspace)))
    })? && stages.run("rust tests", 5.0, |stage| {
        stage.command(cargo(&workspace).args(["test", "--no-fail-fast"]).args(members(&workspace)))
    })?;
    Ok(if stages.finish() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn cargo(workspace: &Workspace) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(workspace.root());
    command
}

/// The whole workspace; without the console while it has no configuration to be built from.
fn members(workspace: &Workspace) -> Vec<&'static str> {
    let mut words = vec!["--workspace"];
    if !workspace.path("src-tauri/tauri.conf.json").is_file() {
        words.extend(["--exclude", "shadow-sync-desktop"]);
    }
    words
}
