//! `cargo xtask bindings`: the TypeScript of the window's commands, generated from the Rust types.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::console;
use crate::process::run_shown;
use crate::workspace::Workspace;

/// What to do with the result.
#[derive(clap::Args)]
pub struct Args {
    /// Change nothing; exit 1 if the bindings are not what the commands say
    #[arg(long)]
    check: bool,
}

/// Builds the console and lets it write its bindings.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    console::build_pages(&workspace)?;
    run_shown(&mut workspace.cargo(&["build", "--workspace", "--bins"]))?;
    let kept = workspace.path("ui/src/lib/api/bindings.ts");
    let fresh = workspace.scratch("bindings")?.join("bindings.ts");
    run_shown(Command::new(workspace.built("shadow-sync-desktop")).arg("--export-bindings").arg(&fresh))?;
    let text = std::fs::read(&fresh).with_context(|| format!("{} cannot be read", fresh.display()))?;
    if std::fs::read(&kept).is_ok_and(|there| there == text) {
        println!("The bindings are as they are.");
        return Ok(ExitCode::SUCCESS);
    }
    if args.check {
        println!("{} is not up to date. Run `cargo xtask bindings`", kept.display());
        return Ok(ExitCode::from(1));
    }
    std::fs::write(&kept, text).with_context(|| format!("{} cannot be written", kept.display()))?;
    println!("{} is written.", kept.display());
    Ok(ExitCode::SUCCESS)
}
