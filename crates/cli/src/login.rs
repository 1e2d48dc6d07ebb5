//! `shadow-sync login` and `logout`.

use engine::api::environments::{self, SignInFlow};
use engine::api::sign_in::{self, OrgView, SignInState};
use engine::{Engine, Problem};

use crate::context::{Context, Exit};
use crate::env::{Flow, flow_word};
use crate::words::thousands;

/// Sign in to the org
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sign in another way than configured; if it works, the environment uses it from then on
    #[arg(long, value_enum)]
    flow: Option<Flow>,
    /// Print the address instead of opening the browser
    #[arg(long)]
    no_open: bool,
}

/// Sign out of the org, and forget the sign-in on this machine
#[derive(Debug, clap::Args)]
pub struct LogoutArgs {}

/// Runs `login`.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.open_unmigrated().await?;
    sign_in(&args, context, &engine).await
}

/// Runs `logout`.
pub async fn logout(_args: LogoutArgs, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.open_unmigrated().await?;
    sign_in::sign_out(&engine).await?;
    context.print(&"signed out", || {
        "Signed out: revoked in Salesforce, forgotten on this machine.".to_owned()
    })?;
    Ok(Exit::Done)
}

async fn sign_in(args: &Args, context: &Context, engine: &Engine) -> anyhow::Result<Exit> {
    let flow = args.flow.map(SignInFlow::from);
    let state = sign_in::start(engine, flow).await?;
    if let SignInState::WaitingForBrowser { authorize_url, .. } = &state {
        show_page(args, context, authorize_url);
    }
    let mut keychain_told = false;
    let state = loop {
        tokio::select! {
            state = sign_in::settled(engine) => break state,
            signal = tokio::signal::ctrl_c() => {
                signal?;
                sign_in::cancel(engine).await;
                context.tell("The sign-in was cancelled. Nothing has changed.");
                return Ok(Exit::Interrupted);
            }
            () = tokio::time::sleep(std::time::Duration::from_millis(500)), if !keychain_told => {
                if sign_in::state(engine) == SignInState::WaitingForKeychain {
                    context.tell("The keychain has been asked and has not answered: look for its window.");
                    keychain_told = true;
                }
            }
        }
    };
    match &state {
        SignInState::SignedIn { org, flow: used, kept } => {
            if let Some(flow) = flow {
                remember(context, engine, flow)?;
            }
            context.print(&state, || text(org, *used, *kept))?;
            Ok(Exit::Done)
        }
        SignInState::Failed { problem } => Err(problem.clone().into()),
        _ => Err(Problem::from(salesforce::Error::SignInNeeded).into()),
    }
}

/// Opens the page, or prints its address where a person asked for that or no browser can be opened.
fn show_page(args: &Args, context: &Context, authorize_url: &str) {
    let opened = !args.no_open && opener::open_browser(authorize_url).is_ok();
    if opened {
        context.tell("The browser shows the org's page. Approve there; Ctrl-C gives up.");
        context.tell("If no page opened, open this address:");
    } else {
        context.tell("Open this address in a browser on this machine, and approve there; Ctrl-C gives up:");
    }
    context.tell(authorize_url);
}

fn remember(context: &Context, engine: &Engine, flow: SignInFlow) -> anyhow::Result<()> {
    let name = engine.environment()?.name().to_owned();
    if environments::use_flow(engine, &name, flow)? {
        context.tell(&format!("{name} signs in by {} from now on.", flow_word(flow)));
    }
    Ok(())
}

fn text(org: &OrgView, flow: SignInFlow, kept: bool) -> String {
    let mut lines = vec![format!("Signed in to {} as {}.", org.org_name, org.username)];
    let mut facts = vec![org.org_id.clone()];
    facts.extend(org.edition.clone());
    if org.is_sandbox {
        facts.push("sandbox".to_owned());
    }
    if org.is_simulated {
        facts.push("simulated org".to_owned());
    }
    lines.push(format!("Org: {}", facts.join(", ")));
    lines.push(format!("Data: {}, API version {}", org.instance_url, org.api_version));
    lines.push(match (&org.currency, org.is_multi_currency) {
        (_, true) => "Currency: each record names its own".to_owned(),
        (Some(code), false) => format!("Currency: {code}"),
        (None, false) => "Currency: the org does not say; set `currency` in the configuration".to_owned(),
    });
    if let Some(usage) = org.api_usage {
        lines.push(format!("API calls: {} of {} today", thousands(usage.used), thousands(usage.max)));
    }
    lines.push(match (flow, kept) {
        (SignInFlow::Browser, true) => "The keychain keeps this sign-in.".to_owned(),
        (SignInFlow::Browser, false) => "No keychain keeps this sign-in: it ends with this command. A program that runs without a person signs in by jwt or client-credentials.".to_owned(),
        (SignInFlow::Jwt | SignInFlow::ClientCredentials, _) => {
            "Nothing is kept: every start signs in anew.".to_owned()
        }
    });
    lines.join("\n")
}
