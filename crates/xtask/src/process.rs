//! Running another program: its output goes to a log file, line by line, and to whoever listens.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

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

/// A command as a person would type it.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Whether a program of this name is on the search path.
pub fn is_on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| is_file(&folder.join(program))))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_streams_reach_the_listener_in_order_and_a_failure_is_told() {
        let mut seen = Vec::new();
        let mut log = tempfile();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; echo three; exit 4"]);
        let success = run_logged(&mut command, &mut log, |line| seen.push(line.to_owned())).unwrap();
        assert!(!success);
        assert_eq!(seen, ["one", "two", "three"]);
    }

    fn tempfile() -> File {
        File::create(std::env::temp_dir().join(format!("xtask-process-{}.log", std::process::id()))).unwrap()
    }
}
