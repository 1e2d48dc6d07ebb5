//! What a flush is about, and which keys and patterns that means.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use shadow::keys::{Columns, Pattern, RowState, Template};
use shadow::{Mapping, ObjectName, RecordId};
use store::{Store, invalidations};

use super::rows_of;
use crate::invalidate::{Rules, rules};
use crate::problem::{Answer, Problem};

/// What is flushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum FlushScope {
    /// Everything that patterns of any object match; never the whole server.
    All,
    /// Everything of products and prices.
    Catalog,
    /// Everything of accounts.
    Eligibility,
    /// The keys of one product and its prices.
    Sku {
        /// Its SKU; need not be known.
        sku: String,
    },
    /// The keys of one account.
    Account {
        /// Its id.
        id: String,
    },
    /// Everything that a pattern matches.
    Pattern {
        /// As Redis takes it.
        pattern: String,
    },
}

/// What a scope means in the cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Target {
    /// Keys by name, each once.
    pub keys: BTreeSet<String>,
    /// Patterns, each once.
    pub patterns: BTreeSet<Pattern>,
}

impl Target {
    /// Keys and patterns as texts, for who is shown a plan.
    pub(super) fn texts(&self) -> Vec<String> {
        self.patterns.iter().map(ToString::to_string).chain(self.keys.iter().cloned()).collect()
    }
}

impl FlushScope {
    /// The stable word of its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Catalog => "catalog",
            Self::Eligibility => "eligibility",
            Self::Sku { .. } => "sku",
            Self::Account { .. } => "account",
            Self::Pattern { .. } => "pattern",
        }
    }

    /// The scope in words.
    pub fn words(&self) -> String {
        let shown = |text: &str| -> String {
            let short: String = text.chars().filter(|letter| !letter.is_control()).take(120).collect();
            short
        };
        match self {
            Self::All => "everything of ours".to_owned(),
            Self::Catalog => "the catalogue".to_owned(),
            Self::Eligibility => "eligibility".to_owned(),
            Self::Sku { sku } => format!("SKU {}", shown(sku)),
            Self::Account { id } => format!("account {}", shown(id)),
            Self::Pattern { pattern } => format!("pattern {}", shown(pattern)),
        }
    }

    /// Whether it may reach every key of the server, whoever's it is: then the environment's name is asked for in every
    /// environment.
    pub fn is_everything(&self) -> bool {
        match self {
            Self::Pattern { pattern } => Pattern::parse(pattern).is_ok_and(|pattern| pattern.is_everything()),
            Self::All | Self::Catalog | Self::Eligibility | Self::Sku { .. } | Self::Account { .. } => false,
        }
    }

    /// Which keys and patterns it means, by the rules as they are now.
    ///
    /// - **Errors:** SS-8002 for what is no pattern, SS-8021 for what is no account's id, SS-8022 where no rule gives a
    ///   key or pattern.
    pub(super) async fn target(&self, store: &Store) -> Answer<Target> {
        let mappings = Mapping::built_in();
        let rules = rules(store, &mappings).await?;
        let mut target = Target::default();
        match self {
            Self::All => target.patterns.extend(rules.all().flat_map(|stored| stored.rules.patterns.clone())),
            Self::Catalog => {
                target.patterns.extend(patterns_of(&rules, &ObjectName::product()));
                target.patterns.extend(patterns_of(&rules, &ObjectName::pricebook_entry()));
            }
            Self::Eligibility => target.patterns.extend(patterns_of(&rules, &ObjectName::account())),
            Self::Sku { sku } => of_sku(store, &rules, sku, &mut target).await?,
            Self::Account { id } => of_account(store, &rules, id, &mut target).await?,
            Self::Pattern { pattern } => {
                let pattern =
                    Pattern::parse(pattern).map_err(|error| Box::new(not_a_pattern(&error.to_string())))?;
                target.patterns.insert(pattern);
            }
        }
        if target == Target::default() {
            return Err(Box::new(nothing(self)));
        }
        Ok(target)
    }
}

fn patterns_of(rules: &Rules, object: &ObjectName) -> Vec<Pattern> {
    rules.of(object).map(|rules| rules.patterns.clone()).unwrap_or_default()
}

/// The keys of a product and of its prices; of one that is not in the shadow, what its SKU alone tells.
async fn of_sku(store: &Store, rules: &Rules, sku: &str, target: &mut Target) -> Answer<()> {
    let (product, entry) = (Mapping::product(), Mapping::pricebook_entry());
    let unique = product.unique.clone().unwrap_or_default();
    let known = Columns::from([(unique.clone(), Some(sku.to_owned()))]);
    let ids = invalidations::ids_by(store, &product, &unique, &[sku]).await?;
    let texts: Vec<&str> = ids.iter().map(String::as_str).collect();
    let rows = invalidations::key_states(store, &product, None, &texts).await?;
    if let Some(rules) = rules.of(&product.object) {
        target.keys.extend(rows.iter().flat_map(|row| rules.keys(row.state())));
        if rows.is_empty() {
            let named = |template: &&Template| template.own_columns().any(|column| column == unique);
            for template in rules.templates.iter().filter(named) {
                add(template, RowState { own: &known, parent: None }, target);
            }
        }
    }
    let Some(rules) = rules.of(&entry.object) else { return Ok(()) };
    let mut after = String::new();
    while !ids.is_empty() {
        let children =
            invalidations::key_states_of_children(store, &entry, &product, &ids, &after, 5_000).await?;
        target.keys.extend(children.iter().flat_map(|row| rules.keys(row.state())));
        match children.last() {
            Some(last) if children.len() == 5_000 => after.clone_from(&last.id),
            _ => break,
        }
    }
    let none = Columns::new();
    if rows.is_empty() {
        for template in rules.templates.iter().filter(|template| template.names_parent_column(&unique)) {
            add(template, RowState { own: &none, parent: Some(&known) }, target);
        }
    }
    Ok(())
}

async fn of_account(store: &Store, rules: &Rules, id: &str, target: &mut Target) -> Answer<()> {
    let account = Mapping::account();
    let id = RecordId::parse(id).map_err(|_| {
        let shown: String = id.chars().filter(|letter| !letter.is_control()).take(80).collect();
        Box::new(
            Problem::new(
                "SS-8021",
                format!("{shown} is not an account's id"),
                "An id has 15 or 18 letters and digits.",
            )
            .step("Copy it from the account's address in Salesforce."),
        )
    })?;
    let rows = rows_of(store, &account, None, id.as_str()).await?;
    let Some(rules) = rules.of(&account.object) else { return Ok(()) };
    target.keys.extend(rows.iter().flat_map(|row| rules.keys(row.state())));
    if rows.is_empty() {
        let known = Columns::from([(account.key.clone(), Some(id.to_string()))]);
        let named = |template: &&Template| template.own_columns().any(|column| column == account.key);
        for template in rules.templates.iter().filter(named) {
            add(template, RowState { own: &known, parent: None }, target);
        }
    }
    Ok(())
}

/// The key where everything is known, else the pattern of what is.
fn add(template: &Template, state: RowState<'_>, target: &mut Target) {
    match template.key(state) {
        Some(key) => {
            target.keys.insert(key);
        }
        None => {
            target.patterns.insert(template.pattern(state));
        }
    }
}

pub(super) fn not_a_pattern(why: &str) -> Problem {
    Problem::new("SS-8002", "This is not a pattern of keys", format!("{why}. Nothing was done."))
        .step("Write a pattern such as catalog:*")
}

fn nothing(scope: &FlushScope) -> Problem {
    Problem::new(
        "SS-8022",
        format!("No rule says which keys {} has", scope.words()),
        "Neither a pattern nor a template of the objects concerned gives a key, so nothing was deleted.",
    )
    .step("Look at the rules with `shadow-sync cache show`, or flush a pattern.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pattern_without_a_letter_may_reach_every_key() {
        let pattern = |text: &str| FlushScope::Pattern { pattern: text.to_owned() };
        assert!(pattern("*").is_everything() && pattern("?*").is_everything());
        assert!(!pattern("catalog:*").is_everything() && !pattern("").is_everything());
        assert!(!FlushScope::All.is_everything(), "it is the union of the patterns");
    }

    #[test]
    fn words_hold_no_control_characters() {
        let scope = FlushScope::Sku { sku: "A\u{1b}[31m\nB".to_owned() };
        assert_eq!(scope.words(), "SKU A[31mB");
    }
}
