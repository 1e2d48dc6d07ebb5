//! A mapping held against what the org's describe shows to who is signed in.

use salesforce::{Client, CurrencyAnswer, Purpose};
use shadow::{Mapping, ObjectName, OrgFacts, ResolvedMapping, resolve};

use crate::environment::OpenEnvironment;
use crate::problem::{Answer, MendAct, Problem};

/// Describes an object and resolves its mapping. One call of the org's daily limit.
///
/// - **Errors:** SS-2010 for an object that is not mapped; the refusal of the describe, with the object's name in it;
///   what the mapping lacks in this org.
pub(crate) async fn resolve_object(
    environment: &OpenEnvironment,
    client: &Client,
    object: &ObjectName,
) -> Answer<ResolvedMapping> {
    let all = Mapping::built_in();
    let mapping = all.iter().find(|mapping| mapping.object == *object).ok_or_else(|| {
        Box::new(
            Problem::new(
                "SS-2010",
                format!("{object} is not mapped"),
                "No table is known for this object, so there is nothing to load it into.",
            )
            .act(MendAct::OpenSettings),
        )
    })?;
    let info = client.with_purpose(Purpose::Describe).describe(object).await.map_err(|error| {
        // What refuses a describe is about the object; its name belongs to the first line that a person reads.
        let mut problem = Problem::from(&error);
        problem.title = format!("{object}: {}", problem.title);
        Box::new(problem)
    })?;
    let facts = environment.sign_in.facts().ok_or(salesforce::Error::SignInNeeded)?;
    let configured = environment.config.currency.clone();
    let org = match &facts.currency {
        CurrencyAnswer::Single(code) => OrgFacts { currency: Some(code.clone()), multi_currency: false },
        CurrencyAnswer::PerRecord => OrgFacts { currency: configured, multi_currency: true },
        CurrencyAnswer::Unknown => OrgFacts { currency: configured, multi_currency: false },
    };
    Ok(resolve(mapping, &all, &info, &org)?)
}
