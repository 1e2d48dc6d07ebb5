//! The probe: keys under the patterns that no template gives any record. Until there are none, templates are not
//! complete.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use shadow::Mapping;
use shadow::keys::{Pattern, Template};
use store::{Store, invalidations};

use super::cache_of;
use crate::engine::Engine;
use crate::invalidate::{Rules, rules};
use crate::problem::Answer;

/// Keys of one pattern that are looked at; more are left out, and it is said.
const LOOKED_AT: usize = 100_000;
/// Keys that are compared with the shadow at a time.
const AT_ONCE: usize = 2_000;
/// How long it takes at most.
const LONGEST: Duration = Duration::from_mins(1);
/// Unknown keys that are named.
const EXAMPLES: usize = 20;

/// What the probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// Keys looked at.
    #[specta(type = u32)]
    pub seen: u64,
    /// Those that no template gives a record.
    #[specta(type = u32)]
    pub unknown: u64,
    /// Some of those.
    pub examples: Vec<String>,
    /// The same by pattern.
    pub per_pattern: Vec<PatternProbe>,
    /// Whether there are more keys than were looked at.
    pub stopped: bool,
    /// How long it took.
    pub took_ms: u32,
}

/// What the probe found under one pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct PatternProbe {
    /// The pattern.
    pub pattern: String,
    /// Keys looked at.
    #[specta(type = u32)]
    pub seen: u64,
    /// Those that no template gives a record.
    #[specta(type = u32)]
    pub unknown: u64,
}

/// Looks at the keys under every pattern; deletes nothing.
pub async fn probe(engine: &Engine) -> Answer<Probe> {
    let open = engine.environment()?;
    let (cache, store) = (cache_of(&open)?, open.store().await?);
    let mappings = Mapping::built_in();
    let rules = rules(&store, &mappings).await?;
    let patterns: BTreeSet<Pattern> =
        rules.all().flat_map(|stored| stored.rules.patterns.iter().cloned()).collect();
    let (began, stop) = (Instant::now(), open.cancel.child_token());
    let mut probe = Probe {
        seen: 0,
        unknown: 0,
        examples: Vec::new(),
        per_pattern: Vec::new(),
        stopped: false,
        took_ms: 0,
    };
    for pattern in patterns {
        let mut keys: HashSet<String> = HashSet::new();
        let mut visit = |page: &[String]| {
            keys.extend(page.iter().cloned());
            if keys.len() >= LOOKED_AT || began.elapsed() > LONGEST {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        probe.stopped |= !cache.keys(pattern.as_str(), &mut visit, &stop).await?;
        let mut keys: Vec<String> = keys.into_iter().collect();
        keys.sort_unstable();
        let mut of_pattern =
            PatternProbe { pattern: pattern.to_string(), seen: keys.len() as u64, unknown: 0 };
        for some in keys.chunks(AT_ONCE) {
            let known = known(&store, &mappings, &rules, some).await?;
            for key in some.iter().filter(|key| !known.contains(*key)) {
                of_pattern.unknown += 1;
                if probe.examples.len() < EXAMPLES {
                    probe.examples.push(key.clone());
                }
            }
        }
        probe.seen += of_pattern.seen;
        probe.unknown += of_pattern.unknown;
        probe.per_pattern.push(of_pattern);
    }
    probe.took_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
    Ok(probe)
}

/// Those of some keys that a template gives a record: read back into values, looked up, and made again of what the rows
/// are.
async fn known(
    store: &Store,
    mappings: &[Mapping],
    rules: &Rules,
    keys: &[String],
) -> Result<HashSet<String>, store::Error> {
    let mut known = HashSet::new();
    for mapping in mappings {
        let Some(rules) = rules.of(&mapping.object) else { continue };
        let parent = mapping.parent.as_ref();
        let parent = parent.and_then(|above| mappings.iter().find(|other| other.object == above.object));
        let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for template in &rules.templates {
            let column = lookup_column(mapping, template);
            for key in keys {
                let Some(values) = template.read(key) else { continue };
                match column.and_then(|column| values.into_iter().find(|(name, _)| *name == column)) {
                    Some((column, value)) => {
                        wanted.entry(column).or_default().insert(value);
                    }
                    // It names columns of the parent alone: its form has to do.
                    None => {
                        known.insert(key.clone());
                    }
                }
            }
        }
        let mut ids = BTreeSet::new();
        for (column, values) in wanted {
            let values: Vec<&str> = values.into_iter().collect();
            ids.extend(invalidations::ids_by(store, mapping, column, &values).await?);
        }
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        for ids in ids.chunks(5_000) {
            for row in invalidations::key_states(store, mapping, parent, ids).await? {
                known.extend(rules.keys(row.state()));
            }
        }
    }
    Ok(known)
}

/// The column of a template by which rows are found soonest.
fn lookup_column<'t>(mapping: &Mapping, template: &'t Template) -> Option<&'t str> {
    let rank = |column: &str| {
        let parent = mapping.parent.as_ref().map(|parent| parent.column.as_str());
        match column {
            _ if column == mapping.key => 0,
            _ if Some(column) == mapping.unique.as_deref() => 1,
            _ if Some(column) == parent => 2,
            _ => 3,
        }
    };
    template.own_columns().min_by_key(|column| rank(column))
}
