//! What the keychain, the lock between programs and secrets from variables can be the matter with. Numbers 6xxx.

use std::error::Error as StdError;

use super::{MendAct, Mender, Problem, salesforce::chain};
use crate::{
    org::NotOurs,
    secrets,
    session::{GivenTokenRotated, SetupError},
};

/// Why a token could not be renewed, where Salesforce is not the reason.
pub(crate) fn keeper(source: &(dyn StdError + Send + Sync + 'static)) -> Problem {
    if let Some(error) = source.downcast_ref::<secrets::Error>() {
        return Problem::from(error);
    }
    if source.is::<GivenTokenRotated>() {
        return Problem::new(
            "SS-6004",
            "The refresh token from SHADOW_SYNC_REFRESH_TOKEN cannot be used",
            "The org replaces refresh tokens with every use, and a variable cannot take the next one.",
        )
        .mended_by(Mender::PlatformEngineer)
        .step("Let this process sign in by jwt or client-credentials.")
        .step("Or switch off refresh token rotation in the app's policies.");
    }
    Problem::new(
        "SS-6005",
        "The sign-in could not be renewed",
        "Two programs must not renew it at the same time, and the lock between them could not be had.",
    )
    .step("Look whether another Shadow Sync hangs; then try again.")
    .act(MendAct::CheckAgain)
    .details(chain(source))
}

impl From<&secrets::Error> for Problem {
    fn from(error: &secrets::Error) -> Self {
        match error {
            secrets::Error::Locked => Self::new(
                "SS-6001",
                "The keychain is locked",
                "The sign-in is kept in it, and nobody can be asked to unlock it here.",
            )
            .step("Unlock the keychain of this user (log in at the machine, or start its keyring), then try again.")
            .step("A program that runs without a person signs in by jwt or client-credentials instead.")
            .act(MendAct::CheckAgain),
            secrets::Error::Failed(reason) => {
                Self::new("SS-6002", "The keychain failed", "It answered, but not with what was asked for.")
                    .step("Try again. If it happens again, look at the entries named shadow-sync in the keychain.")
                    .act(MendAct::CheckAgain)
                    .details(reason.clone())
            }
            secrets::Error::File { variable, reason } => {
                Self::new("SS-6003", format!("The file named by {variable} cannot be read"), reason.clone())
                    .mended_by(Mender::PlatformEngineer)
                    .step("Check the path and that this user may read the file.")
            }
        }
    }
}

impl From<&SetupError> for Problem {
    fn from(error: &SetupError) -> Self {
        match error {
            SetupError::VariableMissing { flow, variable } => Self::new(
                "SS-6006",
                format!("{variable} is not set"),
                format!("Signing in by {flow} needs it. Secrets come from the environment, never from the configuration file."),
            )
            .step(format!("Set {variable} and start again."))
            .act(MendAct::OpenSettings),
            SetupError::Secret(error) => Self::from(error),
            SetupError::Salesforce(error) => Self::from(error),
        }
    }
}

impl From<&NotOurs> for Problem {
    fn from(error: &NotOurs) -> Self {
        let details = error.to_string();
        let problem = match error {
            NotOurs::SimulatedOrg { environment, .. } => Self::new(
                "SS-1301",
                "This is a simulated org",
                format!("The environment `{environment}` is not of kind demo, and demo prices must never reach a shop."),
            )
            .step("Set login_url to a real org, or add an environment of kind demo for this one.")
            .act(MendAct::OpenSettings),
            NotOurs::RealOrg { environment, .. } => Self::new(
                "SS-1302",
                "This is a real org",
                format!("The environment `{environment}` is of kind demo: everything made in it says simulated org, which would be untrue."),
            )
            .step("Add an environment of kind development, staging or production for this org.")
            .act(MendAct::OpenSettings),
            NotOurs::DatabaseNotForDemos => Self::new(
                "SS-1303",
                "This database is not for demos",
                "A simulated org may fill only an embedded database, or one that carries the demo mark.",
            )
            .step("Set database_url to \"embedded\" in the demo environment.")
            .act(MendAct::OpenSettings),
            NotOurs::AnotherOrg { .. } => Self::new(
                "SS-1304",
                "This is another org",
                "The database holds the records of one org, and mixing two would make both wrong. Nothing was written. A refreshed sandbox has a new org id, too.",
            )
            .step("Sign in to the org of this database, or use another database for this org.")
            .step("Take over a refreshed sandbox: shadow-sync rebind")
            .act(MendAct::SignIn),
            NotOurs::AnotherUser { .. } => Self::new(
                "SS-1305",
                "This is another user",
                "The database was filled with the eyes of one sync user; another one sees other records and fields. Nothing was written. You can look, but loads run as the sync user.",
            )
            .step("Sign in as the sync user to load.")
            .step("Make this user the sync user, which reads everything again: shadow-sync rebind --user")
            .act(MendAct::SignIn),
        };
        problem.details(details)
    }
}

macro_rules! owned_and_boxed {
    ($($error:ty),+) => {$(
        impl From<$error> for Problem {
            fn from(error: $error) -> Self {
                Self::from(&error)
            }
        }

        impl From<$error> for Box<Problem> {
            fn from(error: $error) -> Self {
                Box::new(Problem::from(&error))
            }
        }
    )+};
}

owned_and_boxed!(secrets::Error, SetupError, NotOurs);
