//! Which server, and which history of it, the database stood on when it was last seen.
//!
//! Kept by this process and, in a file beside the configuration, for whoever comes after it. It is not kept in the
//! database: a restored backup would remember the wrong thing. A file that cannot be written costs no more than that a
//! change between two runs is not noticed.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use store::{ServerChange, ServerIdentity};

/// The server that was seen last.
#[derive(Debug)]
pub(crate) struct SeenServer {
    path: Option<PathBuf>,
    seen: Mutex<Option<ServerIdentity>>,
}

impl SeenServer {
    /// As this user's programs saw it last on this machine.
    ///
    /// - `config`: the configuration file; none keeps it for this run only.
    pub(crate) fn of(config: Option<&Path>, environment: &str) -> Self {
        let folder = config.and_then(Path::parent);
        let path = folder.map(|folder| folder.join("servers").join(format!("{environment}.json")));
        let seen = path.as_deref().and_then(read);
        Self { path, seen: Mutex::new(seen) }
    }

    /// How the server of now differs from the one that was seen last; none on the first look.
    pub(crate) fn change_to(&self, now: &ServerIdentity) -> Option<(ServerChange, ServerIdentity)> {
        let held = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = held?;
        let change = now.change_since(&before)?;
        // Another program on this machine may have taken it on already.
        match self.path.as_deref().and_then(read) {
            Some(other) if now.change_since(&other).is_none() => None,
            _ => Some((change, before)),
        }
    }

    /// Notes that the log of the server that is known was seen to end further on.
    pub(crate) fn saw(&self, log_position: i64) {
        let held = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.filter(|held| held.log_position < log_position) {
            self.keep(ServerIdentity { log_position, ..held });
        }
    }

    /// Remembers the server of now.
    pub(crate) fn keep(&self, now: ServerIdentity) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == Some(now) {
            return;
        }
        let is_first = seen.is_none();
        *seen = Some(now);
        drop(seen);
        let Some(path) = &self.path else { return };
        if let Err(error) = write(path, &now)
            && is_first
        {
            tracing::info!(
                path = %path.display(),
                %error,
                "which server the database is on cannot be kept; a change between two runs will not be noticed"
            );
        }
    }
}

fn read(path: &Path) -> Option<ServerIdentity> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Replaces the file as a whole, so that nobody reads half of it.
fn write(path: &Path, seen: &ServerIdentity) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let new = path.with_extension(format!("{}.new", std::process::id()));
    std::fs::write(&new, serde_json::to_vec(seen)?)?;
    std::fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: ServerIdentity =
        ServerIdentity { system: Some(7), timeline: Some(1), database: 5, log_position: 100 };

    #[test]
    fn a_change_between_two_runs_is_noticed_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("config.toml");
        let first = SeenServer::of(Some(&config), "shop");
        assert_eq!(first.change_to(&SEEN), None, "nothing was seen before");
        first.keep(SEEN);
        let (next, beside) = (SeenServer::of(Some(&config), "shop"), SeenServer::of(Some(&config), "shop"));
        let now = ServerIdentity { log_position: 40, ..SEEN };
        assert_eq!(next.change_to(&now), Some((ServerChange::SetBack, SEEN)));
        let taken_on = ServerIdentity { log_position: 1_000_100, ..SEEN };
        next.keep(taken_on);
        assert_eq!(beside.change_to(&taken_on), None);
        assert_eq!(SeenServer::of(Some(&config), "other").change_to(&now), None);
    }

    #[test]
    fn without_a_folder_it_is_kept_for_this_run() {
        let seen = SeenServer::of(None, "shop");
        seen.keep(SEEN);
        let now = ServerIdentity { timeline: Some(2), ..SEEN };
        assert_eq!(seen.change_to(&now), Some((ServerChange::Promoted, SEEN)));
    }
}
