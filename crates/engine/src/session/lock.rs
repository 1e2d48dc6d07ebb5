//! One renewal at a time among the programs of one user on this machine.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::Path,
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// How often a taken lock is tried again.
const RETRY: Duration = Duration::from_millis(25);
/// A renewal that takes longer than this is stuck; waiting on would only hide it.
const PATIENCE: Duration = Duration::from_mins(2);

/// Held until dropped. The system releases it too when the program ends, however it ends.
#[derive(Debug)]
pub(super) struct FileLock(#[expect(dead_code, reason = "it is held, not used")] File);

/// Why the lock could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum LockError {
    #[error("the lock file for sign-ins cannot be used")]
    File(#[from] io::Error),
    #[error("another program on this machine has been renewing the same sign-in for two minutes")]
    Stuck,
}

impl FileLock {
    /// Waits for the lock without blocking a thread, so that giving up is possible at any moment.
    pub(super) async fn acquire(path: &Path) -> Result<Self, LockError> {
        let file = open(path)?;
        let since = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if since.elapsed() < PATIENCE => sleep(RETRY).await,
                Err(TryLockError::WouldBlock) => return Err(LockError::Stuck),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).truncate(false).write(true).open(path)
}

/// A file name for a key that may hold anything: FNV-1a, because the name must be the same in every version.
pub(super) fn file_name(key: &str) -> String {
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("sign-in-{hash:016x}.lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_holder_waits_for_the_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep").join("a.lock");
        let first = FileLock::acquire(&path).await.expect("a free lock");
        let waiting = tokio::time::timeout(Duration::from_secs(1), FileLock::acquire(&path)).await;
        assert!(waiting.is_err(), "the lock was given twice");
        drop(first);
        FileLock::acquire(&path).await.expect("a free lock again");
    }
}
