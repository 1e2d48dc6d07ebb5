//! `cargo xtask run`: from a fresh machine to the open console.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::packages::{self, Purpose};
use crate::process::run_shown;
use crate::walk;
use crate::workspace::Workspace;
use crate::{console, display};

/// How to run.
#[derive(clap::Args)]
pub struct Args {
    /// Without a display: leave the console running after the walk
    #[arg(long)]
    keep: bool,
    /// Build nothing: open what was built last
    #[arg(long)]
    as_built: bool,
}

/// Installs, builds, and opens the console or walks through it.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let has_display = display::exists();
    packages::ensure(&workspace, if has_display { Purpose::Build } else { Purpose::Walk })?;
    if !args.as_built {
        let begun = Instant::now();
        build(&workspace)?;
        println!("Built in {:.1} min.", begun.elapsed().as_secs_f64() / 60.0);
    }
    if has_display { open(&workspace) } else { walk::walk(&workspace, args.keep) }
}

/// Brings pages and programs up to date. One invocation of cargo builds both programs, so that they share one set
/// of features and nothing is compiled twice.
fn build(workspace: &Workspace) -> Result<()> {
    console::build_pages(workspace)?;
    run_shown(&mut workspace.cargo(&["build", "--workspace", "--bins"]))
}

/// Opens the console and waits until it is closed.
fn open(workspace: &Workspace) -> Result<ExitCode> {
    let program = workspace.built("shadow-sync-desktop");
    println!("Opening the console; the command line is {}", workspace.built("shadow-sync").display());
    let status = Command::new(&program)
        .status()
        .with_context(|| format!("{} could not be started", program.display()))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}
