//! `shadow-sync env`: the environments of the configuration file.

use engine::api::environments::{self, EnvironmentKind, EnvironmentView, NewEnvironment, SignInFlow};

use crate::context::{Context, Exit};
use crate::words::table;

/// Look at environments, add, remove and choose them
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// List the environments
    List,
    /// Add an environment
    Add(AddArgs),
    /// Take an environment out of the configuration; its database and its org stay as they are
    Remove {
        /// The environment
        name: String,
    },
    /// Choose the environment that the console opens
    Use {
        /// The environment
        name: String,
    },
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    /// The name: letters, digits, `-` and `_`
    name: String,
    /// What it is for [default: what the address suggests]
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// The org's address, as pasted from a browser: login host, My Domain, any page of the org
    #[arg(long, value_name = "URL")]
    login_url: String,
    /// The consumer key of the External Client App; a demo has its own
    #[arg(long, value_name = "KEY")]
    client_id: Option<String>,
    /// How it signs in [default: browser; client-credentials for a demo]
    #[arg(long, value_enum, value_name = "FLOW")]
    sign_in: Option<Flow>,
    /// One of the app's registered callbacks [default: http://localhost:8717/oauth/callback]
    #[arg(long, value_name = "URL")]
    redirect_url: Option<String>,
    /// `embedded` or the address of a PostgreSQL database, without a password [default: embedded]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// The address of a Redis server, without a password [default: no cache]
    #[arg(long, value_name = "URL")]
    redis_url: Option<String>,
    /// The currency, only where the org does not say it
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
}

/// What an environment is for.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// A simulated org on a database of its own
    Demo,
    /// A developer's org
    Development,
    /// A sandbox that rehearses production
    Staging,
    /// The org that customers feel
    Production,
}

impl From<Kind> for EnvironmentKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Demo => Self::Demo,
            Kind::Development => Self::Development,
            Kind::Staging => Self::Staging,
            Kind::Production => Self::Production,
        }
    }
}

/// A way of signing in, as it is named in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Flow {
    /// By the system browser; the keychain keeps the sign-in
    Browser,
    /// By a signed assertion; nothing is kept
    Jwt,
    /// By the app's own id and secret; nothing is kept
    ClientCredentials,
}

impl From<Flow> for SignInFlow {
    fn from(flow: Flow) -> Self {
        match flow {
            Flow::Browser => Self::Browser,
            Flow::Jwt => Self::Jwt,
            Flow::ClientCredentials => Self::ClientCredentials,
        }
    }
}

/// Runs `env`.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let engine = context.engine();
    match args.act {
        Act::List => {
            let environments = environments::list(&engine)?;
            let chosen = engine.config()?.chosen;
            context.print(&environments, || list(&environments, chosen.as_deref()))?;
        }
        Act::Add(add) => {
            let added = environments::add(&engine, add.into_new()?)?;
            context.print(&added, || {
                let next = if added.is_simulated { "backfill" } else { "login" };
                format!(
                    "Added {} ({}), {}.\nNext: shadow-sync --env {} {next}",
                    added.name,
                    kind_word(added.kind),
                    added.login_url,
                    added.name
                )
            })?;
        }
        Act::Remove { name } => {
            environments::remove(&engine, &name).await?;
            context.print(&name, || {
                format!("Removed {name} from the configuration. Its database and its org stay as they are.")
            })?;
        }
        Act::Use { name } => {
            environments::choose(&engine, &name)?;
            context.print(&name, || {
                format!("The console opens {name}. Production must still be named in every command.")
            })?;
        }
    }
    Ok(Exit::Done)
}

impl AddArgs {
    fn into_new(self) -> anyhow::Result<NewEnvironment> {
        let kind = match self.kind {
            Some(kind) => kind.into(),
            None => environments::recognise(&self.login_url)?.proposed_kind,
        };
        Ok(NewEnvironment {
            name: self.name,
            kind,
            login_url: self.login_url,
            client_id: self.client_id,
            sign_in: self.sign_in.map(Into::into),
            redirect_url: self.redirect_url,
            database_url: self.database_url,
            redis_url: self.redis_url,
            currency: self.currency,
        })
    }
}

fn list(environments: &[EnvironmentView], chosen: Option<&str>) -> String {
    if environments.is_empty() {
        return "No environment yet. Add one with `shadow-sync env add`, or try `shadow-sync demo-org`."
            .to_owned();
    }
    let mut rows = vec![["", "Name", "Kind", "Org", "Signs in by", "Database"].map(str::to_owned).to_vec()];
    for environment in environments {
        let is_chosen = environments.len() > 1 && chosen == Some(environment.name.as_str());
        rows.push(vec![
            if is_chosen { "*" } else { "" }.to_owned(),
            environment.name.clone(),
            kind_word(environment.kind).to_owned(),
            environment.login_url.clone(),
            flow_word(environment.sign_in).to_owned(),
            environment.database.clone(),
        ]);
    }
    table(&rows, &[])
}

fn kind_word(kind: EnvironmentKind) -> &'static str {
    match kind {
        EnvironmentKind::Demo => "demo, simulated org",
        EnvironmentKind::Development => "development",
        EnvironmentKind::Staging => "staging",
        EnvironmentKind::Production => "production",
    }
}

/// A way of signing in, as it is named in the configuration.
pub fn flow_word(flow: SignInFlow) -> &'static str {
    match flow {
        SignInFlow::Browser => "browser",
        SignInFlow::Jwt => "jwt",
        SignInFlow::ClientCredentials => "client-credentials",
    }
}
