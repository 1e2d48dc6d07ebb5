//! One program, measured while it runs: its time, its peak memory, and what it wrote.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::process::shown;

/// What a run took.
#[derive(Debug)]
pub struct Measured {
    /// From start to end.
    pub wall: Duration,
    /// The most memory that the process itself held, in bytes; 0 where the system does not tell.
    pub peak_bytes: u64,
    /// Its standard output.
    pub output: String,
}

/// Runs `command` to its end; an error with its words if it fails.
pub fn run(command: &mut Command) -> Result<Measured> {
    let begun = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{}` could not be started", shown(command)))?;
    let number = child.id();
    let mut peak_bytes = 0;
    while child.try_wait()?.is_none() {
        // The system keeps the peak itself; it only has to be read before the process is gone.
        peak_bytes = peak_bytes.max(peak_of(number));
        std::thread::sleep(Duration::from_millis(20));
    }
    let wall = begun.elapsed();
    let answer = child.wait_with_output()?;
    let words = String::from_utf8_lossy(&answer.stderr);
    ensure!(answer.status.success(), "`{}` failed: {}", shown(command), words.trim());
    Ok(Measured { wall, peak_bytes, output: String::from_utf8_lossy(&answer.stdout).into_owned() })
}

fn peak_of(process: u32) -> u64 {
    std::fs::read_to_string(format!("/proc/{process}/status")).map_or(0, |text| parse_peak(&text))
}

fn parse_peak(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes =
        line.and_then(|rest| rest.trim().strip_suffix("kB")).and_then(|number| number.trim().parse().ok());
    kilobytes.unwrap_or(0_u64) * 1024
}

/// How long one write of a database page takes until it is safe on this disk, on average.
pub fn fsync_time(folder: &Path) -> Result<Duration> {
    const WRITES: u32 = 50;
    let path = folder.join("fsync");
    let mut file = File::create(&path)?;
    let begun = Instant::now();
    for _ in 0..WRITES {
        file.write_all(&[0; 8192])?;
        file.sync_data()?;
    }
    let took = begun.elapsed() / WRITES;
    std::fs::remove_file(path)?;
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_in_bytes() {
        assert_eq!(parse_peak("Name:\tx\nVmPeak:\t  99 kB\nVmHWM:\t    2048 kB\n"), 2 * 1024 * 1024);
        assert_eq!(parse_peak("Name:\tx\n"), 0);
    }
}
