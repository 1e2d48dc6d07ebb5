//! Taking over a refreshed sandbox, and changing the sync user: the only ways in which a database changes hands.

use serde::{Deserialize, Serialize};
use shadow::Mapping;
use store::Store;
use store::audit::Act;
use store::binding::{self, Binding};

use crate::config::Database;
use crate::database::is_for_demos;
use crate::engine::Engine;
use crate::environment::OpenEnvironment;
use crate::notice::View;
use crate::org::check_load;
use crate::problem::{Answer, Problem};
use crate::resolving::resolve_object;

/// What is to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "lowercase")]
pub enum RebindKind {
    /// The org: a refreshed sandbox has a new id. Everything of the org before is emptied.
    Org,
    /// The sync user of the same org. Nothing is emptied; a backfill shows what the new one sees.
    User,
}

/// What a rebind does, or did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct RebindPlan {
    /// What changes.
    pub kind: RebindKind,
    /// Whose copy it is: `org name (org id) as username`.
    pub from: String,
    /// Whose copy it becomes.
    pub to: String,
    /// Why this may not be what is meant.
    pub warning: Option<String>,
    /// Tables that are emptied, with their rows; none for a change of the user.
    pub emptied: Vec<EmptiedTable>,
    /// What is visible now and was not, and the reverse, per object.
    pub objects: Vec<ObjectDifference>,
}

/// A table that is emptied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct EmptiedTable {
    /// Its name.
    pub table: String,
    /// Its rows.
    #[specta(type = u32)]
    pub rows: i64,
}

/// How the new eyes see an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct ObjectDifference {
    /// The object.
    pub object: String,
    /// Why it cannot be read any more.
    pub problem: Option<Problem>,
    /// Fields that its rows will show and do not now.
    pub gained: Vec<String>,
    /// Fields that its rows show now; they keep their last values, frozen, if only the user changes.
    pub lost: Vec<String>,
}

/// What a rebind would do. One API call per object.
///
/// - **Errors:** SS-5208 where nothing is to change, or the other kind is meant; the refusals of a load, except that
///   the org or the user is another one.
pub async fn plan(engine: &Engine, kind: RebindKind) -> Answer<RebindPlan> {
    let open = engine.environment()?;
    let store = open.store().await?;
    Ok(prepare(&open, &store, kind).await?.1)
}

/// Does it. What works on the database loses its lease, and is refused until it is signed in as the binding says.
pub async fn run(engine: &Engine, kind: RebindKind) -> Answer<RebindPlan> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let (binding, plan) = prepare(&open, &store, kind).await?;
    let who = open.actor();
    let (act, what) = match kind {
        RebindKind::Org => ("rebind", "Emptied the copy and bound it to"),
        RebindKind::User => ("rebind.user", "Changed the sync user to"),
    };
    let sentence = format!("{what} {}, was {}", plan.to, plan.from);
    let act = Act {
        who: &who,
        host: open.host.name.as_str(),
        act,
        sentence: &sentence,
        result: "done",
        took_ms: None,
    };
    match kind {
        RebindKind::Org => binding::rebind(&store, &Mapping::built_in(), &binding, act).await?,
        RebindKind::User => binding::rebind_user(&store, &binding, act).await?,
    }
    engine.publish(&[View::Status, View::Jobs, View::Counts, View::Rejects, View::Audit]);
    Ok(plan)
}

async fn prepare(open: &OpenEnvironment, store: &Store, kind: RebindKind) -> Answer<(Binding, RebindPlan)> {
    let client = open.sign_in.client()?;
    let facts = open.sign_in.facts().ok_or(salesforce::Error::SignInNeeded)?;
    let Some((bound, _)) = binding::get(store).await? else {
        return Err(Box::new(nothing("the first load binds this database to whoever is signed in then.")));
    };
    let found = Binding {
        org_id: facts.identity.org_id,
        org_name: facts.organization.name.clone(),
        user_id: facts.identity.user_id,
        user_name: facts.user.preferred_username.clone(),
        is_simulated: facts.identity.org_id.is_simulated(),
    };
    check_kind(kind, &bound, &found)?;
    let for_demos = open.config.database == Database::Embedded || is_for_demos(store).await?;
    check_load(&open.config, for_demos, None, &facts.identity)?;
    let mappings = Mapping::built_in();
    let mut objects = Vec::new();
    for mapping in &mappings {
        let before = binding::stored_fields(store, mapping).await?;
        let object = mapping.object.to_string();
        objects.push(match resolve_object(open, &client, &mapping.object).await {
            Ok(resolved) => {
                let now: Vec<&str> = resolved.field_names().collect();
                let is_loaded = !before.is_empty();
                ObjectDifference {
                    object,
                    problem: None,
                    gained: now
                        .iter()
                        .filter(|field| is_loaded && !before.iter().any(|was| was == *field))
                        .map(|field| (*field).to_owned())
                        .collect(),
                    lost: before.into_iter().filter(|field| !now.contains(&field.as_str())).collect(),
                }
            }
            Err(problem) => {
                ObjectDifference { object, problem: Some(*problem), gained: Vec::new(), lost: before }
            }
        });
    }
    let emptied = match kind {
        RebindKind::Org => binding::plan(store, &mappings).await?,
        RebindKind::User => Vec::new(),
    };
    let plan = RebindPlan {
        kind,
        warning: other_name(&bound, &found),
        from: named(&bound),
        to: named(&found),
        emptied: emptied
            .into_iter()
            .filter(|emptied| emptied.rows > 0)
            .map(|emptied| EmptiedTable { table: emptied.table, rows: emptied.rows })
            .collect(),
        objects,
    };
    Ok((found, plan))
}

/// A refreshed sandbox keeps its name: another name may mean that the wrong environment was signed in to.
fn other_name(bound: &Binding, found: &Binding) -> Option<String> {
    (bound.org_name != found.org_name).then(|| {
        format!(
            "This does not look like a refreshed sandbox, which keeps its name: the copy is of {}, and who is signed in \
             belongs to {}. Check that login_url is the one meant.",
            bound.org_name, found.org_name
        )
    })
}

fn named(binding: &Binding) -> String {
    format!("{} ({}) as {}", binding.org_name, binding.org_id, binding.user_name)
}

/// Whether what is asked for is what there is to change.
fn check_kind(kind: RebindKind, bound: &Binding, found: &Binding) -> Answer<()> {
    let is_same_org = bound.org_id == found.org_id;
    let is_same_user = bound.user_id == found.user_id;
    match (kind, is_same_org, is_same_user) {
        (RebindKind::Org, false, _) | (RebindKind::User, true, false) => Ok(()),
        (_, true, true) => {
            Err(Box::new(nothing("the database is bound to the org and the user who is signed in.")))
        }
        (RebindKind::Org, true, false) => Err(Box::new(
            nothing("the org is the same, only the user is another one.")
                .step("Change the sync user: shadow-sync rebind --user"),
        )),
        (RebindKind::User, false, _) => Err(Box::new(
            nothing("this is another org, not only another user.")
                .step("Take over the other org, which empties the copy: shadow-sync rebind"),
        )),
    }
}

fn nothing(why: &str) -> Problem {
    Problem::new("SS-5208", "There is nothing to rebind like this", format!("Nothing was changed: {why}"))
}

#[cfg(test)]
mod tests {
    use shadow::{OrgId, UserId};

    use super::*;

    fn binding(org: &str, user: &str) -> Binding {
        Binding {
            org_id: OrgId::parse(org).unwrap(),
            org_name: "Halden".to_owned(),
            user_id: UserId::parse(user).unwrap(),
            user_name: "sync@halden.example".to_owned(),
            is_simulated: false,
        }
    }

    #[test]
    fn each_kind_is_refused_where_the_other_is_meant() {
        let bound = binding("00D000000000001EAA", "005000000000001AAA");
        let refreshed = binding("00D000000000002EAA", "005000000000001AAA");
        let other_user = binding("00D000000000001EAA", "005000000000002AAA");
        assert!(check_kind(RebindKind::Org, &bound, &refreshed).is_ok());
        assert!(check_kind(RebindKind::User, &bound, &other_user).is_ok());
        for (kind, found) in [
            (RebindKind::Org, &other_user),
            (RebindKind::User, &refreshed),
            (RebindKind::Org, &bound),
            (RebindKind::User, &bound),
        ] {
            assert_eq!(check_kind(kind, &bound, found).unwrap_err().code, "SS-5208", "{kind:?}");
        }
    }
}
