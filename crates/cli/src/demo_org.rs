//! `shadow-sync demo-org`: a simulated Salesforce org of one's own, until it is stopped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use simulator::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_PASSWORD, DEMO_USERNAME, Options, Simulator};

use crate::context::{Context, Exit, print_line};

/// Run a simulated Salesforce org with a control page
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the org answers; a loopback address means 127.0.0.1 and ::1
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8790")]
    listen: SocketAddr,
    /// Where the Pub/Sub API answers; without --tls loopback only [default: any free port of this machine]
    #[arg(long, value_name = "ADDRESS")]
    grpc_listen: Option<SocketAddr>,
    /// Where the control page answers, loopback only [default: any free port]
    #[arg(long, value_name = "ADDRESS")]
    control_listen: Option<SocketAddr>,
    /// Speak TLS, with a certificate of a throw-away authority
    #[arg(long)]
    tls: bool,
    /// Write the throw-away authority's certificate here, for clients that must trust it
    #[arg(long, value_name = "FILE", requires = "tls")]
    ca_file: Option<PathBuf>,
    /// Serve this export (Account.csv, Product2.csv, Pricebook2.csv, PricebookEntry.csv) instead of the made-up catalogue
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Remember changes in this file, so that the org knows them when it is started again
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Products to make up
    #[arg(long, value_name = "N", default_value_t = Options::default().products)]
    products: u64,
    /// Price book entries to make up
    #[arg(long, value_name = "N", default_value_t = Options::default().prices)]
    prices: u64,
    /// Accounts to make up
    #[arg(long, value_name = "N", default_value_t = Options::default().accounts)]
    accounts: u64,
    /// The number that records and org id follow from
    #[arg(long, value_name = "N", default_value_t = Options::default().seed)]
    seed: u64,
    /// Seconds after which a quiet subscription hears that nothing changed; real orgs: 270
    #[arg(long, value_name = "SECONDS", default_value_t = 270, value_parser = clap::value_parser!(u64).range(1..=270))]
    keep_alive: u64,
    /// Change events that may be delivered in 24 hours, each counted for each subscriber
    #[arg(long, value_name = "N", default_value_t = Options::default().daily_events)]
    daily_events: u64,
    /// Grant every authorization without anybody clicking Approve
    #[arg(long)]
    auto_approve: bool,
    /// Answer each refresh with a new refresh token, and end the old one
    #[arg(long)]
    rotate_refresh_tokens: bool,
    /// A registered callback; may be repeated [default: http://localhost:8717/oauth/callback]
    #[arg(long = "callback", value_name = "URL")]
    callbacks: Vec<String>,
}

impl Args {
    fn options(&self) -> Options {
        let defaults = Options::default();
        Options {
            listen: self.listen,
            control_listen: self.control_listen,
            grpc_listen: self.grpc_listen,
            tls: self.tls,
            data: self.data.clone(),
            state: self.state.clone(),
            products: self.products,
            prices: self.prices,
            accounts: self.accounts,
            seed: self.seed,
            keep_alive: Duration::from_secs(self.keep_alive),
            daily_events: self.daily_events,
            auto_approve: self.auto_approve,
            refresh_rotation: self.rotate_refresh_tokens,
            callbacks: if self.callbacks.is_empty() { defaults.callbacks } else { self.callbacks.clone() },
            ..defaults
        }
    }
}

/// Runs `demo-org` until Ctrl-C or SIGTERM. With `--json` the first line says how to reach the org.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let simulator = Simulator::start(args.options()).await?;
    if let (Some(file), Some(pem)) = (&args.ca_file, simulator.ca_pem()) {
        std::fs::write(file, pem).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    let facts = json!({
        "base_url": simulator.base_url().as_str().trim_end_matches('/'),
        "pubsub_endpoint": simulator.grpc_url().as_str().trim_end_matches('/'),
        "control_page": simulator.control_page().as_str(),
        "org_id": simulator.org().id().as_str(),
        "client_id": DEMO_CLIENT_ID,
        "client_secret": DEMO_CLIENT_SECRET,
        "username": DEMO_USERNAME,
        "password": DEMO_PASSWORD,
    });
    let line = if context.args.json { facts.to_string() } else { for_people(&simulator, &args) };
    // The org goes on for whoever read enough.
    let _ = print_line(&line);
    if args.auto_approve {
        context.tell(
            "warning: every authorization is granted without a click; whoever reaches this port is signed in",
        );
    }
    if !args.listen.ip().is_loopback() {
        context.tell(
            "warning: the org answers to other machines as well; its secrets are printed in its source",
        );
    }
    stopped().await?;
    simulator.stop().await;
    Ok(Exit::Done)
}

fn for_people(simulator: &Simulator, args: &Args) -> String {
    let org = simulator.org();
    let records = |object: &str| org.count(object);
    let source = args.data.as_ref().map_or_else(
        || format!("made up from seed {}", args.seed),
        |folder| format!("served from {}", folder.display()),
    );
    let mut lines = vec![
        format!("Simulated org {} is running; nothing in it is real.", org.id()),
        format!("  Login host and instance  {}", simulator.base_url().as_str().trim_end_matches('/')),
        format!("  Pub/Sub API              {}", simulator.grpc_url().as_str().trim_end_matches('/')),
        format!("  Control page             {}", simulator.control_page()),
        format!("  Client id                {DEMO_CLIENT_ID}"),
        format!("  User                     {DEMO_USERNAME}"),
        format!(
            "  Records                  {} products, {} price book entries, {} accounts, {source}",
            records("Product2"),
            records("PricebookEntry"),
            records("Account"),
        ),
    ];
    if let Some(file) = &args.ca_file {
        lines.push(format!("  Certificate to trust     {}", file.display()));
    }
    lines.push("Ctrl-C stops it.".to_owned());
    lines.join("\n")
}

/// Waits for Ctrl-C, or for SIGTERM where there is one.
async fn stopped() -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be listened for")?;
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => pressed.context("Ctrl-C cannot be listened for"),
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.context("Ctrl-C cannot be listened for")
}
