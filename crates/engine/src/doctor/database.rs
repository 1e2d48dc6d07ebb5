//! Checks of the database: it answers, it writes, its schema is ours, its records are this org's.

use store::{SchemaState, Store};

use super::{
    Subject,
    sheet::{DATABASE, Outcome, Sheet},
};
use crate::{
    config::{self, Environment},
    org::{self, Binding},
    problem::Problem,
};

/// All checks of the database.
pub(super) async fn checks(sheet: &mut Sheet<'_>, subject: &Subject<'_>) {
    let store = match &subject.store {
        Ok(store) => store,
        Err(problem) => {
            sheet.failed("database", DATABASE, "The database answers", problem);
            return;
        }
    };
    server(sheet, store).await;
    if schema(sheet, store).await {
        binding(sheet, subject, store).await;
    }
}

async fn server(sheet: &mut Sheet<'_>, store: &Store) {
    let title = "The database answers";
    match store.server_facts().await {
        Ok(facts) => {
            sheet.note("database", DATABASE, title, Outcome::green(format!("PostgreSQL {}.", facts.version)));
            let outcome = if facts.fsync {
                Outcome::green("fsync is on.")
            } else {
                Outcome::yellow("fsync is off: a power cut can lose what was committed.")
                    .cure("Set fsync = on in postgresql.conf and reload.")
            };
            sheet.note("database.durable", DATABASE, "Commits reach the disk", outcome);
        }
        Err(error) => sheet.note("database", DATABASE, title, Outcome::problem(&Problem::from(&error))),
    }
}

/// Whether the schema can be read by this program.
async fn schema(sheet: &mut Sheet<'_>, store: &Store) -> bool {
    let title = "The schema is this program's";
    let (outcome, readable) = match store.schema_state().await {
        Ok(SchemaState::Current) => (Outcome::green("Every migration is applied."), true),
        Ok(SchemaState::Behind { pending }) => (
            Outcome::yellow(format!("{} migrations are missing.", pending.len()))
                .cure("Apply them; the plan comes first with --dry-run.")
                .paste("shadow-sync migrate"),
            false,
        ),
        Ok(SchemaState::Ahead { found, known }) => (
            Outcome::red(format!("It is newer ({found}) than this program knows ({known})."))
                .cure("Install the newer Shadow Sync."),
            false,
        ),
        Err(error) => (Outcome::problem(&Problem::from(&error)), false),
    };
    sheet.note("database.schema", DATABASE, title, outcome);
    readable
}

/// Whether the signed-in user may load into this database.
async fn binding(sheet: &mut Sheet<'_>, subject: &Subject<'_>, store: &Store) {
    let title = "The database belongs to this org and user";
    let Some(facts) = subject.sign_in.facts() else {
        sheet.note("database.binding", DATABASE, title, Outcome::grey("Nobody is signed in."));
        return;
    };
    let outcome = match store::binding::get(store).await {
        Ok(bound) => {
            let bound = bound.map(|(bound, _)| bound);
            let binding =
                bound.as_ref().map(|bound| Binding { org_id: bound.org_id, user_id: bound.user_id });
            let for_demos = is_embedded(subject.environment)
                || crate::database::is_for_demos(store).await.unwrap_or(false);
            match org::check_load(subject.environment, for_demos, binding.as_ref(), &facts.identity) {
                Ok(()) if bound.is_none() => {
                    Outcome::green("It is bound to no org yet; the first load binds it.")
                }
                Ok(()) => Outcome::green("Loads go on here."),
                Err(error) => Outcome::problem(&Problem::from(&error)),
            }
        }
        Err(error) => Outcome::problem(&Problem::from(&error)),
    };
    sheet.note("database.binding", DATABASE, title, outcome);
}

fn is_embedded(environment: &Environment) -> bool {
    matches!(environment.database, config::Database::Embedded)
}
