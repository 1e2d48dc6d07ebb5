//! By which patterns and templates the cache keys of an object are found, as people said.

use chrono::{DateTime, Utc};
use shadow::ObjectName;
use shadow::keys::{KeyRules, Pattern, Template};

use crate::error::{Error, corrupt};
use crate::invalidations::order_whole_in;
use crate::session::Store;

/// The rules of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRules {
    /// The object.
    pub object: ObjectName,
    /// The rules.
    pub rules: KeyRules,
    /// Who declared the templates complete.
    pub complete_by: Option<String>,
    /// When.
    pub complete_at: Option<DateTime<Utc>>,
}

/// The rules that people made; for other objects [`KeyRules::built_in`] holds.
pub async fn list(store: &Store) -> Result<Vec<StoredRules>, Error> {
    let rows = sqlx::query!(
        "select object, patterns, templates, is_complete, complete_by, complete_at from shadow_sync.cache_rules
          order by object"
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter()
        .map(|row| {
            let pattern = |text: &String| Pattern::parse(text).map_err(|error| corrupt("pattern", error));
            let template = |text: &String| Template::parse(text).map_err(|error| corrupt("template", error));
            Ok(StoredRules {
                object: ObjectName::parse(&row.object).map_err(|_| corrupt("object", &row.object))?,
                rules: KeyRules {
                    patterns: row.patterns.iter().map(pattern).collect::<Result<_, _>>()?,
                    templates: row.templates.iter().map(template).collect::<Result<_, _>>()?,
                    is_complete: row.is_complete,
                },
                complete_by: row.complete_by,
                complete_at: row.complete_at,
            })
        })
        .collect()
}

/// Sets the rules of an object. Where they were declared complete and are not any more, everything of the object is
/// ordered to be deleted: what the templates missed is still there.
pub async fn set(store: &Store, object: &ObjectName, rules: &KeyRules, who: &str) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    let was_complete = sqlx::query_scalar!(
        "select is_complete from shadow_sync.cache_rules where object = $1 for update",
        object.as_str(),
    )
    .fetch_optional(&mut *tx)
    .await?;
    let patterns: Vec<&str> = rules.patterns.iter().map(Pattern::as_str).collect();
    let templates: Vec<&str> = rules.templates.iter().map(Template::as_str).collect();
    sqlx::query!(
        "insert into shadow_sync.cache_rules
             (object, patterns, templates, is_complete, complete_by, complete_at, updated_by)
         values ($1, $2::text[], $3::text[], $4, case when $4 then $5 end, case when $4 then now() end, $5)
         on conflict (object) do update
            set patterns = excluded.patterns, templates = excluded.templates, is_complete = excluded.is_complete,
                complete_by = excluded.complete_by, complete_at = excluded.complete_at,
                updated_by = excluded.updated_by, updated_at = now()",
        object.as_str(),
        &patterns as &[&str],
        &templates as &[&str],
        rules.is_complete,
        who,
    )
    .execute(&mut *tx)
    .await?;
    if was_complete == Some(true) && !rules.is_complete {
        order_whole_in(&mut tx, std::slice::from_ref(object)).await?;
    }
    tx.commit().await?;
    store.ordered();
    Ok(())
}
