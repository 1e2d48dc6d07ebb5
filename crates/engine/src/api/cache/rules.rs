//! By which rules keys are found: shown, set, declared complete, tried on a record.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shadow::Mapping;
use shadow::keys::{InvalidRules, KeyRules, Pattern, Template};
use store::{Store, cache_rules};

use super::{cache_of, columns_of, mapping_of, rows_of};
use crate::engine::Engine;
use crate::invalidate::rules;
use crate::notice::View;
use crate::problem::{Answer, Problem};

/// The rules of one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct RulesView {
    /// The object.
    pub object: String,
    /// Its shadow table.
    pub table: String,
    /// Everything that is cached of it matches one of these.
    pub patterns: Vec<String>,
    /// The keys of single records.
    pub templates: Vec<String>,
    /// Whether the templates were declared complete: then patterns are not deleted for a change.
    pub is_complete: bool,
    /// Who declared it.
    pub complete_by: Option<String>,
    /// When.
    pub complete_at: Option<DateTime<Utc>>,
    /// What a template may name in braces.
    pub columns: Vec<String>,
}

/// The keys that one template gives a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct TriedKeys {
    /// The template.
    pub template: String,
    /// Its keys.
    pub keys: Vec<TriedKey>,
    /// Why there is none.
    pub problem: Option<String>,
}

/// A key of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct TriedKey {
    /// Its name.
    pub key: String,
    /// Whether the cache holds it; none if it cannot be asked.
    pub exists: Option<bool>,
}

/// The rules of every mapped object.
pub(super) async fn views(store: &Store) -> Result<Vec<RulesView>, store::Error> {
    let mappings = Mapping::built_in();
    let rules = rules(store, &mappings).await?;
    let of = |mapping: &Mapping| {
        let stored = rules.stored(&mapping.object)?;
        let parent = mapping.parent.as_ref();
        let parent = parent.and_then(|above| mappings.iter().find(|other| other.object == above.object));
        Some(RulesView {
            object: mapping.object.to_string(),
            table: mapping.table.clone(),
            patterns: stored.rules.patterns.iter().map(Pattern::to_string).collect(),
            templates: stored.rules.templates.iter().map(Template::to_string).collect(),
            is_complete: stored.rules.is_complete,
            complete_by: stored.complete_by.clone(),
            complete_at: stored.complete_at,
            columns: columns_of(mapping, parent),
        })
    };
    Ok(mappings.iter().filter_map(of).collect())
}

/// Sets the rules of an object. Whether its templates are complete must be declared anew.
///
/// - **Errors:** SS-2010 for an object that is not mapped, SS-8026 for what is no rule; then nothing changed.
pub async fn set_rules(
    engine: &Engine,
    object: &str,
    patterns: Vec<String>,
    templates: Vec<String>,
) -> Answer<Vec<RulesView>> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let (mapping, parent) = mapping_of(object)?;
    let rules =
        KeyRules::parse(&mapping, parent.as_ref(), &patterns, &templates).map_err(|error| refused(&error))?;
    cache_rules::set(&store, &mapping.object, &rules, &open.actor()).await?;
    let sentence = format!(
        "Set the cache keys of {object}: {} patterns, {} templates",
        rules.patterns.len(),
        rules.templates.len()
    );
    open.record("rules.set", &sentence, "done", None).await;
    engine.publish(&[View::Cache]);
    Ok(views(&store).await?)
}

/// Declares that the templates of an object name every key that is cached of it, or takes that back.
pub async fn declare_complete(engine: &Engine, object: &str, is_complete: bool) -> Answer<Vec<RulesView>> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let (mapping, _) = mapping_of(object)?;
    let now = rules(&store, std::slice::from_ref(&mapping)).await?;
    let now = now.of(&mapping.object).cloned().unwrap_or_else(|| KeyRules::built_in(&mapping.object));
    let declared = now.declared(&mapping.object, is_complete).map_err(|error| refused(&error))?;
    cache_rules::set(&store, &mapping.object, &declared, &open.actor()).await?;
    let sentence = if is_complete {
        format!("Declared the cache keys of {object} complete: changes delete what its templates name")
    } else {
        format!(
            "Took back that the cache keys of {object} are complete: changes delete what its patterns match"
        )
    };
    open.record("rules.complete", &sentence, "done", None).await;
    engine.publish(&[View::Cache]);
    Ok(views(&store).await?)
}

fn refused(error: &InvalidRules) -> Box<Problem> {
    let cause = error.to_string();
    let cause = if cause.ends_with('.') { cause } else { format!("{cause}.") };
    Box::new(Problem::new("SS-8026", "These rules cannot be used", format!("{cause} Nothing was changed.")))
}

/// The keys of a record by each template, and whether the cache holds them.
///
/// - **`record`:** its id, or its SKU.
/// - **Errors:** SS-8020 without a cache, SS-8027 where it is not in the shadow.
pub async fn try_keys(engine: &Engine, object: &str, record: &str) -> Answer<Vec<TriedKeys>> {
    let open = engine.environment()?;
    let store = open.store().await?;
    let (mapping, parent) = mapping_of(object)?;
    let cache = cache_of(&open)?;
    let rows = rows_of(&store, &mapping, parent.as_ref(), record.trim()).await?;
    let Some(row) = rows.first() else {
        let shown: String = record.chars().filter(|letter| !letter.is_control()).take(80).collect();
        return Err(Box::new(
            Problem::new(
                "SS-8027",
                format!("{object} {shown} is not in the shadow"),
                "Keys are made of a record's row, and there is none.",
            )
            .step("Look for it among the rejected records, or give another id."),
        ));
    };
    let rules = rules(&store, std::slice::from_ref(&mapping)).await?;
    let templates = rules.of(&mapping.object).map(|rules| rules.templates.clone()).unwrap_or_default();
    let mut tried = Vec::new();
    for template in templates {
        let key = template.key(row.state());
        let exists = match &key {
            Some(key) => cache.get(key).await.ok().map(|value| value.is_some()),
            None => None,
        };
        tried.push(TriedKeys {
            template: template.to_string(),
            problem: key
                .is_none()
                .then(|| "A column that it names is empty, so nothing is cached under it".to_owned()),
            keys: key.into_iter().map(|key| TriedKey { key, exists }).collect(),
        });
    }
    Ok(tried)
}
