//! `cargo xtask test`: every check of the project, in the order in which a mistake is cheapest to find.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::alerts;
use crate::console;
use crate::display::VirtualDisplay;
use crate::keychain::Keychain;
use crate::packages::{self, Purpose};
use crate::postgres::Throwaway;
use crate::process::output_of;
use crate::stages::{Stage, Stages};
use crate::workspace::Workspace;

/// What to run.
#[derive(clap::Args)]
pub struct Args {
    /// Only the stages whose name contains this; the packages and the pages are brought up to date all the same
    #[arg(long, value_name = "WORD")]
    only: Option<String>,
}

/// One check: its name, its budget in minutes, and what it does.
type Check = (&'static str, f64, fn(&Workspace, &mut Stage<'_>) -> Result<bool>);

/// The order: first what takes seconds, then what compiles, then what runs.
const CHECKS: [Check; 12] = [
    ("format", 0.2, format),
    ("alerts", 0.1, alerts::check),
    ("pages", 1.5, pages),
    ("build", 9.0, build),
    ("clippy", 6.0, clippy),
    ("queries", 2.0, queries),
    ("rust tests", 10.0, rust_tests),
    ("store on Debian's PostgreSQL", 1.5, store_on_debian),
    ("kill runs", 4.0, kill_runs),
    ("doc tests", 0.5, doc_tests),
    ("clients", 6.0, clients),
    ("window", 6.0, window),
];

/// The tests of the real window: they need a display.
const WINDOW: &str = "window";
/// The tests that kill programs: they have a stage of their own.
const KILL: &str = "kill::";

/// Runs the stages. Exit code 0 when all passed, 1 when one did not.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    packages::ensure(&workspace, Purpose::Test)?;
    let mut stages = Stages::new(&workspace)?;
    let mut good = stages.run("console pages", 2.0, |stage| built_pages(&workspace, stage))?;
    for (name, budget, check) in CHECKS {
        let is_wanted = args.only.as_ref().is_none_or(|word| name.contains(word.as_str()));
        good = good && (!is_wanted || stages.run(name, budget, |stage| check(&workspace, stage))?);
    }
    Ok(if stages.finish() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn built_pages(workspace: &Workspace, stage: &mut Stage<'_>) -> Result<bool> {
    for mut step in console::pages_steps(workspace)? {
        if !stage.command(&mut step)? {
            return Ok(false);
        }
    }
    console::pages_are_built(workspace)?;
    Ok(true)
}

fn format(workspace: &Workspace, stage: &mut Stage<'_>) -> Result<bool> {
    stage.command(&mut workspace.cargo(&["fmt", "--all", "--check"]))
}

fn pages(workspace: &Workspace, stage: &mut Stage<'_>) -> Result<bool> {
    for script in ["check", "lint", "format:check", "test"] {
        if !stage.command(&mut workspace.npm(&["run", script]))? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn build(workspace: &Workspace, stage: &mut Stage<'_>) -> Result<bool> {
    // One command, so that programs and tests are built of the same crates with the same features.
    stage.command(&mut workspace.cargo(&["build", "--workspace", "--all-targets"]))
}

fn clippy(workspace: &Workspace, stage: &mut Stage<'_>) -> Result<bool> {
    stage.command(&mut workspace.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn queries(workspace: &Workspace, stage: &mut Stage<'_>) -> Result<bool> {
    stage.command(&mut workspace.cargo(&["xtask", "prepare", "--check"]))
}

fn rust_tests(workspace: &Workspace, stage: &mut Stage<'_>) -> Result<bool> {
    let server = Throwaway::embedded(workspace)?;
    stage.note(&server.version()?)?;
    let mut words = vec!["test", "--workspace", "--no-fail-fast", "--lib", "--bins"];
    let names = test_targets(workspace)?;
    for name in names.iter().filter(|name| *name != WINDOW) {
        words.extend(["--test", name]);
    }
    words.extend(["--", "--skip", KILL]);
    let keychain = Keychain::new()?;
    let mut command = keychain.around(workspace.cargo(&words));
    // Most behaviours wait: for leases to run out, for a silence to be noticed, for a second deletion.
    let threads = 2 * std::thread::available_parallelism().map_or(1, usize::from);
    command.env("RUST_TEST_THREADS", threads.to_string());
    stage.command(command.env("DATABASE_URL", server.url("postgres")))
}

/// The store's tests once more, on the oldest server at hand.
fn store_on_debian(workspace: &Workspace, stage: &mut Stage<'_>) -> Result<bool> {
    let Some(server) = Throwaway::debian()? else {
        return stage.note("Debian's PostgreSQL is not on this machine: nothing was tested").map(|()| true);
    };
    stage.note(&server.version()?)?;
    let folder = workspace.path("crates/store");
    let program = test_program(workspace, &folder, "it")?;
    let mut command = Command::new(program);
    stage.command(command.current_dir(folder).env("DATABASE_URL", server.url("postgres")))
}

fn kill_runs(workspace: &Workspace, stage: &mut Stage<'_>) -> Result<bool> {
    let server = Throwaway::embedded(workspace)?;
    let folder = workspace.path("tests");
    let mut command = Command::new(test_program(workspace, &folder, "it")?);
    command.arg(KILL).current_dir(folder);
    stage.command(command.env("DATABASE_URL", server.url("postgres")))
}

fn doc_tests(workspace: &Workspace, stage: &mut Stage<'_>) -> Result<bool> {
    stage.command(&mut workspace.cargo(&["test", "--workspace", "--doc"]))
}

/// The real window on a virtual display.
fn window(workspace: &Workspace, stage: &mut Stage<'_>) -> Result<bool> {
    let display = VirtualDisplay::start(stage.log())?;
    let mut command = workspace.cargo(&["test", "--workspace", "--test", "window"]);
    stage.command(command.env("DISPLAY", display.name()))
}

/// Clients that were written elsewhere, against the simulated org and against what shops read.
fn clients(workspace: &Workspace, stage: &mut Stage<'_>) -> Result<bool> {
    let server = Throwaway::embedded(workspace)?;
    let mut command = Command::new(workspace.path("tests/clients/run"));
    command.env("SHADOW_SYNC", workspace.built("shadow-sync"));
    stage.command(command.env("DATABASE_URL", server.url("postgres")))
}

/// The names of the workspace's integration tests.
fn test_targets(workspace: &Workspace) -> Result<BTreeSet<String>> {
    let text = output_of(&mut workspace.cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo's metadata cannot be read")?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let tests = targets.filter(|target| target["kind"][0] == "test");
    Ok(tests.filter_map(|target| target["name"].as_str()).map(str::to_owned).collect())
}

/// The built program of one package's integration test. Asked of a build of the whole workspace, because a build of
/// one package alone would have other features, and compile everything anew.
fn test_program(workspace: &Workspace, package: &Path, test: &str) -> Result<PathBuf> {
    let words = ["test", "--workspace", "--no-run", "--message-format", "json", "--test", test];
    let answer = output_of(&mut workspace.cargo(&words))?;
    let found = answer.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == test
            && Path::new(message["manifest_path"].as_str()?).parent() == Some(package)
            && message["profile"]["test"] == true;
        is_it.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
    });
    found.with_context(|| format!("cargo built no test `{test}` of {}", package.display()))
}
