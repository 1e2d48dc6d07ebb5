//! Checks of the org: who is signed in, which version, which currency, what is left of its limits.

use salesforce::{ApiUsage, Client, CurrencyAnswer, auth::Identity};
use shadow::{ObjectName, mapping::OrgFacts};

use super::{
    Subject,
    objects::Described,
    sheet::{LIMITS, OBJECTS, Outcome, SIGN_IN, Sheet},
};
use crate::{api::preflight::CheckColour, config::Environment, problem::Problem};

/// Background work stops here.
const BACKGROUND_STOPS_AT: f64 = 0.8;

/// Who is signed in, where.
pub(super) async fn identity(
    sheet: &mut Sheet<'_>,
    subject: &Subject<'_>,
    client: &Client,
) -> Option<Identity> {
    let identity = subject.sign_in.facts().map(|facts| facts.identity.clone());
    let title = "Somebody is signed in";
    match client.user_info(identity.as_ref()).await {
        Ok(user) => {
            let finding = format!("{} in org {}.", user.preferred_username, user.organization_id);
            sheet.note("sign-in", SIGN_IN, title, Outcome::green(finding));
            Some(Identity { org_id: user.organization_id, user_id: user.user_id })
        }
        Err(error) => {
            sheet.note("sign-in", SIGN_IN, title, Outcome::problem(&Problem::from(&error)));
            None
        }
    }
}

/// Whether the org speaks the configured version.
pub(super) async fn version(sheet: &mut Sheet<'_>, environment: &Environment, client: &Client) {
    let title = format!("The org speaks API version {}", environment.api_version);
    let outcome = match client.versions().await {
        Ok(versions) => match versions.last() {
            Some(newest) if newest.to_string() == environment.api_version => {
                Outcome::green("It is the org's newest.")
            }
            Some(newest) if environment.api_version.parse().is_ok_and(|configured| *newest < configured) => {
                Outcome::yellow(format!("The org's newest is {newest}; we speak that."))
                    .cure(format!("Set api_version = \"{newest}\", or wait for the org's next release."))
            }
            Some(newest) => Outcome::green(format!("The org's newest is {newest}.")),
            None => Outcome::grey("The org lists no versions."),
        },
        Err(error) => Outcome::problem(&Problem::from(&error)),
    };
    sheet.note("api-version", SIGN_IN, title, outcome);
}

/// In which currency amounts are.
pub(super) async fn currency(
    sheet: &mut Sheet<'_>,
    environment: &Environment,
    client: &Client,
    described: &Described,
) -> OrgFacts {
    let title = "The currency of prices is known";
    let configured = environment.currency.clone();
    let Some(entry) = described.get(&ObjectName::pricebook_entry()) else {
        sheet.note("currency", OBJECTS, title, Outcome::grey("Price book entries cannot be seen."));
        return OrgFacts { currency: configured, multi_currency: false };
    };
    match client.currency(entry).await {
        Ok(CurrencyAnswer::PerRecord) => {
            sheet.note(
                "currency",
                OBJECTS,
                title,
                Outcome::green("Every price names its own: the org has several."),
            );
            OrgFacts { currency: configured, multi_currency: true }
        }
        Ok(CurrencyAnswer::Single(code)) => {
            let outcome = match configured {
                Some(other) if other != code => Outcome::yellow(format!(
                    "The org says {code}, the configuration says {other}; the org is believed."
                ))
                .cure("Take `currency` out of the configuration."),
                _ => Outcome::green(format!("The org has one: {code}.")),
            };
            sheet.note("currency", OBJECTS, title, outcome);
            OrgFacts { currency: Some(code), multi_currency: false }
        }
        Ok(CurrencyAnswer::Unknown) => {
            let outcome = match &configured {
                Some(code) => Outcome::green(format!("The org does not say; the configuration says {code}.")),
                None => Outcome::red("The org has one currency and does not say which. It is never guessed.")
                    .cure("Look it up in Setup, Company Information, and set it in the configuration:")
                    .paste("currency = \"EUR\""),
            };
            sheet.note("currency", OBJECTS, title, outcome);
            OrgFacts { currency: configured, multi_currency: false }
        }
        Err(error) => {
            sheet.note("currency", OBJECTS, title, Outcome::problem(&Problem::from(&error)));
            OrgFacts { currency: configured, multi_currency: false }
        }
    }
}

/// What is left of the org's limits.
pub(super) async fn limits(sheet: &mut Sheet<'_>, client: &Client) {
    let outcome = client.usage().map_or_else(|| Outcome::grey("No answer told the use yet."), usage_outcome);
    sheet.note("limits.api", LIMITS, "API calls are left for today", outcome);
    let title = "Query jobs are left for today";
    match client.limits().await {
        Ok(limits) => {
            let outcome = match limits.get("DailyBulkV2QueryJobs") {
                Some(jobs) if jobs.remaining <= 0 => Outcome::red(format!("None of {} is left.", jobs.max))
                    .cure("Wait: the limit counts the last 24 hours."),
                Some(jobs) => Outcome::green(format!("{} of {} are left.", jobs.remaining, jobs.max)),
                None => Outcome::grey("The org does not list this limit."),
            };
            sheet.note("limits.query-jobs", LIMITS, title, outcome);
        }
        Err(error) => {
            let outcome = Outcome::problem(&Problem::from(&error))
                .cure("Optional: the permission View Setup and Configuration shows the limits.")
                .coloured(CheckColour::Grey);
            sheet.note("limits.query-jobs", LIMITS, title, outcome);
        }
    }
}

fn usage_outcome(usage: ApiUsage) -> Outcome {
    let finding = format!("{} of {} were used in the last 24 hours, by all programs.", usage.used, usage.max);
    if usage.used >= usage.max {
        return Outcome::red(finding)
            .cure("Wait: the limit counts the last 24 hours and frees up gradually.");
    }
    if usage.ratio() >= BACKGROUND_STOPS_AT {
        return Outcome::yellow(finding)
            .cure("Background work stops at 80 %; find out who else calls so much.");
    }
    Outcome::green(finding)
}
