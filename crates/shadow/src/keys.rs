//! Cache keys: which keys a record is cached under, made of its columns by templates; and patterns that keys match.
//!
//! A template such as `catalog:product:{sku}` narrows what is deleted when a row changes; a pattern such as `catalog:*`
//! deletes everything that it matches. Every key of a template is matched by a pattern of its object, so that a
//! pattern always covers what templates would have named.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::ObjectName;
use crate::mapping::Mapping;

mod pattern;
mod template;

pub use pattern::{InvalidPattern, Pattern, escape};
pub use template::{InvalidTemplate, Template, column_names};

/// The values of a row by the names of their columns, as texts; the key column is among them.
pub type Columns = BTreeMap<String, Option<String>>;

/// What keys are made of: a row's columns, and those of its parent's row where there is one.
#[derive(Debug, Clone, Copy)]
pub struct RowState<'a> {
    /// The row's own columns.
    pub own: &'a Columns,
    /// Those of its parent.
    pub parent: Option<&'a Columns>,
}

/// How keys of one object are found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRules {
    /// Everything that is cached of the object matches one of these.
    pub patterns: Vec<Pattern>,
    /// The keys of single records.
    pub templates: Vec<Template>,
    /// Whether a person declared that the templates name every key: then patterns are not deleted for a change.
    pub is_complete: bool,
}

/// Why rules cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRules {
    /// A pattern cannot be used.
    #[error(transparent)]
    Pattern(#[from] InvalidPattern),
    /// A template cannot be used.
    #[error(transparent)]
    Template(#[from] InvalidTemplate),
    /// A pattern with nothing that stands for itself.
    #[error(
        "The pattern {pattern} may match every key of the server, so every change of {object} and every flush would \
         delete other programs' keys, too. Write what its keys begin with, such as catalog:*"
    )]
    Everything {
        /// The object.
        object: ObjectName,
        /// The pattern.
        pattern: Pattern,
    },
    /// Keys of a template would outlive a flush of the patterns.
    #[error(
        "No pattern of {object} matches every key of the template {template}, so a flush of the patterns would leave \
         such keys. Add a pattern such as {suggestion}"
    )]
    Uncovered {
        /// The object.
        object: ObjectName,
        /// The template.
        template: String,
        /// A pattern that would do.
        suggestion: String,
    },
    /// Complete without a template would mean that nothing is deleted.
    #[error("{object} has no template that names keys, so nothing can be complete")]
    NothingToDeclare {
        /// The object.
        object: ObjectName,
    },
}

impl KeyRules {
    /// What holds until a person says otherwise.
    pub fn built_in(object: &ObjectName) -> Self {
        let (patterns, templates): (&[&str], &[&str]) = match object.as_str() {
            "Product2" => (&["catalog:*"], &["catalog:product:{sku}"]),
            "PricebookEntry" => (&["catalog:*"], &["catalog:price:{product_id}"]),
            "Account" => (&["eligibility:*"], &["eligibility:{account_id}"]),
            _ => (&[], &[]),
        };
        Self {
            patterns: patterns.iter().filter_map(|text| Pattern::parse(text).ok()).collect(),
            templates: templates.iter().filter_map(|text| Template::parse(text).ok()).collect(),
            is_complete: false,
        }
    }

    /// Reads what a person wrote for an object.
    ///
    /// - **Errors:** a text that is no pattern or template, a pattern that may match every key, a column that there is
    ///   not, a template whose keys no pattern matches.
    pub fn parse(
        mapping: &Mapping,
        parent: Option<&Mapping>,
        patterns: &[String],
        templates: &[String],
    ) -> Result<Self, InvalidRules> {
        let mut rules = Self { patterns: Vec::new(), templates: Vec::new(), is_complete: false };
        for text in patterns {
            let pattern = Pattern::parse(text)?;
            if pattern.is_everything() {
                return Err(InvalidRules::Everything { object: mapping.object.clone(), pattern });
            }
            if !rules.patterns.contains(&pattern) {
                rules.patterns.push(pattern);
            }
        }
        for text in templates {
            let template = Template::parse(text)?;
            template.check(mapping, parent)?;
            if !rules.patterns.iter().any(|pattern| template.is_covered_by(pattern)) {
                return Err(InvalidRules::Uncovered {
                    object: mapping.object.clone(),
                    template: text.clone(),
                    suggestion: template.suggested_pattern(),
                });
            }
            if !rules.templates.contains(&template) {
                rules.templates.push(template);
            }
        }
        Ok(rules)
    }

    /// The same, declared complete or not.
    pub fn declared(self, object: &ObjectName, is_complete: bool) -> Result<Self, InvalidRules> {
        if is_complete && self.templates.is_empty() {
            return Err(InvalidRules::NothingToDeclare { object: object.clone() });
        }
        Ok(Self { is_complete, ..self })
    }

    /// The keys of a record in one state.
    pub fn keys(&self, state: RowState<'_>) -> impl Iterator<Item = String> {
        self.templates.iter().filter_map(move |template| template.key(state))
    }

    /// Whether a key depends on the parent's columns: then a change of the parent changes keys of its children.
    pub fn names_parent(&self) -> bool {
        self.templates.iter().any(Template::names_parent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(values: &[(&str, &str)]) -> Columns {
        values.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect()
    }

    #[test]
    fn built_in_rules_are_valid_for_the_built_in_mappings() {
        let mappings = Mapping::built_in();
        for mapping in &mappings {
            let rules = KeyRules::built_in(&mapping.object);
            assert!(!rules.patterns.is_empty() && !rules.templates.is_empty(), "{mapping:?}");
            let texts = |items: Vec<&str>| items.into_iter().map(str::to_owned).collect::<Vec<_>>();
            let patterns = texts(rules.patterns.iter().map(Pattern::as_str).collect());
            let templates = texts(rules.templates.iter().map(Template::as_str).collect());
            assert_eq!(KeyRules::parse(mapping, None, &patterns, &templates), Ok(rules));
        }
    }

    #[test]
    fn keys_are_made_of_a_row_and_its_parent() {
        let (entry, product) = (Mapping::pricebook_entry(), Mapping::product());
        let templates =
            ["catalog:price:{parent.sku}:{currency_iso_code}", "catalog:entry:{pricebook_entry_id}"];
        let rules =
            KeyRules::parse(&entry, Some(&product), &["catalog:*".to_owned()], &templates.map(str::to_owned))
                .unwrap();
        assert!(rules.names_parent());
        let own = columns(&[("pricebook_entry_id", "01u1"), ("currency_iso_code", "EUR")]);
        let parent = columns(&[("sku", "A-1")]);
        let keys: Vec<String> = rules.keys(RowState { own: &own, parent: Some(&parent) }).collect();
        assert_eq!(keys, ["catalog:price:A-1:EUR", "catalog:entry:01u1"]);
        // Without its parent's value a key cannot be told.
        let keys: Vec<String> = rules.keys(RowState { own: &own, parent: None }).collect();
        assert_eq!(keys, ["catalog:entry:01u1"]);
    }

    #[test]
    fn a_template_that_a_flush_of_the_patterns_would_miss_is_refused() {
        let product = Mapping::product();
        let refused =
            KeyRules::parse(&product, None, &["catalog:*".into()], &["shop:{sku}".into()]).unwrap_err();
        assert!(refused.to_string().contains("shop:*"), "{refused}");
        assert!(KeyRules::parse(&product, None, &["catalog:?".into()], &["catalog:{sku}".into()]).is_err());
        for everything in ["*", "**", "?*", "[^a]*"] {
            let patterns = ["catalog:*".to_owned(), everything.to_owned()];
            let error = KeyRules::parse(&product, None, &patterns, &["catalog:{sku}".into()]).unwrap_err();
            assert!(matches!(error, InvalidRules::Everything { .. }), "{everything}: {error}");
        }
    }

    #[test]
    fn nothing_is_complete_without_a_template() {
        let account = ObjectName::account();
        let none = KeyRules { patterns: Vec::new(), templates: Vec::new(), is_complete: false };
        assert!(none.clone().declared(&account, true).is_err());
        assert!(none.declared(&account, false).is_ok());
    }
}
