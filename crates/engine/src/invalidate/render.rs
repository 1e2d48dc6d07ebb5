//! The keys of orders: of every state that a record was in and is in, as its templates name them.

use std::collections::{BTreeSet, HashMap};

use shadow::Mapping;
use shadow::keys::{Columns, KeyRules, RowState};
use store::invalidations::{self, Before, KeyState, Order};

use super::Term;
use super::rules::Rules;

/// Rows looked up at a time.
const ROWS: usize = 5_000;

/// The states that parents were in before, by their ids.
type ParentsBefore<'o> = HashMap<&'o str, Vec<&'o Columns>>;

/// Every key that the orders' records may be cached under, each once.
///
/// - **Shape:** keys of what is stored now and of what was stored before; where a child's template names columns of a
///   parent, those of a changed parent's children, too.
pub(super) async fn keys(term: &Term, rules: &Rules, orders: &[Order]) -> Result<Vec<String>, store::Error> {
    let mut keys = BTreeSet::new();
    for mapping in &term.mappings {
        let of_object: Vec<&Order> = orders.iter().filter(|order| order.object == mapping.object).collect();
        if of_object.is_empty() {
            continue;
        }
        if let Some(rules) = rules.of(&mapping.object).filter(|rules| !rules.templates.is_empty()) {
            let before = of_object.iter().flat_map(|order| &order.before);
            before.for_each(|before| extend(&mut keys, rules, state(before)));
            current(term, mapping, rules, &of_object, &mut keys).await?;
        }
        for child in children_of(&term.mappings, mapping) {
            if let Some(rules) = rules.of(&child.object).filter(|rules| rules.names_parent()) {
                of_children(term, mapping, child, rules, &of_object, &mut keys).await?;
            }
        }
    }
    Ok(keys.into_iter().collect())
}

/// The mappings whose parent this one is.
fn children_of<'m>(mappings: &'m [Mapping], parent: &'m Mapping) -> impl Iterator<Item = &'m Mapping> {
    mappings.iter().filter(|child| child.parent.as_ref().is_some_and(|above| above.object == parent.object))
}

fn parent_of<'m>(mappings: &'m [Mapping], child: &Mapping) -> Option<&'m Mapping> {
    let above = child.parent.as_ref()?;
    mappings.iter().find(|mapping| mapping.object == above.object)
}

fn state(before: &Before) -> RowState<'_> {
    RowState { own: &before.columns, parent: before.parent_columns.as_ref() }
}

fn extend(keys: &mut BTreeSet<String>, rules: &KeyRules, state: RowState<'_>) {
    keys.extend(rules.keys(state));
}

/// Keys of what the records are now.
async fn current(
    term: &Term,
    mapping: &Mapping,
    rules: &KeyRules,
    orders: &[&Order],
    keys: &mut BTreeSet<String>,
) -> Result<(), store::Error> {
    let parent = parent_of(&term.mappings, mapping).filter(|_| rules.names_parent());
    let ids: BTreeSet<&str> = orders.iter().flat_map(|order| &order.ids).map(String::as_str).collect();
    let ids: Vec<&str> = ids.into_iter().collect();
    for ids in ids.chunks(ROWS) {
        for row in invalidations::key_states(&term.store, mapping, parent, ids).await? {
            extend(keys, rules, row.state());
        }
    }
    Ok(())
}

/// Keys of the children of changed parents: of every state of the child, with every state of its parent.
async fn of_children(
    term: &Term,
    parent: &Mapping,
    child: &Mapping,
    rules: &KeyRules,
    orders: &[&Order],
    keys: &mut BTreeSet<String>,
) -> Result<(), store::Error> {
    let mut before = ParentsBefore::new();
    for changed in orders.iter().flat_map(|order| &order.before) {
        before.entry(&changed.id).or_default().push(&changed.columns);
    }
    let changed =
        orders.iter().flat_map(|order| &order.ids).map(String::as_str).chain(before.keys().copied());
    let parents: BTreeSet<String> = changed.map(str::to_owned).collect();
    let parents: Vec<String> = parents.into_iter().collect();
    let with_parents = |keys: &mut BTreeSet<String>, own: &Columns, parent_id: Option<&str>| {
        let states = parent_id.and_then(|id| before.get(id)).into_iter().flatten();
        states.for_each(|above| extend(keys, rules, RowState { own, parent: Some(above) }));
    };
    // A child that changed, too, may have been cached with what its parent was.
    for was in invalidations::waiting_children(&term.store, child, &parents).await? {
        with_parents(keys, &was.columns, was.parent.as_deref());
    }
    for some in parents.chunks(ROWS) {
        let mut after = String::new();
        loop {
            let limit = i64::try_from(ROWS).unwrap_or(i64::MAX);
            let rows: Vec<KeyState> =
                invalidations::key_states_of_children(&term.store, child, parent, some, &after, limit)
                    .await?;
            for row in &rows {
                extend(keys, rules, row.state());
                with_parents(keys, &row.own, row.parent_id.as_deref());
            }
            match rows.last() {
                Some(last) if rows.len() == ROWS => after.clone_from(&last.id),
                _ => break,
            }
        }
    }
    Ok(())
}
