//! Reading one value: the variable where it is set, else the file's; refused with what would be right.

use secrecy::SecretString;
use toml_edit::{Item, TableLike};
use url::Url;

use super::cache::one_host;
use super::file::Reader;
use super::{Address, Database, Error, Finding, Percent};
use crate::api::environments::EnvironmentKind;
use crate::clockwork::{Clockwork, InvalidSchedule};

/// The longest that anything can be kept: a hundred years in days, and four in hours.
const LONGEST: u32 = 36_500;

impl Reader<'_> {
    pub(super) fn login_url(
        &self,
        text: &str,
        kind: EnvironmentKind,
        table: &dyn TableLike,
    ) -> Result<Url, Error> {
        let url = Url::parse(text).map_err(|_| {
            self.wrong_value("login_url", table, "an address such as https://test.salesforce.com")
        })?;
        let is_loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let may_be_loopback = matches!(kind, EnvironmentKind::Demo | EnvironmentKind::Development);
        match url.scheme() {
            "https" if url.has_host() => Ok(url),
            "http" if is_loopback && may_be_loopback => Ok(url),
            _ => Err(self.wrong_value(
                "login_url",
                table,
                "an https:// address (http only for localhost, in kinds demo and development)",
            )),
        }
    }

    pub(super) fn database(
        &self,
        table: &dyn TableLike,
        findings: &mut Vec<Finding>,
    ) -> Result<Database, Error> {
        let is_overridden = (self.variable)("SHADOW_SYNC_DATABASE_URL").is_some();
        let text = self.value("database_url", table)?;
        match text.as_deref() {
            None | Some("embedded") => Ok(Database::Embedded),
            Some(text) => {
                let schemes = ["postgres", "postgresql"];
                let mut address = Address::parse(text, &schemes).map_err(|expected| {
                    self.wrong_value("database_url", table, &format!("`embedded` or {expected}"))
                })?;
                if address.has_password() && !is_overridden {
                    findings.push(password_finding("database_url", "SHADOW_SYNC_DATABASE_PASSWORD"));
                }
                if let Some(password) = (self.variable)("SHADOW_SYNC_DATABASE_PASSWORD") {
                    address = address.with_password(SecretString::from(password));
                }
                Ok(Database::Url(address))
            }
        }
    }

    pub(super) fn address(
        &self,
        key: &str,
        table: &dyn TableLike,
        schemes: &[&str],
        findings: &mut Vec<Finding>,
    ) -> Result<Option<Address>, Error> {
        let Some(mut text) = self.value(key, table)? else { return Ok(None) };
        let known = schemes.iter().any(|scheme| text.starts_with(&format!("{scheme}://")));
        if key == "redis_url" && known {
            text = one_host(&text).map_err(|expected| self.wrong_value(key, table, &expected))?;
        }
        let mut address =
            Address::parse(&text, schemes).map_err(|expected| self.wrong_value(key, table, &expected))?;
        let variable =
            if key == "redis_url" { "SHADOW_SYNC_REDIS_PASSWORD" } else { "SHADOW_SYNC_DATABASE_PASSWORD" };
        if address.has_password() && (self.variable)(&variable_of(key)).is_none() {
            findings.push(password_finding(key, variable));
        }
        if let Some(password) = (self.variable)(variable) {
            address = address.with_password(SecretString::from(password));
        }
        Ok(Some(address))
    }

    pub(super) fn url(&self, key: &str, table: &dyn TableLike, default: &str) -> Result<Url, Error> {
        let text = self.value(key, table)?.unwrap_or_else(|| default.to_owned());
        let is_loopback = |url: &Url| matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        Url::parse(&text)
            .ok()
            .filter(|url| url.has_host() && (url.scheme() == "https" || is_loopback(url)))
            .ok_or_else(|| {
                let expected = format!("an address such as {default} (http only for this machine)");
                self.wrong_value(key, table, &expected)
            })
    }

    /// A cron expression, in the environment's time zone.
    pub(super) fn schedule(
        &self,
        key: &str,
        default: &str,
        time_zone: &str,
        table: &dyn TableLike,
    ) -> Result<String, Error> {
        let cron = self.value(key, table)?.unwrap_or_else(|| default.to_owned());
        match Clockwork::parse(&cron, time_zone) {
            Ok(_) => Ok(cron),
            Err(InvalidSchedule::Cron(_)) => Err(self.wrong_value(
                key,
                table,
                &format!("a cron expression of five fields such as {default}"),
            )),
            Err(InvalidSchedule::Never(_)) => {
                Err(self.wrong_value(key, table, "a cron expression that comes some day"))
            }
            Err(InvalidSchedule::TimeZone(_)) => {
                Err(self.wrong_value("time_zone", table, "a time zone such as Europe/Berlin"))
            }
        }
    }

    /// A whole number.
    pub(super) fn count(&self, key: &str, table: &dyn TableLike) -> Result<Option<u32>, Error> {
        let Some(number) = self.number(key, table)? else { return Ok(None) };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was looked at")]
        let count = (number.fract() == 0.0 && (0.0..1e9).contains(&number)).then_some(number as u32);
        count.map(Some).ok_or_else(|| self.wrong_value(key, table, "a whole number"))
    }

    /// A number.
    pub(super) fn number(&self, key: &str, table: &dyn TableLike) -> Result<Option<f64>, Error> {
        let number = match (self.variable)(&variable_of(key)) {
            Some(text) => text.parse::<f64>().ok(),
            None => match table.get(key) {
                None => return Ok(None),
                Some(item) => item.as_float().or_else(|| item.as_integer().map(|number| number as f64)),
            },
        };
        number.map(Some).ok_or_else(|| self.wrong_value(key, table, "a number"))
    }

    /// A share of the org's quota: a number above 0 and up to 1.
    pub(super) fn share(&self, key: &str, table: &dyn TableLike) -> Result<Option<Percent>, Error> {
        let share = match (self.variable)(&variable_of(key)) {
            Some(text) => text.parse::<f64>().ok(),
            None => match table.get(key) {
                None => return Ok(None),
                Some(item) => item.as_float(),
            },
        };
        let percent =
            share.map(|share| (share * 100.0).round()).filter(|percent| (1.0..=100.0).contains(percent));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it lies between 1 and 100"
        )]
        let percent = percent.map(|percent| Percent(percent as u8));
        percent.map(Some).ok_or_else(|| self.wrong_value(key, table, "a share such as 0.2"))
    }

    /// How long something is kept, in a unit that the key names: a whole number, not below `least`.
    pub(super) fn span(
        &self,
        key: &str,
        default: u32,
        least: u32,
        table: &dyn TableLike,
    ) -> Result<u32, Error> {
        let span = self.count(key, table)?.unwrap_or(default);
        if (least..=LONGEST).contains(&span) {
            return Ok(span);
        }
        let expected = format!("a whole number from {least} to {LONGEST}, such as {default}");
        Err(self.wrong_value(key, table, &expected))
    }

    /// Whether something is switched on.
    pub(super) fn switch(&self, key: &str, table: &dyn TableLike) -> Result<bool, Error> {
        let is_on = match (self.variable)(&variable_of(key)) {
            Some(text) => text.parse::<bool>().ok(),
            None => match table.get(key) {
                None => return Ok(false),
                Some(item) => item.as_bool(),
            },
        };
        is_on.ok_or_else(|| self.wrong_value(key, table, "true or false"))
    }

    /// The variable where it is set, else the file's value.
    pub(super) fn value(&self, key: &str, table: &dyn TableLike) -> Result<Option<String>, Error> {
        if let Some(value) = (self.variable)(&variable_of(key)) {
            return Ok(Some(value));
        }
        table.get(key).map(|item| self.text_of(key, item)).transpose()
    }

    pub(super) fn text_of(&self, key: &str, item: &Item) -> Result<String, Error> {
        item.as_str().map(str::to_owned).ok_or_else(|| self.wrong(key, item, "text in quotes"))
    }
}

/// The variable that overrides a key.
pub(super) fn variable_of(key: &str) -> String {
    format!("SHADOW_SYNC_{}", key.to_ascii_uppercase())
}

fn password_finding(key: &str, variable: &str) -> Finding {
    Finding {
        key: key.to_owned(),
        finding: format!("`{key}` carries a password in a file"),
        cure: format!(
            "Take the password out of the file and give it as {variable}, or by PGPASSFILE for PostgreSQL."
        ),
    }
}
