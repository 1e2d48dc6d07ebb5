//! The one org and the one sync user whose eyes a database has.

use store::Store;
use store::binding::{self, Binding as Kept};

use crate::config::Database;
use crate::environment::OpenEnvironment;
use crate::org::{Binding, check_load};
use crate::problem::Answer;

/// Refuses another org and another user before anything of theirs is asked, counted or written down.
pub(crate) async fn refuse_others(environment: &OpenEnvironment, store: &Store) -> Answer<()> {
    let facts = environment.sign_in.facts().ok_or(salesforce::Error::SignInNeeded)?;
    let bound = binding::get(store).await?.map(|(bound, _)| bound);
    let is_for_demos =
        environment.config.database == Database::Embedded || crate::database::is_for_demos(store).await?;
    let known = bound.map(|bound| Binding { org_id: bound.org_id, user_id: bound.user_id });
    check_load(&environment.config, is_for_demos, known.as_ref(), &facts.identity)?;
    Ok(())
}

/// The same, and binds a database that is not bound yet.
pub(crate) async fn bind(environment: &OpenEnvironment, store: &Store) -> Answer<()> {
    refuse_others(environment, store).await?;
    let facts = environment.sign_in.facts().ok_or(salesforce::Error::SignInNeeded)?;
    let bound = Kept {
        org_id: facts.identity.org_id,
        org_name: facts.organization.name.clone(),
        user_id: facts.identity.user_id,
        user_name: facts.user.preferred_username.clone(),
        is_simulated: facts.identity.org_id.is_simulated(),
    };
    Ok(binding::bind(store, &bound).await?)
}
