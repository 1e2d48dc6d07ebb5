//! The preflight: what must hold before anything runs, cheapest first, each check with its cure and its cost.
//!
//! A check never stops the others: what could not be asked is grey and says why. Nothing is written anywhere; the one
//! query job that is created is deleted again.

mod cache;
mod database;
mod events;
mod machine;
mod objects;
mod org;
mod sheet;

use salesforce::{Client, Purpose};
use shadow::mapping::{Mapping, OrgFacts};
use store::Store;

use crate::{
    api::preflight::{CheckView, PreflightView},
    config::Environment,
    problem::Answer,
    sign_in::SignIn,
};
use sheet::Sheet;

/// What is examined.
pub struct Subject<'a> {
    /// The environment's configuration.
    pub environment: &'a Environment,
    /// Its sign-in.
    pub sign_in: &'a SignIn,
    /// The mappings of its objects.
    pub mappings: &'a [Mapping],
    /// Its database, or why it cannot be had.
    pub store: Answer<Store>,
}

impl std::fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject").field("environment", &self.environment.name).finish_non_exhaustive()
    }
}

/// Runs all checks, in the order in which a person would mend them.
///
/// - **Shape:** `progress` hears every check as it comes out; the view holds them all.
/// - **Errors:** none: a check that fails is red, one that could not be made is grey.
/// - **Source:** about fifteen calls of the org's daily limit, each counted at its check.
pub async fn run(subject: &Subject<'_>, progress: impl FnMut(&CheckView) + Send) -> PreflightView {
    let client = subject.sign_in.client().map(|client| client.with_purpose(Purpose::Doctor));
    let mut sheet = Sheet::new(client.as_ref().ok().cloned(), progress);

    machine::configuration(&mut sheet, subject.environment);
    machine::keychain(&mut sheet, subject.sign_in);
    machine::login_address(&mut sheet, subject.sign_in).await;
    match &client {
        Ok(client) => signed_in(&mut sheet, subject, client).await,
        Err(problem) => sheet.failed("sign-in", sheet::SIGN_IN, "Somebody is signed in", problem.as_ref()),
    }
    database::checks(&mut sheet, subject).await;
    cache::checks(&mut sheet, subject).await;
    sheet.view()
}

/// The checks that need a client.
async fn signed_in(sheet: &mut Sheet<'_>, subject: &Subject<'_>, client: &Client) {
    let Some(identity) = org::identity(sheet, subject, client).await else { return };
    org::version(sheet, subject.environment, client).await;
    let described = objects::describe_all(sheet, subject.mappings, client).await;
    let facts: OrgFacts = org::currency(sheet, subject.environment, client, &described).await;
    objects::fields(sheet, subject.mappings, &described, &facts);
    objects::view_all(sheet, subject.mappings, client, &identity).await;
    objects::counts(sheet, subject.mappings, client).await;
    objects::query_job(sheet, subject.mappings, client).await;
    events::checks(sheet, subject, client).await;
    org::limits(sheet, client).await;
}
