//! The database's schema: what would be applied, and applying it.

use crate::engine::Engine;
use crate::notice::View;
use crate::problem::Answer;
use store::SchemaState;

/// The migrations that are missing, oldest first.
pub async fn plan(engine: &Engine) -> Answer<Vec<String>> {
    let store = engine.environment()?.database.unmigrated().await?;
    match store.schema_state().await? {
        SchemaState::Current => Ok(Vec::new()),
        SchemaState::Behind { pending } => Ok(pending),
        SchemaState::Ahead { found, known } => Err(store::Error::SchemaAhead { found, known }.into()),
    }
}

/// Applies the migrations that are missing; answers which were.
pub async fn migrate(engine: &Engine) -> Answer<Vec<String>> {
    let open = engine.environment()?;
    let store = open.database.unmigrated().await?;
    let applied = store.migrate().await?;
    open.database.try_again();
    engine.publish(&[View::Status]);
    Ok(applied)
}
