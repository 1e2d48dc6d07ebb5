//! Keeps the embedded PostgreSQL of a folder running until the standard input ends, for a look with `psql`:
//!
//! ```sh
//! cargo run -p store --example embedded -- FOLDER
//! ```

#![expect(clippy::print_stdout, reason = "a tool for a developer's terminal")]

use std::io::Write;

use store::embedded::{self, EmbeddedOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data_dir = std::env::args_os().nth(1).ok_or("name the data folder")?.into();
    let server = embedded::start(EmbeddedOptions { data_dir, binaries: None }).await?;
    let how = if server.was_adopted() { "adopted" } else { "started" };
    let options = server.connect_options(embedded::DEFAULT_DATABASE);
    let folder = options.get_socket().map(|socket| socket.display().to_string()).unwrap_or_default();
    println!("{how} PostgreSQL {}", server.version());
    println!("psql 'host={folder} port={} user=shadow dbname=shadow'", options.get_port());
    println!("password in {}", server.data_dir().join("password").display());
    std::io::stdout().flush()?;
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    println!("{}", if server.stop_if_last().await? { "stopped" } else { "left running for others" });
    Ok(())
}
