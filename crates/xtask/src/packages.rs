//! What must be installed on the machine before anything can be built, walked or tested.

use std::fs::File;
use std::io::IsTerminal;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{is_on_path, output_of, run_logged, shown, succeeds};
use crate::workspace::Workspace;

/// What the machine is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Compile the console and open it on a display.
    Build,
    /// Open the console without a display and drive it.
    Walk,
    /// Run every check.
    Test,
}

/// Debian's packages per purpose; each purpose needs those before it too.
const DEBIAN: [(Purpose, &[&str]); 3] = [
    (Purpose::Build, &["build-essential", "libwebkit2gtk-4.1-dev", "pkg-config"]),
    (Purpose::Walk, &["webkit2gtk-driver", "xauth", "xvfb"]),
    (Purpose::Test, &["dbus", "gnome-keyring", "postgresql", "procps", "prometheus", "python3-venv", REDIS]),
];

/// Debian starts its service when it is installed, which nobody asked for. It brings `redis-cli` along.
const REDIS: &str = "redis-server";

/// Something must be installed, and nobody is there to be asked.
#[derive(Debug)]
pub struct NotInstalled(String);

impl std::error::Error for NotInstalled {}

impl std::fmt::Display for NotInstalled {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Installs what is missing for `purpose`, telling first.
///
/// Root installs at once; others are asked; without a terminal the one command is the error, and nothing is done.
pub fn ensure(workspace: &Workspace, purpose: Purpose) -> Result<()> {
    if !is_on_path("npm") {
        let how = if is_on_path("brew") { "brew install node" } else { "see https://nodejs.org" };
        return Err(
            NotInstalled(format!("Node.js 20.19 or newer is missing: {how}, then run this again")).into()
        );
    }
    match std::env::consts::OS {
        "linux" if is_on_path("dpkg-query") => ensure_debian(workspace, purpose),
        "linux" => ensure_other_linux(purpose),
        "macos" => ensure_macos(purpose),
        // Windows brings WebView2; the compiler's own message names what it lacks.
        _ => Ok(()),
    }
}

fn ensure_debian(workspace: &Workspace, purpose: Purpose) -> Result<()> {
    let missing = missing_of(&wanted(purpose))?;
    if missing.is_empty() {
        return Ok(());
    }
    let install = format!("apt-get install -y --no-install-recommends {}", missing.join(" "));
    println!("Missing system packages: {}", missing.join(", "));
    if is_root()? {
        println!("Installing them now.");
        return apt(workspace, &[], &missing);
    }
    let command = format!("sudo sh -c 'apt-get update && {install}'");
    if !std::io::stdin().is_terminal() {
        return Err(
            NotInstalled(format!("Nothing was installed. Run this, then start again:\n{command}")).into()
        );
    }
    println!("They can be installed with:\n{command}\nInstall them now? [y/N]");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if !answer.trim().to_lowercase().starts_with('y') {
        return Err(NotInstalled(
            "Nothing was installed; run the command above, then start again".to_owned(),
        )
        .into());
    }
    apt(workspace, &["sudo"], &missing)
}

fn wanted(purpose: Purpose) -> Vec<&'static str> {
    DEBIAN
        .iter()
        .filter(|(needed_for, _)| *needed_for <= purpose)
        .flat_map(|(_, names)| *names)
        .copied()
        .collect()
}

fn missing_of(names: &[&'static str]) -> Result<Vec<&'static str>> {
    let mut command = Command::new("dpkg-query");
    command.args(["-W", "-f", "${Package} ${db:Status-Status}\\n"]).args(names);
    // It fails when one of the names is unknown; what it says of the others stands all the same.
    let answer = command.output().context("dpkg-query could not be started")?;
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    Ok(not_installed(names, &text))
}

fn not_installed(names: &[&'static str], answer: &str) -> Vec<&'static str> {
    let installed: Vec<&str> = answer.lines().filter_map(|line| line.strip_suffix(" installed")).collect();
    names.iter().copied().filter(|name| !installed.contains(name)).collect()
}

/// Installs; what apt says goes to a log, and to the screen when it fails.
fn apt(workspace: &Workspace, before: &[&str], packages: &[&str]) -> Result<()> {
    let path = workspace.scratch("logs")?.join("apt-get.log");
    let mut log = File::create(&path).with_context(|| format!("{} cannot be written", path.display()))?;
    let mut run = |words: &[&str]| -> Result<()> {
        let mut all =
            before.iter().chain(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"].iter()).chain(words);
        let mut command = Command::new(all.next().copied().unwrap_or_default());
        command.args(all);
        println!("$ {}", shown(&command));
        if run_logged(&mut command, &mut log, |_| ())? {
            return Ok(());
        }
        println!("{}", std::fs::read_to_string(&path).unwrap_or_default());
        bail!("`{}` failed", shown(&command))
    };
    run(&["update"])?;
    run(&[&["install", "-y", "--no-install-recommends"], packages].concat())?;
    if packages.contains(&REDIS) && Path::new("/run/systemd/system").is_dir() {
        println!("Switching {REDIS}'s service off again: the tests start servers of their own.");
        let mut words = before.iter().copied().chain(["systemctl", "disable", "--now", REDIS]);
        // A service that goes on is no harm: no test uses its port.
        succeeds(Command::new(words.next().unwrap_or_default()).args(words));
    }
    Ok(())
}

fn is_root() -> Result<bool> {
    Ok(output_of(Command::new("id").arg("-u"))?.trim() == "0")
}

/// On other distributions the names differ: say what is needed, and let the person install it.
fn ensure_other_linux(purpose: Purpose) -> Result<()> {
    let mut missing = Vec::new();
    if !succeeds(Command::new("pkg-config").args(["--exists", "webkit2gtk-4.1"])) {
        missing.push("pkg-config and the development files of WebKitGTK 4.1 (Debian: libwebkit2gtk-4.1-dev)");
    }
    let programs = [
        (Purpose::Walk, "Xvfb", "Xvfb (Debian: xvfb)"),
        (Purpose::Walk, "WebKitWebDriver", "WebKitWebDriver (Debian: webkit2gtk-driver)"),
        (Purpose::Test, "gnome-keyring-daemon", "gnome-keyring"),
        (Purpose::Test, "dbus-run-session", "dbus"),
        (Purpose::Test, "promtool", "promtool, which comes with Prometheus"),
        (Purpose::Test, "python3", "Python 3 with its module venv"),
        (Purpose::Test, "redis-server", "a Redis server"),
        (Purpose::Test, "redis-cli", "Redis' command line"),
    ];
    let absent =
        programs.iter().filter(|(for_what, program, _)| *for_what <= purpose && !is_on_path(program));
    missing.extend(absent.map(|(_, _, name)| *name));
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join("; ");
    Err(NotInstalled(format!(
        "Install these with your distribution's package manager, then start again: {list}"
    ))
    .into())
}

fn ensure_macos(purpose: Purpose) -> Result<()> {
    if purpose == Purpose::Test && !is_on_path("redis-server") {
        bail!(NotInstalled(
            "A Redis server is missing: run `brew install redis`, then start again".to_owned()
        ));
    }
    if !succeeds(Command::new("xcode-select").arg("-p")) {
        bail!(NotInstalled(
            "The compiler is missing: run `xcode-select --install`, then start again".to_owned()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_was_removed_or_never_known_is_missing() {
        let answer = "xvfb installed\nxauth config-files\n";
        assert_eq!(not_installed(&["xvfb", "xauth", "postgresql"], answer), ["xauth", "postgresql"]);
    }

    #[test]
    fn each_purpose_needs_what_the_purposes_before_it_need() {
        assert!(wanted(Purpose::Test).contains(&"libwebkit2gtk-4.1-dev"));
        assert!(!wanted(Purpose::Build).contains(&"xvfb"));
    }
}
