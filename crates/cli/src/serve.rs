//! `shadow-sync serve`: the daemon. It keeps the tables live, and tells over HTTP how it is.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use engine::api::environments;
use engine::api::sign_in::{self, SignInState};
use engine::{Engine, HostName, Problem};
use serde_json::json;
use tokio::net::TcpListener;

use crate::context::{Context, Exit, print_line};
use crate::http::{self, Gate, Reach, Server, Shown, TOKEN_VARIABLE};

/// How long requests that run may take to end when the server stops.
const PATIENCE: Duration = Duration::from_secs(5);

/// The database does not answer, has no room for us or for data, or only reads for now: it may again without anybody
/// changing anything here. The engine keeps trying; everything else needs a person before a daemon makes sense.
const MENDED_BY_WAITING: [&str; 4] = ["SS-3002", "SS-3003", "SS-3004", "SS-3007"];

/// Keep the shadow tables live: receive, apply, catch up by the clock; serve metrics and health
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Answers GET /v1/products/{sku}, /v1/products, /v1/prices and /v1/accounts/{id}/eligibility from the cache, the shadow or \
Salesforce (described at /v1/openapi.json), /metrics (Prometheus), /health (200 while the copy can be relied on, else 503) \
and /health/queue.

The first SIGTERM or Ctrl-C drains: events that were received are stored, what runs comes to its end, the stream is \
handed over; exit 0. The second stops at once (exit 130), which loses nothing either: every step is one commit.

Two or more may run on one environment: one streams, and another takes over within 10 s when it is gone.

Off loopback it wants TLS, or --behind-proxy, and SHADOW_SYNC_READ_TOKEN, which callers send as a bearer token. The Host \
header must be an address of digits, localhost, or a name given by --host.")]
pub struct Args {
    /// Where to answer
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8770")]
    listen: SocketAddr,
    /// Speak TLS with this certificate and its chain, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// A proxy that ends TLS is the only one who reaches this address
    #[arg(long)]
    behind_proxy: bool,
    /// A further name in the Host header that is answered; may be repeated
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
}

/// Runs until a signal.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let has_tls = args.tls_cert.is_some();
    let reach = Reach { ip: args.listen.ip(), has_tls, is_behind_proxy: args.behind_proxy };
    let gate = match Gate::new(reach, &args.hosts, std::env::var(TOKEN_VARIABLE).ok()) {
        Ok(gate) => gate,
        Err(refusal) => {
            context.tell_error(&refusal.into());
            return Ok(Exit::WrongUsage);
        }
    };
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Some(http::acceptor(certificate, key)?),
        _ => None,
    };
    // Before anything is opened: a second daemon with the same address ends here, having touched nothing.
    let listener = TcpListener::bind(args.listen).await.with_context(|| {
        format!("{} cannot be listened on; --listen ADDRESS chooses another", args.listen)
    })?;
    let mut signals = Signals::heard()?;

    let engine = context.engine_of(HostName::Daemon);
    environments::open_meant(&engine, context.args.env.as_deref()).await?;
    let shown = Shown::new(engine.clone());
    let server = Server::start(listener, tls, http::router(shown.clone(), gate))?;
    tell_where(&server, has_tls, &engine, context)?;

    let exit = until_stopped(&engine, &shown, &mut signals).await;
    server.stop(PATIENCE).await;
    exit
}

/// Works until the first signal, then drains; the second cuts that short.
async fn until_stopped(engine: &Engine, shown: &Shown, signals: &mut Signals) -> anyhow::Result<Exit> {
    let problem = tokio::select! {
        problem = work(engine) => Some(problem),
        () = signals.next() => None,
    };
    tracing::info!("draining");
    shown.drains();
    tokio::select! {
        () = engine.shutdown() => {}
        () = signals.next() => {
            tracing::warn!("stopped before everything was drained");
            return Ok(Exit::Interrupted);
        }
    }
    match problem {
        Some(problem) => Err(problem.into()),
        None => Ok(Exit::Done),
    }
}

/// Looks how the engine begins, and ends only if it cannot begin: its own tasks do the work.
async fn work(engine: &Engine) -> Box<Problem> {
    let environment = match engine.environment() {
        Ok(environment) => environment,
        Err(problem) => return problem,
    };
    if let Err(problem) = environment.store().await {
        if !MENDED_BY_WAITING.contains(&problem.code.as_str()) {
            return problem;
        }
        tracing::error!(problem.code = problem.code, "{}; it is tried again", problem.title);
    }
    match sign_in::resumed(engine).await {
        SignInState::Failed { problem } => {
            tracing::error!(problem.code = problem.code, "not signed in: {}", problem.to_text());
        }
        SignInState::SignedOut => {
            tracing::error!(
                "nobody is signed in: run `shadow-sync login` on this machine, or configure `jwt`"
            );
        }
        _ => {}
    }
    std::future::pending().await
}

/// Says where it answers, once it does: one line, JSON if asked.
fn tell_where(server: &Server, has_tls: bool, engine: &Engine, context: &Context) -> anyhow::Result<()> {
    let environment = engine.environment()?;
    let address = format!("{}://{}", if has_tls { "https" } else { "http" }, server.address());
    let is_simulated = environment.config().is_demo();
    let line = if context.args.json {
        let facts = json!({
            "listening": address,
            "environment": environment.name(),
            "isSimulated": is_simulated,
        });
        facts.to_string()
    } else {
        let simulated = if is_simulated { ", a simulated org" } else { "" };
        format!(
            "Keeping {}{simulated} live. Metrics and health at {address}. Ctrl-C drains and ends.",
            environment.name()
        )
    };
    // A daemon goes on whether or not somebody reads it.
    let _ = print_line(&line);
    Ok(())
}

/// Ctrl-C, and SIGTERM where there is one.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// Hears them from now on; before, they would end the process.
    #[cfg(unix)]
    fn heard() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("SIGTERM cannot be listened for")?,
            interrupt: signal(SignalKind::interrupt()).context("Ctrl-C cannot be listened for")?,
        })
    }

    #[cfg(not(unix))]
    fn heard() -> anyhow::Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next one.
    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
