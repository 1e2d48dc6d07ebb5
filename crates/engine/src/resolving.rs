//! A mapping held against what the org's describe shows to who is signed in.

use salesforce::{Client, CurrencyAnswer, Purpose};
use shadow::mapping::PayloadFields;
use shadow::{Mapping, ObjectInfo, ObjectName, OrgFacts, ResolvedMapping, resolve};
use store::selected_fields;

use crate::environment::OpenEnvironment;
use crate::problem::{Answer, MendAct, Problem};

/// Describes an object and resolves its mapping as whoever is signed in sees it. One call of the org's daily limit.
///
/// - **Errors:** SS-2010 for an object that is not mapped; the refusal of the describe, with the object's name in it;
///   what the mapping lacks in this org.
pub(crate) async fn resolve_object(
    environment: &OpenEnvironment,
    client: &Client,
    object: &ObjectName,
) -> Answer<ResolvedMapping> {
    let (mapping, info, org) = describe(environment, client, object).await?;
    Ok(resolve(&mapping, &environment.config.mappings(), &info, &org)?)
}

/// The same as the sync user sees it, for who reads or writes records: fields that went out of sight keep their last
/// values.
pub(crate) async fn resolve_for_sync(
    environment: &OpenEnvironment,
    client: &Client,
    object: &ObjectName,
) -> Answer<ResolvedMapping> {
    let (mapping, info, org) = describe(environment, client, object).await?;
    let store = environment.store().await?;
    let resolved =
        selected_fields::resolve(&store, &mapping, &environment.config.mappings(), &info, &org).await??;
    Ok(resolved.mapping)
}

/// A mapping as whoever is signed in sees it, with no more fields than fill its columns: for who answers a reader.
pub(crate) async fn resolve_for_readers(
    environment: &OpenEnvironment,
    client: &Client,
    mapping: Mapping,
) -> Answer<ResolvedMapping> {
    let (mapping, info, org) = describe(environment, client, &mapping.object).await?;
    let narrow = Mapping { payload_fields: PayloadFields::Mapped, ..mapping };
    Ok(resolve(&narrow, &environment.config.mappings(), &info, &org)?)
}

async fn describe(
    environment: &OpenEnvironment,
    client: &Client,
    object: &ObjectName,
) -> Answer<(Mapping, ObjectInfo, OrgFacts)> {
    let all = environment.config.mappings();
    let mapping = all.into_iter().find(|mapping| mapping.object == *object).ok_or_else(|| {
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
    Ok((mapping, info, org))
}
