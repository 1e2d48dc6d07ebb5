//! `cargo xtask prepare`: the description of every query, which lets the project build without a database.
//!
//! The queries are compiled against a fresh database with all migrations, and sqlx writes down what it learns.

use std::collections::BTreeMap;
use std::fs::FileTimes;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

use crate::postgres::Throwaway;
use crate::process::{output_of, run_shown};
use crate::workspace::Workspace;

/// What to do with the result.
#[derive(clap::Args)]
pub struct Args {
    /// Change nothing; exit 1 if `.sqlx` is not what the queries and migrations say
    #[arg(long)]
    check: bool,
}

/// Writes or compares `.sqlx`.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    // Two at a time would empty each other's folder; the lock goes with the process.
    let turn = std::fs::File::create(workspace.scratch("sqlx-turn")?.join("lock"))?;
    turn.lock().context("another `cargo xtask prepare` cannot be waited for")?;
    let fresh = workspace.scratch("sqlx")?;
    describe(&workspace, &fresh)?;
    let (there, kept) = (read(&fresh)?, read(&kept_in(&workspace))?);
    ensure!(!there.is_empty(), "No query was described, so nothing is written; was the store compiled anew?");
    if there == kept {
        println!("{} queries, described as they are", there.len());
        return Ok(ExitCode::SUCCESS);
    }
    if args.check {
        println!(
            "The descriptions in {} are not up to date. Run `cargo xtask prepare`",
            kept_in(&workspace).display()
        );
        return Ok(ExitCode::from(1));
    }
    write(&kept_in(&workspace), &there)?;
    println!("{} queries described", there.len());
    Ok(ExitCode::SUCCESS)
}

fn kept_in(workspace: &Workspace) -> std::path::PathBuf {
    workspace.path("crates/store/.sqlx")
}

/// Compiles the store against a fresh database, which fills `folder`.
fn describe(workspace: &Workspace, folder: &Path) -> Result<()> {
    std::fs::remove_dir_all(folder)?;
    std::fs::create_dir_all(folder)?;
    let server = Throwaway::embedded(workspace)?;
    let url = server.url("postgres");
    migrate(workspace, &url)?;
    // The queries are looked at again only when the crate is compiled again. Its time is set back afterwards, or
    // everything that was built of it would be built again.
    let library = workspace.path("crates/store/src/lib.rs");
    let file = std::fs::File::options().append(true).open(&library)?;
    let changed = file.metadata()?.modified()?;
    file.set_times(FileTimes::new().set_modified(SystemTime::now()))?;
    let mut compile = workspace.cargo(&["check", "--quiet", "--package", "store", "--all-targets"]);
    let compile =
        compile.env("SQLX_OFFLINE", "false").env("DATABASE_URL", &url).env("SQLX_OFFLINE_DIR", folder);
    let outcome = run_shown(compile);
    file.set_times(FileTimes::new().set_modified(changed))?;
    outcome
}

/// Runs the migrations with psql, because the program that has them does not compile yet.
fn migrate(workspace: &Workspace, url: &str) -> Result<()> {
    let folder = workspace.path("migrations");
    let mut files: Vec<_> = std::fs::read_dir(&folder)?
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .map(|entry| entry.path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "sql"));
    files.sort();
    ensure!(!files.is_empty(), "{} has no migrations", folder.display());
    for file in files {
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction", "--file"]);
        output_of(psql.arg(&file).arg(url)).with_context(|| format!("{} fails", file.display()))?;
    }
    Ok(())
}

fn read(folder: &Path) -> Result<BTreeMap<std::ffi::OsString, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let entry = entry?;
        files.insert(entry.file_name(), std::fs::read(entry.path())?);
    }
    Ok(files)
}

fn write(folder: &Path, files: &BTreeMap<std::ffi::OsString, Vec<u8>>) -> Result<()> {
    if folder.is_dir() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    for (name, content) in files {
        std::fs::write(folder.join(name), content)?;
    }
    Ok(())
}
