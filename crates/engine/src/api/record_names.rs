//! What the records of a page of events are called in the shadow.

use std::collections::{BTreeSet, HashMap};

use shadow::Mapping;
use store::Store;
use store::invalidations::{KeyState, key_states};

use super::events::EventRow;

/// The column that holds a name.
const NAME: &str = "name";

/// Names the records of some events: by their own name, else by their parent's. Without one stay records that the
/// shadow does not hold, and those of objects whose names it does not copy.
pub(super) async fn name(store: &Store, rows: &mut [EventRow]) -> Result<(), store::Error> {
    let mappings = Mapping::built_in();
    for mapping in &mappings {
        let of_object = |row: &&EventRow| row.object == mapping.object.as_str();
        let ids: BTreeSet<String> =
            rows.iter().filter(of_object).filter_map(|row| row.record_id.clone()).collect();
        if ids.is_empty() {
            continue;
        }
        let above = mapping.parent.as_ref();
        let parent = above.and_then(|above| mappings.iter().find(|other| other.object == above.object));
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let names: HashMap<String, String> = key_states(store, mapping, parent, &ids)
            .await?
            .into_iter()
            .filter_map(|state| name_of(&state).map(|name| (state.id, name)))
            .collect();
        for row in rows.iter_mut().filter(|row| row.object == mapping.object.as_str()) {
            row.record_name = row.record_id.as_ref().and_then(|id| names.get(id).cloned());
        }
    }
    Ok(())
}

fn name_of(state: &KeyState) -> Option<String> {
    let named = |columns: &shadow::keys::Columns| columns.get(NAME).cloned().flatten();
    named(&state.own).or_else(|| state.parent.as_ref().and_then(named))
}
