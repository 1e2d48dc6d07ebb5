//! Two OS locks: who may start or stop the server, and who uses it. The system releases them when a program dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Error;

/// How long another program may take to start or stop the server before we give up.
const PATIENCE: Duration = Duration::from_mins(2);

/// Held while a server is looked for, started or stopped; one holder at a time.
#[derive(Debug)]
pub(super) struct StartLock {
    _file: File,
}

impl StartLock {
    /// Waits until no other program starts or stops the server.
    pub(super) async fn acquire(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("start.lock");
        let file = open(&path)?;
        wait_for(&path, || file.try_lock()).await?;
        Ok(Self { _file: file })
    }
}

/// Held by every program that uses the server; shared.
#[derive(Debug)]
pub(super) struct UserLock {
    path: PathBuf,
    file: File,
}

impl UserLock {
    /// Becomes one of the users. Call it with the start lock held.
    pub(super) async fn share(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("users.lock");
        let file = open(&path)?;
        wait_for(&path, || file.try_lock_shared()).await?;
        Ok(Self { path, file })
    }

    /// Ends this use. Returns whether nobody else uses the server. Call it with the start lock held.
    pub(super) fn leave(self) -> Result<bool, Error> {
        self.file.unlock().map_err(Error::file(&self.path, "unlocked"))?;
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(source)) => Err(Error::file(&self.path, "locked")(source)),
        }
    }
}

fn open(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(Error::file(path, "opened"))
}

/// Tries every 25 ms: a lock that blocks a thread could not be given up.
async fn wait_for(path: &Path, mut attempt: impl FnMut() -> Result<(), TryLockError>) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(source)) => return Err(Error::file(path, "locked")(source)),
            Err(TryLockError::WouldBlock) if begun.elapsed() > PATIENCE => {
                let path = path.parent().unwrap_or(path).to_owned();
                return Err(Error::Busy { path, seconds: PATIENCE.as_secs() });
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(25)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_last_user_is_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let first = UserLock::share(folder.path()).await.unwrap();
        let second = UserLock::share(folder.path()).await.unwrap();
        assert!(!first.leave().unwrap());
        assert!(second.leave().unwrap());
    }

    #[tokio::test]
    async fn a_dropped_use_no_longer_counts() {
        let folder = tempfile::tempdir().unwrap();
        let first = UserLock::share(folder.path()).await.unwrap();
        drop(UserLock::share(folder.path()).await.unwrap());
        assert!(first.leave().unwrap());
    }
}
