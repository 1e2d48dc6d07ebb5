//! A display for windows that nobody looks at.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::process::Background;

/// Whether a window can be opened on this machine as it is.
pub fn exists() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(target_os = "linux") || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

/// A virtual display; it ends when this is dropped.
pub struct VirtualDisplay {
    server: Background,
    name: String,
}

impl VirtualDisplay {
    /// Starts one under a number that is free.
    pub fn start(log: &File) -> Result<Self> {
        let mut command = Command::new("Xvfb");
        // It writes the number that it chose to file descriptor 1, its standard output.
        command
            .args(["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"])
            .stdout(Stdio::piped());
        let mut server = Background::start(&mut command, log)?;
        let output = server.take_output().context("Xvfb has no output")?;
        let mut number = String::new();
        BufReader::new(output).read_line(&mut number)?;
        let number = number.trim();
        ensure!(!number.is_empty(), "Xvfb ended before it had a display; see its log");
        Ok(Self { name: format!(":{number}"), server })
    }

    /// As `DISPLAY` wants it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lets it run on after this program.
    pub fn keep(self) {
        self.server.keep();
    }
}
