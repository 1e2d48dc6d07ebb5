//! The operating system user that the server runs as: this one, or an unprivileged one when this is root.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Error;

/// The user that owns the data folder and runs the server.
#[derive(Debug, Clone)]
pub(super) struct Account {
    name: String,
    uid: u32,
    gid: u32,
    /// Whether the server's programs must be started as another user than this program's.
    switches: bool,
}

#[cfg(unix)]
impl Account {
    /// This user; for root `postgres`, or `nobody` where that does not exist.
    pub(super) fn of_the_server() -> Result<Self, Error> {
        let uid = rustix::process::geteuid();
        if !uid.is_root() {
            let gid = rustix::process::getegid();
            return Ok(Self {
                name: "this user".to_owned(),
                uid: uid.as_raw(),
                gid: gid.as_raw(),
                switches: false,
            });
        }
        let list = "/etc/passwd";
        let users = std::fs::read_to_string(list).map_err(Error::file(list, "read"))?;
        ["postgres", "nobody"].iter().find_map(|name| Self::listed(&users, name)).ok_or(Error::NoAccount)
    }

    /// Finds a user in the text of `/etc/passwd`; never root under another name.
    fn listed(users: &str, name: &str) -> Option<Self> {
        users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let (uid, gid) = match fields.as_slice() {
                [found, _, uid, gid, ..] if *found == name => (uid.parse().ok()?, gid.parse().ok()?),
                _ => return None,
            };
            (uid != 0).then(|| Self { name: name.to_owned(), uid, gid, switches: true })
        })
    }

    /// A command that runs as this account, with nothing of our environment that PostgreSQL would read.
    pub(super) fn command(&self, program: &Path, folder: &Path) -> Command {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", "/usr/bin:/bin")
            .current_dir(folder)
            .process_group(0);
        if self.switches {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Makes `path` this account's own, when it would else be root's.
    pub(super) fn own(&self, path: &Path) -> Result<(), Error> {
        if self.switches {
            std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
                .map_err(Error::file(path, "given away"))?;
        }
        Ok(())
    }

    /// Whether `path` belongs to this account; `Err` with the owner if not.
    pub(super) fn owns(&self, path: &Path) -> Result<(), Error> {
        use std::os::unix::fs::MetadataExt;
        let owner = std::fs::symlink_metadata(path).map_err(Error::file(path, "read"))?.uid();
        if owner == self.uid { Ok(()) } else { Err(Error::NotOurs { path: path.to_owned(), owner }) }
    }

    /// The first folder on the way to `path`, or `path` itself, that this account may not enter or read.
    pub(super) fn blocked_at(&self, path: &Path) -> Option<PathBuf> {
        if !self.switches {
            return None;
        }
        let path = path.canonicalize().ok()?;
        let mut on_the_way: Vec<&Path> = path.ancestors().collect();
        on_the_way.reverse();
        on_the_way.into_iter().find(|folder| !self.may_enter(folder)).map(Path::to_owned)
    }

    fn may_enter(&self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        let Ok(found) = path.metadata() else { return false };
        let shift = match (found.uid() == self.uid, found.gid() == self.gid) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        (found.mode() >> shift) & 0o1 == 0o1
    }

    /// Whether this program is root and the server is not.
    pub(super) fn switches(&self) -> bool {
        self.switches
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn uid(&self) -> u32 {
        self.uid
    }
}

#[cfg(not(unix))]
impl Account {
    pub(super) fn of_the_server() -> Result<Self, Error> {
        Ok(Self { name: "this user".to_owned(), uid: 0, gid: 0, switches: false })
    }

    pub(super) fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C").current_dir(folder);
        command
    }

    pub(super) fn own(&self, _path: &Path) -> Result<(), Error> {
        Ok(())
    }

    pub(super) fn owns(&self, _path: &Path) -> Result<(), Error> {
        Ok(())
    }

    pub(super) fn blocked_at(&self, _path: &Path) -> Option<PathBuf> {
        None
    }

    pub(super) fn switches(&self) -> bool {
        self.switches
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn uid(&self) -> u32 {
        self.uid
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const USERS: &str =
        "root:x:0:0::/root:/bin/bash\ntoor:x:0:0::/:/bin/sh\nnobody:x:65534:65533::/:/bin/false\n";

    #[test]
    fn a_user_is_found_by_name_with_its_ids() {
        let account = Account::listed(USERS, "nobody").unwrap();
        assert_eq!((account.uid, account.gid, account.switches), (65534, 65533, true));
    }

    #[test]
    fn a_user_that_is_root_by_another_name_is_never_taken() {
        assert!(Account::listed(USERS, "toor").is_none());
        assert!(Account::listed(USERS, "postgres").is_none());
    }

    #[test]
    fn a_closed_folder_on_the_way_is_named() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let closed = folder.path().join("closed");
        std::fs::create_dir_all(closed.join("inner")).unwrap();
        for (path, mode) in [(folder.path(), 0o755), (&closed, 0o700), (&closed.join("inner"), 0o755)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let stranger = Account { name: "stranger".to_owned(), uid: 64_001, gid: 64_001, switches: true };
        assert_eq!(stranger.blocked_at(&closed.join("inner")), Some(closed.canonicalize().unwrap()));
    }
}
