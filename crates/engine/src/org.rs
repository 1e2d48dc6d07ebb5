//! What is known of an org once somebody is signed in, and whether this environment may hold its data.

use chrono::{DateTime, Utc};
use salesforce::{
    ApiUsage, ApiVersion, Client, CurrencyAnswer, Error, Organization, Purpose,
    auth::{Identity, UserInfo},
};
use shadow::{ObjectName, OrgId, UserId};

use crate::{
    api::{
        environments::EnvironmentKind,
        sign_in::{ApiUsageView, OrgView},
    },
    clock,
    config::Environment,
};

/// What an org said of itself and of the user who signed in.
#[derive(Debug, Clone, PartialEq)]
pub struct OrgFacts {
    /// The org and the user.
    pub identity: Identity,
    /// The user's names.
    pub user: UserInfo,
    /// The org's name and edition.
    pub organization: Organization,
    /// Where its data is served.
    pub instance_url: String,
    /// The version that is spoken: the configured one, or the org's newest where that is older.
    pub api_version: ApiVersion,
    /// The newest version that the org offers.
    pub newest_version: ApiVersion,
    /// In which currency amounts are; [`CurrencyAnswer::Unknown`] also where prices cannot be seen.
    pub currency: CurrencyAnswer,
    /// The org's API calls, as its last answer told.
    pub usage: Option<ApiUsage>,
    /// When this was learnt.
    pub at: DateTime<Utc>,
}

impl OrgFacts {
    /// Asks the org. At most four calls of its daily limit.
    pub async fn learn(client: &Client, identity: Identity, configured: ApiVersion) -> Result<Self, Error> {
        let client = client.with_purpose(Purpose::SignIn);
        let newest = client.versions().await?.last().copied().unwrap_or(configured);
        let client = client.with_api_version(configured.min(newest));
        let (user, organization, currency) =
            tokio::try_join!(client.user_info(Some(&identity)), client.organization(), currency(&client))?;
        Ok(Self {
            instance_url: client.token().await?.instance().to_string(),
            api_version: client.api_version(),
            newest_version: newest,
            usage: client.usage(),
            at: clock::now(),
            identity,
            user,
            organization,
            currency,
        })
    }

    /// The facts as hosts show them. `ours` counts our own calls.
    pub fn view(&self, configured_currency: Option<&str>, ours: u64) -> OrgView {
        let currency = match &self.currency {
            CurrencyAnswer::Single(code) => Some(code.clone()),
            CurrencyAnswer::PerRecord => None,
            CurrencyAnswer::Unknown => configured_currency.map(str::to_owned),
        };
        OrgView {
            org_id: self.identity.org_id.to_string(),
            org_name: self.organization.name.clone(),
            edition: self.organization.organization_type.clone(),
            is_sandbox: self.organization.is_sandbox,
            is_simulated: self.identity.org_id.is_simulated(),
            instance_url: self.instance_url.clone(),
            api_version: self.api_version.to_string(),
            user_id: self.identity.user_id.to_string(),
            username: self.user.preferred_username.clone(),
            currency,
            is_multi_currency: self.currency == CurrencyAnswer::PerRecord,
            api_usage: self.usage.map(|usage| ApiUsageView {
                used: whole(usage.used),
                max: whole(usage.max),
                ours: whole(ours),
                at: self.at,
            }),
        }
    }
}

/// A sign-in must not fail because prices are hidden from the user; the preflight says so.
async fn currency(client: &Client) -> Result<CurrencyAnswer, Error> {
    match client.describe(&ObjectName::pricebook_entry()).await {
        Ok(entry) => client.currency(&entry).await,
        Err(Error::Rejected { .. } | Error::Status { .. }) => Ok(CurrencyAnswer::Unknown),
        Err(error) => Err(error),
    }
}

fn whole(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The org and the user whose eyes a database has, bound at its first load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// The org.
    pub org_id: OrgId,
    /// The sync user.
    pub user_id: UserId,
}

/// Why an org's data may not enter an environment's database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// Demo prices must never reach a shop.
    #[error("{org_id} is a simulated org, and the environment `{environment}` is not of kind demo")]
    SimulatedOrg {
        /// The org signed in to.
        org_id: OrgId,
        /// The environment's name.
        environment: String,
    },
    /// Everything that a demo shows says *simulated org*, which would be untrue.
    #[error("{org_id} is a real org, and the environment `{environment}` is of kind demo")]
    RealOrg {
        /// The org signed in to.
        org_id: OrgId,
        /// The environment's name.
        environment: String,
    },
    /// The database could be a shop's.
    #[error("a simulated org may fill only an embedded database or one that is marked for demos")]
    DatabaseNotForDemos,
    /// The database holds another org's records.
    #[error("this database holds the records of org {bound}, and the sign-in is for org {found}")]
    AnotherOrg {
        /// The org of the database.
        bound: OrgId,
        /// The org signed in to.
        found: OrgId,
    },
    /// The database was filled with another user's eyes.
    #[error("this database was filled as user {bound}, and the sign-in is user {found}'s")]
    AnotherUser {
        /// The sync user.
        bound: UserId,
        /// The user signed in.
        found: UserId,
    },
}

/// Whether an org may be looked at in this environment at all: simulated orgs in demos, and nothing else there.
pub fn check_org(environment: &Environment, org_id: OrgId) -> Result<(), NotOurs> {
    let name = || environment.name.clone();
    match (environment.kind == EnvironmentKind::Demo, org_id.is_simulated()) {
        (false, true) => Err(NotOurs::SimulatedOrg { org_id, environment: name() }),
        (true, false) => Err(NotOurs::RealOrg { org_id, environment: name() }),
        (true, true) | (false, false) => Ok(()),
    }
}

/// Whether records that `identity` sees may be written. Asked before a byte is.
///
/// `database_is_for_demos` is true of an embedded database and of one that carries the demo mark.
pub fn check_load(
    environment: &Environment,
    database_is_for_demos: bool,
    bound: Option<&Binding>,
    identity: &Identity,
) -> Result<(), NotOurs> {
    check_org(environment, identity.org_id)?;
    if identity.org_id.is_simulated() && !database_is_for_demos {
        return Err(NotOurs::DatabaseNotForDemos);
    }
    let Some(bound) = bound else { return Ok(()) };
    if bound.org_id != identity.org_id {
        return Err(NotOurs::AnotherOrg { bound: bound.org_id, found: identity.org_id });
    }
    if bound.user_id != identity.user_id {
        return Err(NotOurs::AnotherUser { bound: bound.user_id, found: identity.user_id });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_with;

    fn environment(kind: &str) -> Environment {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.toml");
        let text = format!(
            "[environments.a]\nkind = \"{kind}\"\nlogin_url = \"https://test.salesforce.com\"\nclient_id = \"x\"\n"
        );
        std::fs::write(&path, text).expect("a file");
        load_with(Some(&path), &|_| None).expect("a configuration").environments.remove(0)
    }

    fn identity(org_id: &str, user_id: &str) -> Identity {
        Identity {
            org_id: OrgId::parse(org_id).expect("an org id"),
            user_id: UserId::parse(user_id).expect("a user id"),
        }
    }

    const REAL: &str = "00D58000000arpq";
    const SIMULATED: &str = "00DSIM000000001";
    const USER: &str = "00558000000yFyD";

    #[test]
    fn demo_prices_never_reach_a_shop() {
        let simulated = identity(SIMULATED, USER);
        assert!(check_load(&environment("demo"), true, None, &simulated).is_ok());
        assert_eq!(
            check_load(&environment("demo"), false, None, &simulated),
            Err(NotOurs::DatabaseNotForDemos)
        );
        for kind in ["development", "staging", "production"] {
            let refused = check_load(&environment(kind), true, None, &simulated);
            assert!(matches!(refused, Err(NotOurs::SimulatedOrg { .. })), "{kind}: {refused:?}");
        }
        let refused = check_load(&environment("demo"), true, None, &identity(REAL, USER));
        assert!(matches!(refused, Err(NotOurs::RealOrg { .. })), "{refused:?}");
    }

    #[test]
    fn one_org_and_one_pair_of_eyes_per_database() {
        let environment = environment("staging");
        let first = identity(REAL, USER);
        let bound = Binding { org_id: first.org_id, user_id: first.user_id };
        assert!(check_load(&environment, false, Some(&bound), &first).is_ok());
        let other_org = check_load(&environment, false, Some(&bound), &identity("00D000000000001", USER));
        assert!(matches!(other_org, Err(NotOurs::AnotherOrg { .. })), "{other_org:?}");
        let other_user = check_load(&environment, false, Some(&bound), &identity(REAL, "005000000000001"));
        assert!(matches!(other_user, Err(NotOurs::AnotherUser { .. })), "{other_user:?}");
    }
}
