//! A session bus with an unlocked keychain, for tests that need one; nobody's real keychain is touched.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// Unlocks an empty keychain with a password that protects nothing, then becomes the program.
const SCRIPT: &str = r#"
eval "$(printf test | gnome-keyring-daemon --unlock --components=secrets)"
exec "$@"
"#;

/// The folder of the keychain; removed when this is dropped.
pub struct Keychain {
    folder: PathBuf,
}

impl Keychain {
    /// Makes the folder.
    pub fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("shadow-sync-keychain-{}", std::process::id()));
        for inner in ["data", "run"] {
            let inner = folder.join(inner);
            std::fs::create_dir_all(&inner).with_context(|| format!("{} cannot be made", inner.display()))?;
            close_to_others(&inner)?;
        }
        Ok(Self { folder })
    }

    /// The same command, started inside a session of its own. Where that is not Linux: the command itself.
    pub fn around(&self, command: Command) -> Command {
        if !cfg!(target_os = "linux") {
            return command;
        }
        let mut session = Command::new("dbus-run-session");
        session
            .args(["--", "bash", "-c", SCRIPT, "keychain"])
            .arg(command.get_program())
            .args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            session.current_dir(folder);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => session.env(name, value),
                None => session.env_remove(name),
            };
        }
        session
            .env("XDG_DATA_HOME", self.folder.join("data"))
            .env("XDG_RUNTIME_DIR", self.folder.join("run"));
        session
    }
}

impl Drop for Keychain {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[cfg(unix)]
fn close_to_others(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?)
}

#[cfg(not(unix))]
fn close_to_others(_folder: &Path) -> Result<()> {
    Ok(())
}
