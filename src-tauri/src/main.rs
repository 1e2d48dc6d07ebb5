//! The console: one window over the engine.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

use std::process::ExitCode;

fn main() -> ExitCode {
    match shadow_sync_desktop::run(std::env::args_os().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write;
            // The last words of a program that has no window to say them in.
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::from(3)
        }
    }
}
