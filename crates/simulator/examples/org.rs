//! Runs a simulated org until its standard input ends, and prints one line of JSON that says how to reach it.
//!
//! `cargo run -p simulator --example org -- [--tls] [--auto-approve] [--products N] [--prices N] [--accounts N]
//! [--bulk-page-cap N] [--data DIR] [--listen ADDRESS] [--grpc-listen ADDRESS] [--keep-alive SECONDS]
//! [--ca-file FILE]`
#![expect(clippy::print_stdout, reason = "the line of JSON is what this program is for")]

use std::{env, error::Error, fs, time::Duration};

use simulator::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_PASSWORD, DEMO_USERNAME, Options, Simulator};
use tokio::io::{AsyncReadExt, stdin};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut options = Options::default();
    let mut ca_file = None;
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--tls" => options.tls = true,
            "--auto-approve" => options.auto_approve = true,
            "--single-currency" => options.multi_currency = false,
            "--products" => options.products = value()?.parse()?,
            "--prices" => options.prices = value()?.parse()?,
            "--accounts" => options.accounts = value()?.parse()?,
            "--bulk-page-cap" => options.bulk_page_cap = Some(value()?.parse()?),
            "--data" => options.data = Some(value()?.into()),
            "--listen" => options.listen = value()?.parse()?,
            "--grpc-listen" => options.grpc_listen = Some(value()?.parse()?),
            "--keep-alive" => options.keep_alive = Duration::from_secs(value()?.parse()?),
            "--ca-file" => ca_file = Some(value()?),
            other => return Err(format!("{other} is not known").into()),
        }
    }
    let simulator = Simulator::start(options).await?;
    if let (Some(file), Some(pem)) = (&ca_file, simulator.ca_pem()) {
        fs::write(file, pem)?;
    }
    let facts = serde_json::json!({
        "base_url": simulator.base_url().as_str().trim_end_matches('/'),
        "pubsub_endpoint": simulator.grpc_url().as_str().trim_end_matches('/'),
        "control_page": simulator.control_page().as_str(),
        "org_id": simulator.org().id().as_str(),
        "client_id": DEMO_CLIENT_ID,
        "client_secret": DEMO_CLIENT_SECRET,
        "username": DEMO_USERNAME,
        "password": DEMO_PASSWORD,
    });
    println!("{facts}");
    // Whoever started it keeps the pipe open for as long as the org is wanted.
    let mut rest = Vec::new();
    stdin().read_to_end(&mut rest).await?;
    simulator.stop().await;
    Ok(())
}
