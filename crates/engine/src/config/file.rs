//! Reading the file: every key known, every value of its type, every complaint with its line.

use std::path::{Path, PathBuf};

use shadow::event::ChannelName;
use store::retention::{self, Policy};
use toml_edit::{Document, Item, TableLike};

use super::{
    Config, DEFAULT_API_VERSION, DEFAULT_CATCH_UP, DEFAULT_FORMULAS, DEFAULT_PUBSUB, DEFAULT_REDIRECT,
    DEMO_CLIENT_ID, Environment, Error, Percent, reads,
};
use crate::api::environments::{EnvironmentKind, SignInFlow};

/// The keys of an environment, in the order in which the README explains them.
const KEYS: &[&str] = &[
    "kind",
    "login_url",
    "client_id",
    "sign_in",
    "redirect_url",
    "api_version",
    "pubsub_endpoint",
    "channel",
    "database_url",
    "database_direct_url",
    "redis_url",
    "currency",
    "schema",
    "auto_migrate",
    "catch_up_schedule",
    "formula_schedule",
    "time_zone",
    "quota_share",
    "quota_stop",
    "flush_delay",
    "active_first",
    "change_log_days",
    "raw_sample_hours",
    "sample_days",
    "audit_days",
    "tombstone_days",
];

/// The file in the platform's configuration folder.
pub fn default_path() -> Result<PathBuf, Error> {
    directories::ProjectDirs::from("", "", "shadow-sync")
        .map(|folders| folders.config_dir().join("config.toml"))
        .ok_or(Error::NoFolder)
}

/// Reads `path`, or the default file; a file that does not exist is an empty configuration.
pub fn load(path: Option<&Path>) -> Result<Config, Error> {
    load_with(path, &|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

/// The same with the variables given, so that tests need not change the process's own.
pub fn load_with(path: Option<&Path>, variable: &dyn Fn(&str) -> Option<String>) -> Result<Config, Error> {
    let path = match path {
        Some(path) => path.to_owned(),
        None => default_path()?,
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(Error::File { path, doing: "read", source }),
    };
    Reader { path: &path, text: &text, variable }.config()
}

/// A file on its way to a configuration.
pub(super) struct Reader<'a> {
    pub path: &'a Path,
    pub text: &'a str,
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Reader<'_> {
    fn config(&self) -> Result<Config, Error> {
        let document = Document::parse(self.text).map_err(|error| Error::Malformed {
            path: self.path.to_owned(),
            line: error.span().map_or(1, |span| self.line_at(span.start)),
            key: "the file".to_owned(),
            found: format!("is not TOML ({})", error.message().lines().next().unwrap_or("cannot be read")),
            expected: "TOML as in the README".to_owned(),
        })?;
        let mut config = Config { path: self.path.to_owned(), chosen: None, environments: Vec::new() };
        for (key, item) in document.as_table() {
            match key {
                "use" => config.chosen = Some(self.text_of(key, item)?),
                "environments" => {
                    let table = item
                        .as_table_like()
                        .ok_or_else(|| self.wrong(key, item, "tables [environments.NAME]"))?;
                    for (name, item) in table.iter() {
                        let table = item
                            .as_table_like()
                            .ok_or_else(|| self.wrong(name, item, "a table [environments.NAME]"))?;
                        config.environments.push(self.environment(name, item, table)?);
                    }
                }
                _ => return Err(self.wrong(key, item, "`use` or `environments`")),
            }
        }
        Ok(config)
    }

    fn environment(&self, name: &str, item: &Item, table: &dyn TableLike) -> Result<Environment, Error> {
        if !is_name(name) {
            return Err(self.wrong(name, item, "a name of letters, digits, `-` and `_`"));
        }
        for (key, item) in table.iter() {
            if !KEYS.contains(&key) && !reads::KEYS.contains(&key) {
                let expected = format!("one of {}, {}", KEYS.join(", "), reads::KEYS.join(", "));
                return Err(self.malformed(key, item, "is not a key of an environment", &expected));
            }
        }
        let kind = match table.get("kind") {
            Some(item) => self.kind(item)?,
            None => return Err(self.missing("kind", item, "demo, development, staging or production")),
        };
        let is_demo = kind == EnvironmentKind::Demo;
        let login_url = match self.value("login_url", table)? {
            Some(text) => self.login_url(&text, kind, table)?,
            None => return Err(self.missing("login_url", item, "the org's address")),
        };
        let client_id = match self.value("client_id", table)? {
            Some(id) => id,
            None if is_demo => DEMO_CLIENT_ID.to_owned(),
            None => {
                return Err(self.missing("client_id", item, "the consumer key of the External Client App"));
            }
        };
        let sign_in = match self.value("sign_in", table)? {
            None if is_demo => SignInFlow::ClientCredentials,
            None => SignInFlow::Browser,
            Some(text) => match text.as_str() {
                "browser" => SignInFlow::Browser,
                "jwt" => SignInFlow::Jwt,
                "client-credentials" => SignInFlow::ClientCredentials,
                _ => return Err(self.wrong_value("sign_in", table, "browser, jwt or client-credentials")),
            },
        };
        let redirect_url = self.url("redirect_url", table, DEFAULT_REDIRECT)?;
        let loopback_http = redirect_url.scheme() == "http" && redirect_url.host_str() == Some("localhost");
        if !loopback_http || redirect_url.port().is_none() {
            return Err(self.wrong_value(
                "redirect_url",
                table,
                "http://localhost:PORT/PATH, as registered with the app (127.0.0.1 is refused by Salesforce)",
            ));
        }
        let mut findings = Vec::new();
        let database = self.database(table, &mut findings)?;
        let postgres = ["postgres", "postgresql"];
        let redis =
            ["redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis-cluster", "rediss-cluster"];
        let currency = self.value("currency", table)?;
        if currency
            .as_deref()
            .is_some_and(|code| code.len() != 3 || !code.bytes().all(|b| b.is_ascii_uppercase()))
        {
            return Err(self.wrong_value("currency", table, "three capital letters such as EUR"));
        }
        let api_version = self.value("api_version", table)?.unwrap_or_else(|| DEFAULT_API_VERSION.to_owned());
        if !is_version(&api_version) {
            return Err(self.wrong_value("api_version", table, "a version such as 67.0"));
        }
        let time_zone = self.value("time_zone", table)?.unwrap_or_else(|| "UTC".to_owned());
        let catch_up_schedule = self.schedule("catch_up_schedule", DEFAULT_CATCH_UP, &time_zone, table)?;
        let formula_schedule = self.schedule("formula_schedule", DEFAULT_FORMULAS, &time_zone, table)?;
        let channel = self.value("channel", table)?;
        if channel.as_deref().is_some_and(|name| ChannelName::parse(name).is_err()) {
            return Err(self.wrong_value("channel", table, "a channel such as /data/ShadowSync__chn"));
        }
        Ok(Environment {
            name: name.to_owned(),
            kind,
            login_url,
            client_id,
            sign_in,
            redirect_url,
            api_version,
            pubsub_endpoint: self.url("pubsub_endpoint", table, DEFAULT_PUBSUB)?,
            channel,
            database,
            database_direct: self.address("database_direct_url", table, &postgres, &mut findings)?,
            redis: self.address("redis_url", table, &redis, &mut findings)?,
            currency,
            schema: self.value("schema", table)?,
            auto_migrate: self.switch("auto_migrate", table)?,
            catch_up_schedule,
            formula_schedule,
            time_zone,
            quota_share: self.share("quota_share", table)?.unwrap_or(Percent(20)),
            quota_stop: self.share("quota_stop", table)?.unwrap_or(Percent(80)),
            flush_delay: self.flush_delay(table)?,
            active_first: self.switch("active_first", table)?,
            retention: self.retention(table)?,
            reads: self.reads(table)?,
            findings,
        })
    }

    /// How long what is kept.
    fn retention(&self, table: &dyn TableLike) -> Result<Policy, Error> {
        let usual = Policy::default();
        Ok(Policy {
            change_log_days: self.span(
                "change_log_days",
                usual.change_log_days,
                retention::FEWEST_LOG_DAYS,
                table,
            )?,
            raw_sample_hours: self.span("raw_sample_hours", usual.raw_sample_hours, 1, table)?,
            sample_days: self.span("sample_days", usual.sample_days, 1, table)?,
            audit_days: self.span("audit_days", usual.audit_days, 1, table)?,
            tombstone_days: self.span("tombstone_days", usual.tombstone_days, 1, table)?,
        })
    }

    fn kind(&self, item: &Item) -> Result<EnvironmentKind, Error> {
        match self.text_of("kind", item)?.as_str() {
            "demo" => Ok(EnvironmentKind::Demo),
            "development" => Ok(EnvironmentKind::Development),
            "staging" => Ok(EnvironmentKind::Staging),
            "production" => Ok(EnvironmentKind::Production),
            _ => Err(self.wrong("kind", item, "demo, development, staging or production")),
        }
    }
}

/// Whether a name can be an environment's: it stands in commands, file names and headings.
pub(super) fn is_name(name: &str) -> bool {
    (1..=60).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn is_version(text: &str) -> bool {
    text.strip_suffix(".0").is_some_and(|major| {
        (2..=3).contains(&major.len()) && major.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, variables: &[(&str, &str)]) -> Result<Config, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        load_with(Some(&path), &|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    const STAGING: &str = r#"
[environments.staging]
kind = "staging"
login_url = "https://test.salesforce.com"
client_id = "3MVG9"
database_url = "postgres://shadow:hush@db/shop"
"#;

    #[test]
    fn defaults_fill_what_the_file_leaves_out() {
        let config = read(STAGING, &[]).unwrap();
        let staging = config.meant(None).unwrap();
        assert_eq!(staging.sign_in, SignInFlow::Browser);
        assert_eq!(staging.redirect_url.as_str(), DEFAULT_REDIRECT);
        assert_eq!(staging.api_version, "67.0");
    }

    #[test]
    fn a_password_in_the_file_is_a_finding_and_is_not_printed() {
        let config = read(STAGING, &[]).unwrap();
        assert_eq!(config.environments[0].findings.len(), 1);
        assert!(!format!("{config:?}").contains("hush"));
    }

    #[test]
    fn a_variable_overrides_the_file() {
        let config = read(STAGING, &[("SHADOW_SYNC_API_VERSION", "66.0")]).unwrap();
        assert_eq!(config.environments[0].api_version, "66.0");
        let error = read(STAGING, &[("SHADOW_SYNC_API_VERSION", "new")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "SHADOW_SYNC_API_VERSION cannot be used; expected a version such as 67.0"
        );
    }

    #[test]
    fn a_complaint_names_file_line_key_and_what_was_expected() {
        let text = STAGING.replace("\"staging\"", "\"stagin\"");
        let error = read(&text, &[]).unwrap_err().to_string();
        assert!(
            error.contains("config.toml, line 3: `kind` is a string that cannot be used; expected demo,"),
            "{error}"
        );
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let text = format!("{STAGING}databse = \"x\"\n");
        let error = read(&text, &[]).unwrap_err().to_string();
        assert!(error.contains("line 7: `databse` is not a key of an environment"), "{error}");
    }

    #[test]
    fn broken_toml_names_its_line() {
        let error = read("[environments.a]\nkind = \n", &[]).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }

    #[test]
    fn http_is_for_localhost_in_demo_and_development_only() {
        let with = |kind: &str, url: &str| {
            read(
                &format!("[environments.a]\nkind = \"{kind}\"\nlogin_url = \"{url}\"\nclient_id = \"x\"\n"),
                &[],
            )
        };
        assert!(with("demo", "http://localhost:8790").is_ok());
        assert!(with("development", "http://127.0.0.1:8790").is_ok());
        assert!(with("staging", "http://localhost:8790").is_err());
        assert!(with("demo", "http://example.com").is_err());
    }

    #[test]
    fn schedules_channels_and_shares_are_read_and_what_cannot_be_is_refused() {
        let with = |line: &str| read(&format!("{STAGING}{line}\n"), &[]);
        let staging =
            with("time_zone = \"Europe/Berlin\"\nquota_share = 0.1").unwrap().environments.remove(0);
        assert_eq!((staging.quota_share.of_one(), staging.quota_stop.of_one()), (0.1, 0.8));
        assert_eq!(staging.catch_up_schedule, "30 2 * * *");
        for line in [
            "time_zone = \"Mars/Olympus\"",
            "catch_up_schedule = \"daily\"",
            "channel = \"ShadowSync\"",
            "pubsub_endpoint = \"http://events.example:7443\"",
            "quota_share = 1.5",
            "read_connections = 0",
        ] {
            let key = line.split(' ').next().unwrap();
            let error = with(line).unwrap_err().to_string();
            assert!(error.contains(&format!("line 7: `{key}`")), "{error}");
        }
    }

    #[test]
    fn production_is_never_implied_among_several() {
        let text = format!(
            "use = \"live\"\n{STAGING}\n[environments.live]\nkind = \"production\"\nlogin_url = \"https://login.salesforce.com\"\nclient_id = \"x\"\n"
        );
        let config = read(&text, &[]).unwrap();
        let error = config.meant(None).unwrap_err().to_string();
        assert_eq!(error, "several environments are configured (staging, live); name one with --env");
        assert_eq!(config.meant(Some("live")).unwrap().name, "live");
    }
}
