//! Checks of objects and fields: visible, countable, loadable.

use std::{collections::BTreeMap, time::Duration};

use futures::StreamExt;
use salesforce::{
    Client, Error,
    auth::Identity,
    bulk::{Operation, PollSchedule},
    soql,
};
use serde::Deserialize;
use shadow::{
    ObjectInfo, ObjectName,
    mapping::{Mapping, OrgFacts, resolve},
};
use tokio_util::sync::CancellationToken;

use super::sheet::{OBJECTS, Outcome, Sheet};
use crate::problem::Problem;

/// How long the one-row query job may take before the check gives up on it.
const JOB_PATIENCE: Duration = Duration::from_mins(1);

/// What describe shows, by object; an object that cannot be seen is absent.
pub(super) type Described = BTreeMap<ObjectName, ObjectInfo>;

/// Describes every mapped object.
pub(super) async fn describe_all(sheet: &mut Sheet<'_>, mappings: &[Mapping], client: &Client) -> Described {
    let mut described = Described::new();
    for object in mappings.iter().map(|mapping| &mapping.object) {
        let title = format!("{object} can be read");
        let outcome = match client.describe(object).await {
            Ok(info) => {
                let outcome = Outcome::green(format!("{} fields are visible.", info.fields.len()));
                described.insert(object.clone(), info);
                outcome
            }
            Err(error) => Outcome::problem(&Problem::from(&error)),
        };
        sheet.note(format!("object.{object}"), OBJECTS, title, outcome);
    }
    described
}

/// Holds every mapping against what describe showed. Calls nobody.
pub(super) fn fields(sheet: &mut Sheet<'_>, mappings: &[Mapping], described: &Described, facts: &OrgFacts) {
    for mapping in mappings {
        let Some(info) = described.get(&mapping.object) else { continue };
        let findings = match resolve(mapping, mappings, info, facts) {
            Ok(resolved) => resolved.findings,
            Err(unmappable) => unmappable.findings,
        };
        let object = &mapping.object;
        for column in &mapping.columns {
            let sources = column.sources.join(" or ");
            let title = format!("{object}.{sources} fills {}", column.name);
            let found = findings.iter().find(|finding| finding.field == column.name);
            let visible: Vec<&str> = column
                .sources
                .iter()
                .filter_map(|source| info.field(source).map(|field| field.name.as_str()))
                .collect();
            let outcome = match found {
                None if visible.is_empty() => Outcome::green("Filled with the org's currency."),
                None => Outcome::green(format!("Visible: {}.", visible.join(", "))),
                Some(finding) => missing(finding.blocks, &finding.message, &column.sources, object),
            };
            sheet.note(format!("field.{object}.{}", column.sources.join("|")), OBJECTS, title, outcome);
        }
        let of_columns = |field: &str| mapping.columns.iter().any(|column| column.name == field);
        for finding in findings.iter().filter(|finding| !of_columns(&finding.field)) {
            let sources = [finding.field.clone()];
            sheet.note(
                format!("field.{object}.{}", finding.field),
                OBJECTS,
                format!("{object}.{} can be read", finding.field),
                missing(finding.blocks, &finding.message, &sources, object),
            );
        }
    }
}

fn missing(blocks: bool, message: &str, sources: &[String], object: &ObjectName) -> Outcome {
    let finding = sentence(message);
    let outcome = if blocks { Outcome::red(finding) } else { Outcome::yellow(finding) };
    outcome
        .cure(format!(
            "If the org has it: give the sync user Read on {object}.{}, in the permission set Shadow Sync.",
            sources.join(" or ")
        ))
        .cure("If the org does not have it, nothing needs doing unless this is red.")
}

/// `the sync user …` → `The sync user ….`
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), characters.as_str()))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Assignment {
    permission_set_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ObjectPermission {
    sobject_type: String,
    permissions_view_all_records: bool,
}

/// Whether records of other owners are visible. Only a hint: sharing can also be wide enough without it.
pub(super) async fn view_all(
    sheet: &mut Sheet<'_>,
    mappings: &[Mapping],
    client: &Client,
    identity: &Identity,
) {
    let permissions = permissions(mappings, client, identity).await;
    // Price book entries follow price books and have no permissions of their own.
    let objects =
        mappings.iter().map(|mapping| &mapping.object).filter(|o| **o != ObjectName::pricebook_entry());
    for object in objects {
        let outcome = match &permissions {
            Ok(permissions) => view_all_outcome(object, permissions),
            Err(error) => Outcome::grey(format!(
                "This user may not look at permission sets ({}).",
                error.salesforce_code().unwrap_or("no answer")
            ))
            .cure("Optional: the permission View Setup and Configuration shows this."),
        };
        sheet.note(
            format!("view-all.{object}"),
            OBJECTS,
            format!("All records of {object} are visible"),
            outcome,
        );
    }
}

fn view_all_outcome(object: &ObjectName, permissions: &[ObjectPermission]) -> Outcome {
    let of_object =
        |permission: &&ObjectPermission| permission.sobject_type.eq_ignore_ascii_case(object.as_str());
    if permissions.iter().filter(of_object).any(|permission| permission.permissions_view_all_records) {
        return Outcome::green("The user has View All Records.");
    }
    Outcome::yellow("No permission set of the user has View All Records, so records may be hidden, and counts differ between users.")
        .cure(format!("Give the permission set Shadow Sync \"View All Records\" on {object}."))
}

async fn permissions(
    mappings: &[Mapping],
    client: &Client,
    identity: &Identity,
) -> Result<Vec<ObjectPermission>, Error> {
    let user = soql::quoted(identity.user_id.as_str());
    let assignments: Vec<Assignment> = records(
        client,
        &format!("SELECT PermissionSetId FROM PermissionSetAssignment WHERE AssigneeId = {user}"),
    )
    .await?;
    let quoted =
        |texts: &mut dyn Iterator<Item = &str>| texts.map(soql::quoted).collect::<Vec<_>>().join(",");
    let sets = quoted(&mut assignments.iter().map(|assignment| assignment.permission_set_id.as_str()));
    let objects = quoted(&mut mappings.iter().map(|mapping| mapping.object.as_str()));
    if sets.is_empty() {
        return Ok(Vec::new());
    }
    let query = format!(
        "SELECT SobjectType, PermissionsViewAllRecords FROM ObjectPermissions \
         WHERE ParentId IN ({sets}) AND SobjectType IN ({objects})"
    );
    records(client, &query).await
}

async fn records<T: for<'de> Deserialize<'de>>(client: &Client, query: &str) -> Result<Vec<T>, Error> {
    let mut pages = std::pin::pin!(client.query(query));
    let mut records = Vec::new();
    while let Some(page) = pages.next().await {
        // A record in another shape tells nothing; it is passed over like one that is hidden.
        records.extend(page?.records.iter().filter_map(|record| serde_json::from_str(record.get()).ok()));
    }
    Ok(records)
}

/// How many records there are, as the user sees them.
pub(super) async fn counts(sheet: &mut Sheet<'_>, mappings: &[Mapping], client: &Client) {
    for object in mappings.iter().map(|mapping| &mapping.object) {
        let outcome = match client.count(object, None).await {
            Ok(count) => {
                Outcome::green(format!("{} records at {}.", count.count, count.at.format("%H:%M:%S UTC")))
            }
            Err(error) => Outcome::problem(&Problem::from(&error)),
        };
        sheet.note(format!("count.{object}"), OBJECTS, format!("{object} can be counted"), outcome);
    }
}

/// Whether query jobs work, with one row of the first object.
pub(super) async fn query_job(sheet: &mut Sheet<'_>, mappings: &[Mapping], client: &Client) {
    let Some(object) = mappings.first().map(|mapping| &mapping.object) else { return };
    let outcome = match one_row(client, object).await {
        Ok(rows) => {
            Outcome::green(format!("A job for one record of {object} brought {rows}, and was deleted."))
        }
        Err(error) => Outcome::problem(&Problem::from(&error)),
    };
    sheet.note("query-job", OBJECTS, "Query jobs work (Bulk API 2.0)", outcome);
}

async fn one_row(client: &Client, object: &ObjectName) -> Result<u64, Error> {
    let job = client.create_query_job(Operation::Query, &format!("SELECT Id FROM {object} LIMIT 1")).await?;
    let outcome = read_job(client, &job.id).await;
    // Deleted also after a failure; a job that stays behind disappears by itself after seven days.
    if let Err(error) = client.delete_query_job(&job.id).await {
        tracing::debug!(%error, "the check's query job could not be deleted");
    }
    outcome
}

async fn read_job(client: &Client, job: &str) -> Result<u64, Error> {
    let schedule = PollSchedule { patience: JOB_PATIENCE, ..PollSchedule::default() };
    client.wait_for_query_job(job, &schedule, &CancellationToken::new(), |_| {}).await?;
    let mut page = client.open_result_page(job, None, None).await?;
    while page.next_chunk().await?.is_some() {}
    Ok(page.finish().rows)
}
