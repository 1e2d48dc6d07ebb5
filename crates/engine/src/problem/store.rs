//! What the database can be the matter with. Numbers 3xxx.

use store::embedded;

use super::{MendAct, Mender, Problem};

impl From<&store::Error> for Problem {
    #[expect(clippy::too_many_lines, reason = "a catalogue has an entry per error")]
    fn from(error: &store::Error) -> Self {
        use store::Error as E;
        let problem = match error {
            E::InvalidUrl(reason) => Self::new(
                "SS-3001",
                "The database's address cannot be read",
                format!("`database_url` is not a PostgreSQL address: {reason}."),
            )
            .step("Write it as postgres://user@host:5432/database, or use \"embedded\".")
            .act(MendAct::OpenSettings),
            E::Unreachable(_) => Self::new(
                "SS-3002",
                "The database does not answer",
                "It is not running, or cannot be reached from here. Sync waits and tries again; nothing is lost.",
            )
            .mended_by(Mender::DatabaseAdmin)
            .step("Start it, or check host and port in database_url and the firewall between.")
            .act(MendAct::Reconnect),
            E::TooManyConnections(_) => Self::new(
                "SS-3003",
                "The database has no connection left",
                "All connections that the server allows are in use.",
            )
            .mended_by(Mender::DatabaseAdmin)
            .step("End idle connections, or raise max_connections; a process of ours uses at most eight.")
            .act(MendAct::Reconnect),
            E::ReadOnly => Self::new(
                "SS-3004",
                "The database refuses to write",
                "It is a standby, or set to be read-only. Sync waits; nothing is lost.",
            )
            .mended_by(Mender::DatabaseAdmin)
            .step("Point database_url to the primary, or end the read-only mode.")
            .act(MendAct::Reconnect),
            E::SignInRefused(_) => Self::new(
                "SS-3005",
                "The database refuses the user or the password",
                "The server is there, but does not let us in.",
            )
            .mended_by(Mender::DatabaseAdmin)
            .step("Check the user in database_url, and the password in SHADOW_SYNC_DATABASE_PASSWORD or PGPASSFILE.")
            .act(MendAct::OpenSettings),
            E::NoSuchDatabase(_) => Self::new(
                "SS-3006",
                "The server has no database of that name",
                "Shadow Sync makes its tables, but not the database they are in.",
            )
            .mended_by(Mender::DatabaseAdmin)
            .step("Create it, for example with: createdb NAME")
            .step("Or correct the name in database_url.")
            .act(MendAct::OpenSettings),
            E::DiskFull(_) => Self::new(
                "SS-3007",
                "The database's disk is full",
                "The server has no room left for what was being written. What was committed before stays; nothing is half done.",
            )
            .mended_by(Mender::DatabaseAdmin)
            .step("Make room on the server's disk, then resume.")
            .act(MendAct::ResumeJob),
            E::PermissionDenied(_) => Self::new(
                "SS-3008",
                "The database role lacks a right",
                "It must be able to create the schema shadow_sync and the shadow tables, and to write to both.",
            )
            .mended_by(Mender::DatabaseAdmin)
            .step("Grant it: grant create on database NAME to ROLE; grant create, usage on schema SCHEMA to ROLE;")
            .act(MendAct::Reconnect),
            E::SchemaBehind { pending } => Self::new(
                "SS-3010",
                "The database's schema is not up to date",
                format!("{} migrations are missing. In staging and production a person applies them.", pending.len()),
            )
            .mended_by(Mender::DatabaseAdmin)
            .step("Look at what would be applied: shadow-sync migrate --dry-run")
            .step("Apply it: shadow-sync migrate")
            .act(MendAct::Reconnect)
            .details(pending.join(", ")),
            E::UnsupportedServer { found } => Self::new(
                "SS-3011",
                format!("PostgreSQL {found} is not known to work"),
                "Versions 14 to 18 are tested. Nothing was written.",
            )
            .mended_by(Mender::DatabaseAdmin)
            .step("Use a database on PostgreSQL 14 to 18, or set database_url to \"embedded\".")
            .act(MendAct::OpenSettings),
            E::SchemaAhead { found, known } => Self::new(
                "SS-3012",
                "The database's schema is newer than this program",
                "A newer Shadow Sync has changed it. An older one could write what the newer one misreads, so it refuses.",
            )
            .step("Update this program, then open the environment again.")
            .details(format!("applied {found}, newest known here {known}")),
            E::Migration(reason) => Self::new(
                "SS-3013",
                "The schema could not be migrated",
                "A migration failed and left nothing behind, or one that was run has been changed since.",
            )
            .mended_by(Mender::DatabaseAdmin)
            .step("Look at the server's log; copy these details for whoever maintains the database.")
            .act(MendAct::Reconnect)
            .details(reason.clone()),
            E::LeaseLost { name } => Self::new(
                "SS-4010",
                "Another process took over",
                "This one could not show in time that it is alive. What it had begun was not written; the other goes on.",
            )
            .mended_by(Mender::Itself)
            .details(name.clone()),
            E::OtherOrg { bound, found } => Self::new(
                "SS-1304",
                "This is another org",
                "The database holds the records of one org, and mixing two would make both wrong. Nothing was written.",
            )
            .step("Sign in to the org of this database, or use another database for this org.")
            .step("Take over a refreshed sandbox: shadow-sync rebind")
            .act(MendAct::SignIn)
            .details(format!("bound to {bound}, signed in to {found}")),
            E::OtherUser { bound, found } => Self::new(
                "SS-1305",
                "This is another user",
                "The database was filled with the eyes of one sync user; another one sees other records and fields. Nothing was written.",
            )
            .step("Sign in as the sync user to load.")
            .step("Make this user the sync user, which reads everything again: shadow-sync rebind --user")
            .act(MendAct::SignIn)
            .details(format!("bound to {bound}, signed in as {found}")),
            E::UnknownObject(object) => Self::new(
                "SS-2010",
                format!("{object} is not mapped"),
                "No table is known for this object.",
            )
            .act(MendAct::OpenSettings),
            E::UnknownJob(id) => Self::new(
                "SS-4004",
                format!("There is no job {id}"),
                "It was never there, or its record is older than what is kept.",
            )
            .step("List the jobs: shadow-sync jobs list"),
            E::JobOpen(object) => Self::new(
                "SS-4002",
                format!("{object} is being loaded already"),
                "Two loads of one object would be in each other's way.",
            )
            .step("Wait for it, or cancel it: shadow-sync jobs list, then shadow-sync jobs cancel ID"),
            E::Unreadable(reason) => Self::new(
                "SS-2301",
                "Salesforce's answer is not what was asked for",
                "A column or an id is missing, so no record of it can be trusted. Nothing of it was written.",
            )
            .mended_by(Mender::SalesforceAdmin)
            .step("Look whether a field was renamed or hidden a moment ago, then resume.")
            .act(MendAct::ResumeJob)
            .details(reason.to_string()),
            E::Contention { state } => Self::new(
                "SS-3020",
                "Another writer was in the way",
                "Others held the same rows for too long, several times. What was committed before stays.",
            )
            .mended_by(Mender::DatabaseAdmin)
            .step("Look for a long transaction on the shadow tables, then resume.")
            .act(MendAct::ResumeJob)
            .details(state.clone()),
            E::Data { state, .. } => Self::new(
                "SS-3021",
                "The database refuses a value",
                "A record has a value that its column cannot hold. What was committed before stays.",
            )
            .mended_by(Mender::DatabaseAdmin)
            .act(MendAct::ResumeJob)
            .details(format!("SQLSTATE {state}")),
            E::Unexpected { state, .. } => Self::new(
                "SS-3099",
                "The database answered with an error",
                "It is not one that we expected here; what was committed before stays.",
            )
            .mended_by(Mender::DatabaseAdmin)
            .step("Look at the server's log at this time.")
            .act(MendAct::Reconnect)
            .details(format!("SQLSTATE {}", state.as_deref().unwrap_or("none"))),
        };
        if problem.details.is_empty() { problem.details(chain(error)) } else { problem }
    }
}

/// The database was set back, and what was missed is not caught up yet.
pub(crate) fn set_back() -> Problem {
    Problem::new(
        "SS-3014",
        "The database was set back to an earlier state",
        "A backup was restored, or a standby without the last commits took over. Salesforce delivers its events of the \
         last three days again; a catch-up with an id comparison finds what they do not tell. Until then rows may be \
         older than they were.",
    )
    .mended_by(Mender::Itself)
    .step("Nothing, if this was meant. How far it is: shadow-sync jobs list")
}

/// An error's causes without what the server may have quoted of a record.
fn chain(error: &store::Error) -> String {
    match error {
        store::Error::Unreachable(source) => source.to_string().chars().take(200).collect(),
        _ => String::new(),
    }
}

impl From<&embedded::Error> for Problem {
    fn from(error: &embedded::Error) -> Self {
        let text = error.to_string();
        // The error says what happened, why, and what to do, in this order.
        let (cause, steps) = text.split_once(". ").unwrap_or((&text, ""));
        let mut problem = Self::new("SS-3030", "The embedded database did not start", format!("{cause}."))
            .act(MendAct::Reconnect);
        if !steps.is_empty() {
            problem = problem.step(steps.to_owned());
        }
        problem
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

owned_and_boxed!(store::Error, embedded::Error);
