//! Running other programs: to their end with a log, or in the background until they are no longer needed.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Runs `command` to its end. Returns whether it succeeded.
///
/// Both of its streams go to `log` in the order in which they were written; `on_line` sees each line as it comes.
pub fn run_logged(command: &mut Command, log: &mut File, mut on_line: impl FnMut(&str)) -> Result<bool> {
    writeln!(log, "$ {}", shown(command))?;
    let (reader, writer) = std::io::pipe().context("no pipe could be made")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().with_context(|| format!("`{}` could not be started", shown(command)))?;
    // The command still holds our copies of the pipe's writing end; the reader ends only when they are gone.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut lines = BufReader::new(reader);
    let mut raw = Vec::new();
    while lines.read_until(b'\n', &mut raw)? > 0 {
        log.write_all(&raw)?;
        on_line(String::from_utf8_lossy(&raw).trim_end());
        raw.clear();
    }
    Ok(child.wait()?.success())
}

/// Runs `command` to its end with our own terminal; an error if it fails.
pub fn run_shown(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command.status().with_context(|| format!("`{}` could not be started", shown(command)))?;
    ensure!(status.success(), "`{}` failed ({status})", shown(command));
    Ok(())
}

/// Runs `command` to its end. Returns what it wrote to its standard output; an error with its words if it fails.
pub fn output_of(command: &mut Command) -> Result<String> {
    let answer = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("`{}` could not be started", shown(command)))?;
    let words = String::from_utf8_lossy(&answer.stderr);
    ensure!(answer.status.success(), "`{}` failed: {}", shown(command), words.trim());
    Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
}

/// Whether `command` starts and succeeds; what it writes is thrown away.
pub fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// A command as a person would type it.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Whether a program of this name is on the search path.
pub fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps some programs where only root's path leads.
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| is_file(&folder.join(program)))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file())
}

/// A program that runs until this is dropped.
///
/// It stays in our process group, so that Ctrl-C in a terminal reaches it too.
pub struct Background {
    child: Child,
}

impl Background {
    /// Starts it; what it writes goes to `log`.
    pub fn start(command: &mut Command, log: &File) -> Result<Self> {
        command.stdin(Stdio::null()).stderr(log.try_clone()?);
        let child = command.spawn().with_context(|| format!("`{}` could not be started", shown(command)))?;
        Ok(Self { child })
    }

    /// Its standard output, if it was piped.
    pub fn take_output(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Lets it run on after this program.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // First the polite way: a display that is killed leaves its lock file behind.
        let _ = succeeds(Command::new("kill").arg(self.child.id().to_string()));
        for _ in 0..50 {
            if self.has_ended() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_streams_reach_the_listener_in_order_and_a_failure_is_told() {
        let mut seen = Vec::new();
        let mut log = log_of("streams");
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; echo three; exit 4"]);
        let success = run_logged(&mut command, &mut log, |line| seen.push(line.to_owned())).unwrap();
        assert!(!success);
        assert_eq!(seen, ["one", "two", "three"]);
    }

    #[test]
    fn a_background_program_ends_with_its_handle() {
        let mut command = Command::new("sleep");
        let program = Background::start(command.arg("60"), &log_of("background")).unwrap();
        let number = program.child.id().to_string();
        drop(program);
        assert!(!succeeds(Command::new("kill").args(["-0", &number])));
    }

    fn log_of(name: &str) -> File {
        File::create(std::env::temp_dir().join(format!("xtask-{name}-{}.log", std::process::id()))).unwrap()
    }
}
