//! A session bus with an unlocked, empty keychain of a test's own: nobody's real one is touched.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Unlocks the keychain with a password that protects nothing, says where the bus is, and stays until its input ends.
const SCRIPT: &str = r#"
eval "$(printf test | gnome-keyring-daemon --unlock --components=secrets)"
echo "$DBUS_SESSION_BUS_ADDRESS"
exec cat
"#;

/// A keychain that programs of a test share; gone when this is dropped.
pub struct Keychain {
    session: Child,
    address: String,
    folder: TempDir,
}

impl Keychain {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for inner in ["data", "run"] {
            let inner = folder.path().join(inner);
            std::fs::create_dir(&inner).expect("a folder");
            std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(0o700))
                .expect("closed to others");
        }
        let mut command = Command::new("dbus-run-session");
        command.args(["--", "bash", "-c", SCRIPT]);
        command.env("XDG_DATA_HOME", folder.path().join("data"));
        command.env("XDG_RUNTIME_DIR", folder.path().join("run"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut session =
            command.spawn().expect("dbus-run-session is there (Debian: dbus-daemon, gnome-keyring)");
        let mut address = String::new();
        let output = session.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut address).expect("the bus's address");
        assert!(address.starts_with("unix:"), "{address}");
        Self { session, address: address.trim().to_owned(), folder }
    }

    /// What leads a program to it.
    pub fn variables(&self) -> [(&'static str, String); 3] {
        let inner = |name: &str| self.folder.path().join(name).display().to_string();
        [
            ("DBUS_SESSION_BUS_ADDRESS", self.address.clone()),
            ("XDG_DATA_HOME", inner("data")),
            ("XDG_RUNTIME_DIR", inner("run")),
        ]
    }
}

impl Drop for Keychain {
    fn drop(&mut self) {
        // The end of its input ends the session in order, and the keychain with its bus.
        drop(self.session.stdin.take());
        let _ = self.session.wait();
    }
}
