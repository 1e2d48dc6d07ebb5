//! The rules by which keys are found: what a person said, else what is built in.

use shadow::keys::KeyRules;
use shadow::{Mapping, ObjectName};
use store::Store;
use store::cache_rules::{self, StoredRules};

/// The rules of every mapped object.
#[derive(Debug, Clone)]
pub(crate) struct Rules(Vec<StoredRules>);

/// The rules of some mappings, as they are now.
pub(crate) async fn rules(store: &Store, mappings: &[Mapping]) -> Result<Rules, store::Error> {
    let stored = cache_rules::list(store).await?;
    let of = |mapping: &Mapping| {
        let said = stored.iter().find(|rules| rules.object == mapping.object).cloned();
        said.unwrap_or_else(|| StoredRules {
            object: mapping.object.clone(),
            rules: KeyRules::built_in(&mapping.object),
            complete_by: None,
            complete_at: None,
        })
    };
    Ok(Rules(mappings.iter().map(of).collect()))
}

impl Rules {
    /// Those of an object; none where it is not mapped.
    pub(crate) fn of(&self, object: &ObjectName) -> Option<&KeyRules> {
        self.stored(object).map(|stored| &stored.rules)
    }

    /// The same, and who declared them complete.
    pub(crate) fn stored(&self, object: &ObjectName) -> Option<&StoredRules> {
        self.0.iter().find(|rules| rules.object == *object)
    }

    /// Whether everything that the object's patterns match is deleted for an order.
    pub(crate) fn needs_patterns(&self, object: &ObjectName, whole: bool) -> bool {
        self.of(object).is_some_and(|rules| !rules.patterns.is_empty() && (whole || !rules.is_complete))
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &StoredRules> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_deleted_until_templates_are_declared_complete() {
        let account = ObjectName::account();
        let rules = |is_complete| {
            let rules = KeyRules { is_complete, ..KeyRules::built_in(&account) };
            Rules(vec![StoredRules { object: account.clone(), rules, complete_by: None, complete_at: None }])
        };
        assert!(rules(false).needs_patterns(&account, false));
        assert!(!rules(true).needs_patterns(&account, false));
        assert!(rules(true).needs_patterns(&account, true), "an order about everything is one in any case");
        assert!(!rules(false).needs_patterns(&ObjectName::product(), false), "not mapped");
    }
}
